/** Elementwise functions, one number at a time; binary ones broadcast their arguments as NumPy and PyTorch do. */
import { axisOf, broadcast, broadcastShape, nd } from './nd.ts'
import type { Nd } from './nd.ts'

const unary = (f: (x: number) => number) => (x: Nd): Nd => nd(x.shape, x.data.map(f))

const binary = (f: (x: number, y: number) => number) => (x: Nd, y: Nd): Nd => {
  const shape = broadcastShape(x.shape, y.shape)
  const left = broadcast(x, shape), right = broadcast(y, shape)
  return nd(shape, left.data.map((value, i) => f(value, right.data[i])))
}

/**
 * erf(x) = 2/sqrt(pi) ∫_0^x e^(-t²) dt by the series e^(-x²) 2/sqrt(pi) sum_n 2^n x^(2n+1) / (2n+1)!!, whose terms all
 * have one sign, so nothing cancels. Beyond 6 the result rounds to ±1.
 */
export function erfOf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x)
  let term = x, sum = x
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= 2 * x * x / (2 * n + 1)
    sum += term
  }
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum
}

const sigmoidOf = (x: number): number => x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))
const relu6Of = (x: number): number => Math.min(Math.max(x, 0), 6)

/** max(x, 0) */
export const relu = unary((x) => Math.max(x, 0))
/** x Φ(x) = x/2 (1 + erf(x / sqrt 2)) */
export const gelu = unary((x) => 0.5 * x * (1 + erfOf(x / Math.SQRT2)))
/** x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x³))) */
export const geluTanh = unary((x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))))
/** x sigmoid(x) */
export const silu = unary((x) => x * sigmoidOf(x))
/** 1 / (1 + e^-x) */
export const sigmoid = unary(sigmoidOf)
/** tanh x */
export const tanh = unary(Math.tanh)
/** e^x */
export const exp = unary(Math.exp)
/** Natural logarithm. */
export const log = unary(Math.log)
/** Square root. */
export const sqrt = unary(Math.sqrt)
/** 1 / sqrt x */
export const rsqrt = unary((x) => 1 / Math.sqrt(x))
/** The error function. */
export const erf = unary(erfOf)
/** log(1 + e^x), in the form that does not overflow. */
export const softplus = unary((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))))
/** x relu6(x + 3) / 6 */
export const hardswish = unary((x) => x * relu6Of(x + 3) / 6)
/** min(max(x, 0), 6) */
export const relu6 = unary(relu6Of)
/** |x| */
export const abs = unary(Math.abs)
/** -x */
export const neg = unary((x) => -x)
/** 1 / x */
export const reciprocal = unary((x) => 1 / x)
/** sin x */
export const sin = unary(Math.sin)
/** cos x */
export const cos = unary(Math.cos)
/** x² */
export const square = unary((x) => x * x)

/** x where x > 0, slope x elsewhere. */
export const leakyRelu = (x: Nd, { slope }: { slope: number }): Nd => unary((v) => v > 0 ? v : slope * v)(x)
/** x to a constant exponent. */
export const pow = (x: Nd, { exponent }: { exponent: number }): Nd => unary((v) => v ** exponent)(x)
/** min(max(x, low), high) */
export const clamp = (x: Nd, { low, high }: { low: number, high: number }): Nd =>
  unary((v) => Math.min(Math.max(v, low), high))(x)
/** factor x */
export const scale = (x: Nd, { factor }: { factor: number }): Nd => unary((v) => factor * v)(x)

/** x + y */
export const add = binary((x, y) => x + y)
/** x - y */
export const sub = binary((x, y) => x - y)
/** x y */
export const mul = binary((x, y) => x * y)
/** x / y */
export const div = binary((x, y) => x / y)
/** The larger of x and y. */
export const maximum = binary(Math.max)
/** The smaller of x and y. */
export const minimum = binary(Math.min)
/** x^y with both tensors. */
export const power = binary((x, y) => x ** y)
/** 1 where x = y, else 0. */
export const equal = binary((x, y) => x === y ? 1 : 0)
/** 1 where x ≠ y, else 0. */
export const notEqual = binary((x, y) => x !== y ? 1 : 0)
/** 1 where x < y, else 0. */
export const less = binary((x, y) => x < y ? 1 : 0)
/** 1 where x <= y, else 0. */
export const lessEqual = binary((x, y) => x <= y ? 1 : 0)
/** 1 where x > y, else 0. */
export const greater = binary((x, y) => x > y ? 1 : 0)
/** 1 where x >= y, else 0. */
export const greaterEqual = binary((x, y) => x >= y ? 1 : 0)

/** x where the condition is not zero, y elsewhere; the three broadcast together. */
export function where(condition: Nd, x: Nd, y: Nd): Nd {
  const shape = broadcastShape(condition.shape, x.shape, y.shape)
  const [c, yes, no] = [condition, x, y].map((part) => broadcast(part, shape).data)
  return nd(shape, yes.map((value, i) => c[i] !== 0 ? value : no[i]))
}

/** x mask / (1 - rate), mask of x's shape, 1 where kept: dropout once the mask is drawn. */
export const dropout = (x: Nd, mask: Nd, { rate }: { rate: number }): Nd =>
  scale(mul(x, mask), { factor: 1 / (1 - rate) })

/** x [B, ...] mask [B] / (1 - rate): drop-path, which keeps or drops a whole sample. */
export const dropPath = (x: Nd, mask: Nd, { rate }: { rate: number }): Nd =>
  scale(gate(x, mask, { axes: [0] }), { factor: 1 / (1 - rate) })

/** x times a mask whose axes are the named axes of x: mask [H] with axes [2] on x [B, N, H, D] keeps or drops heads. */
export function gate(x: Nd, mask: Nd, { axes }: { axes: number[] }): Nd {
  const shape = x.shape.map(() => 1)
  axes.forEach((axis, i) => {
    shape[axisOf(x.shape.length, axis)] = mask.shape[i]
  })
  return mul(x, nd(shape, mask.data))
}

// Constant values and the arithmetic of const-expressions, with the errors WGSL demands (overflow, NaN, division by
// zero).
import { abstractFloat, abstractInt, bool, elementScalar, f16, f32, i32, isFloat, typeName, u32, vec,
  withScalar } from './types.ts'
import type { Scalar, Type } from './types.ts'

/** A constant: a scalar (abstract integers as bigint), or the parts of a vector, matrix, array or struct. */
export interface Value {
  type: Type
  scalar?: number | boolean | bigint
  parts?: Value[]
}

/** What a const-expression does wrong; the checker adds the position. */
export class ConstError extends Error {}

const view = new DataView(new ArrayBuffer(4))
/** The bits of an f32 as i32, and back. */
export const f32Bits = (value: number): number => {
  view.setFloat32(0, value)
  return view.getInt32(0)
}
/** The f32 with the given bits. */
export const bitsF32 = (bits: number): number => {
  view.setInt32(0, bits)
  return view.getFloat32(0)
}

/** Rounds a double to the nearest f16, ties to even; overflow gives infinity. */
export function roundF16(value: number): number {
  const size = Math.abs(value)
  if (!(size < 65520)) return Number.isNaN(value) ? value : Math.sign(value) * Infinity
  const step = 2 ** (Math.max(Math.floor(Math.log2(size || 2 ** -14)), -14) - 10)
  const scaled = value / step, low = Math.floor(scaled), rest = scaled - low
  const up = rest > 0.5 || (rest === 0.5 && low % 2 !== 0)
  const rounded = (up ? low + 1 : low) * step
  return rounded === 0 ? value * 0 : rounded
}
/** The 16 bits of an f16. */
export function f16Bits(value: number): number {
  const rounded = roundF16(value), sign = Object.is(rounded, -0) || rounded < 0 ? 0x8000 : 0, size = Math.abs(rounded)
  if (Number.isNaN(rounded)) return 0x7e00
  if (size === Infinity) return sign | 0x7c00
  if (size < 2 ** -14) return sign | Math.round(size * 2 ** 24)
  const exponent = Math.floor(Math.log2(size))
  return sign | ((exponent + 15) << 10) | Math.round((size / 2 ** exponent - 1) * 1024)
}
/** The value of 16 bits read as f16. */
export function f16FromBits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** A scalar value of the type; throws ConstError if the number does not fit. */
export function makeScalar(type: Scalar, scalar: number | boolean | bigint): Value {
  if (type === bool) return { type, scalar: Boolean(scalar) }
  if (type === abstractInt) {
    const big = BigInt(scalar)
    if (big !== BigInt.asIntN(64, big)) throw new ConstError(`${big} overflows an abstract integer (64 bits)`)
    return { type, scalar: big }
  }
  const value = Number(scalar)
  if (type === i32 || type === u32) {
    const wrapped = type === i32 ? value | 0 : value >>> 0
    if (wrapped !== value) throw new ConstError(`${scalar} cannot be represented as '${type.name}'`)
    return { type, scalar: wrapped + 0 }
  }
  const rounded = type === f32 ? Math.fround(value) : type === f16 ? roundF16(value) : value
  if (!Number.isFinite(rounded)) {
    throw new ConstError(`${Number.isNaN(value) ? 'NaN' : scalar} cannot be represented as '${typeName(type)}'`)
  }
  return { type, scalar: rounded }
}

/** The zero of a constructible type. */
export function zeroValue(type: Type, count: (c: object) => number = () => 0): Value {
  switch (type.kind) {
    case 'scalar':
      return { type, scalar: type === bool ? false : type === abstractInt ? 0n : 0 }
    case 'vec':
      return { type, parts: Array.from({ length: type.size }, () => zeroValue(type.of)) }
    case 'mat':
      return { type, parts: Array.from({ length: type.columns }, () => zeroValue(vec(type.rows, type.of))) }
    case 'array':
      return {
        type,
        parts: Array.from(
          { length: typeof type.count === 'number' ? type.count : count(type.count!) },
          () => zeroValue(type.of, count),
        ),
      }
    case 'struct':
      return { type, parts: type.members.map((m) => zeroValue(m.type, count)) }
    default:
      throw new ConstError(`${typeName(type)} has no zero value`)
  }
}

/** Implicit conversion (abstract to concrete); throws if the number does not fit. */
export function convertValue(value: Value, to: Type): Value {
  if (value.type === to) return value
  if (to.kind === 'scalar') return makeScalar(to, value.scalar as number)
  const part = (i: number): Type =>
    to.kind === 'vec' ? to.of : to.kind === 'mat' ? vec(to.rows, to.of) : to.kind === 'array'
      ? to.of
      : to.kind === 'struct'
      ? to.members[i].type
      : to
  return { type: to, parts: value.parts!.map((p, i) => convertValue(p, part(i))) }
}

/** The largest f32 that an i32, a u32 holds: where conversions from f32 end. */
export const largestAsI32 = 2147483520, largestAsU32 = 4294967040

/** Explicit conversion such as `i32(x)`: wraps between integers, truncates and clamps from floats. */
export function castScalar(value: Value, to: Scalar): Value {
  const from = value.type as Scalar, x = value.scalar!
  if (from === to) return value
  if (to === bool) return { type: bool, scalar: from === abstractInt ? x !== 0n : Boolean(x) }
  if (typeof x === 'boolean') return makeScalar(to, x ? 1 : 0)
  if (to === i32 || to === u32) {
    if (from === abstractInt || from === abstractFloat) {
      if (from === abstractFloat) {
        return makeScalar(
          to,
          Math.min(
            Math.max(Math.trunc(Number(x)), to === i32 ? -(2 ** 31) : 0),
            to === i32 ? 2 ** 31 - 1 : 2 ** 32 - 1,
          ),
        )
      }
      return makeScalar(to, x)
    }
    if (from === i32 || from === u32) return { type: to, scalar: to === i32 ? Number(x) | 0 : Number(x) >>> 0 }
    const whole = Math.trunc(Number(x))
    return {
      type: to,
      scalar: to === i32
        ? Math.min(Math.max(whole, -(2 ** 31)), largestAsI32)
        : Math.min(Math.max(whole, 0), largestAsU32),
    }
  }
  return makeScalar(to, x)
}

/** Applies a scalar function to every component; scalars are spread over vectors. */
export function componentwise(type: Type, args: Value[], apply: (...parts: Value[]) => Value): Value {
  const size = Math.max(...args.map((a) => a.parts?.length ?? 0))
  if (size <= 0) return apply(...args)
  return {
    type,
    parts: Array.from({ length: size }, (_, i) => {
      const parts = args.map((a) => a.parts ? a.parts[i] : a)
      return parts.some((p) => p.parts)
        ? componentwise(parts.find((p) => p.parts)!.type, parts, apply)
        : apply(...parts)
    }),
  }
}

/** -x, !x, ~x. */
export function unaryValue(op: string, value: Value): Value {
  return componentwise(value.type, [value], (x) => {
    const type = x.type as Scalar
    if (op === '!') return { type, scalar: !x.scalar }
    if (type === abstractInt) return makeScalar(type, op === '-' ? -(x.scalar as bigint) : ~(x.scalar as bigint))
    const number = x.scalar as number
    if (op === '~') return { type, scalar: type === i32 ? ~number : ~number >>> 0 }
    return { type, scalar: type === i32 ? -number | 0 : -number }
  })
}

const comparisons: Record<string, (a: number | bigint | boolean, b: number | bigint | boolean) => boolean> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
}

/**
 * Binary operators on operands of one (converted) type, component by component; matrix products are not constant here.
 */
export function binaryValue(op: string, left: Value, right: Value, type: Type): Value {
  return componentwise(type, [left, right], (a, b) => scalarBinary(op, a, b))
}

function scalarBinary(op: string, left: Value, right: Value): Value {
  const type = left.type as Scalar, a = left.scalar!, b = right.scalar!
  if (op in comparisons) return { type: bool, scalar: comparisons[op](a, b) }
  if (typeof a === 'boolean') return { type, scalar: op === '&' || op === '&&' ? a && Boolean(b) : a || Boolean(b) }
  if (op === '<<' || op === '>>') return shiftValue(op, left, Number(b))
  if (typeof a === 'bigint') {
    const c = b as bigint
    if ((op === '/' || op === '%') && c === 0n) throw new ConstError(`${a} ${op} 0: integer division by zero`)
    const result = op === '+' ? a + c : op === '-' ? a - c : op === '*' ? a * c : op === '/' ? a / c : op === '%'
      ? a % c
      : op === '&'
      ? a & c
      : op === '|'
      ? a | c
      : a ^ c
    return makeScalar(type, result)
  }
  const x = a, y = b as number
  if (type === i32 || type === u32) {
    if ((op === '/' || op === '%') && y === 0) throw new ConstError(`${x} ${op} 0: integer division by zero`)
    const wrap = (value: number): Value => ({ type, scalar: type === i32 ? value | 0 : value >>> 0 })
    if (op === '*') return wrap(Math.imul(x, y)) // integers of a concrete type wrap around even here
    if (op === '+' || op === '-') return wrap(op === '+' ? x + y : x - y)
    const bits = op === '&' ? x & y : op === '|' ? x | y : x ^ y
    const result = op === '/' ? Math.trunc(x / y) : op === '%' ? x % y : type === u32 ? bits >>> 0 : bits
    return makeScalar(type, result)
  }
  if (op === '%' && y === 0) throw new ConstError('remainder by zero is NaN')
  if (op === '/' && y === 0) throw new ConstError('division by zero is not finite')
  return makeScalar(type, op === '+' ? x + y : op === '-' ? x - y : op === '*' ? x * y : op === '/' ? x / y : x % y)
}

function shiftValue(op: string, left: Value, by: number): Value {
  const type = left.type as Scalar
  if (type === abstractInt) {
    const x = left.scalar as bigint
    if (op === '>>') return makeScalar(type, by > 63 ? (x < 0n ? -1n : 0n) : x >> BigInt(by))
    if (by > 63) throw new ConstError(`shift by ${by} leaves nothing of an abstract integer`)
    return makeScalar(type, x << BigInt(by))
  }
  if (by >= 32) throw new ConstError(`shift by ${by}: must be less than 32`)
  const x = left.scalar as number
  if (op === '>>') return { type, scalar: type === i32 ? x >> by : x >>> by }
  const shifted = BigInt(x) << BigInt(by)
  if (type === u32 && shifted !== BigInt.asUintN(32, shifted)) {
    throw new ConstError(`${x} << ${by} shifts out bits of a u32`)
  }
  if (type === i32 && shifted !== BigInt.asIntN(32, shifted)) throw new ConstError(`${x} << ${by} overflows i32`)
  return makeScalar(type, shifted)
}

const roundEven = (x: number) => {
  const low = Math.floor(x), rest = x - low
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1
}
const domain = (ok: boolean, name: string, x: number) => {
  if (!ok) throw new ConstError(`${name}(${x}) has no value`)
}
const math1: Record<string, (x: number) => number> = {
  acos: (x) => {
    domain(Math.abs(x) <= 1, 'acos', x)
    return Math.acos(x)
  },
  acosh: (x) => {
    domain(x >= 1, 'acosh', x)
    return Math.acosh(x)
  },
  asin: (x) => {
    domain(Math.abs(x) <= 1, 'asin', x)
    return Math.asin(x)
  },
  asinh: Math.asinh,
  atan: Math.atan,
  atanh: (x) => {
    domain(Math.abs(x) < 1, 'atanh', x)
    return Math.atanh(x)
  },
  ceil: Math.ceil,
  cos: Math.cos,
  cosh: Math.cosh,
  degrees: (x) => x * 180 / Math.PI,
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  floor: Math.floor,
  fract: (x) => x - Math.floor(x),
  inverseSqrt: (x) => {
    domain(x > 0, 'inverseSqrt', x)
    return 1 / Math.sqrt(x)
  },
  log: (x) => {
    domain(x > 0, 'log', x)
    return Math.log(x)
  },
  log2: (x) => {
    domain(x > 0, 'log2', x)
    return Math.log2(x)
  },
  quantizeToF16: roundF16,
  radians: (x) => x * Math.PI / 180,
  round: roundEven,
  saturate: (x) => Math.min(Math.max(x, 0), 1),
  sin: Math.sin,
  sinh: Math.sinh,
  sqrt: (x) => {
    domain(x >= 0, 'sqrt', x)
    return Math.sqrt(x)
  },
  tan: Math.tan,
  tanh: Math.tanh,
  trunc: Math.trunc,
}
const math2: Record<string, (x: number, y: number) => number> = {
  atan2: Math.atan2,
  pow: (x, y) => {
    domain(x >= 0, 'pow', x)
    return x ** y
  },
  step: (edge, x) => edge <= x ? 1 : 0,
}
const math3: Record<string, (x: number, y: number, z: number) => number> = {
  fma: (x, y, z) => x * y + z,
  mix: (x, y, t) => x * (1 - t) + y * t,
  smoothstep: (low, high, x) => {
    const t = Math.min(Math.max((x - low) / (high - low), 0), 1)
    return t * t * (3 - 2 * t)
  },
}
const bits: Record<string, (x: number) => number> = {
  countLeadingZeros: Math.clz32,
  countOneBits: (x) => {
    let n = 0
    for (let y = x >>> 0; y; y >>>= 1) n += y & 1
    return n
  },
  countTrailingZeros: (x) => x === 0 ? 32 : 31 - Math.clz32(x & -x),
  firstTrailingBit: (x) => x === 0 ? -1 : 31 - Math.clz32(x & -x),
  reverseBits: (x) => {
    let y = 0
    for (let i = 0; i < 32; i++) y |= ((x >>> i) & 1) << (31 - i)
    return y
  },
}

/** Evaluates a builtin on constants already converted to its parameter types; null if it is only known at run time. */
export function builtinValue(name: string, args: Value[], type: Type): Value | null {
  const scalar = elementScalar(type)
  const floats = (apply: (...x: number[]) => number) =>
    componentwise(
      type,
      args,
      (...parts) => makeScalar(parts[0].type as Scalar, apply(...parts.map((p) => Number(p.scalar)))),
    )
  const list = (v: Value) => v.parts!.map((p) => p.scalar as number)
  if (name in math1) return floats(math1[name])
  if (name in math2) return floats(math2[name])
  if (name in math3) return floats(math3[name])
  if (name in bits) {
    return componentwise(type, args, (x) => {
      const y = bits[name](Number(x.scalar))
      return { type: x.type, scalar: x.type === i32 ? y | 0 : y >>> 0 }
    })
  }
  switch (name) {
    case 'abs':
      return componentwise(type, args, (x) =>
        typeof x.scalar === 'bigint'
          ? makeScalar(abstractInt, x.scalar < 0n ? -x.scalar : x.scalar)
          : { type: x.type, scalar: x.type === i32 ? Math.abs(x.scalar as number) | 0 : Math.abs(x.scalar as number) })
    case 'sign':
      return componentwise(type, args, (x) => makeScalar(x.type as Scalar, Math.sign(Number(x.scalar))))
    case 'min':
      return componentwise(type, args, (x, y) => (y.scalar! < x.scalar! ? y : x))
    case 'max':
      return componentwise(type, args, (x, y) => (x.scalar! < y.scalar! ? y : x))
    case 'clamp':
      return componentwise(type, args, (x, low, high) => {
        if (low.scalar! > high.scalar!) {
          throw new ConstError(`clamp: low ${low.scalar} is greater than high ${high.scalar}`)
        }
        return x.scalar! < low.scalar! ? low : x.scalar! > high.scalar! ? high : x
      })
    case 'select':
      return componentwise(type, args, (no, yes, which) => which.scalar ? yes : no)
    case 'all':
      return { type: bool, scalar: (args[0].parts ?? args).every((p) => p.scalar) }
    case 'any':
      return { type: bool, scalar: (args[0].parts ?? args).some((p) => p.scalar) }
    case 'dot': {
      const products = args[0].parts!.map((p, i) => scalarBinary('*', p, args[1].parts![i]))
      return products.reduce((sum, p) => scalarBinary('+', sum, p))
    }
    case 'length':
      for (const x of args[0].parts ? list(args[0]) : []) makeScalar(scalar!, x * x) // refused where WGSL's sum is
      return makeScalar(scalar!, args[0].parts ? Math.hypot(...list(args[0])) : Math.abs(args[0].scalar as number))
    case 'distance':
      return makeScalar(
        scalar!,
        args[0].parts
          ? Math.hypot(...list(args[0]).map((x, i) => x - list(args[1])[i]))
          : Math.abs((args[0].scalar as number) - (args[1].scalar as number)),
      )
    case 'normalize': {
      const length = Math.hypot(...list(args[0]))
      if (length === 0) throw new ConstError('normalize of a zero vector has no value')
      return { type, parts: list(args[0]).map((x) => makeScalar(scalar!, x / length)) }
    }
    case 'cross': {
      const [a, b] = args.map(list)
      return {
        type,
        parts: [0, 1, 2].map((i) =>
          makeScalar(scalar!, a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3])
        ),
      }
    }
  }
  return null
}

/** Reinterprets the bits of 32-bit scalars and vectors of them. */
export function bitcastValue(value: Value, to: Type): Value | null {
  if (elementScalar(to) === f16 || elementScalar(value.type) === f16 || elementScalar(value.type) === abstractFloat) {
    return null
  }
  return componentwise(to, [value], (x) => {
    const bits = isFloat(x.type) ? f32Bits(x.scalar as number) : Number(x.scalar) | 0
    const target = elementScalar(to)!
    return target === i32
      ? { type: i32, scalar: bits }
      : target === u32
      ? { type: u32, scalar: bits >>> 0 }
      : makeScalar(f32, bitsF32(bits))
  })
}

/** The same value with its abstract numbers made i32 and f32. */
export function concreteValue(value: Value): Value {
  const scalar = elementScalar(value.type)
  return scalar === abstractInt
    ? convertValue(value, withScalar(value.type, i32))
    : scalar === abstractFloat
    ? convertValue(value, withScalar(value.type, f32))
    : value
}

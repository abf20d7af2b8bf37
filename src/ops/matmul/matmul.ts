// Matrix product over the last two axes, batched and broadcast over the leading ones.
import { sizeOf } from '../../base/shape.ts'
import { linksOf } from '../../core/axes.ts'
import { ShapeError } from '../../base/errors.ts'
import { lastTwoSwapped, type OnnxGraph, type OnnxValue } from '../../core/onnx-form.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { mul } from '../elementwise.ts'
import { op } from '../../core/op.ts'
import { product, type ProductShape } from './product.ts'
import { sumMiddle } from '../shared/split-sum.ts'

/** Whether either side is stored with its last two axes swapped. */
export interface MatmulOptions {
  transposeA?: boolean
  transposeB?: boolean
}

/**
 * out[..., m, n] = sum over k of a[..., m, k] b[..., k, n]. a is [..., M, K] ([..., K, M] with transposeA), b is [...,
 * K, N] ([..., N, K] with transposeB); leading axes broadcast as in NumPy.
 * @throws ShapeError if either has fewer than two axes, K differs, or leading axes do not broadcast.
 */
export const matmul = op({
  name: 'matmul',
  attrs: { transposeA: true, transposeB: true },
  roles: ['product'],
  zero: 'any',
  axes: (shapes, out, { transposeA, transposeB }: MatmulOptions) =>
    linksOf(`${transposeA ? '... k m' : '... m k'}, ${transposeB ? '... n k' : '... k n'} -> ... m n`, shapes, out, {}),
  run(a: Tensor, b: Tensor, { transposeA = false, transposeB = false }: MatmulOptions) {
    const dimensions = dimensionsOf(a.shape, b.shape, transposeA, transposeB)
    const out = empty([...dimensions.batch, dimensions.M, dimensions.N])
    batched(a, b, out, dimensions, transposeA, transposeB)
    return out
  },
  vjp({ args: [a, b], attrs: { transposeA = false, transposeB = false }, needs }, dout) {
    // A transposed argument wants the transposed gradient: swap the factors instead of the result.
    const da = () => transposeA ? times(b, dout, transposeB, true) : times(dout, b, false, !transposeB)
    const db = () => transposeB ? times(dout, a, true, transposeA) : times(a, dout, !transposeA, false)
    return [needs[0] ? reduceTo(da(), a.shape) : null, needs[1] ? reduceTo(db(), b.shape) : null]
  },
  onnx: ({ args: [a, b], attrs }, graph) => onnxMatmul(graph, a, b, attrs),
  macs: ([a], out, { transposeA }) => out.size * a.shape.at(transposeA ? -2 : -1)!,
})

/**
 * matmul(a, b * mask): the mask has the shape of b as it is stored, before any transpose, and a gradient of its own.
 * @throws ShapeError as `matmul` does, or if the mask has not the shape of b.
 */
export const maskedMatmul = op({
  name: 'masked-matmul',
  attrs: { transposeA: true, transposeB: true },
  roles: ['product'],
  zero: 'any',
  axes: (shapes, out, { transposeA, transposeB }: MatmulOptions) => {
    const b = transposeB ? '... n k' : '... k n'
    return linksOf(`${transposeA ? '... k m' : '... m k'}, ${b}, ${b} -> ... m n`, shapes, out, {})
  },
  run(a: Tensor, b: Tensor, mask: Tensor, { transposeA = false, transposeB = false }: MatmulOptions) {
    if (mask.shape.join() !== b.shape.join()) {
      throw new ShapeError(`masked-matmul: mask [${mask.shape}] must have the shape of b [${b.shape}]`)
    }
    const dimensions = dimensionsOf(a.shape, b.shape, transposeA, transposeB)
    const out = empty([...dimensions.batch, dimensions.M, dimensions.N])
    batched(a, b, out, dimensions, transposeA, transposeB, mask)
    return out
  },
  vjp({ args: [a, b, mask], attrs: { transposeA = false, transposeB = false }, needs }, dout) {
    const da = () => {
      if (!transposeA) return times(dout, b, false, !transposeB, mask)
      return times(mul(b, mask), dout, transposeB, true) // b is on the left here, where no kernel masks
    }
    const dproduct = () =>
      reduceTo(transposeB ? times(dout, a, true, transposeA) : times(a, dout, !transposeA, false), b.shape)
    const masked = needs[1] || needs[2] ? dproduct() : null // gradient of b times mask
    return [
      needs[0] ? reduceTo(da(), a.shape) : null,
      needs[1] ? mul(masked!, mask) : null,
      needs[2] ? mul(masked!, b) : null,
    ]
  },
  onnx: ({ args: [a, b, mask], attrs }, graph) =>
    onnxMatmul(graph, a, { ...b, name: graph.node('Mul', [b, mask]) }, attrs),
  macs: ([a], out, { transposeA }) => out.size * a.shape.at(transposeA ? -2 : -1)!,
})

function onnxMatmul(graph: OnnxGraph, a: OnnxValue, b: OnnxValue, { transposeA, transposeB }: MatmulOptions): string {
  const turned = (x: OnnxValue) => graph.node('Transpose', [x], { perm: lastTwoSwapped(x.shape.length) })
  return graph.node('MatMul', [transposeA ? turned(a) : a, transposeB ? turned(b) : b])
}

interface Dimensions {
  M: number
  N: number
  K: number
  batch: number[]
  stepsA: number[]
  stepsB: number[]
}

/** Sizes, the broadcast batch, and the distance in elements along each batch axis (0 where an operand is broadcast). */
function dimensionsOf(
  a: readonly number[],
  b: readonly number[],
  transposeA: boolean,
  transposeB: boolean,
): Dimensions {
  if (a.length < 2 || b.length < 2) {
    throw new ShapeError(
      `matmul: a [${a}] and b [${b}] need at least two axes each; reshape a vector to a row or a column`,
    )
  }
  const [M, K] = transposeA ? [a.at(-1)!, a.at(-2)!] : [a.at(-2)!, a.at(-1)!]
  const [N, other] = transposeB ? [b.at(-2)!, b.at(-1)!] : [b.at(-1)!, b.at(-2)!]
  if (K !== other) {
    const side = (name: string, shape: readonly number[], swapped: boolean, k: number) =>
      `${name} [${shape}]${swapped ? ' transposed' : ''} has K = ${k}`
    throw new ShapeError(
      `matmul: ${side('a', a, transposeA, K)}, ${
        side('b', b, transposeB, other)
      }; expected the same, check transposeA and transposeB`,
    )
  }
  const rank = Math.max(a.length, b.length) - 2
  const leading = (
    shape: readonly number[],
  ) => [...Array<number>(rank - shape.length + 2).fill(1), ...shape.slice(0, -2)]
  const [left, right] = [leading(a), leading(b)]
  const batch = left.map((n, i) => {
    if (n !== right[i] && n !== 1 && right[i] !== 1) {
      throw new ShapeError(
        `matmul: leading axes of a [${a}] and b [${b}] do not broadcast: ${n} against ${
          right[i]
        }; make them equal or 1`,
      )
    }
    return Math.max(n, right[i])
  })
  return { M, N, K, batch, stepsA: steps(left, M * K), stepsB: steps(right, K * N) }
}

function steps(shape: readonly number[], matrix: number): number[] {
  let step = matrix
  return shape.map((_, i) => i).reverse().map((i) => {
    const mine = shape[i] === 1 ? 0 : step
    step *= shape[i]
    return mine
  }).reverse()
}

/**
 * Launches a planned product: neighbouring batch axes become one where both operands allow it, the last two run in one
 * launch.
 */
function batched(
  a: Tensor,
  b: Tensor,
  out: Tensor,
  dimensions: Dimensions,
  transposeA: boolean,
  transposeB: boolean,
  mask?: Tensor,
) {
  const { M, N, K } = dimensions
  const axes: BatchAxis[] = []
  dimensions.batch.forEach((size, i) => {
    if (size === 1) return
    const before = axes.at(-1), here = { size, a: dimensions.stepsA[i], b: dimensions.stepsB[i] }
    const joins = before && before.a === here.a * size && before.b === here.b * size
    if (joins) axes[axes.length - 1] = { ...here, size: size * before.size }
    else axes.push(here)
  })
  // Rows of a stacked matrices times one b are the rows of one taller product.
  const last = axes.at(-1), stacked = last && last.b === 0 && last.a === M * K && !transposeA
  if (stacked) axes.pop()
  launchAxes(a, b, out, { M: stacked ? M * last.size : M, N, K, transposeA, transposeB }, axes, [0, 0, 0], mask)
}

type Matrix = Required<Pick<ProductShape, 'M' | 'N' | 'K' | 'transposeA' | 'transposeB'>>

// A batch axis: its size and how far apart neighbouring matrices of a and b are.
interface BatchAxis {
  size: number
  a: number
  b: number
}

function launchAxes(
  a: Tensor,
  b: Tensor,
  out: Tensor,
  matrix: Matrix,
  axes: BatchAxis[],
  first: readonly [number, number, number],
  mask?: Tensor,
) {
  if (axes.length > 2) {
    const [{ size, a: stepA, b: stepB }, ...rest] = axes
    const stepOut = rest.reduce((total, axis) => total * axis.size, matrix.M * matrix.N)
    for (let i = 0; i < size; i++) {
      launchAxes(a, b, out, matrix, rest, [first[0] + i * stepA, first[1] + i * stepB, first[2] + i * stepOut], mask)
    }
    return
  }
  const one = { size: 1, a: 0, b: 0 }
  const [outer, inner] = [...Array<typeof one>(2 - axes.length).fill(one), ...axes]
  const batch = [outer.size, inner.size] as const
  product(a, b, out, { ...matrix, batch, strideA: [outer.a, inner.a], strideB: [outer.b, inner.b], first }, {}, mask)
}

/** An unrecorded product, for gradients. */
function times(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean, mask?: Tensor): Tensor {
  const dimensions = dimensionsOf(a.shape, b.shape, transposeA, transposeB)
  const out = empty([...dimensions.batch, dimensions.M, dimensions.N])
  batched(a, b, out, dimensions, transposeA, transposeB, mask)
  return out
}

/** Sums a gradient over the axes along which its argument was broadcast. */
function reduceTo(grad: Tensor, shape: readonly number[]): Tensor {
  let result = grad
  const extra = grad.shape.length - shape.length
  grad.shape.forEach((size, axis) => {
    if (size === 1 || (axis >= extra && shape[axis - extra] === size)) return
    const before = result.shape.slice(0, axis), after = result.shape.slice(axis + 1)
    result = sumMiddle(result, { outer: sizeOf(before), count: size, N: sizeOf(after) }, [...before, 1, ...after])
  })
  return result.view(shape)
}

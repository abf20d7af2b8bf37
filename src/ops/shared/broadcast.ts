// Broadcasting: shapes that stretch, strides that repeat, and the launcher of kernels/shared/broadcast.wgsl.
import { ShapeError } from '../../base/errors.ts'
import type { Kernel } from '../../gpu/kernel.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'

/** Distance between neighbours along every axis of a contiguous tensor. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride
    stride *= shape[axis]
  }
  return strides
}

/** An axis counted from the front. @throws ShapeError if `axis` is not one of `rank` axes. */
export function axisOf(op: string, axis: number, rank: number): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    throw new ShapeError(`${op}: axis ${axis} of a tensor with ${rank} axes; expected ${-rank} to ${rank - 1}`)
  }
  return axis < 0 ? axis + rank : axis
}

/** The shape tensors broadcast to, aligned at the last axis as in NumPy. @throws ShapeError if they do not. */
export function broadcastShape(op: string, ...shapes: (readonly number[])[]): number[] {
  if (shapes.every((shape) => sameShape(shape, shapes[0]))) return [...shapes[0]]
  const rank = Math.max(...shapes.map((shape) => shape.length))
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1)
    const size = sizes.find((n) => n !== 1) ?? 1
    if (sizes.some((n) => n !== 1 && n !== size)) {
      throw new ShapeError(
        `${op}: ${shapes.map((shape) => `[${shape}]`).join(' and ')} do not broadcast: axis ${axis - rank} has sizes ${
          sizes.join(' and ')
        }, `
          + 'expected equal sizes or 1; reshape one of them',
      )
    }
    return size
  })
}

/** Whether two shapes are equal. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false
  for (let axis = 0; axis < a.length; axis++) if (a[axis] !== b[axis]) return false
  return true
}

/** Strides that read a tensor of `shape` as one of `out`: 0 along axes where it repeats. */
export function broadcastStrides(shape: readonly number[], out: readonly number[]): number[] {
  const strides = stridesOf(shape), missing = out.length - shape.length
  return out.map((_, axis) => (axis < missing || shape[axis - missing] === 1 ? 0 : strides[axis - missing]))
}

/** Axes of a strided read after merging, outermost first: sizes, and per operand its strides. */
export interface Collapsed {
  sizes: number[]
  strides: number[][]
}

/**
 * Drops axes of size 1 and merges neighbours that every operand walks through without a jump. At least one axis is
 * left.
 */
export function collapse(shape: readonly number[], strides: readonly (readonly number[])[]): Collapsed {
  const sizes: number[] = [], merged: number[][] = strides.map(() => [])
  shape.forEach((n, axis) => {
    if (n === 1) return
    const last = sizes.length - 1
    if (last >= 0 && strides.every((stride, k) => merged[k][last] === stride[axis] * n)) {
      sizes[last] *= n
      strides.forEach((stride, k) => {
        merged[k][last] = stride[axis]
      })
    } else {
      sizes.push(n)
      strides.forEach((stride, k) => merged[k].push(stride[axis]))
    }
  })
  if (sizes.length === 0) return { sizes: [1], strides: strides.map(() => [1]) }
  return { sizes, strides: merged }
}

/** How an operand is read: the tensor and its strides over the output's axes. */
export interface Operand {
  tensor: Tensor
  strides: readonly number[]
}

const names = ['x', 'y', 'z'] as const

// Parameters where no operand repeats, which is nearly every launch: one row, read from end to end.
const flat: Readonly<Record<string, number>> = Object.fromEntries([
  ...[1, 2, 3, 4].map((axis) => [`n${axis}`, 1]),
  ...names.flatMap((name) => [0, 1, 2, 3, 4, 5].map((axis) => [`${name}${axis}`, Number(axis === 0)])),
])
const flatOverrides = { AXES: 0, ELEMENTWISE: 0 }
const flatBySize = new Map<number, Readonly<Record<string, number>>>()

/**
 * `flat` for a size; kept, because copying twenty names costs more than the rest of a launch, and frozen, so that they
 * are written once.
 */
function flatParams(size: number): Readonly<Record<string, number>> {
  let params = flatBySize.get(size)
  if (!params) {
    if (flatBySize.size >= 256) flatBySize.clear()
    flatBySize.set(size, params = Object.freeze({ ...flat, size, inner: size, a: 0 }))
  }
  return params
}

/**
 * Launches an expression of one to three strided operands over `shape`. Rows of whole vectors (or a single row) are
 * read as vec4f, an operand that repeats along the row as one element; anything else element by element.
 * @throws ShapeError if more than six axes are left after merging.
 */
export function launchBroadcast(
  op: string,
  kernel: Kernel,
  shape: readonly number[],
  operands: readonly Operand[],
  a = 0,
): Tensor {
  const out = empty(shape)
  if (operands.every(({ tensor }) => sameShape(tensor.shape, shape))) {
    const [x, y, z] = operands, tensors: Record<string, Tensor> = { out, x: x.tensor }
    if (y) tensors.y = y.tensor
    if (z) tensors.z = z.tensor
    launch(
      kernel,
      tensors,
      a === 0 ? flatParams(out.size) : { ...flatParams(out.size), a },
      grid(Math.ceil(out.size / 256)),
      { overrides: flatOverrides },
    )
    return out
  }
  const { sizes, strides } = collapse(shape, operands.map((operand) => operand.strides))
  if (sizes.length > 6) {
    throw new ShapeError(
      `${op}: broadcasting to [${shape}] leaves ${sizes.length} separate axes, expected at most 6`
        + `; permute or reshape the arguments first`,
    )
  }
  const inner = sizes.at(-1)!
  const tensors: Record<string, Tensor> = { out }
  const params: Record<string, number> = { size: out.size, inner, a }
  for (let axis = 1; axis < 5; axis++) params[`n${axis}`] = sizes.at(-1 - axis) ?? 1
  let vectors = sizes.length === 1 || inner % 4 === 0
  names.forEach((name, k) => {
    if (operands[k]) tensors[name] = operands[k].tensor
    for (let axis = 0; axis < 6; axis++) params[`${name}${axis}`] = strides[k]?.at(-1 - axis) ?? 0
    // Vectors start at multiples of four only if every row does.
    if (
      strides[k]
      && (strides[k].at(-1)! > 1
        || (strides[k].at(-1) === 1 && strides[k].slice(0, -1).some((stride) => stride % 4 !== 0)))
    ) vectors = false
  })
  // Few variants, because each is compiled for every op: none, one or two axes outside, or any number.
  const axes = vectors && sizes.length <= 3 ? sizes.length - 1 : 5
  launch(kernel, tensors, params, grid(Math.ceil(out.size / 256)), {
    overrides: { AXES: axes, ELEMENTWISE: vectors ? 0 : 1 },
  })
  return out
}

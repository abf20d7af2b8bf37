// Launchers that move values: strided reads, padding and rolling, and writing side by side. Shared by the ops of
// permute.ts.
import { sizeOf } from '../../base/shape.ts'
import { ShapeError } from '../../base/errors.ts'
import { kernel } from '../../gpu/kernel.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { collapse, stridesOf } from './broadcast.ts'

const numbered = (name: string, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `${name}${from + i}`)

const strided = kernel('permute.wgsl', {
  entry: 'strided',
  buffers: ['x', 'out'],
  params: ['size', 'inner', 'base', ...numbered('n', 1, 4), ...numbered('x', 0, 5)],
})
const padded = kernel('pad.wgsl', {
  buffers: ['x', 'out'],
  params: [
    'size',
    'value',
    ...numbered('n', 0, 5),
    ...numbered('m', 0, 5),
    ...numbered('before', 0, 5),
    ...numbered('step', 0, 5),
    ...numbered('x', 1, 5),
  ],
})
const putVectors = kernel('concat.wgsl', {
  entry: 'vectors',
  buffers: ['x4', 'out4'],
  params: ['rows', 'width', 'first', 'total'],
})
const putElements = kernel('concat.wgsl', {
  entry: 'elements',
  buffers: ['x', 'out'],
  params: ['rows', 'width', 'first', 'total'],
})

function tooMany(name: string, x: Tensor, shape: readonly number[], count: number): never {
  throw new ShapeError(
    `${name}: [${x.shape}] to [${shape}] leaves ${count} separate axes, expected at most 6`
      + `; merge axes with reshape first`,
  )
}

/** Reads x with these strides from element `base` on, as a contiguous tensor of `shape`. Not recorded. */
export function stridedCopy(
  name: string,
  x: Tensor,
  shape: readonly number[],
  strides: readonly number[],
  base = 0,
): Tensor {
  const out = empty(shape)
  const { sizes, strides: [steps] } = collapse(shape, [strides])
  if (sizes.length > 6) tooMany(name, x, shape, sizes.length)
  const inner = sizes.at(-1)!
  const vectors = steps.at(-1) === 1 && [inner, base, ...steps.slice(0, -1)].every((n) => n % 4 === 0)
  const params: Record<string, number> = { size: out.size, inner, base }
  for (let axis = 1; axis < 5; axis++) params[`n${axis}`] = sizes.at(-1 - axis) ?? 1
  for (let axis = 0; axis < 6; axis++) params[`x${axis}`] = steps.at(-1 - axis) ?? 0
  const axes = sizes.length <= 3 ? sizes.length - 1 : 5
  launch(strided, { x, out }, params, grid(Math.ceil(out.size / 256)), {
    overrides: { AXES: axes, VECTORS: vectors ? 1 : 0 },
  })
  return out
}

/**
 * Moves each axis of x into an axis of `shape`. 'pad': entry d goes to `before + d * step`, whatever nothing goes to is
 * `value`. 'roll': entry (c + before) mod size goes to c. Not recorded.
 */
export function moveAxes(
  name: string,
  x: Tensor,
  shape: readonly number[],
  before: readonly number[],
  steps: readonly number[],
  kind: 'pad' | 'roll',
  value = 0,
): Tensor {
  const out = empty(shape)
  // An axis that stays as it is becomes part of the axis outside it.
  const axes: { n: number, m: number, before: number, step: number }[] = []
  shape.forEach((n, axis) => {
    const m = x.shape[axis], moves = before[axis] !== 0 || steps[axis] !== 1 || n !== m, last = axes.at(-1)
    if (!moves && last && last.step === 1) {
      Object.assign(last, { n: last.n * n, m: last.m * n, before: last.before * n })
    } else if (n !== 1 || m !== 1) axes.push({ n, m, before: before[axis], step: steps[axis] })
  })
  if (axes.length > 6) tooMany(name, x, shape, axes.length)
  const strides = stridesOf(axes.map(({ m }) => m))
  const params: Record<string, number> = { size: out.size, value }
  for (let i = 0; i < 6; i++) {
    const { n, m, before: first, step } = axes.at(-1 - i) ?? { n: 1, m: 1, before: 0, step: 1 }
    Object.assign(params, { [`n${i}`]: n, [`m${i}`]: m, [`before${i}`]: first, [`step${i}`]: step })
    if (i > 0) params[`x${i}`] = strides.at(-1 - i) ?? 0
  }
  const inner = axes.at(-1) ?? { n: 1, m: 1, before: 0, step: 1 }
  const vectors = inner.step === 1 && [inner.n, inner.m, inner.before].every((n) => n % 4 === 0)
  launch(padded, { x, out }, params, grid(Math.ceil(out.size / 256)), {
    overrides: {
      AXES: axes.length <= 3 ? Math.max(0, axes.length - 1) : 5,
      VECTORS: vectors ? 1 : 0,
      ROLL: kind === 'roll' ? 1 : 0,
    },
  })
  return out
}

/** Writes `parts` side by side along one axis of a tensor of `shape`, one launch each. Not recorded. */
export function put(parts: readonly Tensor[], shape: readonly number[], axis: number): Tensor {
  const out = empty(shape)
  const rows = sizeOf(shape.slice(0, axis)), inner = sizeOf(shape.slice(axis + 1)), total = shape[axis] * inner
  const widths = parts.map((part) => part.shape[axis] * inner)
  let first = 0
  parts.forEach((part, i) => {
    const width = widths[i]
    const params = { rows, width, first, total }
    if ([width, first, total].every((n) => n % 4 === 0)) {
      launch(putVectors, { x4: part, out4: out }, params, grid(Math.ceil(part.size / 256)))
    } else launch(putElements, { x: part, out }, params, grid(Math.ceil(part.size / 64)))
    first += width
  })
  return out
}

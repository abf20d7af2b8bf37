// The terms that X-Pruner adds to the loss of its masks. The public record of the paper leaves their exact form open;
// what is known of it and what was chosen stands in docs/learned-pruning.md.
//   M [C, ...units], C classes
import type { Tensor } from '../../../core/tensor.ts'
import { abs, add, scale, square, sub } from '../../../ops/elementwise.ts'
import { concat, slice } from '../../../ops/permute.ts'
import { norm, sum } from '../../../ops/reduce.ts'

/** Readings of the sparsity term: mean or sum of squares over all entries, or the sum of the layers' L2 norms. */
export const sparsities = ['mean-square', 'sum-square', 'norms', 'none'] as const
/**
 * Readings of the smoothness term: the mean absolute second difference along units, ends repeated or zeros beyond them,
 * or the mean absolute first difference along classes.
 */
export const smoothnesses = ['laplacian-unit', 'laplacian-zero', 'diff-class', 'none'] as const

/** One of `sparsities`. */
export type Sparsity = typeof sparsities[number]
/** One of `smoothnesses`. */
export type Smoothness = typeof smoothnesses[number]

const entries = (masks: readonly Tensor[]) => masks.reduce((all, { size }) => all + size, 0)
const total = (parts: readonly Tensor[]) => parts.length ? parts.reduce((a, b) => add(a, b)) : null

/** The sparsity term of all layers' masks, one number; null where there is none. */
export function sparsity(masks: readonly Tensor[], kind: Sparsity): Tensor | null {
  if (kind === 'none') return null
  if (kind === 'norms') return total(masks.map((mask) => norm(mask)))
  const squares = total(masks.map((mask) => sum(square(mask))))
  return squares && kind === 'mean-square' ? scale(squares, { by: 1 / entries(masks) }) : squares
}

/** The smoothness term of all layers' masks, one number; null where there is none. */
export function smoothness(masks: readonly Tensor[], kind: Smoothness): Tensor | null {
  if (kind === 'none') return null
  const differences = masks.flatMap((mask) => {
    const rough = kind === 'diff-class' ? along(mask, 0) : laplacian(mask, kind === 'laplacian-unit')
    return rough ? [rough] : []
  })
  const sums = total(differences.map((each) => sum(abs(each))))
  return sums && scale(sums, { by: 1 / entries(differences) })
}

/**
 * The second difference along the last axis, of M's shape: M[j-1] - 2 M[j] + M[j+1], where what is beyond an end is the
 * end itself (`replicate`) or zero. Null where there is one unit and nothing differs.
 */
export function laplacian(mask: Tensor, replicate: boolean): Tensor | null {
  const { shape } = mask, count = shape.at(-1)!
  if (count < 2) return replicate ? null : scale(mask, { by: -2 })
  const part = (first: number, stop: number) =>
    slice(mask, {
      starts: shape.map((_, i) => i === shape.length - 1 ? first : 0),
      stops: [...shape.slice(0, -1), stop],
    })
  const end = (first: number) => {
    const own = part(first, first + 1)
    return replicate ? own : scale(own, { by: 0 })
  }
  const before = concat(end(0), part(0, count - 1), { axis: -1 })
  const after = concat(part(1, count), end(count - 1), { axis: -1 })
  return sub(add(before, after), scale(mask, { by: 2 }))
}

/** First differences along an axis, one less than it has entries; null where there is only one. */
function along(mask: Tensor, axis: number): Tensor | null {
  const { shape } = mask, count = shape[axis]
  if (count < 2) return null
  const part = (first: number, stop: number) =>
    slice(mask, { starts: shape.map((_, i) => i === axis ? first : 0), stops: shape.with(axis, stop) })
  return sub(part(1, count), part(0, count - 1))
}

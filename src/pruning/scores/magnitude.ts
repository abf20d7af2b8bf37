// Size of the weights that go with an element (Li et al. 2017 for filters; here all matrices and kernels of the group,
// so that one measure serves heads, neurons and filters). Mean of |w|, or root of the mean of w^2, so that layers of
// other sizes compare.
import { sizeOf } from '../../base/shape.ts'
import { isMeasured } from '../../core/traits.ts'
import { describedLeaves } from '../../core/tree.ts'
import type { Unit } from '../units/units.ts'
import { hostWeights, type HostTensor } from '../plan/slice.ts'
import { byEntry } from './weights.ts'
import { checkScores, type Criteria, type ImportanceCriterion } from './criterion.ts'

/** Mean absolute (L1) or root mean square (L2) of an element's weights. */
export const magnitude = (norm: 'l1' | 'l2'): ImportanceCriterion => ({
  images: false,
  async score({ model, units }) {
    const weights = await hostWeights(model)
    // Learned inputs and masks are no weights of the elements.
    for (const [path, leaf, traits] of describedLeaves(model)) if (!isMeasured(traits, leaf)) weights.delete(path)
    return checkScores(new Map(units.map((unit) => [unit.name, sizes(unit, weights, norm)])))
  },
  weights: (scoring) => byEntry(scoring, norm === 'l1' ? Math.abs : (value) => value * value),
})

function sizes(
  { size, shape, members }: Unit,
  weights: ReadonlyMap<string, HostTensor>,
  norm: 'l1' | 'l2',
): Float32Array {
  const sums = new Float64Array(size), counts = new Float64Array(size)
  const heads = shape.length > 1 ? shape[0] : 1, dim = shape.at(-1)!
  for (const { path, axis, element, outer } of members) {
    const { shape: sizes, data } = weights.get(path) ?? { shape: [], data: null }
    if (data === null) continue
    const inner = sizeOf(sizes.slice(axis + 1))
    const outerInner = outer === null ? 1 : sizeOf(sizes.slice(outer + 1))
    for (let i = 0; i < data.length; i++) {
      const at = element[Math.floor(i / inner) % sizes[axis]]
      if (at < 0) continue
      const value = norm === 'l1' ? Math.abs(data[i]) : data[i] ** 2
      const first = outer === null ? 0 : Math.floor(i / outerInner) % sizes[outer],
        last = outer === null ? heads - 1 : first
      for (let head = first; head <= last; head++) {
        sums[head * dim + at] += value
        counts[head * dim + at]++
      }
    }
  }
  return Float32Array.from(sums, (sum, i) => norm === 'l1' ? sum / (counts[i] || 1) : Math.sqrt(sum / (counts[i] || 1)))
}

/** By name. */
export const criteria: Criteria = {
  'magnitude': { summary: 'mean |weight| (Li et al., arXiv 1608.08710)', ...magnitude('l1') },
  'magnitude-l2': { summary: 'root of the mean weight^2', ...magnitude('l2') },
}

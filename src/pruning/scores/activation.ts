// How active a unit is: the mean of |activation|, or the share of positions where it is positive (one minus APoZ, the
// average percentage of zeros of Hu et al., arXiv 1607.03250; of smooth activations, which are never quite zero, what
// is not positive counts as one).
import { perImage, pathsOf, type AttributionMethod } from '../../attribution/relevance.ts'
import { zeros } from '../../core/fill.ts'
import { abs, greater, scale } from '../../ops/elementwise.ts'
import { record } from '../../core/tape.ts'
import { type Tensor, unscoped } from '../../core/tensor.ts'
import { scope } from '../../core/transform.ts'
import { atGates, type Criteria, type ImportanceCriterion } from './criterion.ts'

/** Mean over images and positions of |activation|, or of activation > 0. */
export const activation = (kind: 'mean' | 'positive'): ImportanceCriterion =>
  atGates(reading(kind), { aggregation: 'signed' })

const reading = (kind: 'mean' | 'positive'): AttributionMethod => (model, images) => {
  const { gates } = pathsOf(model), sites = new Map<string, Tensor>()
  const { logits, input } = scope(() => {
    const { result, calls } = record(() => model.call(images), [images])
    for (const { op, attrs, out } of calls) {
      const { at, axes } = attrs as { at?: object, axes: readonly number[] }
      const path = op.is('gate') && at ? gates.get(at) : undefined
      if (path === undefined) continue
      const positions = out.size / images.shape[0] / axes.reduce((product, axis) => product * out.shape.at(axis)!, 1)
      const values = kind === 'mean' ? abs(out) : greater(out, zeros([1]))
      const sums = perImage(values, axes, images.shape[0], false, 1)
      sites.set(path, unscoped(() => scope(() => scale(sums, { by: 1 / positions }))))
      sums.dispose()
    }
    return { logits: result, input: zeros(images.shape) }
  })
  return { logits, input, sites }
}

/** By name. */
export const criteria: Criteria = {
  'activation': { summary: 'mean |activation|', ...activation('mean') },
  'apoz': { summary: 'share of positive activations (APoZ, arXiv 1607.03250)', ...activation('positive') },
}

// The reweight module: a learnt factor for each channel of attention's output, against what is lost with the others. It
// stands where the value channels have their gate, and goes into the output projection in the end.
import { copyInto, full } from '../../../core/fill.ts'
import type { Tensor } from '../../../core/tensor.ts'
import { scope } from '../../../core/transform.ts'
import { describedLeaves } from '../../../core/tree.ts'
import type { Model } from '../../../nn/model.ts'
import { mul } from '../../../ops/elementwise.ts'
import type { Unit } from '../../units/units.ts'

/** Factors of 1, [H, D], for the units of value channels whose output projection [..., H, D] can take them. */
export const startFactors = (model: Model, units: readonly Unit[]): Map<string, Tensor> =>
  new Map(units.flatMap((unit) => projectionOf(model, unit) ? [[unit.name, full(unit.shape, 1)]] : []))

/** The one tensor that reads the channels, where they are its last two axes. */
function projectionOf(model: Model, { kind, shape, members }: Unit): Tensor | null {
  if (kind !== 'values' || shape.length < 2) return null
  const readers = describedLeaves(model).flatMap(([path, leaf, { role }]) => {
    const mine = role === 'projection' ? members.find((member) => member.path === path) : undefined
    return mine ? [{ leaf, ...mine }] : []
  })
  if (readers.length !== 1) return null
  const [{ leaf, axis, outer, element }] = readers, last = leaf.shape.length - 1
  return axis === last && outer === last - 1 && element.every((each, i) => each === i) ? leaf : null
}

/** Folds factors into a network, in place: Wo' = Wo diag(r). */
export function foldFactors(model: Model, units: readonly Unit[], factors: ReadonlyMap<string, Tensor>): void {
  for (const unit of units) {
    const factor = factors.get(unit.name), out = factor && projectionOf(model, unit)
    if (out) scope(() => copyInto(mul(out, factor), out))
  }
}

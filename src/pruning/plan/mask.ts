// A plan as masks: the dense model that computes what the sliced one does.
import { tensor } from '../../core/tensor.ts'
import { gatesOf } from '../../nn/gates.ts'
import { InputError } from '../../base/errors.ts'
import { quoted } from '../../base/quote.ts'
import { checkPlan, type Plan, planned } from './slice.ts'
import type { Unit } from '../units/units.ts'

/**
 * Multiplies by zero what the plan drops: sets the masks of the model's gates, in place. A mask that is already there
 * is written to, so that a compiled forward pass replays with the new plan. @throws ShapeError for flags of a wrong
 * length; InputError for arguments in another order, and for units of another model.
 */
export function maskModel(model: unknown, found: readonly Unit[], plan: Plan): void {
  checkPlan('maskModel(model, found, plan)', found, plan)
  const gates = new Map(gatesOf(model))
  const strange = found.flatMap((unit) => unit.gates).find(({ path }) => !gates.has(path))
  if (strange) {
    throw new InputError(
      `maskModel: found has a gate at ${
        quoted(strange.path)
      }, which the model lacks; take units(model, inputShape) of it`,
    )
  }
  for (const [unit, keep] of planned(found, plan, { empty: true })) {
    for (const { path, element } of unit.gates) {
      const gate = gates.get(path)!
      const flags = unit.shape.length > 1
        ? Float32Array.from(
          { length: unit.size },
          (_, i) => keep[Math.floor(i / unit.shape[1]) * unit.shape[1] + element[i % unit.shape[1]]],
        )
        : Float32Array.from(element, (each) => keep[each])
      const shape = unit.shape.length > 1 ? unit.shape : [flags.length]
      if (gate.mask?.shape.join() === shape.join()) gate.mask.write(flags)
      else {
        gate.mask?.dispose()
        gate.mask = tensor(flags, shape)
      }
    }
  }
}

/** Takes the masks away again. */
export function unmaskModel(model: unknown): void {
  for (const [, gate] of gatesOf(model)) {
    gate.mask?.dispose()
    gate.mask = null
  }
}

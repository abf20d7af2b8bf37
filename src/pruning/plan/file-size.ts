// How large a file a plan leads to, before anything is cut.
import { leaves } from '../../core/tree.ts'
import type { Unit } from '../units/units.ts'
import { type PruningRecord, type PruningStep, recordOf } from './record.ts'
import { onlyCuts } from './select.ts'
import { type Plan, sliceShapes } from './slice.ts'
import type { Traceable } from '../units/units.ts'

/** What is written beside the weights. */
export interface FileContent {
  floats: 'f32' | 'f16'
  step: Omit<PruningStep, 'rate' | 'seed' | 'scores'>
  before?: PruningRecord
  classes?: readonly string[]
}

/** Bytes of the file of a plan, at most. Needs no device. */
export function fileSize(
  model: Traceable,
  found: readonly Unit[],
  plan: Plan,
  { floats, step, before, classes }: FileContent,
): number {
  const each = floats === 'f16' ? 2 : 4
  const small = sliceShapes(model, found, onlyCuts(plan))
  const record = recordOf(small, found, plan, { ...step, rate: 0, seed: 0, scores: '0'.repeat(64) }, before)
  // Weights, their names and places in the header, the record as a string within JSON, and what else the header says.
  return leaves(small).reduce((sum, [path, leaf]) => sum + each * leaf.size + path.length + 120, 0)
    + 1.1 * JSON.stringify(JSON.stringify(record)).length
    + JSON.stringify(classes ?? '').length + 2048
}

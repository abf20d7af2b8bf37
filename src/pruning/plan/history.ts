// What was cut from a model that is in memory, so that it can be saved as what it is.
import type { Unit } from '../units/units.ts'
import { type PruningRecord, recordOf } from './record.ts'

interface Slice {
  found: readonly Unit[]
  plan: ReadonlyMap<string, Uint8Array>
  residual: 'closing' | 'coupled'
}

/** Records of a model and of those it was cut from, the first one first. */
interface History {
  known: readonly PruningRecord[]
  /** The last cut, whose record is made when someone asks. */
  slice: Slice | null
}

const histories = new WeakMap<object, History>()

/** Says that a model was loaded from a pruned file. */
export function rememberRecord(model: object, record: PruningRecord): void {
  histories.set(model, { known: [record], slice: null })
}

/** Says that `sliced` was cut from `from`. */
export function rememberSlice(sliced: object, from: object, slice: Slice): void {
  histories.set(sliced, { known: historyOf(from), slice })
}

/** Records of a model and of those it was cut from, its own last; none where nothing was cut, or nothing is known. */
export function historyOf(model: object): readonly PruningRecord[] {
  const history = histories.get(model)
  if (!history) return []
  if (history.slice) {
    const { found, plan, residual } = history.slice
    const flags = [...plan.values()].flatMap((each) => [...each])
    const gone = flags.filter((flag) => !flag).length
    const step = { method: 'slice', rate: flags.length ? gone / flags.length : 0, seed: 0, residual, scores: '' }
    history.known = [...history.known, recordOf(model, found, plan, step, history.known.at(-1))]
    history.slice = null
  }
  return history.known
}

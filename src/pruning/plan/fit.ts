// Whether what a file records of its pruning is true of its tensors: the dense network, cut as recorded, must come out
// as the file has it. A record that lies would prune other units than it says the next time.
import { EspalierError, InputError } from '../../base/errors.ts'
import { quoted } from '../../base/quote.ts'
import { withoutDevice } from '../../core/tensor.ts'
import { leaves } from '../../core/tree.ts'
import { gatesOf } from '../../nn/gates.ts'
import type { PruningRecord, UnitRecord } from './record.ts'
import { sliceShapes } from './slice.ts'
import { type Traceable, type Unit, units } from '../units/units.ts'

const cure = 'prune the original file again'

/**
 * Checks a record against the dense network (without content) and the shapes of the file's tensors. Units, sizes and
 * kept elements must be those of the network; where all steps treated residuals alike, shapes and scatters must follow
 * from them. @throws InputError saying what does not fit.
 */
export function checkFits<M extends Traceable>(
  dense: M,
  inputShape: readonly number[],
  shapes: ReadonlyMap<string, readonly number[]>,
  record: PruningRecord,
): void {
  const residual = record.steps.at(-1)!.residual
  const found = withoutDevice(() => units(dense, inputShape, { residual }))
  const recorded = new Map(record.units.map((unit) => [unit.name, unit])),
    paths = new Set(gatesOf(dense).map(([path]) => path))
  const stranger = record.units.find(({ name }) => !paths.has(name))
  if (stranger) throw lie(`unit ${quoted(stranger.name, 60)}, which this network does not have`)
  for (const { name, size } of found) {
    const mine = recorded.get(name)
    if (!mine) throw lie(`nothing of unit ${quoted(name, 60)}, which this network has`)
    if (mine.size !== size) throw lie(`${mine.size} elements of unit ${quoted(name, 60)}, which has ${size}`)
  }
  // A network cut under both treatments cannot be cut again in one go.
  if (record.steps.some((step) => step.residual !== residual)) return
  const cut = cutAsRecorded(dense, found, recorded)
  for (const [path, { shape }] of leaves(cut)) {
    const stored = shapes.get(path)
    // Heads that kept channels of their own and have become equal since keep their axis in front.
    if (!stored || stored.length !== shape.length || stored.join() === shape.join()) continue
    throw lie(`units that leave [${shape}] of tensor ${quoted(path, 60)}, which is [${stored}]`)
  }
  for (const [path, { scatter }] of gatesOf(cut)) {
    const stored = Object.hasOwn(record.scatters, path) ? record.scatters[path] : null
    if ((scatter === null) === (stored === null)) {
      if (!scatter || !stored) continue
      if (scatter.width === stored.width && scatter.positions.join() === stored.positions.join()) continue
    }
    throw lie(`other scatter indices at ${quoted(path, 60)} than its kept elements give`)
  }
}

const lie = (what: string) => new InputError(`metadata espalier records ${what}; ${cure}`)

function cutAsRecorded<M extends Traceable>(
  dense: M,
  found: readonly Unit[],
  recorded: ReadonlyMap<string, UnitRecord>,
): M {
  const plan = new Map<string, Uint8Array>()
  for (const { name, size } of found) {
    const { kept } = recorded.get(name)!
    if (!kept || kept.length === size) continue
    const flags = new Uint8Array(size)
    for (const index of kept) flags[index] = 1
    plan.set(name, flags)
  }
  // A head that is gone took its channels along; for the cut it has those of a head that stays.
  for (const { name, outer, shape: [heads, dim] } of found) {
    const flags = plan.get(name), whole = outer === null ? undefined : plan.get(outer)
    if (!flags || !whole) continue
    const stays = whole.indexOf(1)
    for (let head = 0; head < heads; head++) {
      const mine = flags.subarray(head * dim, (head + 1) * dim)
      if (whole[head]) continue
      if (mine.includes(1)) throw lie(`channels of ${quoted(name, 60)} for head ${head}, which is gone`)
      mine.set(flags.slice(stays * dim, (stays + 1) * dim))
    }
    if (flags.every((flag) => flag === 1)) plan.delete(name)
  }
  try {
    return sliceShapes(dense, found, plan)
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error
    throw new InputError(`metadata espalier records a pruning that cannot be (${error.message}); ${cure}`, {
      cause: error,
    })
  }
}

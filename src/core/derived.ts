// What a kernel wants a weight in: another order, transformed values. Made once and kept with the weight until that is
// written or freed, or memory runs out.
import { type Pool, whenFull } from '../gpu/buffers.ts'
import { gpu } from '../gpu/device.ts'
import { currentCapture } from './assume.ts'
import { opNumber } from './launch.ts'
import { type DType, empty, isTracing, poolOfCapture, type Tensor, uncaptured, unscoped } from './tensor.ts'

/** A tensor made of another one's content, and at which version of that. */
export interface Derived {
  readonly tensor: Tensor
  /** Makes it anew if the source was written since. */
  refresh(): void
  dispose(): void
}

/** One that may be given up between two ops. */
interface Kept extends Derived {
  /** The op that used it last; see `opNumber`. */
  used: number
}

// Weakly, so that a weight that nobody has any more goes with what was made of it.
const keptIn = new WeakMap<Pool, Set<WeakRef<Kept>>>()

// A capture that was recorded with one sees that it is gone and records anew; one that is being recorded does not.
whenFull((pool) => {
  if (currentCapture() !== 0) return
  const now = opNumber() // what that one uses stays
  const all = keptIn.get(pool) ?? new Set<WeakRef<Kept>>()
  for (const reference of all) {
    const each = reference.deref()
    if (!each) all.delete(reference)
    else if (now === 0 || each.used !== now) each.dispose()
  }
})

let onUse: ((derived: Derived) => void) | null = null

/** Sees what is derived inside `work`: a capture makes it anew before a replay if its source was written meanwhile. */
export function watchDerived<R>(watcher: (derived: Derived) => void, work: () => R): R {
  onUse = watcher
  try {
    return work()
  } finally {
    onUse = null
  }
}

/**
 * A tensor of `shape` that `fill` makes of the content of `source`, by launches. It is kept with the buffer of `source`
 * under `key`, made anew when that was written, and freed with it, or by a later op that finds no memory: the caller
 * does not dispose of it and holds it for the time of its own op only. Of what is made and freed inside a capture
 * nothing is kept, and while a capture is recorded nothing is given up.
 */
export function derived(
  source: Tensor,
  key: string,
  shape: readonly number[],
  fill: (source: Tensor, out: Tensor) => void,
  dtype: DType = 'f32',
): Tensor {
  const pool = poolOfCapture()
  if (isTracing() || (pool !== null && source.pool === pool)) {
    const out = empty(shape, dtype)
    fill(source, out)
    return out
  }
  const known = source.derived.get(key) as Kept | undefined
  const found = known ?? kept(source, key, shape, fill, dtype)
  if (!known) source.derived.set(key, found)
  found.used = opNumber()
  const { launches } = gpu()
  if (launches.recordingReads(source.buffer)) {
    launches.unrecorded(() => {
      found.refresh()
    })
    onUse?.(found)
  } else found.refresh()
  return found.tensor
}

function kept(
  source: Tensor,
  key: string,
  shape: readonly number[],
  fill: (source: Tensor, out: Tensor) => void,
  dtype: DType,
): Kept {
  // Neither keeps the other: the source's buffer ends the derived one, and no scope does.
  const tensor = unscoped(() => uncaptured(() => empty(shape, dtype))), { buffer } = source, own = source.borrow()
  const { derived: siblings } = own, pool = tensor.pool!
  const all = keptIn.get(pool) ?? new Set<WeakRef<Kept>>()
  let version = -1
  const made: Kept = {
    tensor,
    used: 0,
    refresh() {
      if (version === buffer.version) return
      fill(own, tensor)
      version = buffer.version
    },
    dispose: () => {
      siblings.delete(key)
      all.delete(reference)
      tensor.dispose()
    },
  }
  const reference = new WeakRef(made)
  all.add(reference)
  keptIn.set(pool, all)
  return made
}

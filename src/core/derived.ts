// What a kernel wants a weight in: another order, transformed values. Made once and kept with the weight until that is
// written or freed.
import { gpu } from '../gpu/device.ts'
import { empty, isTracing, poolOfCapture, type Tensor, uncaptured, unscoped } from './tensor.ts'

/** A tensor made of another one's content, and at which version of that. */
export interface Derived {
  readonly tensor: Tensor
  /** Makes it anew if the source was written since. */
  refresh(): void
  dispose(): void
}

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
 * under `key`, made anew when that was written, and freed with it: the caller does not dispose of it. Of what is made
 * and freed inside a capture nothing is kept.
 */
export function derived(
  source: Tensor,
  key: string,
  shape: readonly number[],
  fill: (source: Tensor, out: Tensor) => void,
): Tensor {
  const pool = poolOfCapture()
  if (isTracing() || (pool !== null && source.pool === pool)) {
    const out = empty(shape)
    fill(source, out)
    return out
  }
  const known = source.derived.get(key) as Derived | undefined
  const found = known ?? kept(source, shape, fill)
  if (!known) source.derived.set(key, found)
  const { launches } = gpu()
  if (launches.recordingReads(source.buffer)) {
    launches.unrecorded(() => {
      found.refresh()
    })
    onUse?.(found)
  } else found.refresh()
  return found.tensor
}

function kept(source: Tensor, shape: readonly number[], fill: (source: Tensor, out: Tensor) => void): Derived {
  // Neither keeps the other: the source's buffer ends the derived one, and no scope does.
  const tensor = unscoped(() => uncaptured(() => empty(shape))), { buffer } = source, own = source.borrow()
  let version = -1
  return {
    tensor,
    refresh() {
      if (version === buffer.version) return
      fill(own, tensor)
      version = buffer.version
    },
    dispose: () => {
      tensor.dispose()
    },
  }
}

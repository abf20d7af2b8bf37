// The cache of bind groups: by pipeline and then by one buffer after the other, which is quicker than keys made of text
// at thousands of launches a step.
import { KernelError } from '../base/errors.ts'
import type { Buffer } from './buffers.ts'
import type { Pipeline } from './pipelines.ts'

/** A level of the cache; the group itself stands at the level of the last buffer. */
export interface BindGroups {
  next: Map<Pipeline | Buffer, BindGroups>
  group: GPUBindGroup | null
}

/** The level below `key`, made where there is none yet. */
export function below(level: Map<Pipeline | Buffer, BindGroups>, key: Pipeline | Buffer): BindGroups {
  let found = level.get(key)
  if (!found) level.set(key, found = { next: new Map(), group: null })
  return found
}

/** Removes the branches of a bind group cache that mention one of `buffers`. */
export function drop(level: Map<Pipeline | Buffer, BindGroups>, buffers: ReadonlySet<Buffer>) {
  for (const [key, below] of level) {
    if (buffers.has(key as Buffer)) level.delete(key)
    else {
      drop(below.next, buffers)
      if (below.next.size === 0 && below.group === null) level.delete(key)
    }
  }
}

/** How many bind groups the cache has. */
export function count(level: Map<Pipeline | Buffer, BindGroups>): number {
  let groups = 0
  for (const { next, group } of level.values()) groups += count(next) + Number(group !== null)
  return groups
}

/**
 * One buffer cannot be read-only and read_write in the same dispatch; WebGPU would refuse the whole submit later on.
 * @throws KernelError for one tensor in two places of which one is written
 */
export function checkAliases({ reflection, kernel }: Pipeline, buffers: readonly Buffer[], label: () => string) {
  reflection.storage.forEach((slot, i) => {
    if (!slot.write) return
    const other = buffers.findIndex((buffer, j) => j !== i && buffer === buffers[i])
    if (other >= 0) {
      throw new KernelError(
        `${label()}: ${kernel.label} got one tensor for '${slot.name}', which it writes, and '${
          reflection.storage[other].name
        }'; pass a copy`,
      )
    }
  })
}

// From tensors to a dispatch: what every op calls.
import type { Buffer } from '../gpu/buffers.ts'
import { gpu } from '../gpu/device.ts'
import type { Kernel, Overrides } from '../gpu/kernel.ts'
import type { Grid } from '../gpu/launches.ts'
import { isTracing, type Tensor } from './tensor.ts'

let currentOp = ''
let ops = 0

/** The number of the op that runs now, which those within it share; 0 between ops. */
export const opNumber = (): number => currentOp === '' ? 0 : ops

/** Extras of a launch: tile sizes of the variant, and the arithmetic it does (for the profiler). */
export interface LaunchOptions {
  overrides?: Overrides
  flops?: number
}

/**
 * Appends one dispatch of `kernel` to the list. Tensors and parameters are keyed by the names in the WGSL.
 * Does nothing while only shapes are traced.
 */
export function launch(
  kernel: Kernel,
  tensors: Readonly<Record<string, Tensor>>,
  params: Readonly<Record<string, number>>,
  grid: Grid,
  { overrides, flops }: LaunchOptions = {},
): void {
  if (isTracing()) return
  const buffers: Record<string, Buffer> = {}
  for (const name in tensors) {
    buffers[name] = tensors[name].buffer
    onUse?.(tensors[name], kernel.reflection.storage.some((slot) => slot.name === name && slot.write))
  }
  const op = currentOp
  gpu().launches.append(
    kernel,
    buffers,
    params,
    grid,
    overrides,
    () =>
      `${op || kernel.label}(${Object.entries(tensors).map(([name, { shape }]) => `${name} [${shape}]`).join(', ')})`,
    flops,
  )
}

let onUse: ((tensor: Tensor, written: boolean) => void) | null = null

/**
 * Sees every tensor launched inside `work` and whether it is written: a capture notes which ones come from outside, and
 * refuses writing to a copy.
 */
export function watchUses<R>(watcher: (tensor: Tensor, written: boolean) => void, work: () => R): R {
  onUse = watcher
  try {
    return work()
  } finally {
    onUse = null
  }
}

/** Names the op in the messages of everything launched inside `work`. */
export function named<R>(op: string, work: () => R): R {
  const before = currentOp
  if (before === '') ops++
  currentOp = op
  try {
    return work()
  } finally {
    currentOp = before
  }
}

/**
 * A grid of at least `count` workgroups within 65,535 per axis. Kernels read their number as
 * `workgroup_id.y * num_workgroups.x + workgroup_id.x` and return when it is past the end.
 */
export function grid(count: number): Grid {
  if (count <= 65535) return [Math.max(1, count)]
  const y = Math.ceil(count / 65535)
  return [Math.ceil(count / y), y]
}

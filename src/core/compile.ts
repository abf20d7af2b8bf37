// Capture once, replay: runs a function once, keeps its launches with their buffers and bind groups, and replays them.
import { DeviceError } from '../base/errors.ts'
import { copyInto, copyOf } from './fill.ts'
import { type Buffer, Pool } from '../gpu/buffers.ts'
import { gpu, type Gpu } from '../gpu/device.ts'
import type { Recording } from '../gpu/launches.ts'
import { watchUses } from './launch.ts'
import { capturing, empty, type Tensor } from './tensor.ts'
import { scope } from './transform.ts'
import { leaves, mapTree } from './tree.ts'

/** A pool that never hands a constant's buffer to anybody else: a replay does not write it again. */
class CapturePool extends Pool {
  private readonly constants = new Set<Buffer>()
  private readonly held: Buffer[] = []
  withhold(buffer: Buffer): void {
    this.constants.add(buffer)
  }
  override release(buffer: Buffer): void {
    if (this.constants.has(buffer)) this.held.push(buffer)
    else super.release(buffer)
  }
  override close(): void {
    this.constants.clear()
    for (const buffer of this.held.splice(0)) super.release(buffer)
    super.close()
  }
}

interface Capture {
  owner: Gpu
  recording: Recording
  pool: CapturePool
  inputs: Tensor[]
  result: unknown
  /** Buffers from outside (weights, optimiser state) that the launches use; a freed one makes the capture stale. */
  outside: { readonly refs: number }[]
}

/** A compiled function; `clear` forgets its captures and gives their buffers back. */
export interface Compiled<A extends unknown[], R> {
  (...args: A): R
  clear(): void
}

/**
 * Captures the launches of `f` at the first call for each combination of argument shapes and dtypes, and replays them
 * later. Tensors among the arguments are inputs; tensors that `f` closes over (weights, optimiser state, counters) are
 * used and updated in place; everything else `f` does on the host happens at capture only. Results are copies and
 * belong to the caller. At most `limit` captures are kept, the least recently used goes.
 * @throws DeviceError if `f` reads or writes values on the host.
 */
export function compile<A extends unknown[], R>(
  f: (...args: A) => R,
  { limit = 4 }: { limit?: number } = {},
): Compiled<A, R> {
  const captures = new Map<string, Capture>()
  const drop = (key: string) => {
    const capture = captures.get(key)
    if (capture) free(capture)
    captures.delete(key)
  }
  const run = (...args: A): R => {
    const inputs = leaves(args)
    const key = inputs.map(([path, { dtype, shape }]) => `${path}:${dtype}[${shape}]`).join(' ')
    const known = captures.get(key)
    if (known && (known.owner !== gpu() || known.outside.some(({ refs }) => refs === 0))) drop(key)
    let capture = captures.get(key)
    if (capture) {
      inputs.forEach(([, input], i) => {
        copyInto(input, capture!.inputs[i])
      })
      gpu().launches.replay(capture.recording)
      captures.delete(key)
    } else {
      capture = capturePass(f, args)
      if (captures.size >= limit) drop(captures.keys().next().value!)
    }
    captures.set(key, capture)
    return mapTree(capture.result, (tensor) => copyOf(tensor)) as R
  }
  return Object.assign(run, {
    clear: () => {
      for (const key of [...captures.keys()]) drop(key)
    },
  })
}

function capturePass<A extends unknown[], R>(f: (...args: A) => R, args: A): Capture {
  const owner = gpu()
  const pool = new CapturePool(owner.device, {
    memory: owner.pool.memory,
    retire: (buffers) => {
      owner.launches.retire(buffers)
    },
  })
  const pinned = new Map<string, Tensor>()
  const withhold = (constant: Tensor) => {
    pool.withhold(constant.buffer)
  }
  const outside = new Set<{ readonly refs: number }>()
  const giveUp = () => {
    for (const input of pinned.values()) input.dispose()
    pool.close()
  }
  const result = capturing(pool, withhold, () => {
    for (const [path, input] of leaves(args)) {
      const copy = empty(input.shape, input.dtype)
      copyInto(input, copy)
      pinned.set(path, copy)
    }
    owner.launches.beginRecording()
    try {
      return watchUses((used) => {
        if (used.pool !== pool) outside.add(used.sharing)
      }, () => scope(() => f(...mapTree(args, (_, path) => pinned.get(path)!))))
    } catch (error) {
      owner.launches.endRecording(false)
      giveUp()
      throw error
    }
  })
  const recording = owner.launches.endRecording(true)!
  if (result instanceof Promise) {
    recording.uniformBuffer?.destroy()
    giveUp()
    throw new DeviceError('compile: the function is asynchronous; a captured function only launches, await outside it')
  }
  return { owner, recording, pool, inputs: [...pinned.values()], result, outside: [...outside] }
}

function free(capture: Capture) {
  for (const input of capture.inputs) input.dispose()
  for (const [, tensor] of leaves(capture.result)) if (tensor.pool === capture.pool) tensor.dispose()
  capture.pool.close() // submits what was replayed and not run yet, before its uniforms go
  capture.recording.uniformBuffer?.destroy()
}

// Capture once, replay: runs a function once, keeps its launches with their buffers and bind groups, and replays them.
import { checkOptions } from '../base/options.ts'
import { DeviceError, InputError } from '../base/errors.ts'
import { copyInto, copyOf } from './fill.ts'
import { type Buffer, Pool } from '../gpu/buffers.ts'
import { gpu, type Gpu } from '../gpu/device.ts'
import type { Recording } from '../gpu/launches.ts'
import { watchUses } from './launch.ts'
import { capturing, empty, Tensor } from './tensor.ts'
import { scope } from './transform.ts'
import { type Leaf, leaves, mapTree } from './tree.ts'

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
 * Captures the launches of `f` at the first call for each combination of arguments, and replays them later. Tensors
 * among the arguments, alone or in arrays, maps and plain objects, are inputs: their shapes and dtypes count, their
 * values are copied in. Everything else counts by its value: numbers, strings and flags; functions and objects of a
 * class (a model) by identity, and what such an object holds is used and updated in place, as are tensors that `f`
 * closes over (weights, optimiser state, counters). What else `f` does on the host happens at capture only. Results are
 * copies and belong to the caller. At most `limit` captures are kept, the least recently used goes.
 * @throws DeviceError if `f` reads or writes values on the host, or a kernel writes to an input; InputError for host
 * arrays among the arguments.
 */
export function compile<A extends unknown[], R>(
  f: (...args: A) => R,
  options: { limit?: number } = {},
): Compiled<A, R> {
  checkOptions('compile', options, { limit: true })
  const { limit = 4 } = options
  const captures = new Map<string, Capture>()
  const drop = (key: string) => {
    const capture = captures.get(key)
    if (capture) free(capture)
    captures.delete(key)
  }
  const run = (...args: A): R => {
    const { key, inputs } = keyOf(args)
    const known = captures.get(key)
    if (known && (known.owner !== gpu() || known.outside.some(({ refs }) => refs === 0))) drop(key)
    let capture = captures.get(key)
    if (capture) {
      inputs.forEach(([path, input], i) => {
        checkRange(path, input, capture!.inputs[i])
        copyInto(input, capture!.inputs[i])
      })
      try {
        gpu().launches.replay(capture.recording)
      } catch (error) {
        drop(key) // the next call captures anew, and meets the error where it arises, if it still does
        throw error
      }
      captures.delete(key)
    } else {
      capture = capturePass(f, args, inputs)
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

const identities = new WeakMap<object, number>()
let nextIdentity = 1

function identity(value: object): string {
  let number = identities.get(value)
  if (number === undefined) identities.set(value, number = nextIdentity++)
  return `#${number}`
}

/** What tells calls apart, and the tensors that are copied in. */
function keyOf(args: readonly unknown[]): { key: string, inputs: Leaf[] } {
  const parts: string[] = [], inputs: Leaf[] = []
  const visit = (value: unknown, path: string, inPlace: boolean): void => {
    if (value instanceof Tensor) {
      if (inPlace) parts.push(`${path}@${value.id}`)
      else {
        parts.push(`${path}:${value.dtype}[${value.shape}]`)
        inputs.push([path, value])
      }
    } else if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
      throw new InputError(
        `compile: argument ${path} is ${
          article(value)
        } on the host, whose values a replay would not see; wrap it in tensor(...)`,
      )
    } else if (typeof value === 'function') parts.push(`${path}${identity(value)}`)
    else if (typeof value === 'object' && value !== null) {
      const own = inPlace || !isPlain(value)
      parts.push(`${path}${own ? identity(value) : Array.isArray(value) ? '[]' : '{}'}`)
      for (const [name, child] of value instanceof Map ? value : Object.entries(value)) {
        visit(child, `${path}.${String(name)}`, own)
      }
    } else {
      parts.push(
        `${path}=${typeof value === 'string' ? JSON.stringify(value) : Object.is(value, -0) ? '-0' : String(value)}`,
      )
    }
  }
  args.forEach((arg, i) => {
    visit(arg, String(i), false)
  })
  return { key: parts.join(' '), inputs }
}

/** @throws InputError for labels that the op which read them at capture would have refused. */
function checkRange(path: string, { range }: Tensor, { below }: Tensor): void {
  if (!range || below === null || (range[0] >= 0 && range[1] < below)) return
  throw new InputError(
    `compile: argument ${path} holds label ${range[0] < 0 ? range[0] : range[1]}; expected labels 0 to ${
      below - 1
    } for ${below} classes`,
  )
}

const article = (value: object): string => {
  const { name } = value.constructor
  return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`
}

/** What holds inputs: arrays, maps and objects of no class. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return Array.isArray(value) || value instanceof Map || prototype === Object.prototype || prototype === null
}

function capturePass<A extends unknown[], R>(f: (...args: A) => R, args: A, inputs: readonly Leaf[]): Capture {
  const owner = gpu()
  const pool = new CapturePool(owner.device, {
    memory: owner.pool.memory,
    retire: (buffers) => {
      owner.launches.retire(buffers)
    },
    failures: owner.failures,
    reclaim: () => {
      owner.pool.trim()
      owner.readback.trim()
    },
  })
  const pinned = new Map<string, Tensor>(), pathOf = new Map<Buffer, string>()
  const withhold = (constant: Tensor) => {
    pool.withhold(constant.buffer)
  }
  const outside = new Set<{ readonly refs: number }>()
  const giveUp = () => {
    for (const input of pinned.values()) input.dispose()
    pool.close()
  }
  const result = capturing(pool, withhold, () => {
    for (const [path, input] of inputs) {
      const copy = empty(input.shape, input.dtype)
      copy.range = input.range
      copyInto(input, copy)
      pinned.set(path, copy)
      pathOf.set(copy.buffer, path)
    }
    owner.launches.beginRecording()
    try {
      return watchUses((used, written) => {
        if (used.pool !== pool) outside.add(used.sharing)
        const path = written ? pathOf.get(used.buffer) : undefined
        if (path !== undefined) {
          throw new DeviceError(
            `compile: the function writes to its argument ${path} [${used.shape}], `
              + "which is a copy of the caller's; close over what is updated in place, "
              + 'or pass an object of a class (a model)',
          )
        }
      }, () => scope(() => f(...withInputs(args, pinned) as A)))
    } catch (error) {
      owner.launches.endRecording(false)
      giveUp()
      throw error
    }
  })
  const recording = owner.launches.endRecording(true)!
  return { owner, recording, pool, inputs: [...pinned.values()], result, outside: [...outside] }
}

/** The arguments with the copies in place of the inputs; objects of a class as they are. */
function withInputs(args: readonly unknown[], pinned: ReadonlyMap<string, Tensor>): unknown[] {
  const replace = (value: unknown, path: string): unknown => {
    if (value instanceof Tensor) return pinned.get(path)!
    if (typeof value !== 'object' || value === null || !isPlain(value)) return value
    if (Array.isArray(value)) return value.map((child, i) => replace(child, `${path}.${i}`))
    if (value instanceof Map) {
      return new Map([...value].map(([name, child]) => [name as unknown, replace(child, `${path}.${String(name)}`)]))
    }
    return Object.fromEntries(Object.entries(value).map(([name, child]) => [name, replace(child, `${path}.${name}`)]))
  }
  return args.map((arg, i) => replace(arg, String(i)))
}

function free(capture: Capture) {
  for (const input of capture.inputs) input.dispose()
  for (const [, tensor] of leaves(capture.result)) if (tensor.pool === capture.pool) tensor.dispose()
  capture.pool.close() // submits what was replayed and not run yet, before its uniforms go
  capture.recording.uniformBuffer?.destroy()
}

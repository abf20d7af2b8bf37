// Capture once, replay: runs a function once, keeps its launches with their buffers and bind groups, and replays them.
import { checkOptions } from '../base/options.ts'
import { DeviceError, InputError } from '../base/errors.ts'
import { type Assumption, currentCapture, noting, stillHolds } from './assume.ts'
import { type Derived, watchDerived } from './derived.ts'
import { copyInto, copyOf } from './fill.ts'
import { type Buffer, Pool } from '../gpu/buffers.ts'
import { gpu, type Gpu } from '../gpu/device.ts'
import type { Recording } from '../gpu/launches.ts'
import { watchUses } from './launch.ts'
import { isWatched } from './op.ts'
import { activeTape } from './tape.ts'
import { capturing, empty, isTracing, Tensor } from './tensor.ts'
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
  /** What was made of weights from outside, and is made anew where those were written since. */
  derived: ReadonlySet<Derived>
  /** Buffers from outside (weights, optimiser state) that the launches use; a freed one makes the capture stale. */
  outside: { readonly refs: number }[]
  /** What else it read on the host: the masks of gates. */
  assumptions: readonly Assumption[]
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
 * closes over (weights, optimiser state, counters). The masks of gates that are called, their own or those of
 * `withMasks` around the call, are looked at each time. What else `f` does on the host happens at capture only: it does
 * not see that another tensor stands in the place of one it closes over. Results are copies and belong to the caller.
 * While a gradient, a trace, `inference` or another capture follows the call, `f` runs as it is, as a part of that. At
 * most `limit` captures are kept, the least recently used goes.
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
    if (activeTape() || isTracing() || isWatched() || currentCapture() !== 0) return f(...args)
    const { key, inputs } = keyOf(args)
    const known = captures.get(key)
    if (known && isStale(known)) drop(key)
    let capture = captures.get(key)
    if (capture) {
      inputs.forEach(([path, input], i) => {
        checkRange(path, input, capture!.inputs[i])
        copyInto(input, capture!.inputs[i])
      })
      try {
        for (const each of capture.derived) each.refresh()
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

/** Whether its buffers are gone, or it took for granted what is no longer so. */
const isStale = ({ owner, outside, assumptions }: Capture): boolean =>
  owner !== gpu() || outside.some(({ refs }) => refs === 0) || !stillHolds(assumptions)

const identities = new WeakMap<object, number>(), symbols = new Map<symbol, number>()
let nextIdentity = 1

function identity(value: object | symbol): string {
  const known = typeof value === 'symbol' ? symbols.get(value) : identities.get(value)
  if (known !== undefined) return `#${known}`
  if (typeof value === 'symbol') symbols.set(value, nextIdentity)
  else identities.set(value, nextIdentity)
  return `#${nextIdentity++}`
}

/** A value as text that no other value has: functions, objects and symbols by identity. */
function told(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'bigint') return `${value}n`
  if (value instanceof Date) return `Date ${value.getTime()}`
  if (typeof value === 'function' || typeof value === 'symbol' || (typeof value === 'object' && value !== null)) {
    return identity(value)
  }
  return Object.is(value, -0) ? '-0' : String(value)
}

/** What an object holds, by names that tell entries apart, also keys of a map that look alike. */
function entriesOf(value: object): (readonly [name: string, child: unknown])[] {
  if (Array.isArray(value)) return [...value.entries()].map(([i, child]) => [`.${i}`, child])
  if (value instanceof Set) return [...value].map((child, i) => [`(${i})`, child])
  if (value instanceof Map) {
    return [...value].map(([key, child]) => [typeof key === 'string' ? named(key) : `(${told(key)})`, child])
  }
  return Object.entries(value).map(([key, child]) => [named(key), child])
}

const named = (key: string) => /^[\w$]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`

/** What tells calls apart, and the tensors that are copied in, in the order in which `withInputs` meets them. */
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
    } else if (typeof value === 'object' && value !== null && !(value instanceof Date)) {
      const kind = inPlace ? null : plainKind(value)
      parts.push(`${path}${kind ?? identity(value)}`)
      for (const [name, child] of entriesOf(value)) visit(child, path + name, kind === null)
    } else parts.push(`${path}=${told(value)}`)
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

/** What holds inputs: arrays, maps, sets and objects of no class; null for all else, which is taken as it stands. */
function plainKind(value: object): string | null {
  if (Array.isArray(value)) return '[]'
  if (value instanceof Map) return 'Map'
  if (value instanceof Set) return 'Set'
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null ? '{}' : null
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
  const pinned: Tensor[] = [], pathOf = new Map<Buffer, string>()
  const withhold = (constant: Tensor) => {
    pool.withhold(constant.buffer)
  }
  const outside = new Set<{ readonly refs: number }>(), made = new Set<Derived>()
  const giveUp = () => {
    for (const input of pinned) input.dispose()
    pool.close()
  }
  const { result, assumptions } = capturing(pool, withhold, () => {
    for (const [path, input] of inputs) {
      const copy = empty(input.shape, input.dtype)
      copy.range = input.range
      copyInto(input, copy)
      pinned.push(copy)
      pathOf.set(copy.buffer, path)
    }
    owner.launches.beginRecording()
    try {
      const work = () => scope(() => f(...withInputs(args, pinned) as A))
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
      }, () => watchDerived((each) => made.add(each), () => noting(work)))
    } catch (error) {
      owner.launches.endRecording(false)
      giveUp()
      throw error
    }
  })
  const recording = owner.launches.endRecording(true)!
  return { owner, recording, pool, inputs: pinned, result, derived: made, outside: [...outside], assumptions }
}

/** The arguments with the copies in place of the inputs; objects of a class as they are. */
function withInputs(args: readonly unknown[], pinned: readonly Tensor[]): unknown[] {
  const copies = pinned.values()
  const replace = (value: unknown): unknown => {
    if (value instanceof Tensor) return copies.next().value!
    if (typeof value !== 'object' || value === null || plainKind(value) === null) return value
    if (Array.isArray(value)) return Array.from(value, replace)
    if (value instanceof Set) return new Set([...value].map(replace))
    if (value instanceof Map) return new Map([...value].map(([key, child]) => [key as unknown, replace(child)]))
    return Object.fromEntries(Object.entries(value).map(([name, child]) => [name, replace(child)]))
  }
  return args.map(replace)
}

function free(capture: Capture) {
  for (const input of capture.inputs) input.dispose()
  for (const [, tensor] of leaves(capture.result)) if (tensor.pool === capture.pool) tensor.dispose()
  capture.pool.close() // submits what was replayed and not run yet, before its uniforms go
  capture.recording.uniformBuffer?.destroy()
}

// A tensor is a shape and a buffer. All tensors are contiguous and row-major; `view` shares a buffer under another
// shape.
import { sizeOf } from '../base/shape.ts'
import { DeviceError, DTypeError, FreedError, ShapeError } from '../base/errors.ts'
import type { Buffer, Pool } from '../gpu/buffers.ts'
import { gpu } from '../gpu/device.ts'

/** Element types. f32 computes; i32 and u32 hold labels, indices and counters. */
export type DType = 'f32' | 'i32' | 'u32'

/** Host data a tensor can be made from or read back as. */
export type TypedArray = Float32Array | Int32Array | Uint32Array

const arrays = { f32: Float32Array, i32: Int32Array, u32: Uint32Array } as const

/**
 * A buffer with the number of tensors that share it. `buffer` is null while only shapes are traced. `derived` is what
 * was made of the content and goes with it; see derived.ts.
 */
interface Storage {
  buffer: Buffer | null
  pool: Pool | null
  refs: number
  derived?: Map<string, { dispose(): void }>
}

let nextTensor = 1

// While tracing, tensors have shapes only and launches do nothing.
let tracing = false
// The pool a capture allocates from instead of the device's; see compile.ts.
let capturePool: Pool | null = null

/** A multi-dimensional array on the device. Free it with `dispose()`, or let a `scope` do it. */
export class Tensor {
  readonly id = nextTensor++
  readonly shape: readonly number[]
  readonly dtype: DType
  readonly size: number
  private storage: Storage | null
  /** Least and greatest value of integers that came from the host, for ops that check labels; null where unknown. */
  range: readonly [least: number, greatest: number] | null = null
  /** What an op took its values to be below (labels: the number of classes), so that a replay is checked as well. */
  below: number | null = null

  /** Use `tensor`, `empty`, `zeros` or an op; the constructor is for views. */
  constructor(shape: readonly number[], dtype: DType, storage: Storage) {
    this.shape = shape
    this.dtype = dtype
    this.size = sizeOf(shape)
    this.storage = storage
    storage.refs++
    created(this)
  }

  /** Bytes of the content. */
  get bytes(): number {
    return this.size * 4
  }

  /** Whether `dispose` was called. */
  get disposed(): boolean {
    return this.storage === null
  }

  /** Whether no other tensor shares the buffer, so that it may be written in place. */
  get exclusive(): boolean {
    return this.storage?.refs === 1
  }

  /** The device buffer. @throws FreedError after `dispose`; DeviceError while only shapes are traced. */
  get buffer(): Buffer {
    if (!this.storage) throw new FreedError(freedMessage(this))
    if (!this.storage.buffer) {
      throw new DeviceError(
        `tensor [${this.shape}] was made while tracing shapes and has no content; create it outside trace()`,
      )
    }
    return this.storage.buffer
  }

  /** The buffer's share count, common to all views; `refs` is 0 once it was given back. */
  get sharing(): { readonly refs: number } {
    if (!this.storage) throw new FreedError(freedMessage(this))
    return this.storage
  }

  /** What was made of the content, by key, common to all views; freed with the buffer. For derived.ts. */
  get derived(): Map<string, { dispose(): void }> {
    if (!this.storage) throw new FreedError(freedMessage(this))
    return this.storage.derived ??= new Map()
  }

  /** Where the buffer came from and goes back to; null while only shapes are traced. */
  get pool(): Pool | null {
    return this.storage?.pool ?? null
  }

  /** The same content under another shape of the same size, without copying. Not recorded on a tape: `reshape` is. */
  view(shape: readonly number[]): Tensor {
    if (!this.storage) throw new FreedError(freedMessage(this))
    return new Tensor(shape, this.dtype, this.storage)
  }

  /** As `view`, but without keeping the buffer: for what ends with it. It is not disposed of. */
  borrow(): Tensor {
    const { storage } = this
    if (!storage) throw new FreedError(freedMessage(this))
    const same = unscoped(() => new Tensor(this.shape, this.dtype, storage))
    storage.refs--
    return same
  }

  /** Gives the buffer back to the pool once no view needs it. Harmless when repeated. */
  dispose(): void {
    const { storage } = this
    if (!storage) return
    this.storage = null
    if (--storage.refs > 0 || !storage.buffer) return
    storage.pool!.release(storage.buffer)
    if (storage.derived) { for (const each of storage.derived.values()) each.dispose() }
  }

  /**
   * The content on the host. Waits for the device. @throws the error of what it was computed with, if there was one.
   */
  async data(): Promise<TypedArray> {
    const { buffer } = this
    if (recording) {
      throw new DeviceError(
        `reading a tensor [${this.shape}] inside compile(): `
          + 'a captured function must not look at values on the host; return the tensor instead',
      )
    }
    return new arrays[this.dtype](await gpu().readback.read(buffer, this.bytes))
  }

  /** The only value of a one-element tensor. @throws ShapeError if there are more. */
  async item(): Promise<number> {
    if (this.size !== 1) throw new ShapeError(`item: expected one element, got [${this.shape}]; use data()`)
    return (await this.data())[0]
  }

  /** Overwrites the content from the host. @throws ShapeError, DTypeError if `values` does not fit. */
  write(values: TypedArray): void {
    if (values.length !== this.size) {
      throw new ShapeError(`write: expected ${this.size} values for [${this.shape}], got ${values.length}`)
    }
    this.writeAt(values, 0)
  }

  /**
   * Overwrites part of the content, from element `start` on. @throws ShapeError, DTypeError if `values` does not fit.
   */
  writeAt(values: TypedArray, start: number): void {
    if (start + values.length > this.size) {
      throw new ShapeError(`write: ${values.length} values from ${start} on do not fit [${this.shape}]`)
    }
    if (!(values instanceof arrays[this.dtype])) {
      throw new DTypeError(
        `write: expected ${arrays[this.dtype].name} for ${this.dtype}, got ${values.constructor.name}`,
      )
    }
    const { buffer } = this
    if (recording) {
      throw new DeviceError(
        `writing a tensor [${this.shape}] inside compile(): a replay would not repeat it; `
          + 'pass the values as an argument',
      )
    }
    const whole = values.length === this.size
    gpu().launches.write(buffer, start * 4, values as Float32Array<ArrayBuffer>, whole)
    this.range = whole ? rangeOf(values) : null
  }

  toString(): string {
    return `${this.dtype}[${this.shape}]${this.disposed ? ' (freed)' : ''}`
  }
}

/** An uninitialised tensor. `exact` allocates outside the size classes: for weights, which live long. */
export function empty(shape: readonly number[], dtype: DType = 'f32', exact = false): Tensor {
  if (!shape.every((n) => Number.isInteger(n) && n >= 1)) {
    throw new ShapeError(`empty: every axis needs a whole size of at least 1, got [${shape}]`)
  }
  if (tracing) return new Tensor(shape, dtype, { buffer: null, pool: null, refs: 0 })
  const pool = capturePool ?? gpu().pool
  const bytes = shape.reduce((product, n) => product * n, 4)
  return new Tensor(shape, dtype, { buffer: pool.acquire(bytes, exact), pool, refs: 0 })
}

/** Nested arrays of numbers. */
export type Nested = number | readonly Nested[]

/**
 * A tensor from host values: a typed array with a shape, or nested arrays of numbers (f32 unless `dtype` says
 * otherwise). Its buffer has the exact size and belongs to nobody else.
 * @throws ShapeError if the count differs from the shape, or nested arrays are ragged.
 */
export function tensor(values: TypedArray | Nested, shape?: readonly number[], dtype?: DType): Tensor {
  let flat: TypedArray
  if (values instanceof Float32Array || values instanceof Int32Array || values instanceof Uint32Array) {
    flat = values
    dtype ??= values instanceof Float32Array ? 'f32' : values instanceof Int32Array ? 'i32' : 'u32'
    if (!(flat instanceof arrays[dtype])) flat = arrays[dtype].from(flat)
  } else {
    dtype ??= 'f32'
    const found = nestedShape(values)
    shape ??= found
    flat = arrays[dtype].from(([values] as unknown[]).flat(Infinity) as number[])
  }
  shape ??= [flat.length]
  const size = sizeOf(shape)
  if (size !== flat.length) {
    throw new ShapeError(`tensor: ${flat.length} values do not fill [${shape}], which takes ${size}`)
  }
  const made = empty(shape, dtype, true)
  made.range = rangeOf(flat)
  if (!tracing) {
    gpu().launches.write(made.buffer, 0, flat as Float32Array<ArrayBuffer>, true)
    if (recording) recording(made)
  }
  return made
}

function rangeOf(values: TypedArray): readonly [number, number] | null {
  if (values instanceof Float32Array) return null
  let least = Infinity, greatest = -Infinity
  for (const value of values) {
    if (value < least) least = value
    if (value > greatest) greatest = value
  }
  return [least, greatest]
}

function nestedShape(values: Nested): number[] {
  if (typeof values === 'number') return []
  const inner = values.map(nestedShape)
  if (inner.some((shape) => shape.join() !== inner[0].join())) {
    throw new ShapeError('tensor: nested arrays are ragged; every row needs the same length')
  }
  return [values.length, ...(inner[0] ?? [])]
}

function freedMessage({ shape, id }: Tensor): string {
  return `tensor #${id} [${shape}] was freed and then used; keep it out of the scope that freed it (return it), `
    + 'or dispose it later'
}

// ---- scopes: who frees what -------------------------------------------------------------------------------------

let scopes: Tensor[][] = []

function created(tensor: Tensor) {
  if (scopes.length > 0) scopes[scopes.length - 1].push(tensor)
}

/**
 * Runs `work` and frees every tensor made in it, except those `keep` names in its result. Survivors belong to the scope
 * around it. The base of `scope` in transform.ts, which keeps the tensors found in any returned tree.
 */
export function scoped<R>(work: () => R, keep: (result: R) => Iterable<Tensor>): R {
  const mine: Tensor[] = []
  scopes.push(mine)
  let result: R
  try {
    result = work()
  } catch (error) {
    scopes.pop()
    for (const made of mine) made.dispose()
    throw error
  }
  scopes.pop()
  const outer = scopes.at(-1)
  const kept = [...keep(result)]
  const survivors = kept.length > 8 ? new Set(kept) : null // every op is a scope, and keeps one or two
  // The youngest first: the pool keeps free buffers by age, and takes one that is older than all others at the least
  // cost.
  for (let i = mine.length - 1; i >= 0; i--) {
    const made = mine[i]
    if (survivors ? survivors.has(made) : kept.includes(made)) outer?.push(made)
    else made.dispose()
  }
  return result
}

/**
 * Runs `work` outside all scopes: tensors made in it live until somebody disposes of them. For results noted down on
 * the way back.
 */
export function unscoped<R>(work: () => R): R {
  const outer = scopes
  scopes = []
  try {
    return work()
  } finally {
    scopes = outer
  }
}

/** Runs `work` with shapes only: nothing is allocated or launched, and no device is needed. */
export function withoutDevice<R>(work: () => R): R {
  const before = tracing
  tracing = true
  try {
    return work()
  } finally {
    tracing = before
  }
}

/** Runs `work` outside a capture, if one is under way: what it allocates is the device's, and outlives the capture. */
export function uncaptured<R>(work: () => R): R {
  const pool = capturePool
  capturePool = null
  try {
    return work()
  } finally {
    capturePool = pool
  }
}

/** The pool that a capture allocates from; null where none is under way. */
export const poolOfCapture = (): Pool | null => capturePool

/** Whether only shapes are being traced. */
export function isTracing(): boolean {
  return tracing
}

// ---- captures ---------------------------------------------------------------------------------------------------

// Set while compile() records: called for tensors written from the host, whose buffer must never be reused in the
// capture.
let recording: ((constant: Tensor) => void) | null = null

/** Runs `work` allocating from `pool`, and reports tensors written from the host to `onConstant`. For compile.ts. */
export function capturing<R>(pool: Pool, onConstant: (constant: Tensor) => void, work: () => R): R {
  capturePool = pool
  recording = onConstant
  const outer = scopes
  scopes = []
  try {
    return work()
  } finally {
    capturePool = null
    recording = null
    scopes = outer
  }
}

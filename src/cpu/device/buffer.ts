// GPUBuffer: a range of the linear memory, and mapping by copies of it.
import { DeviceObject, type Core } from '../runtime/core.ts'
import { operationError, Refusal, refuse } from '../runtime/errors.ts'
import { mapMode, usage, usageNames } from './flags.ts'
import { inside, multiple, size64, u32 } from './validation.ts'

/** Part of a mapping that a program has taken; `offset` counts from the start of the buffer. */
export interface MappedRange {
  offset: number
  data: ArrayBuffer
}

/** What is mapped of a buffer. */
export interface Mapping {
  mode: number
  offset: number
  size: number
  ranges: MappedRange[]
}

/** Throws what `getMappedRange` throws for a range that may not be taken of `mapping`; `buffer` is for the message. */
export function checkMappedRange(
  buffer: string,
  mapping: Mapping | null,
  start: number,
  count: number,
): asserts mapping {
  if (!mapping) throw operationError(`getMappedRange: ${buffer} is not mapped`)
  if (start % 8 !== 0) throw operationError(`getMappedRange: offset ${start} is not a multiple of 8`)
  if (count % 4 !== 0) throw operationError(`getMappedRange: size ${count} is not a multiple of 4`)
  if (start < mapping.offset || start + count > mapping.offset + mapping.size) {
    throw operationError(
      `getMappedRange: ${start}..${start + count} is outside of what is mapped of ${buffer}, `
        + `${mapping.offset}..${mapping.offset + mapping.size}`,
    )
  }
  const other = mapping.ranges.find((range) =>
    start < range.offset + range.data.byteLength && range.offset < start + count
  )
  if (other) throw operationError(`getMappedRange: ${start}..${start + count} overlaps a range taken before`)
}

/** Detaches, as the standard has it: whoever kept the range reads nothing rather than something stale. */
export function detach(data: ArrayBuffer): void {
  if (data.byteLength > 0) structuredClone(data, { transfer: [data] })
}

const every = Object.values(usage).reduce((bits, bit) => bits | bit, 0)

function checkDescriptor(size: number, bits: number, limit: number, mappedAtCreation: boolean): void {
  if (bits === 0 || bits & ~every) refuse(`usage ${bits} is no combination of buffer usages`)
  if (bits & usage.MAP_READ && bits & ~(usage.MAP_READ | usage.COPY_DST)) {
    refuse(`usage ${usageNames(bits)}: MAP_READ goes with COPY_DST only`)
  }
  if (bits & usage.MAP_WRITE && bits & ~(usage.MAP_WRITE | usage.COPY_SRC)) {
    refuse(`usage ${usageNames(bits)}: MAP_WRITE goes with COPY_SRC only`)
  }
  if (size > limit) refuse(`size ${size} exceeds maxBufferSize (${limit})`)
  if (mappedAtCreation) multiple(size, 4, 'the size of a buffer that is mapped at creation')
}

/** A buffer; its bytes never move, so an address taken once stays right until it is destroyed. */
export class CpuBuffer extends DeviceObject implements GPUBuffer {
  declare readonly __brand: 'GPUBuffer'
  readonly kind = 'Buffer'
  readonly size: number
  readonly usage: number
  /** Byte address in the linear memory; meaningless while invalid or destroyed. */
  readonly address: number = 0
  /** Set by `destroy()`. */
  destroyed = false
  /** Stamp of the encoder that listed this buffer last (see encoder.ts). */
  listedBy = 0
  private mapping: Mapping | null = null
  private pending: { reject: (error: DOMException) => void } | null = null

  /** Broken rules and missing memory become errors of the device; the buffer is then invalid. */
  constructor(core: Core, descriptor: GPUBufferDescriptor) {
    super(core, descriptor.label)
    this.size = size64(descriptor.size, 'createBuffer: size')
    this.usage = u32(descriptor.usage, 'createBuffer: usage')
    const mapped = descriptor.mappedAtCreation === true
    if (mapped && this.size % 4 !== 0) {
      throw new RangeError(`createBuffer: size ${this.size} of a buffer mapped at creation is no multiple of 4`)
    }
    this.valid = core.attempt(
      `createBuffer of ${this}`,
      () => checkDescriptor(this.size, this.usage, core.limits.maxBufferSize, mapped),
    )
    if (this.valid && !core.lost) {
      const address = core.allocate(this.size)
      if (address === undefined) {
        this.valid = false
        const { used, limit } = core.memory
        const message =
          `${this} of ${this.size} bytes does not fit: ${used} of ${limit} bytes of the embedded device's `
          + 'memory are in use'
          + (limit === 2 ** 32 ? ' (a WebAssembly memory ends at 4 GiB)' : '')
        if (mapped) throw new RangeError(message)
        core.errors.outOfMemory(message)
      } else {
        this.address = address
        core.own(this, address, this.size)
      }
    }
    if (mapped) {
      this.mapping = { mode: mapMode.WRITE, offset: 0, size: this.size, ranges: [] }
      core.mapped.add(this)
    }
  }

  get mapState(): GPUBufferMapState {
    return this.mapping ? 'mapped' : this.pending ? 'pending' : 'unmapped'
  }

  async mapAsync(
    mode: GPUMapModeFlags,
    offset: number = 0,
    size: number = Math.max(0, this.size - offset),
  ): Promise<undefined> {
    const bits = u32(mode, 'mapAsync: mode')
    const start = size64(offset, 'mapAsync: offset')
    const count = size64(size, 'mapAsync: size')
    if (this.core.lost) throw operationError(`mapAsync: the device of ${this} is lost`)
    // the one misuse that is not an error of the device as well
    if (this.pending) throw operationError(`mapAsync: ${this} already has an outstanding mapping`)
    try {
      this.checkMap(bits, start, count)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.core.errors.validation(`${error.message}\n - while calling mapAsync of ${this}`)
      throw operationError(`mapAsync: ${error.message}`)
    }
    const cancelled = new Promise<never>((_, reject) => {
      this.pending = { reject }
    })
    const request = this.pending
    this.core.mapped.add(this)
    const ready = this.core.later(() => {
      if (this.pending !== request) return // unmapped or destroyed meanwhile; the other promise has said so
      this.pending = null
      this.mapping = { mode: bits, offset: start, size: count, ranges: [] }
      this.core.scheduler.resultRead()
    })
    await Promise.race([ready, cancelled])
  }

  getMappedRange(offset: number = 0, size: number = Math.max(0, this.size - offset)): ArrayBuffer {
    const start = size64(offset, 'getMappedRange: offset'), count = size64(size, 'getMappedRange: size')
    const { mapping } = this
    checkMappedRange(`${this}`, mapping, start, count)
    const data = this.valid && !this.core.lost
      ? this.core.memory.read(this.address + start, count)
      : new ArrayBuffer(count)
    mapping.ranges.push({ offset: start, data })
    return data
  }

  unmap(): undefined {
    this.core.mapped.delete(this)
    if (this.pending) {
      const { reject } = this.pending
      this.pending = null
      reject(new DOMException(`mapAsync: ${this} was unmapped before it was mapped`, 'AbortError'))
      return
    }
    const { mapping } = this
    if (!mapping) return
    this.mapping = null
    for (const { offset, data } of mapping.ranges) {
      if (mapping.mode === mapMode.WRITE && this.valid && !this.core.lost) {
        this.core.memory.bytes.set(new Uint8Array(data), this.address + offset)
      }
      detach(data)
    }
  }

  destroy(): undefined {
    // what was written to a mapping is lost, so nothing needs to be copied before the memory goes
    if (this.mapping) this.mapping.mode = mapMode.READ
    this.unmap()
    if (this.destroyed) return
    this.destroyed = true
    if (this.address === 0 || this.core.lost) return
    this.core.disown(this)
    this.core.release(this.address, this.size)
  }

  /** Refuses a buffer that may not be used by the queue now. */
  checkSubmit(): void {
    if (this.destroyed) refuse(`${this} is used in submit while destroyed`)
    if (this.mapping || this.pending) {
      refuse(`${this} is used in submit while ${this.mapping ? 'mapped' : 'its mapping is pending'}`)
    }
  }

  private checkMap(mode: number, offset: number, size: number): void {
    if (!this.valid) refuse(`${this} is invalid, because its creation failed`)
    if (this.destroyed) refuse(`${this} is destroyed`)
    if (this.mapping) refuse(`${this} is already mapped`)
    if (mode !== mapMode.READ && mode !== mapMode.WRITE) refuse(`map mode ${mode} is neither READ nor WRITE`)
    if (mode === mapMode.READ && !(this.usage & usage.MAP_READ)) {
      refuse(`${this} has usage ${usageNames(this.usage)}, mapping for reading needs MAP_READ`)
    }
    if (mode === mapMode.WRITE && !(this.usage & usage.MAP_WRITE)) {
      refuse(`${this} has usage ${usageNames(this.usage)}, mapping for writing needs MAP_WRITE`)
    }
    multiple(offset, 8, 'the offset of a mapping')
    multiple(size, 4, 'the size of a mapping')
    inside(offset, size, this.size, `${this}`)
  }
}

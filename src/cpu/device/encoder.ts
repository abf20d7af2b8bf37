// Command encoders and command buffers. While recording, a broken rule makes the encoder invalid; `finish` reports the
// first.
import { CpuBuffer } from './buffer.ts'
import { Clear, Copy, Resolve, Stamp, type Command } from './commands.ts'
import { DeviceObject, type Core } from '../runtime/core.ts'
import { Refusal, refuse } from '../runtime/errors.ts'
import { usage, usageNames } from './flags.ts'
import { CpuComputePass } from './pass.ts'
import { CpuQuerySet } from './query.ts'
import { inside, instance, multiple, size64, u32, usable } from './validation.ts'

let stamps = 0

/** Recorded commands, to be submitted once. */
export class CpuCommandBuffer extends DeviceObject implements GPUCommandBuffer {
  declare readonly __brand: 'GPUCommandBuffer'
  readonly kind = 'CommandBuffer'
  readonly commands: readonly Command[]
  /** Everything the commands touch, which a submit checks. */
  readonly resources: readonly (CpuBuffer | CpuQuerySet)[]
  submitted = false

  constructor(
    core: Core,
    label: string | undefined,
    commands: readonly Command[],
    resources: readonly (CpuBuffer | CpuQuerySet)[],
  ) {
    super(core, label)
    this.commands = commands
    this.resources = resources
  }
}

/** Records commands. */
export class CpuCommandEncoder extends DeviceObject implements GPUCommandEncoder {
  declare readonly __brand: 'GPUCommandEncoder'
  readonly kind = 'CommandEncoder'
  /** What was recorded so far; passes append here too. */
  readonly commands: Command[] = []
  private readonly resources: (CpuBuffer | CpuQuerySet)[] = []
  private readonly stamp = ++stamps
  private state: 'open' | 'locked' | 'ended' = 'open'
  private problem: string | undefined

  constructor(core: Core, descriptor?: GPUCommandEncoderDescriptor) {
    super(core, descriptor?.label)
  }

  /** Keeps the first broken rule for `finish`. */
  invalidate(message: string): void {
    this.problem ??= message
  }

  /** Lists a buffer among the resources, once. */
  use(buffer: CpuBuffer): void {
    if (buffer.listedBy === this.stamp) return
    buffer.listedBy = this.stamp
    this.resources.push(buffer)
  }

  /** A pass has ended; commands may be recorded here again. */
  unlock(): void {
    this.state = 'open'
  }

  beginComputePass(descriptor?: GPUComputePassDescriptor): GPUComputePassEncoder {
    const writes = descriptor?.timestampWrites
    let end: Stamp | undefined
    const recorded = this.record('beginComputePass', () => {
      if (!writes) return
      const set = instance(writes.querySet, CpuQuerySet, 'beginComputePass: timestampWrites.querySet')
      usable(this.core, set)
      const { beginningOfPassWriteIndex: begin, endOfPassWriteIndex: last } = writes
      if (begin === undefined && last === undefined) {
        refuse('timestampWrites has neither beginningOfPassWriteIndex nor endOfPassWriteIndex')
      }
      if (begin === last) refuse(`timestampWrites writes query ${begin} twice`)
      for (const index of [begin, last]) {
        if (index !== undefined && index >= set.count) {
          refuse(`query ${index} is not in ${set}, which has ${set.count}`)
        }
      }
      this.resources.push(set)
      if (begin !== undefined) this.commands.push(new Stamp(set, begin))
      if (last !== undefined) end = new Stamp(set, last)
    })
    // a pass that could not begin takes its calls without effect, so that the caller needs no check of its own
    const pass = new CpuComputePass(this.core, descriptor?.label, this, end, recorded)
    if (recorded) this.state = 'locked'
    return pass
  }

  copyBufferToBuffer(
    source: GPUBuffer,
    sourceOffset: number | GPUBuffer,
    destination?: GPUBuffer | number,
    destinationOffset?: number,
    size?: number,
  ): undefined {
    if (sourceOffset instanceof CpuBuffer) { // the short form: source, destination, size
      this.copy(source, 0, sourceOffset, 0, destination as number | undefined)
    } else {
      this.copy(source, sourceOffset as number, destination as GPUBuffer, destinationOffset as number, size)
    }
  }

  private copy(
    source: GPUBuffer,
    sourceOffset: number,
    destination: GPUBuffer,
    destinationOffset: number,
    size?: number,
  ): void {
    const from = instance(source, CpuBuffer, 'copyBufferToBuffer: source')
    const to = instance(destination, CpuBuffer, 'copyBufferToBuffer: destination')
    const start = size64(sourceOffset, 'copyBufferToBuffer: sourceOffset'),
      target = size64(destinationOffset, 'copyBufferToBuffer: destinationOffset')
    const count = size === undefined ? from.size - start : size64(size, 'copyBufferToBuffer: size')
    this.record('copyBufferToBuffer', () => {
      usable(this.core, from)
      usable(this.core, to)
      if (from === to) refuse(`source and destination are both ${from}`)
      needs(from, usage.COPY_SRC)
      needs(to, usage.COPY_DST)
      multiple(count, 4, 'size')
      multiple(start, 4, 'sourceOffset')
      multiple(target, 4, 'destinationOffset')
      inside(start, count, from.size, `${from}`)
      inside(target, count, to.size, `${to}`)
      this.use(from)
      this.use(to)
      if (count > 0) this.commands.push(new Copy(to.address + target, from.address + start, count))
    })
  }

  clearBuffer(buffer: GPUBuffer, offset: number = 0, size?: number): undefined {
    const target = instance(buffer, CpuBuffer, 'clearBuffer: buffer')
    const start = size64(offset, 'clearBuffer: offset')
    const count = size === undefined ? Math.max(0, target.size - start) : size64(size, 'clearBuffer: size')
    this.record('clearBuffer', () => {
      usable(this.core, target)
      needs(target, usage.COPY_DST)
      multiple(count, 4, 'size')
      multiple(start, 4, 'offset')
      inside(start, count, target.size, `${target}`)
      this.use(target)
      if (count > 0) this.commands.push(new Clear(target.address + start, count))
    })
  }

  resolveQuerySet(
    querySet: GPUQuerySet,
    firstQuery: number,
    queryCount: number,
    destination: GPUBuffer,
    destinationOffset: number,
  ): undefined {
    const set = instance(querySet, CpuQuerySet, 'resolveQuerySet: querySet')
    const target = instance(destination, CpuBuffer, 'resolveQuerySet: destination')
    const first = u32(firstQuery, 'resolveQuerySet: firstQuery'), count = u32(queryCount, 'resolveQuerySet: queryCount')
    const offset = size64(destinationOffset, 'resolveQuerySet: destinationOffset')
    this.record('resolveQuerySet', () => {
      usable(this.core, set)
      usable(this.core, target)
      needs(target, usage.QUERY_RESOLVE)
      if (first + count > set.count) {
        refuse(`queries ${first}..${first + count} are not all in ${set}, which has ${set.count}`)
      }
      multiple(offset, 256, 'destinationOffset')
      inside(offset, 8 * count, target.size, `${target}`)
      this.resources.push(set)
      this.use(target)
      this.commands.push(new Resolve(set, first, count, target.address + offset))
    })
  }

  finish(descriptor?: GPUCommandBufferDescriptor): GPUCommandBuffer {
    const buffer = new CpuCommandBuffer(this.core, descriptor?.label, this.commands, this.resources)
    buffer.valid = this.core.attempt(`finish of ${this}`, () => {
      if (this.state === 'ended') refuse(`${this} is already finished`)
      if (this.problem !== undefined) refuse(this.problem)
      if (this.state === 'locked') refuse(`${this} has a compute pass that was not ended`)
      usable(this.core, this)
    })
    this.state = 'ended'
    return buffer
  }

  pushDebugGroup(groupLabel: string): undefined {
    void groupLabel
  }
  popDebugGroup(): undefined {/* labels of groups are shown nowhere */}
  insertDebugMarker(markerLabel: string): undefined {
    void markerLabel
  }

  declare beginRenderPass: GPUCommandEncoder['beginRenderPass']
  declare copyBufferToTexture: GPUCommandEncoder['copyBufferToTexture']
  declare copyTextureToBuffer: GPUCommandEncoder['copyTextureToBuffer']
  declare copyTextureToTexture: GPUCommandEncoder['copyTextureToTexture']

  private record(call: string, steps: () => void): boolean {
    if (this.state === 'ended') {
      this.core.errors.validation(`${call}: ${this} is already finished`)
      return false
    }
    try {
      if (this.state === 'locked') refuse(`${this} has a compute pass that was not ended`)
      steps()
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.invalidate(`${error.message}\n - while encoding ${call}`)
      return false
    }
    return true
  }
}

/** Refuses a buffer without the usage a command needs. */
export function needs(buffer: CpuBuffer, bit: number): void {
  if (!(buffer.usage & bit)) refuse(`${buffer} has usage ${usageNames(buffer.usage)}, ${usageNames(bit)} is needed`)
}

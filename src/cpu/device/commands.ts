// What an encoder records and a submit executes.
import type { CpuBuffer } from './buffer.ts'
import type { Core } from '../runtime/core.ts'
import type { Kernel } from '../runtime/kernel.ts'
import type { CpuQuerySet } from './query.ts'

/** One recorded command; all validation that can be done while recording is behind it. */
export interface Command {
  /** Does its work, or some of it; true when all is done. */
  execute(core: Core, progress: Progress): boolean
}

/** How far the command at work has come. */
export interface Progress {
  /** The time of `performance.now()` by which to stop, if that is possible. */
  until: number
  /** The dispatch's next workgroup. */
  next: number
}

function runKernel(
  core: Core,
  kernel: Kernel,
  name: string,
  bindings: readonly number[],
  x: number,
  y: number,
  z: number,
  progress: Progress,
): boolean {
  try {
    progress.next = core.scheduler.runUntil(kernel, bindings, [x, y, z], progress.next, progress.until)
    return progress.next >= x * y * z
  } catch (error) {
    // a trap is not the caller's mistake in the sense of validation, and must not end the process
    if (!(error instanceof WebAssembly.RuntimeError) && !(error instanceof RangeError)) throw error
    core.errors.internal(`dispatch of ${name} over ${x} x ${y} x ${z} workgroups: ${error.message}`)
    return true
  }
}

/** A dispatch of known size. */
export class Dispatch implements Command {
  readonly kernel: Kernel
  readonly name: string
  readonly bindings: readonly number[]
  readonly x: number
  readonly y: number
  readonly z: number

  constructor(kernel: Kernel, name: string, bindings: readonly number[], x: number, y: number, z: number) {
    this.kernel = kernel
    this.name = name
    this.bindings = bindings
    this.x = x
    this.y = y
    this.z = z
  }

  execute(core: Core, progress: Progress): boolean {
    return runKernel(core, this.kernel, this.name, this.bindings, this.x, this.y, this.z, progress)
  }
}

/** A dispatch whose size lies in a buffer; a size over the limit dispatches nothing, as the standard has it. */
export class IndirectDispatch implements Command {
  private readonly kernel: Kernel
  private readonly name: string
  private readonly bindings: readonly number[]
  private readonly buffer: CpuBuffer
  private readonly offset: number

  constructor(kernel: Kernel, name: string, bindings: readonly number[], buffer: CpuBuffer, offset: number) {
    this.kernel = kernel
    this.name = name
    this.bindings = bindings
    this.buffer = buffer
    this.offset = offset
  }

  execute(core: Core, progress: Progress): boolean {
    const at = (this.buffer.address + this.offset) / 4
    const [x, y, z] = core.memory.words.subarray(at, at + 3)
    const most = core.limits.maxComputeWorkgroupsPerDimension
    if (x > most || y > most || z > most || x * y * z > 0x7fffffff) return true
    return runKernel(core, this.kernel, this.name, this.bindings, x, y, z, progress)
  }
}

/** `copyBufferToBuffer`. */
export class Copy implements Command {
  private readonly to: number
  private readonly from: number
  private readonly count: number
  constructor(to: number, from: number, count: number) {
    this.to = to
    this.from = from
    this.count = count
  }
  execute(core: Core): boolean {
    core.memory.copy(this.to, this.from, this.count)
    return true
  }
}

/** `clearBuffer`. */
export class Clear implements Command {
  private readonly address: number
  private readonly count: number
  constructor(address: number, count: number) {
    this.address = address
    this.count = count
  }
  execute(core: Core): boolean {
    core.memory.fill(this.address, 0, this.count)
    return true
  }
}

/** Writes a timestamp. */
export class Stamp implements Command {
  private readonly set: CpuQuerySet
  private readonly index: number
  constructor(set: CpuQuerySet, index: number) {
    this.set = set
    this.index = index
  }
  execute(): boolean {
    this.set.stamp(this.index)
    return true
  }
}

/** `resolveQuerySet`. */
export class Resolve implements Command {
  private readonly set: CpuQuerySet
  private readonly first: number
  private readonly count: number
  private readonly address: number
  constructor(set: CpuQuerySet, first: number, count: number, address: number) {
    this.set = set
    this.first = first
    this.count = count
    this.address = address
  }
  execute(core: Core): boolean {
    const values = this.set.values.subarray(this.first, this.first + this.count)
    core.memory.bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), this.address)
    return true
  }
}

// The list of launches. `launch` appends; the list becomes one compute pass and one submit on read-back, on a host
// write, or when it is long. Parameters of all launches travel in one uniform ring, uploaded once per submit.
import { DeviceError, type EspalierError, KernelError, ShapeError } from '../base/errors.ts'
import { below, type BindGroups, checkAliases, count, drop } from './bind-groups.ts'
import type { Buffer } from './buffers.ts'
import type { Failures } from './failures.ts'
import type { Kernel, Overrides } from './kernel.ts'
import { type Pipeline, Pipelines } from './pipelines.ts'

/** Workgroups along x, y, z. */
export type Grid = readonly [x: number, y?: number, z?: number]

/** One dispatch, ready to be encoded. `flops` and `bytes` feed the profiler only. */
export interface Launch {
  pipeline: Pipeline
  bindGroup: GPUBindGroup
  offset: number
  grid: readonly [number, number, number]
  label: () => string
  flops: number
  bytes: number
  /** Kept for captures, which bind the same buffers to a uniform buffer of their own. */
  buffers: readonly Buffer[]
}

/** A captured list: entries bound to buffers that stay put, and which of these it writes. */
export interface Recording {
  entries: Launch[]
  written: readonly Buffer[]
  uniforms: Uint8Array
  uniformBuffer: GPUBuffer | null
}

/** What an observer sees of a launch. */
export interface ObservedLaunch {
  kernel: Kernel
  overrides: Overrides
  values: Readonly<Record<string, number>>
  buffers: Readonly<Record<string, Buffer>>
  grid: readonly [number, number, number]
}

const ringBytes = 1 << 18
const longList = 1024
const gridLimit = 65535
// A step of a large network needs a few thousand. Many models one after another meet ever new pairs of pooled buffers.
const mostBindGroups = 1 << 15

/** Counters that tests and benches read: launches, submits, bind groups and pipelines created. */
export interface LaunchCounts {
  launches: number
  submits: number
  bindGroups: number
  pipelines: number
}

/** The launch list of one device. */
export class Launches {
  readonly counts: LaunchCounts = { launches: 0, submits: 0, bindGroups: 0, pipelines: 0 }
  /** Set while a profiler wants a pass and a timestamp per launch. */
  encoder: ((list: readonly Launch[]) => void) | null = null
  /** Sees every launch before it is appended: for tests that check the kernels an op uses. */
  observer: ((launch: ObservedLaunch) => void) | null = null
  private readonly device: GPUDevice
  private readonly ring: GPUBuffer
  private readonly staging = new ArrayBuffer(ringBytes)
  private readonly f32 = new Float32Array(this.staging)
  private readonly u32 = new Uint32Array(this.staging)
  private readonly i32 = new Int32Array(this.staging)
  private readonly alignment: number
  private used = 0
  private flushes = 0
  private list: Launch[] = []
  private recent = () => 'nothing launched yet'
  private readonly pipelines: Pipelines
  private readonly bindGroups = new Map<Pipeline | Buffer, BindGroups>()
  private kept = 0
  private recording: { entries: Launch[], bytes: number[], written: Set<Buffer> } | null = null
  failures!: Failures

  constructor(device: GPUDevice) {
    this.device = device
    this.pipelines = new Pipelines(device, this.counts, (check) => this.failures.watch(check))
    this.ring = device.createBuffer({ size: ringBytes, usage: 0x40 | 0x8, label: 'uniform ring' }) // UNIFORM | COPY_DST
    this.alignment = Math.max(16, device.limits.minUniformBufferOffsetAlignment)
  }

  /** What was submitted or appended last, for error messages. */
  get context(): string {
    return this.list.at(-1)?.label() ?? this.recent()
  }

  /**
   * Appends one dispatch. `buffers` and `values` are keyed by the kernel's names; `label` says op and shapes.
   * @throws ShapeError for an empty or too large grid; KernelError for a missing, extra or doubly bound buffer or
   * parameter, and for a kernel known not to compile; the error of a buffer whose content failed.
   */
  append(
    kernel: Kernel,
    buffers: Readonly<Record<string, Buffer>>,
    values: Readonly<Record<string, number>>,
    grid: Grid,
    overrides: Overrides | undefined,
    label: () => string,
    flops = 0,
  ): void {
    const pipeline = this.pipelines.get(kernel, overrides)
    if (pipeline.error !== null) throw pipeline.error
    const { storage, uniform } = pipeline.reflection
    const x = grid[0], y = grid[1] ?? 1, z = grid[2] ?? 1
    if (!(x >= 1 && x <= gridLimit && y >= 1 && y <= gridLimit && z >= 1 && z <= gridLimit)) {
      throw new ShapeError(
        `${label()}: ${kernel.label} would start ${x} x ${y} x ${z} workgroups; each axis takes 1 to ${gridLimit}`,
      )
    }
    this.observer?.({ kernel, overrides: overrides ?? {}, values, buffers, grid: [x, y, z] })
    let known = below(this.bindGroups, pipeline)
    let bytes = 0
    const bound: Buffer[] = []
    for (const slot of storage) {
      const buffer = buffers[slot.name]
      if (!buffer) throw new KernelError(`${label()}: ${kernel.label} needs a buffer '${slot.name}'`)
      if (buffer.failure !== null) throw buffer.failure
      if (slot.write) {
        buffer.version++
        this.recording?.written.add(buffer)
      }
      bound.push(buffer)
      bytes += buffer.bytes
      known = below(known.next, buffer)
    }
    if (!known.group) {
      checkAliases(pipeline, bound, label)
      if (++this.kept > mostBindGroups) {
        this.bindGroups.clear()
        this.kept = 1
        known = bound.reduce((level, buffer) => below(level.next, buffer), below(this.bindGroups, pipeline))
      }
      known.group = this.bind(pipeline, bound, this.ring, label())
    }
    const bindGroup = known.group
    let offset = 0
    const { written } = pipeline
    if (written !== null && written.values === values && written.flush === this.flushes) offset = written.offset
    else if (uniform) {
      if (this.used + uniform.size > ringBytes) this.flush()
      offset = this.used
      for (const field of uniform.fields) {
        const value = values[field.name]
        if (value === undefined) throw new KernelError(`${label()}: ${kernel.label} needs a parameter '${field.name}'`)
        const index = (offset + field.offset) >> 2
        if (field.type === 'f32') this.f32[index] = value
        else if (field.type === 'u32') this.u32[index] = value
        else this.i32[index] = value
      }
      this.used = Math.ceil((offset + uniform.size) / this.alignment) * this.alignment
      if (Object.isFrozen(values)) pipeline.written = { values, offset, flush: this.flushes }
    }
    const entry: Launch = { pipeline, bindGroup, offset, grid: [x, y, z], label, flops, bytes, buffers: bound }
    this.list.push(entry)
    this.failures.launched(entry)
    this.counts.launches++
    if (this.recording) this.record(entry, uniform?.size ?? 0)
    if (this.list.length >= longList) this.flush()
  }

  /** Encodes everything appended so far as one pass and submits it. */
  flush(): void {
    if (this.list.length === 0) return
    this.failures.throwIfAny()
    this.submit()
  }

  private submit(): void {
    let { list } = this
    this.list = []
    this.flushes++
    this.recent = list.at(-1)!.label
    // What is known by now never to have a result; it has marked what depends on it.
    if (this.failures.count > 0) list = list.filter((entry) => errorOf(entry) === null)
    if (this.used > 0) this.device.queue.writeBuffer(this.ring, 0, this.staging, 0, this.used)
    this.used = 0
    if (list.length === 0) return
    if (this.encoder) {
      this.failures.guard(list, () => {
        this.encoder!(list)
      })
      return
    }
    for (const part of this.failures.unsure ? parts(list) : [list]) {
      this.failures.guard(part, () => {
        this.encode(part)
      })
    }
    this.counts.submits++
  }

  /** Copies the first bytes of a buffer to a staging buffer, after everything submitted so far, and maps that. */
  copy(buffer: Buffer, staging: { readonly gpu: GPUBuffer, readonly lost: boolean }, bytes: number): Promise<void> {
    let mapped!: Promise<undefined>
    this.failures.guard([{ pipeline: noPipeline, buffers: [buffer, staging] }], () => {
      const encoder = this.device.createCommandEncoder()
      encoder.copyBufferToBuffer(buffer.gpu, 0, staging.gpu, 0, bytes)
      this.device.queue.submit([encoder.finish()])
      mapped = staging.gpu.mapAsync(0x1)
    })
    return mapped
  }

  private encode(list: readonly Launch[]) {
    const encoder = this.device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    encodeAll(pass, list)
    pass.end()
    this.device.queue.submit([encoder.finish()])
  }

  /**
   * Overwrites a buffer from the host, after everything launched so far. `whole`: nothing of its content stays, so that
   * it is sound again. @throws the error of a buffer of which only a part is overwritten, or that was never there.
   */
  write(buffer: Buffer, offset: number, values: ArrayBufferView<ArrayBuffer>, whole: boolean): void {
    if (buffer.failure && (buffer.lost || !whole)) throw buffer.failure
    this.flush() // writeBuffer overtakes what is not submitted yet
    if (whole) this.failures.renewed(buffer)
    buffer.version++
    this.failures.guard([{ pipeline: noPipeline, buffers: [buffer] }], () => {
      this.device.queue.writeBuffer(buffer.gpu, offset, values)
    })
  }

  /** Starts recording what is appended, besides running it. */
  beginRecording(): void {
    if (this.recording) throw new DeviceError('compile: a capture cannot contain another capture')
    this.flush()
    this.recording = { entries: [], bytes: [], written: new Set() }
  }

  /** Whether a list is recorded that has not written this buffer so far. */
  recordingReads(buffer: Buffer): boolean {
    return this.recording !== null && !this.recording.written.has(buffer)
  }

  /** Launches what a replay is not to repeat. */
  unrecorded(work: () => void): void {
    const { recording } = this
    this.recording = null
    try {
      work()
    } finally {
      this.recording = recording
    }
  }

  /** Ends a recording; its entries are bound to a uniform buffer of their own. `keep: false` throws it away. */
  endRecording(keep: boolean): Recording | null {
    const recording = this.recording
    this.recording = null
    if (!recording || !keep) return null
    const uniforms = new Uint8Array(recording.bytes)
    let uniformBuffer: GPUBuffer | null = null
    if (uniforms.length > 0) {
      uniformBuffer = this.device.createBuffer({
        size: Math.ceil(uniforms.length / 16) * 16,
        usage: 0x40 | 0x8,
        label: 'captured uniforms',
      })
      this.device.queue.writeBuffer(uniformBuffer, 0, uniforms)
    }
    const groups = new Map<string, GPUBindGroup>()
    const entries = recording.entries.map((entry) => {
      if (!entry.pipeline.reflection.uniform) return entry
      const key = [entry.pipeline.id, ...entry.buffers.map((buffer) => buffer.id)].join()
      let bindGroup = groups.get(key)
      if (!bindGroup) {
        groups.set(key, bindGroup = this.bind(entry.pipeline, entry.buffers, uniformBuffer!, entry.label()))
      }
      return { ...entry, bindGroup }
    })
    return { entries, written: [...recording.written], uniforms, uniformBuffer }
  }

  /** Appends a captured list again. @throws the error of a kernel or buffer in it. */
  replay(recording: Recording): void {
    if (this.failures.count > 0) {
      const error = recording.entries.map(errorOf).find((found) => found !== null)
      if (error) throw error
    }
    for (const entry of recording.entries) {
      this.list.push(entry)
      this.failures.launched(entry)
    }
    for (const buffer of recording.written) buffer.version++
    this.counts.launches += recording.entries.length
    if (this.list.length >= longList) this.flush()
  }

  /** Before buffers are destroyed: submits what was appended, which may use them, and forgets their bind groups. */
  retire(buffers: ReadonlySet<Buffer>): void {
    if (this.list.length > 0) this.submit()
    drop(this.bindGroups, buffers)
    this.kept = count(this.bindGroups)
  }

  /** How many bind groups are kept for later launches. */
  get cachedBindGroups(): number {
    return this.kept
  }

  /** The device is closed: what was appended and not submitted never runs. */
  abandon(): void {
    this.list = []
    this.bindGroups.clear()
    this.kept = 0
  }

  /** The compiled variant of a kernel, as `Pipelines` has it. */
  pipeline(kernel: Kernel, overrides?: Overrides): Pipeline {
    return this.pipelines.get(kernel, overrides)
  }

  /** A message of the device about lines of a kernel's text, with the files and lines these came from. */
  located(message: string): string {
    return this.pipelines.located(message)
  }

  private bind(pipeline: Pipeline, buffers: readonly Buffer[], uniforms: GPUBuffer, label: string): GPUBindGroup {
    const { storage, uniform } = pipeline.reflection
    const entries: GPUBindGroupEntry[] = storage.map((slot, i) => ({
      binding: slot.binding,
      resource: { buffer: buffers[i].gpu },
    }))
    if (uniform) entries.push({ binding: uniform.binding, resource: { buffer: uniforms, size: uniform.size } })
    this.counts.bindGroups++
    let group!: GPUBindGroup
    this.failures.guard([{ pipeline, buffers }], () => {
      group = this.device.createBindGroup({ label, layout: pipeline.layout, entries })
    })
    return group
  }

  private record(entry: Launch, uniformSize: number) {
    const { entries, bytes } = this.recording!
    const offset = bytes.length
    if (uniformSize > 0) {
      const end = Math.ceil(uniformSize / this.alignment) * this.alignment
      const view = new Uint8Array(this.staging, entry.offset, uniformSize)
      for (let i = 0; i < end; i++) bytes.push(i < uniformSize ? view[i] : 0)
    }
    entries.push({ ...entry, offset })
  }
}

const noPipeline = { error: null }

/** The error of a launch whose kernel does not compile, or whose buffers cannot be used. */
function errorOf({ pipeline, buffers }: Launch): EspalierError | null {
  return pipeline.error ?? buffers.find(({ failure }) => failure !== null)?.failure ?? null
}

/**
 * A list cut so that a launch whose kernel or buffers may yet turn out not to exist stands alone: the device refuses
 * all that is submitted together.
 */
function parts(list: readonly Launch[]): Launch[][] {
  const found: Launch[][] = []
  let open: Launch[] | null = null
  for (const entry of list) {
    const sure = entry.pipeline.checked && entry.buffers.every(({ checked }) => checked)
    if (sure && open) open.push(entry)
    else {
      found.push([entry])
      open = sure ? found.at(-1)! : null
    }
  }
  return found
}

/** Sets pipeline and bind group and dispatches, for each launch of a list. */
export function encodeAll(pass: GPUComputePassEncoder, list: readonly Launch[]): void {
  let current: Pipeline | null = null
  const offsets = [0]
  for (const { pipeline, bindGroup, offset, grid } of list) {
    if (pipeline !== current) pass.setPipeline(pipeline.pipeline)
    current = pipeline
    if (pipeline.reflection.uniform) {
      offsets[0] = offset
      pass.setBindGroup(0, bindGroup, offsets)
    } else {
      pass.setBindGroup(0, bindGroup)
    }
    if (grid[2] !== 1) pass.dispatchWorkgroups(grid[0], grid[1], grid[2])
    else if (grid[1] !== 1) pass.dispatchWorkgroups(grid[0], grid[1])
    else pass.dispatchWorkgroups(grid[0]) // each argument costs dawn-node a tenth of the call
  }
}

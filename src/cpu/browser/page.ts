// The embedded device for pages. It lives in a dedicated worker, so that the page's thread neither computes nor waits;
// what is here makes the interface's objects out of numbers, and its calls into messages. Sizes, usages and mapped
// bytes are known here; all other checks are made over there, and their errors come back through error scopes and
// `uncapturederror` as ever.
import type { CpuOptions } from '../device/adapter.ts'
import { checkMappedRange, detach, type Mapping } from '../device/buffer.ts'
import { Connection, Remote } from './connection.ts'
import { startWorker } from './start.ts'
import { errorNamed, operationError, UncapturedErrorEvent } from '../runtime/errors.ts'
import { mapMode } from '../device/flags.ts'
import { passCall, type AdapterFacts, type DeviceFacts, type PlainError } from './protocol.ts'

/** Options for pages: those of the device, and where its worker's script is. */
export interface BrowserOptions extends CpuOptions {
  /** A worker that runs `worker.js` of this folder, or its address; the device starts its own where none is given. */
  worker?: string | URL | Worker
}

class RemoteBuffer extends Remote {
  readonly size: number
  readonly usage: number
  private mapping: Mapping | null = null
  private whole: ArrayBuffer | null = null
  private pending: { reject: (error: DOMException) => void } | null = null

  constructor(connection: Connection, descriptor: GPUBufferDescriptor) {
    super(connection, descriptor.label)
    this.size = descriptor.size
    this.usage = descriptor.usage
    if (!descriptor.mappedAtCreation) return
    this.whole = new ArrayBuffer(this.size)
    this.mapping = { mode: mapMode.WRITE, offset: 0, size: this.size, ranges: [] }
  }

  get mapState(): GPUBufferMapState {
    return this.mapping ? 'mapped' : this.pending ? 'pending' : 'unmapped'
  }

  async mapAsync(mode: number, offset: number = 0, size: number = Math.max(0, this.size - offset)): Promise<undefined> {
    if (this.pending) throw operationError(`mapAsync: [Buffer "${this.label}"] already has an outstanding mapping`)
    const cancelled = new Promise<never>((_, reject) => {
      this.pending = { reject }
    })
    const request = this.pending
    try {
      const whole = await Promise.race([
        this.connection.ask<ArrayBuffer>(this.number, 'mapAsync', [mode, offset, size]),
        cancelled,
      ])
      this.whole = whole
      this.mapping = { mode, offset, size, ranges: [] }
    } finally {
      if (this.pending === request) this.pending = null
    }
  }

  getMappedRange(offset: number = 0, size: number = Math.max(0, this.size - offset)): ArrayBuffer {
    const { mapping, whole } = this
    checkMappedRange(`[Buffer "${this.label}"]`, mapping, offset, size)
    const start = offset - mapping.offset
    const data = start === 0 && size === whole!.byteLength ? whole! : whole!.slice(start, start + size)
    mapping.ranges.push({ offset, data })
    return data
  }

  unmap(): undefined {
    this.cancel()
    const { mapping } = this
    this.mapping = null
    this.whole = null
    if (mapping?.mode === mapMode.WRITE) {
      this.connection.call(
        this.number,
        'unmapWith',
        [mapping.ranges],
        undefined,
        mapping.ranges.map(({ data }) => data),
      )
      this.connection.flush()
    } else {
      this.send('unmap')
      for (const { data } of mapping?.ranges ?? []) detach(data)
    }
  }

  destroy(): undefined {
    this.cancel()
    for (const { data } of this.mapping?.ranges ?? []) detach(data)
    this.mapping = null
    this.whole = null
    this.send('destroy')
  }

  private cancel(): void {
    this.pending?.reject(
      new DOMException(`mapAsync: [Buffer "${this.label}"] was unmapped before it was mapped`, 'AbortError'),
    )
    this.pending = null
  }
}

class RemoteShaderModule extends Remote {
  async getCompilationInfo(): Promise<GPUCompilationInfo> {
    return {
      messages: await this.connection.ask<GPUCompilationMessage[]>(this.number, 'getCompilationInfo', []),
    } as unknown as GPUCompilationInfo
  }
}

class RemotePipeline extends Remote {
  getBindGroupLayout(index: number): GPUBindGroupLayout {
    return this.make(new Remote(this.connection, ''), 'getBindGroupLayout', index) as unknown as GPUBindGroupLayout
  }
}

class RemoteQuerySet extends Remote {
  readonly type: GPUQueryType
  readonly count: number
  constructor(connection: Connection, descriptor: GPUQuerySetDescriptor) {
    super(connection, descriptor.label)
    this.type = descriptor.type
    this.count = descriptor.count
  }
  destroy(): undefined {
    this.send('destroy')
  }
}

/**
 * Records a whole pass as numbers and sends them when it ends: a message per call would cost more than most dispatches.
 */
class RemotePass extends Remote {
  private record: number[] = []
  /** Keeps what the record mentions from being collected before it is sent. */
  private held: unknown[] = []

  setPipeline(pipeline: GPUComputePipeline): undefined {
    this.record.push(passCall.setPipeline, this.hold(pipeline))
  }

  setBindGroup(
    index: number,
    group: GPUBindGroup | null,
    offsets?: Iterable<number> | Uint32Array,
    start?: number,
    length?: number,
  ): undefined {
    const list = !offsets
      ? []
      : start === undefined
      ? [...offsets]
      : [...(offsets as Uint32Array).subarray(start, start + (length ?? 0))]
    this.record.push(passCall.setBindGroup, index, group ? this.hold(group) : 0, list.length, ...list)
  }

  dispatchWorkgroups(x: number, y: number = 1, z: number = 1): undefined {
    this.record.push(passCall.dispatch, x, y, z)
  }

  dispatchWorkgroupsIndirect(buffer: GPUBuffer, offset: number): undefined {
    this.record.push(passCall.indirect, this.hold(buffer), offset)
  }

  end(): undefined {
    const data = Float64Array.from(this.record)
    this.connection.call(this.number, 'replay', [data], undefined, [data.buffer])
    this.send('end')
    this.record = []
    this.held = []
  }

  pushDebugGroup(): undefined {/* shown nowhere */}
  popDebugGroup(): undefined {/* shown nowhere */}
  insertDebugMarker(): undefined {/* shown nowhere */}

  private hold(object: unknown): number {
    this.held.push(object)
    return (object as Remote).number
  }
}

class RemoteEncoder extends Remote {
  beginComputePass(descriptor?: GPUComputePassDescriptor): GPUComputePassEncoder {
    return this.make(
      new RemotePass(this.connection, descriptor?.label),
      'beginComputePass',
      descriptor,
    ) as unknown as GPUComputePassEncoder
  }
  copyBufferToBuffer(...args: unknown[]): undefined {
    this.send('copyBufferToBuffer', ...args)
  }
  clearBuffer(buffer: GPUBuffer, offset?: number, size?: number): undefined {
    this.send('clearBuffer', buffer, offset, size)
  }
  resolveQuerySet(...args: unknown[]): undefined {
    this.send('resolveQuerySet', ...args)
  }
  finish(descriptor?: GPUCommandBufferDescriptor): GPUCommandBuffer {
    return this.make(
      new Remote(this.connection, descriptor?.label),
      'finish',
      descriptor,
    ) as unknown as GPUCommandBuffer
  }
  pushDebugGroup(): undefined {/* shown nowhere */}
  popDebugGroup(): undefined {/* shown nowhere */}
  insertDebugMarker(): undefined {/* shown nowhere */}
}

class RemoteQueue extends Remote {
  submit(commandBuffers: Iterable<GPUCommandBuffer>): undefined {
    this.send('submit', commandBuffers)
    this.connection.flush()
  }

  writeBuffer(
    buffer: GPUBuffer,
    bufferOffset: number,
    data: GPUAllowSharedBufferSource,
    dataOffset: number = 0,
    size?: number,
  ): undefined {
    const view = ArrayBuffer.isView(data)
    const unit = view && 'BYTES_PER_ELEMENT' in data ? (data as Uint8Array).BYTES_PER_ELEMENT : 1
    const start = dataOffset * unit, end = size === undefined ? data.byteLength : start + size * unit
    if (start > end || end > data.byteLength) {
      throw operationError(`writeBuffer: bytes ${start}..${end} are not all in the data, which has ${data.byteLength}`)
    }
    if ((end - start) % 4 !== 0) throw operationError(`writeBuffer: ${end - start} bytes are no multiple of 4`)
    // a copy, because the caller may change its data as soon as this returns
    const copy = new Uint8Array(end - start)
    copy.set(new Uint8Array(view ? data.buffer : data, (view ? data.byteOffset : 0) + start, end - start))
    this.connection.call(this.number, 'writeBuffer', [buffer, bufferOffset, copy], undefined, [copy.buffer])
  }

  async onSubmittedWorkDone(): Promise<undefined> {
    await this.connection.ask(this.number, 'onSubmittedWorkDone', [])
  }
}

class RemoteDevice extends EventTarget {
  label: string
  readonly connection: Connection
  readonly number: number
  readonly features: ReadonlySet<string>
  readonly limits: Record<string, number>
  readonly adapterInfo: GPUAdapterInfo
  readonly queue: RemoteQueue
  readonly lost: Promise<GPUDeviceLostInfo>
  onuncapturederror: ((event: UncapturedErrorEvent) => void) | null = null
  private resolveLost!: (info: GPUDeviceLostInfo) => void
  private listens = false

  constructor(connection: Connection, label: string, number: number, facts: DeviceFacts, info: GPUAdapterInfo) {
    super()
    this.label = label
    this.connection = connection
    this.number = number
    this.features = new Set(facts.features)
    this.limits = facts.limits
    this.adapterInfo = info
    this.lost = new Promise((resolve) => {
      this.resolveLost = resolve
    })
    this.queue = new RemoteQueue(connection, '')
    connection.call(number, 'getQueue', [], this.queue.number)
    connection.adopt(this, number)
  }

  createBuffer(descriptor: GPUBufferDescriptor): GPUBuffer {
    if (descriptor.mappedAtCreation && descriptor.size % 4 !== 0) {
      throw new RangeError(`createBuffer: size ${descriptor.size} is no multiple of 4`)
    }
    return this.make(new RemoteBuffer(this.connection, descriptor), 'createBuffer', descriptor) as unknown as GPUBuffer
  }
  createBindGroupLayout(descriptor: GPUBindGroupLayoutDescriptor): GPUBindGroupLayout {
    return this.make(
      new Remote(this.connection, descriptor.label),
      'createBindGroupLayout',
      descriptor,
    ) as unknown as GPUBindGroupLayout
  }
  createPipelineLayout(descriptor: GPUPipelineLayoutDescriptor): GPUPipelineLayout {
    return this.make(
      new Remote(this.connection, descriptor.label),
      'createPipelineLayout',
      descriptor,
    ) as unknown as GPUPipelineLayout
  }
  createBindGroup(descriptor: GPUBindGroupDescriptor): GPUBindGroup {
    return this.make(
      new Remote(this.connection, descriptor.label),
      'createBindGroup',
      descriptor,
    ) as unknown as GPUBindGroup
  }
  createShaderModule(descriptor: GPUShaderModuleDescriptor): GPUShaderModule {
    return this.make(
      new RemoteShaderModule(this.connection, descriptor.label),
      'createShaderModule',
      descriptor,
    ) as unknown as GPUShaderModule
  }
  createComputePipeline(descriptor: GPUComputePipelineDescriptor): GPUComputePipeline {
    return this.make(
      new RemotePipeline(this.connection, descriptor.label),
      'createComputePipeline',
      descriptor,
    ) as unknown as GPUComputePipeline
  }
  async createComputePipelineAsync(descriptor: GPUComputePipelineDescriptor): Promise<GPUComputePipeline> {
    const pipeline = new RemotePipeline(this.connection, descriptor.label)
    await this.connection.ask(this.number, 'createComputePipelineAsync', [descriptor], pipeline.number)
    return pipeline as unknown as GPUComputePipeline
  }
  createQuerySet(descriptor: GPUQuerySetDescriptor): GPUQuerySet {
    return this.make(
      new RemoteQuerySet(this.connection, descriptor),
      'createQuerySet',
      descriptor,
    ) as unknown as GPUQuerySet
  }
  createCommandEncoder(descriptor?: GPUCommandEncoderDescriptor): GPUCommandEncoder {
    return this.make(
      new RemoteEncoder(this.connection, descriptor?.label),
      'createCommandEncoder',
      descriptor,
    ) as unknown as GPUCommandEncoder
  }
  pushErrorScope(filter: GPUErrorFilter): undefined {
    this.connection.call(this.number, 'pushErrorScope', [filter])
  }
  async popErrorScope(): Promise<GPUError | null> {
    const error = await this.connection.ask<PlainError | null>(this.number, 'popErrorScope', [])
    return error && errorNamed(error.name, error.message)
  }
  destroy(): undefined {
    this.connection.call(this.number, 'destroy', [])
  }

  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    if (type === 'uncapturederror' && listener) this.listens = true
    super.addEventListener(type, listener, options)
  }

  onLost(info: { reason: string, message: string }): void {
    this.resolveLost(info as GPUDeviceLostInfo)
  }

  onUncaptured(error: GPUError): void {
    const event = new UncapturedErrorEvent(error)
    this.onuncapturederror?.(event)
    this.dispatchEvent(event)
    if (!this.onuncapturederror && !this.listens) {
      console.error(`espalier: uncaptured error of the embedded device: ${error.message}`)
    }
  }

  private make<T extends Remote>(made: T, method: string, ...args: unknown[]): T {
    this.connection.call(this.number, method, args, made.number)
    return made
  }
}

/**
 * The embedded device's `GPU` for a page. Threads need a cross-origin isolated page; without that there is one, in the
 * worker.
 * @throws where the page may not start workers
 */
export function createBrowserGpu(options: BrowserOptions = {}): GPU {
  const { worker, ...rest } = options
  const connection = new Connection(startWorker(worker), rest)
  const gpu = {
    wgslLanguageFeatures: new Set<string>(),
    getPreferredCanvasFormat: (): GPUTextureFormat => 'rgba8unorm',
    async requestAdapter(): Promise<GPUAdapter> {
      const adapter = new Remote(connection, '')
      const facts = await connection.ask<AdapterFacts>(0, 'requestAdapter', [], adapter.number)
      return Object.assign(adapter, {
        features: new Set(facts.features),
        limits: facts.limits,
        info: facts.info,
        async requestDevice(descriptor: GPUDeviceDescriptor = {}): Promise<GPUDevice> {
          const number = connection.reserve()
          const made = await connection.ask<DeviceFacts>(adapter.number, 'requestDevice', [descriptor], number)
          return new RemoteDevice(
            connection,
            descriptor.label ?? '',
            number,
            made,
            facts.info as unknown as GPUAdapterInfo,
          ) as unknown as GPUDevice
        },
      }) as unknown as GPUAdapter
    },
  }
  return gpu as unknown as GPU
}

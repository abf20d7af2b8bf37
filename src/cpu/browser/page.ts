// The embedded device for pages. It lives in a dedicated worker, so that the page's thread neither computes nor waits;
// what is here makes the interface's objects out of numbers, and its calls into messages. Sizes, usages and mapped
// bytes are known here; all other checks are made over there, and their errors come back through error scopes and
// `uncapturederror` as ever.
import type { CpuOptions } from '../device/adapter.ts'
import { Connection, Remote } from './connection.ts'
import { RemoteBuffer, RemoteEncoder, RemotePipeline, RemoteQuerySet, RemoteQueue,
  RemoteShaderModule } from './objects.ts'
import { startWorker } from './start.ts'
import { errorNamed, UncapturedErrorEvent } from '../runtime/errors.ts'
import type { AdapterFacts, DeviceFacts, PlainError } from './protocol.ts'

/** Options for pages: those of the device, and where its worker's script is. */
export interface BrowserOptions extends CpuOptions {
  /** A worker that runs `worker.js` of this folder, or its address; the device starts its own where none is given. */
  worker?: string | URL | Worker
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
    return this.make(new RemoteBuffer(this.connection, descriptor), 'createBuffer', descriptor)
  }
  createBindGroupLayout(descriptor: GPUBindGroupLayoutDescriptor): GPUBindGroupLayout {
    return this.make(new Remote(this.connection, descriptor.label), 'createBindGroupLayout', descriptor)
  }
  createPipelineLayout(descriptor: GPUPipelineLayoutDescriptor): GPUPipelineLayout {
    return this.make(new Remote(this.connection, descriptor.label), 'createPipelineLayout', descriptor)
  }
  createBindGroup(descriptor: GPUBindGroupDescriptor): GPUBindGroup {
    return this.make(new Remote(this.connection, descriptor.label), 'createBindGroup', descriptor)
  }
  createShaderModule(descriptor: GPUShaderModuleDescriptor): GPUShaderModule {
    return this.make(new RemoteShaderModule(this.connection, descriptor.label), 'createShaderModule', descriptor)
  }
  createComputePipeline(descriptor: GPUComputePipelineDescriptor): GPUComputePipeline {
    return this.make(new RemotePipeline(this.connection, descriptor.label), 'createComputePipeline', descriptor)
  }
  async createComputePipelineAsync(descriptor: GPUComputePipelineDescriptor): Promise<GPUComputePipeline> {
    const pipeline = new RemotePipeline(this.connection, descriptor.label)
    await this.connection.ask(this.number, 'createComputePipelineAsync', [descriptor], pipeline.number)
    return pipeline as unknown as GPUComputePipeline
  }
  createQuerySet(descriptor: GPUQuerySetDescriptor): GPUQuerySet {
    return this.make(new RemoteQuerySet(this.connection, descriptor), 'createQuerySet', descriptor)
  }
  createCommandEncoder(descriptor?: GPUCommandEncoderDescriptor): GPUCommandEncoder {
    return this.make(new RemoteEncoder(this.connection, descriptor?.label), 'createCommandEncoder', descriptor)
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

  /** Calls a method that returns an object, which `made` stands for: a `G` to the page. */
  private make<G>(made: Remote, method: string, ...args: unknown[]): G {
    this.connection.call(this.number, method, args, made.number)
    return made as unknown as G
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

// GPUDevice: creates everything else, collects errors, and can be destroyed.
import type { Mode } from '../abi.ts'
import { CpuBuffer } from './buffer.ts'
import type { Compiler } from '../runtime/cache.ts'
import { Core } from '../runtime/core.ts'
import { CpuCommandEncoder } from './encoder.ts'
import { PipelineError, Refusal, UncapturedErrorEvent } from '../runtime/errors.ts'
import { CpuBindGroup, CpuBindGroupLayout, CpuPipelineLayout } from './layout.ts'
import type { Limits } from '../runtime/limits.ts'
import { CpuComputePipeline, CpuShaderModule } from './pipeline.ts'
import { nextTurn } from '../runtime/platform.ts'
import { CpuQuerySet } from './query.ts'
import { CpuQueue } from './queue.ts'
import type { Finding } from '../runtime/reports.ts'

/** How a device is made; `requestDevice` fills it in. */
export interface DeviceOptions {
  threads: number
  memoryLimit: number
  timeLimit: number
  mode: Mode
  compiler: Compiler
  limits: Limits
  features: Set<string>
  label: string
  queueLabel: string
  info: GPUAdapterInfo
}

/** The embedded device. Beside the standard's compute subset it counts its memory and keeps what debug modes find. */
export class CpuDevice extends EventTarget implements GPUDevice {
  declare readonly __brand: 'GPUDevice'
  label: string
  readonly features: GPUSupportedFeatures
  readonly limits: GPUSupportedLimits
  readonly adapterInfo: GPUAdapterInfo
  readonly queue: GPUQueue
  readonly lost: Promise<GPUDeviceLostInfo>
  private readonly core: Core
  private resolveLost!: (info: GPUDeviceLostInfo) => void
  private handler: GPUDevice['onuncapturederror'] = null
  private listeners = 0

  constructor(options: DeviceOptions) {
    super()
    this.label = options.label
    this.features = options.features
    this.limits = options.limits as unknown as GPUSupportedLimits
    this.adapterInfo = options.info
    this.lost = new Promise((resolve) => {
      this.resolveLost = resolve
    })
    this.core = new Core({ ...options, uncaptured: (error) => this.uncaptured(error) })
    this.queue = new CpuQueue(this.core, options.queueLabel)
  }

  createBuffer(descriptor: GPUBufferDescriptor): GPUBuffer {
    return new CpuBuffer(this.core, descriptor)
  }

  createBindGroupLayout(descriptor: GPUBindGroupLayoutDescriptor): GPUBindGroupLayout {
    return CpuBindGroupLayout.create(this.core, descriptor)
  }

  createPipelineLayout(descriptor: GPUPipelineLayoutDescriptor): GPUPipelineLayout {
    return new CpuPipelineLayout(this.core, descriptor.label, [...descriptor.bindGroupLayouts])
  }

  createBindGroup(descriptor: GPUBindGroupDescriptor): GPUBindGroup {
    return new CpuBindGroup(this.core, descriptor)
  }

  createShaderModule(descriptor: GPUShaderModuleDescriptor): GPUShaderModule {
    return new CpuShaderModule(this.core, descriptor)
  }

  createComputePipeline(descriptor: GPUComputePipelineDescriptor): GPUComputePipeline {
    let pipeline = CpuComputePipeline.invalid(this.core, descriptor)
    try {
      this.core.attempt(`createComputePipeline${descriptor.label ? ` "${descriptor.label}"` : ''}`, () => {
        pipeline = CpuComputePipeline.build(this.core, descriptor)
      })
    } catch (error) {
      if (error instanceof RangeError) this.core.errors.outOfMemory(error.message)
      else if (error instanceof WebAssembly.CompileError) this.core.errors.internal(`${pipeline}: ${error.message}`)
      else throw error
    }
    return pipeline
  }

  async createComputePipelineAsync(descriptor: GPUComputePipelineDescriptor): Promise<GPUComputePipeline> {
    try {
      const pipeline = CpuComputePipeline.build(this.core, descriptor)
      return await this.core.later(() => pipeline)
    } catch (error) {
      const internal = error instanceof RangeError || error instanceof WebAssembly.CompileError
      if (!internal && !(error instanceof Refusal)) throw error
      throw new PipelineError(
        `createComputePipelineAsync${descriptor.label ? ` "${descriptor.label}"` : ''}: ${error.message}`,
        internal ? 'internal' : 'validation',
      )
    }
  }

  createCommandEncoder(descriptor?: GPUCommandEncoderDescriptor): GPUCommandEncoder {
    return new CpuCommandEncoder(this.core, descriptor)
  }

  createQuerySet(descriptor: GPUQuerySetDescriptor): GPUQuerySet {
    return new CpuQuerySet(this.core, descriptor)
  }

  pushErrorScope(filter: GPUErrorFilter): undefined {
    this.core.errors.push(filter)
  }

  popErrorScope(): Promise<GPUError | null> {
    const { core } = this
    if (core.lost) return core.later(() => null)
    const scope = core.errors.pop()
    if (scope === undefined) {
      return Promise.reject(new DOMException('popErrorScope: no error scope is open', 'OperationError'))
    }
    return core.later(() => scope.error)
  }

  destroy(): undefined {
    const { core } = this
    if (core.lost) return
    for (const buffer of [...core.mapped]) buffer.destroy()
    core.lost = true
    core.errors.silent = true
    core.work.clear()
    core.scheduler.stop()
    nextTurn(() => this.resolveLost({ reason: 'destroyed', message: 'the device was destroyed' } as GPUDeviceLostInfo))
  }

  /** Bytes of buffers and kernels now, and at most so far. */
  get memoryUse(): { used: number, peak: number, limit: number } {
    const { used, peak, limit } = this.core.memory
    return { used, peak, limit }
  }

  /** Threads that run kernels, the calling one included. */
  get threads(): number {
    return this.core.scheduler.threads
  }

  /** Chunks of work that threads other than the calling one have run so far. */
  get chunksHelped(): number {
    return this.core.scheduler.helped
  }

  /** What kernels in a debug mode found since the last call; each was also reported as a validation error. */
  takeFindings(): Finding[] {
    return this.core.findings.splice(0)
  }

  get onuncapturederror(): GPUDevice['onuncapturederror'] {
    return this.handler
  }
  set onuncapturederror(handler: GPUDevice['onuncapturederror']) {
    this.handler = handler
  }

  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    if (type === 'uncapturederror' && listener) this.listeners++
    super.addEventListener(type, listener, options)
  }

  declare createTexture: GPUDevice['createTexture']
  declare createSampler: GPUDevice['createSampler']
  declare importExternalTexture: GPUDevice['importExternalTexture']
  declare createRenderPipeline: GPUDevice['createRenderPipeline']
  declare createRenderPipelineAsync: GPUDevice['createRenderPipelineAsync']
  declare createRenderBundleEncoder: GPUDevice['createRenderBundleEncoder']

  private uncaptured(error: GPUError): void {
    nextTurn(() => {
      const event = new UncapturedErrorEvent(error)
      this.handler?.call(this, event)
      this.dispatchEvent(event)
      // an error nobody listens for must not vanish
      if (!this.handler && this.listeners === 0) {
        console.error(`espalier: uncaptured error of the embedded device: ${error.constructor.name}: ${error.message}`)
      }
    })
  }
}

/** Gives a class the standard's graphics methods, as refusals that say so. */
function computeOnly(type: { prototype: object }, names: string[]): void {
  for (const name of names) {
    Object.defineProperty(type.prototype, name, {
      value() {
        throw new TypeError(`${name}: the embedded device computes only, it has no textures and draws nothing`)
      },
    })
  }
}
computeOnly(CpuDevice, [
  'createTexture',
  'createSampler',
  'importExternalTexture',
  'createRenderPipeline',
  'createRenderPipelineAsync',
  'createRenderBundleEncoder',
])
computeOnly(CpuCommandEncoder, [
  'beginRenderPass',
  'copyBufferToTexture',
  'copyTextureToBuffer',
  'copyTextureToTexture',
])
computeOnly(CpuQueue, ['writeTexture', 'copyExternalImageToTexture'])

// GPU and GPUAdapter of the embedded device.
import { isChecking, type Mode } from '../abi.ts'
import type { Compiler } from '../runtime/cache.ts'
import { CpuDevice } from './device.ts'
import { operationError } from '../runtime/errors.ts'
import { adapterFeatures, adapterLimits, deviceFeatures, deviceLimits, type Limits } from '../runtime/limits.ts'
import { affordableThreads, coreCount, cpuModel, environment, joinsVectors, relaxedSimdAvailable,
  sharedMemoryAvailable } from '../runtime/platform.ts'

/** Options of the embedded device. */
export interface CpuOptions {
  /**
   * Threads that compute, the calling one included. Default: `ESPALIER_THREADS`, else all cores. More than one needs
   * shared memory.
   */
  threads?: number
  /** How kernels are compiled. Default `fast`; the checking modes run on one thread. */
  mode?: Mode
  /** Most bytes of linear memory. Default (and most) 4 GiB. */
  memoryLimit?: number
  /**
   * Most milliseconds of one call of a kernel (a dispatch, or the part of it that runs between two turns of the event
   * loop); a loop that does not end becomes an error of the device then. 0 for no limit. Default: `ESPALIER_TIME_LIMIT`
   * in seconds, else 60,000.
   */
  timeLimit?: number
}

const FOUR_GIB = 2 ** 32

function threadCount(options: CpuOptions): number {
  const wish = options.threads ?? Number(environment('ESPALIER_THREADS') || coreCount())
  if (!Number.isInteger(wish) || wish < 1 || wish > 256) {
    throw new RangeError(
      `threads${options.threads === undefined ? ' (ESPALIER_THREADS)' : ''}: expected an integer from 1 to 256, got `
        + `${options.threads ?? environment('ESPALIER_THREADS')}`,
    )
  }
  return isChecking(options.mode ?? 'fast') || !sharedMemoryAvailable() ? 1 : Math.min(wish, affordableThreads())
}

function timeLimit(options: CpuOptions): number {
  const text = environment('ESPALIER_TIME_LIMIT')
  const wish = options.timeLimit ?? (text ? Number(text) * 1000 : 60_000)
  if (!(wish >= 0)) {
    throw new RangeError(
      `timeLimit${options.timeLimit === undefined ? ' (ESPALIER_TIME_LIMIT)' : ''}: expected a number from 0, got `
        + `${options.timeLimit ?? text}`,
    )
  }
  return wish === 0 ? Infinity : wish
}

/** The adapter: one device can be requested of it. */
export class CpuAdapter implements GPUAdapter {
  declare readonly __brand: 'GPUAdapter'
  readonly features: GPUSupportedFeatures = new Set<string>(adapterFeatures)
  readonly limits: GPUSupportedLimits
  readonly info: GPUAdapterInfo
  private readonly options: Required<CpuOptions>
  private readonly compiler: Compiler
  private consumed = false

  constructor(options: CpuOptions, compiler: Compiler) {
    this.compiler = compiler
    const threads = threadCount(options)
    this.options = {
      threads,
      mode: options.mode ?? 'fast',
      timeLimit: timeLimit(options),
      memoryLimit: Math.min(options.memoryLimit ?? FOUR_GIB, FOUR_GIB),
    }
    this.limits = adapterLimits(this.options.memoryLimit) as unknown as GPUSupportedLimits
    this.info = {
      vendor: 'espalier',
      architecture: joinsVectors() ? 'wasm-simd-256' : 'wasm-simd',
      device: 'cpu',
      isFallbackAdapter: true,
      subgroupMinSize: 4,
      subgroupMaxSize: 128,
      description: `embedded device, ${threads} thread${threads > 1 ? 's' : ''} on ${cpuModel()}${
        relaxedSimdAvailable() ? '' : ', no fused multiply-add'
      }`,
    } as unknown as GPUAdapterInfo
  }

  async requestDevice(descriptor: GPUDeviceDescriptor = {}): Promise<GPUDevice> {
    const features = deviceFeatures(descriptor.requiredFeatures)
    const limits = deviceLimits(
      this.limits as unknown as Limits,
      descriptor.requiredLimits as Record<string, number | undefined> | undefined,
    )
    if (this.consumed) {
      throw operationError('requestDevice: this adapter has given its device already; request another adapter')
    }
    this.consumed = true
    return new CpuDevice({
      ...this.options,
      compiler: this.compiler,
      limits,
      features,
      info: this.info,
      label: descriptor.label ?? '',
      queueLabel: descriptor.defaultQueue?.label ?? '',
    })
  }
}

/** Stands where `navigator.gpu` or dawn's `create()` stands. */
export class CpuGpu implements GPU {
  declare readonly __brand: 'GPU'
  readonly wgslLanguageFeatures: WGSLLanguageFeatures = new Set<string>()
  private readonly options: CpuOptions
  private readonly compiler: Compiler

  constructor(options: CpuOptions, compiler: Compiler) {
    this.options = options
    this.compiler = compiler
  }

  /** Always there, whatever is asked for. */
  async requestAdapter(options?: GPURequestAdapterOptions): Promise<GPUAdapter> {
    void options
    return new CpuAdapter(this.options, this.compiler)
  }

  getPreferredCanvasFormat(): GPUTextureFormat {
    return 'rgba8unorm'
  }
}

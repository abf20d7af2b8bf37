// The embedded device: WGSL compute kernels on WebAssembly SIMD and worker threads, behind the standard's interface.
import { CpuGpu, type CpuOptions } from './device/adapter.ts'
import { cached } from './runtime/cache.ts'
import { analyse, compile } from './compiler/compile.ts'
import { mapMode, shaderStage, usage } from './device/flags.ts'

export type { CpuOptions } from './device/adapter.ts'
export { CpuDevice } from './device/device.ts'
export type { Finding } from './runtime/reports.ts'
export type { Mode } from './abi.ts'

const compiler = cached({ analyse, compile })

/**
 * The embedded device's `GPU`. Its adapter is always available; `info.vendor` is `espalier`.
 * Throws RangeError for a number of threads that makes no sense (at `requestAdapter`).
 */
export function createCpuGpu(options: CpuOptions = {}): GPU {
  return new CpuGpu(options, compiler)
}

/** The standard's constants by their global names, for environments without them. */
export const globals = { GPUBufferUsage: usage, GPUMapMode: mapMode, GPUShaderStage: shaderStage } as const

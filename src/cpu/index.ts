// The embedded device: WGSL compute kernels on WebAssembly SIMD and worker threads, behind the standard's interface.
import { CpuGpu, type CpuOptions } from './adapter.ts'
import { cached } from './cache.ts'
import { analyse, compile } from './compile.ts'
import { mapMode, shaderStage, usage } from './flags.ts'

export type { CpuOptions } from './adapter.ts'
export { CpuDevice } from './device.ts'
export type { Finding } from './reports.ts'
export type { Mode } from './abi.ts'

const compiler = cached({ analyse, compile })

/**
 * The embedded device's `GPU`. Its adapter is always available; `info.vendor` is `espalier`.
 * Throws RangeError for a number of threads that makes no sense (at `requestAdapter`).
 */
export function createCpuGpu(options: CpuOptions = {}): GPU { return new CpuGpu(options, compiler) }

/** The standard's constants by their global names, for environments without them. */
export const globals = { GPUBufferUsage: usage, GPUMapMode: mapMode, GPUShaderStage: shaderStage } as const

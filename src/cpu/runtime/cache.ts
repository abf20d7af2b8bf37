// Shader modules and compiled entry points by their text, shared by all devices of a process: both are pure functions
// of it.
import type { CompiledKernel, CompileOptions, Module } from '../abi.ts'

/** The compiler as the device sees it; both functions throw WgslError. */
export interface Compiler {
  /** `features` are the device's: `enable f16` needs `shader-f16`. */
  analyse(source: string, features: Set<string>): Module
  compile(module: Module, options: CompileOptions): CompiledKernel
}

const LIMIT = 512

function remember<T>(map: Map<string, T>, key: string, make: () => T): T {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    if (map.size >= LIMIT) map.delete(map.keys().next().value!)
  } else {
    map.delete(key) // moves it to the young end
  }
  map.set(key, value)
  return value
}

/** The same compiler with a memory of its last results. */
export function cached(compiler: Compiler): Compiler {
  const modules = new Map<string, Module>()
  const kernels = new Map<string, CompiledKernel>()
  return {
    analyse: (source, features) =>
      remember(modules, `${features.has('shader-f16')} ${source}`, () => compiler.analyse(source, features)),
    compile(module, options) {
      const constants = Object.entries(options.constants ?? {}).sort(([a], [b]) => a < b ? -1 : 1)
      const key = JSON.stringify([options.entryPoint, options.mode, options.relaxed, options.sharedMemory, constants])
        + module.source
      return remember(kernels, key, () => compiler.compile(module, options))
    },
  }
}

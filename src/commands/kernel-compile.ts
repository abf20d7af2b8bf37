// Whether a WGSL file compiles: on the embedded device and on every adapter of dawn.
import type { CompiledKernel, OverrideInfo } from '../cpu/abi.ts'
import { analyse, compile } from '../cpu/compiler/compile.ts'
import { createCpuGpu } from '../cpu/index.ts'
import type { Program } from '../cpu/compiler/tree.ts'
import { InputError } from '../base/errors.ts'
import { nameOf } from '../gpu/adapters.ts'
import { probeDawn } from './doctor/probe.ts'
import type { Setup } from './kernel-inputs.ts'
import type { KernelFinding } from './kernel-finding.ts'

/** What the compilers gave: the tree and the kernels where the embedded device takes the text. */
export interface Compiled {
  program: Program | null
  overrides: readonly OverrideInfo[]
  kernels: { entry: string, compiled: CompiledKernel }[]
  backends: string[]
}

/**
 * Compiles on the embedded device and on all of dawn's adapters, its null backend included; mistakes become findings.
 */
export async function compileEverywhere(
  text: string,
  file: string,
  setup: Setup,
  only: string | undefined,
  withDawn: boolean,
  findings: KernelFinding[],
  say: (line: string) => void,
): Promise<Compiled> {
  const device = await (await createCpuGpu({ threads: 1 }).requestAdapter())!.requestDevice({
    requiredFeatures: ['shader-f16'] as GPUFeatureName[],
  })
  const backends = ['embedded device']
  const mistakes = await complaints(device, text, [], setup)
  const entries = mistakes.length ? [] : analyse(text).entryPoints.filter((name) => !only || name === only)
  if (!mistakes.length && !entries.length) {
    throw new InputError(
      `${file}: expected ${only ? `an entry point '${only}'` : 'a compute entry point'}, found ${
        analyse(text).entryPoints.join(', ') || 'none'
      }`,
    )
  }
  const add = (backend: string, found: Complaint[]) => {
    for (const { message, line, column, kernel } of found) {
      findings.push({
        mode: 'compile',
        backend,
        file,
        kernel: kernel ?? '',
        line,
        column,
        variable: null,
        index: null,
        message,
        count: 1,
      })
    }
  }
  mistakes.push(...mistakes.length ? [] : await complaints(device, text, entries, setup))
  device.destroy()
  add(backends[0], mistakes)
  if (withDawn) {
    const { adapters, failure } = await probeDawn()
    if (failure && !adapters.length) say(`check-kernel: dawn is left out: ${failure}`)
    for (
      const flags of [
        ...adapters.filter((one) => one.failure === null).map((
          { backend, name },
        ) => [`backend=${backend}`, `adapter=${name}`]),
        ['backend=null'],
      ]
    ) {
      const adapter = await dawnAdapter(flags)
      if (!adapter) continue
      const wanted = ['shader-f16', 'subgroups'].filter((name) => adapter.features.has(name)) as GPUFeatureName[]
      const native = await adapter.requestDevice({ requiredFeatures: wanted })
      kept.push(native)
      backends.push(flags[0] === 'backend=null' ? 'dawn, null backend' : `dawn, ${nameOf(adapter)}`)
      add(backends.at(-1)!, await complaints(native, text, entries, setup))
      native.destroy()
    }
  }
  const module = mistakes.length ? null : analyse(text)
  return {
    backends,
    program: module && module.program as Program,
    overrides: module?.overrides ?? [],
    kernels: module
      ? entries.map((entry) => ({
        entry,
        compiled: compile(module, { entryPoint: entry, constants: setup.overrides, sharedMemory: false }),
      }))
      : [],
  }
}

// Once collected, dawn hangs or aborts.
const kept: unknown[] = []

async function dawnAdapter(flags: string[]): Promise<GPUAdapter | null> {
  process.env.XDG_RUNTIME_DIR ??= process.env.TMPDIR ?? '/tmp'
  try {
    const { create, globals } = await import('webgpu')
    Object.assign(globalThis, globals)
    const instance = create(flags)
    kept.push(instance)
    return await instance.requestAdapter()
  } catch {
    return null
  }
}

interface Complaint {
  message: string
  line: number | null
  column?: number
  kernel?: string
}

/** What a device says against a module and, if it has none of that, against the pipelines of its entry points. */
async function complaints(
  device: GPUDevice,
  text: string,
  entries: string[],
  { overrides }: Setup,
): Promise<Complaint[]> {
  device.pushErrorScope('validation')
  const module = device.createShaderModule({ code: text })
  const { messages } = await module.getCompilationInfo()
  const error = await device.popErrorScope()
  const found: Complaint[] = messages.filter(({ type }) => type === 'error').map(({ message, lineNum, linePos }) => ({
    message,
    line: lineNum,
    column: linePos,
  }))
  if (error && !found.length) found.push({ message: error.message.split('\n')[0], line: null })
  for (const entryPoint of found.length ? [] : entries) {
    try {
      await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint, constants: overrides } })
    } catch (failure) {
      const { message } = failure as Error
      const at = /:(\d+):(\d+)/.exec(message)
      found.push({
        message: message.split('\n')[0],
        line: at && Number(at[1]),
        column: at ? Number(at[2]) : undefined,
        kernel: entryPoint,
      })
    }
  }
  return found
}

// Shader modules and compute pipelines.
import { WgslError, type BindingInfo, type CompiledKernel, type Module } from '../abi.ts'
import { DeviceObject, type Core } from '../runtime/core.ts'
import { refuse } from '../runtime/errors.ts'
import { shaderStage } from './flags.ts'
import { Kernel } from '../runtime/kernel.ts'
import { CpuBindGroupLayout, CpuPipelineLayout, type LayoutEntry } from './layout.ts'
import { relaxedSimdAvailable } from '../runtime/platform.ts'
import { instance, u32, usable } from './validation.ts'

function compilationMessage(source: string, error: WgslError): GPUCompilationMessage {
  const lines = source.split('\n').slice(0, Math.max(0, error.line - 1))
  const offset = lines.reduce((sum, line) => sum + line.length + 1, 0) + Math.max(0, error.column - 1)
  return {
    message: error.message,
    type: 'error',
    lineNum: error.line,
    linePos: error.column,
    offset,
    length: error.length,
  } as GPUCompilationMessage
}

const place = (label: string, error: WgslError): string =>
  `${label || 'shader'}:${error.line}:${error.column}: ${error.message}`

/** A shader module; one with mistakes is invalid and keeps them for `getCompilationInfo`. */
export class CpuShaderModule extends DeviceObject implements GPUShaderModule {
  declare readonly __brand: 'GPUShaderModule'
  readonly kind = 'ShaderModule'
  /** Undefined if the shader has mistakes. */
  readonly module: Module | undefined
  private readonly messages: readonly GPUCompilationMessage[]
  private readonly kernels = new Map<string, WeakRef<Kernel>>()

  constructor(core: Core, descriptor: GPUShaderModuleDescriptor) {
    super(core, descriptor.label)
    let mistakes: WgslError[] = []
    this.valid = core.attempt(`createShaderModule of ${this}`, () => {
      try {
        ;(this as { module: Module | undefined }).module = core.compiler.analyse(String(descriptor.code), core.features)
      } catch (error) {
        if (!(error instanceof WgslError)) throw error
        mistakes = error.errors
        refuse(mistakes.map((mistake) => place(this.label, mistake)).join('\n'))
      }
    })
    this.messages = mistakes.map((mistake) => compilationMessage(String(descriptor.code), mistake))
  }

  getCompilationInfo(): Promise<GPUCompilationInfo> {
    return this.core.later(() => ({ messages: this.messages }) as GPUCompilationInfo)
  }

  /**
   * The entry point with these constants, compiled and loaded; from memory if a living pipeline has the same. Refuses
   * mistakes.
   */
  kernel(stage: GPUProgrammableStage, name: string): Kernel {
    const { core } = this
    const constants = stage.constants ?? {}
    for (const [key, value] of Object.entries(constants)) {
      if (!Number.isFinite(Number(value))) throw new TypeError(`constant ${key} is not a finite number: ${value}`)
    }
    const checking = core.mode === 'bounds' || core.mode === 'race' || core.mode === 'nan'
    let compiled: CompiledKernel
    try {
      compiled = core.compiler.compile(this.module!, {
        entryPoint: stage.entryPoint,
        constants,
        mode: core.mode,
        relaxed: core.mode !== 'deterministic' && relaxedSimdAvailable(),
        sharedMemory: core.memory.shared,
      })
    } catch (error) {
      if (error instanceof WgslError) refuse(error.errors.map((mistake) => place(this.label, mistake)).join('\n'))
      throw error
    }
    checkLimits(core, compiled)
    // findings name the pipeline, so in those modes each has a kernel of its own
    const key = checking ? '' : JSON.stringify([stage.entryPoint, Object.entries(constants).sort()])
    const known = key ? this.kernels.get(key)?.deref() : undefined
    if (known) return known
    const kernel = core.load(compiled, checking ? core.reports.reporter(name, compiled) : undefined)
    if (key) this.kernels.set(key, new WeakRef(kernel))
    return kernel
  }
}

function checkLimits(core: Core, { workgroupSize: [x, y, z], workgroupStorage }: CompiledKernel): void {
  const { limits } = core
  const most = [limits.maxComputeWorkgroupSizeX, limits.maxComputeWorkgroupSizeY, limits.maxComputeWorkgroupSizeZ]
  ;[x, y, z].forEach((size, axis) => {
    if (size < 1) refuse(`workgroup_size ${'xyz'[axis]} is ${size}`)
    if (size > most[axis]) {
      refuse(`workgroup_size ${'xyz'[axis]} is ${size}, maxComputeWorkgroupSize${'XYZ'[axis]} is ${most[axis]}`)
    }
  })
  if (x * y * z > limits.maxComputeInvocationsPerWorkgroup) {
    refuse(
      `workgroup_size ${x} x ${y} x ${z} has ${
        x * y * z
      } invocations, maxComputeInvocationsPerWorkgroup is ${limits.maxComputeInvocationsPerWorkgroup}`,
    )
  }
  if (workgroupStorage > limits.maxComputeWorkgroupStorageSize) {
    refuse(
      `the workgroup variables take ${workgroupStorage} bytes, `
        + `maxComputeWorkgroupStorageSize is ${limits.maxComputeWorkgroupStorageSize}`,
    )
  }
}

/** Where a kernel's binding comes from at a dispatch. */
export interface Slot {
  group: number
  /** Index into the entries of the group's layout. */
  index: number
  /** Bytes the shader needs, if the layout left that to the dispatch; else 0. */
  minSize: number
  info: BindingInfo
}

let automaticLayouts = 0

/** A compute pipeline. */
export class CpuComputePipeline extends DeviceObject implements GPUComputePipeline {
  declare readonly __brand: 'GPUComputePipeline'
  readonly kind = 'ComputePipeline'
  readonly layout: CpuPipelineLayout | undefined
  /** Undefined in an invalid pipeline. */
  readonly kernel: Kernel | undefined
  /** In the kernel's order. */
  readonly slots: readonly Slot[] = []

  private constructor(
    core: Core,
    label: string | undefined,
    parts?: { layout: CpuPipelineLayout, kernel: Kernel, slots: Slot[] },
  ) {
    super(core, label)
    this.valid = parts !== undefined
    this.layout = parts?.layout
    this.kernel = parts?.kernel
    this.slots = parts?.slots ?? []
  }

  /** Compiles; broken rules throw Refusal. */
  static build(core: Core, descriptor: GPUComputePipelineDescriptor): CpuComputePipeline {
    const stage = descriptor.compute
    const module = instance(stage.module, CpuShaderModule, 'createComputePipeline: compute.module')
    usable(core, module)
    const given = descriptor.layout === 'auto'
      ? undefined
      : instance(descriptor.layout, CpuPipelineLayout, 'createComputePipeline: layout')
    if (given) usable(core, given)
    const kernel = module.kernel(stage, descriptor.label || module.label || stage.entryPoint || 'kernel')
    const layout = given ?? automaticLayout(core, kernel.compiled.bindings)
    if (!layout.valid) refuse('the shader has more bindings than the device allows')
    const slots = kernel.compiled.bindings.map((info) => slotFor(layout, info))
    return new CpuComputePipeline(core, descriptor.label, { layout, kernel, slots })
  }

  /** A pipeline whose creation failed. */
  static invalid(core: Core, descriptor: GPUComputePipelineDescriptor): CpuComputePipeline {
    return new CpuComputePipeline(core, descriptor.label)
  }

  getBindGroupLayout(index: number): GPUBindGroupLayout {
    const group = u32(index, 'getBindGroupLayout: index')
    const empty = CpuBindGroupLayout.automatic(this.core, [], 0)
    empty.valid = this.core.attempt(`getBindGroupLayout(${group}) of ${this}`, () => {
      usable(this.core, this)
      if (group >= this.core.limits.maxBindGroups) {
        refuse(`group ${group} is not below maxBindGroups (${this.core.limits.maxBindGroups})`)
      }
    })
    return this.layout?.groups[group] ?? empty
  }
}

function automaticLayout(core: Core, bindings: readonly BindingInfo[]): CpuPipelineLayout {
  const owner = ++automaticLayouts
  const count = bindings.reduce((most, { group }) => Math.max(most, group + 1), 0)
  if (count > core.limits.maxBindGroups) {
    refuse(`@group(${count - 1}) is not below maxBindGroups (${core.limits.maxBindGroups})`)
  }
  const groups = Array.from({ length: count }, (_, group) =>
    CpuBindGroupLayout.automatic(
      core,
      bindings
        .filter((info) => info.group === group)
        .map(({ binding, kind, minSize }) => ({
          binding,
          visibility: shaderStage.COMPUTE,
          type: kind,
          hasDynamicOffset: false,
          minBindingSize: minSize,
        })),
      owner,
    ))
  return new CpuPipelineLayout(core, '', groups)
}

function slotFor(layout: CpuPipelineLayout, info: BindingInfo): Slot {
  const { group, binding } = info
  const what = `@group(${group}) @binding(${binding}) ${info.name}`
  const groupLayout = layout.groups[group]
  const index = groupLayout ? groupLayout.entries.findIndex((entry) => entry.binding === binding) : -1
  if (!groupLayout || index < 0) refuse(`${what} is not in ${layout}`)
  const entry: LayoutEntry = groupLayout.entries[index]
  if (!(entry.visibility & shaderStage.COMPUTE)) refuse(`${what} is not visible to compute shaders in ${groupLayout}`)
  if (entry.type !== info.kind) refuse(`${what} is ${info.kind} in the shader and ${entry.type} in ${groupLayout}`)
  if (entry.minBindingSize !== 0 && entry.minBindingSize < info.minSize) {
    refuse(`${what} needs ${info.minSize} bytes, minBindingSize in ${groupLayout} is ${entry.minBindingSize}`)
  }
  return { group, index, minSize: entry.minBindingSize === 0 ? info.minSize : 0, info }
}

// Bind group layouts, pipeline layouts and bind groups: what a kernel expects where, and what is put there.
import { CpuBuffer } from './buffer.ts'
import { DeviceObject, type Core } from '../runtime/core.ts'
import { refuse } from '../runtime/errors.ts'
import { shaderStage, usage, usageNames } from './flags.ts'
import { inside, instance, multiple, size64, u32, usable } from './validation.ts'

/** One slot of a bind group layout. */
export interface LayoutEntry {
  binding: number
  visibility: number
  type: GPUBufferBindingType
  hasDynamicOffset: boolean
  minBindingSize: number
}

function layoutEntry(entry: GPUBindGroupLayoutEntry): LayoutEntry {
  const buffer = entry.buffer
  if (!buffer || entry.sampler || entry.texture || entry.storageTexture || entry.externalTexture) {
    refuse(`binding ${entry.binding}: the embedded device has buffer bindings only`)
  }
  const type = buffer.type ?? 'uniform'
  if (type !== 'uniform' && type !== 'storage' && type !== 'read-only-storage') {
    throw new TypeError(`createBindGroupLayout: '${String(type)}' is none of uniform, storage, read-only-storage`)
  }
  return {
    binding: u32(entry.binding, 'createBindGroupLayout: binding'),
    visibility: u32(entry.visibility, 'createBindGroupLayout: visibility'),
    type,
    hasDynamicOffset: buffer.hasDynamicOffset === true,
    minBindingSize: size64(buffer.minBindingSize ?? 0, 'createBindGroupLayout: minBindingSize'),
  }
}

/** A bind group layout; entries are sorted by binding number, which is the order of dynamic offsets too. */
export class CpuBindGroupLayout extends DeviceObject implements GPUBindGroupLayout {
  declare readonly __brand: 'GPUBindGroupLayout'
  readonly kind = 'BindGroupLayout'
  readonly entries: readonly LayoutEntry[]
  /** Two layouts are interchangeable if their keys are equal; that of an automatic layout names its pipeline. */
  readonly key: string
  readonly dynamicCount: number

  private constructor(core: Core, label: string | undefined, entries: LayoutEntry[], owner: number) {
    super(core, label)
    this.entries = entries.toSorted((a, b) => a.binding - b.binding)
    this.dynamicCount = entries.filter((entry) => entry.hasDynamicOffset).length
    this.key = `${owner};`
      + this.entries.map((e) => `${e.binding} ${e.visibility} ${e.type} ${e.hasDynamicOffset} ${e.minBindingSize}`)
        .join(';')
  }

  /** `createBindGroupLayout`. */
  static create(core: Core, descriptor: GPUBindGroupLayoutDescriptor): CpuBindGroupLayout {
    let layout: CpuBindGroupLayout | undefined
    const valid = core.attempt(`createBindGroupLayout${descriptor.label ? ` "${descriptor.label}"` : ''}`, () => {
      const entries = [...descriptor.entries].map(layoutEntry)
      const { limits } = core
      const seen = new Set<number>()
      for (const { binding, visibility, type } of entries) {
        if (seen.has(binding)) refuse(`binding ${binding} is given twice`)
        seen.add(binding)
        if (binding >= limits.maxBindingsPerBindGroup) {
          refuse(`binding ${binding} is not below maxBindingsPerBindGroup (${limits.maxBindingsPerBindGroup})`)
        }
        if (visibility & ~7) refuse(`binding ${binding}: visibility ${visibility} is no combination of shader stages`)
        if (type === 'storage' && visibility & shaderStage.VERTEX) {
          refuse(`binding ${binding}: a writable storage buffer is not visible to vertex shaders`)
        }
      }
      checkCounts(core, entries)
      layout = new CpuBindGroupLayout(core, descriptor.label, entries, 0)
    })
    layout ??= new CpuBindGroupLayout(core, descriptor.label, [], 0)
    layout.valid = valid
    return layout
  }

  /** The layout an automatic pipeline layout has for one group; `owner` is the pipeline's own number. */
  static automatic(core: Core, entries: LayoutEntry[], owner: number): CpuBindGroupLayout {
    return new CpuBindGroupLayout(core, '', entries, owner)
  }
}

/** Refuses more buffers of a kind than a pipeline layout may have. */
function checkCounts(core: Core, entries: readonly LayoutEntry[]): void {
  const compute = entries.filter((entry) => entry.visibility & shaderStage.COMPUTE)
  const count = (limit: string, list: readonly LayoutEntry[], uniform: boolean): void => {
    const found = list.filter((entry) => (entry.type === 'uniform') === uniform).length
    if (found > core.limits[limit]) refuse(`${found} bindings exceed ${limit} (${core.limits[limit]})`)
  }
  const dynamic = entries.filter((entry) => entry.hasDynamicOffset)
  count('maxUniformBuffersPerShaderStage', compute, true)
  count('maxStorageBuffersPerShaderStage', compute, false)
  count('maxDynamicUniformBuffersPerPipelineLayout', dynamic, true)
  count('maxDynamicStorageBuffersPerPipelineLayout', dynamic, false)
}

/** A pipeline layout: a bind group layout, or nothing, per group. */
export class CpuPipelineLayout extends DeviceObject implements GPUPipelineLayout {
  declare readonly __brand: 'GPUPipelineLayout'
  readonly kind = 'PipelineLayout'
  readonly groups: readonly (CpuBindGroupLayout | null)[]

  /**
   * With `checked`, the layouts come from a user; otherwise from a shader whose bindings still have to pass the limits.
   */
  constructor(core: Core, label: string | undefined, groups: readonly (GPUBindGroupLayout | null | undefined)[]) {
    super(core, label)
    this.groups = groups.map((group) =>
      group ? instance(group, CpuBindGroupLayout, 'createPipelineLayout: a bind group layout') : null
    )
    this.valid = core.attempt(`createPipelineLayout of ${this}`, () => {
      if (this.groups.length > core.limits.maxBindGroups) {
        refuse(`${this.groups.length} groups exceed maxBindGroups (${core.limits.maxBindGroups})`)
      }
      for (const group of this.groups) if (group) usable(core, group)
      checkCounts(core, this.groups.flatMap((group) => group?.entries ?? []))
    })
  }
}

/** A buffer range in a bind group. */
export interface Bound {
  layout: LayoutEntry
  buffer: CpuBuffer
  offset: number
  size: number
  /** Which of the dynamic offsets moves it; -1 if none. */
  dynamicIndex: number
}

/** A bind group; `bound` is in the order of the layout's entries. */
export class CpuBindGroup extends DeviceObject implements GPUBindGroup {
  declare readonly __brand: 'GPUBindGroup'
  readonly kind = 'BindGroup'
  readonly layout: CpuBindGroupLayout
  readonly bound: readonly Bound[] = []

  constructor(core: Core, descriptor: GPUBindGroupDescriptor) {
    super(core, descriptor.label)
    this.layout = instance(descriptor.layout, CpuBindGroupLayout, 'createBindGroup: layout')
    const entries = [...descriptor.entries]
    this.valid = core.attempt(`createBindGroup of ${this}`, () => {
      usable(core, this.layout)
      if (entries.length !== this.layout.entries.length) {
        refuse(
          `${entries.length} entries, ${this.layout} has ${this.layout.entries.length} (bindings ${
            this.layout.entries.map((e) => e.binding).join(', ')
          })`,
        )
      }
      let dynamic = 0
      const bound: Bound[] = []
      for (const layout of this.layout.entries) {
        const entry = entries.find((candidate) => candidate.binding === layout.binding)
        if (!entry) refuse(`binding ${layout.binding} of ${this.layout} has no entry`)
        bound.push(bind(core, layout, entry, layout.hasDynamicOffset ? dynamic++ : -1))
      }
      ;(this as { bound: readonly Bound[] }).bound = bound
    })
  }
}

function bind(core: Core, layout: LayoutEntry, entry: GPUBindGroupEntry, dynamicIndex: number): Bound {
  const what = `binding ${entry.binding}`
  const resource = entry.resource as GPUBuffer | GPUBufferBinding
  const range = resource instanceof CpuBuffer ? { buffer: resource } : resource as GPUBufferBinding
  const buffer = instance(range.buffer, CpuBuffer, `createBindGroup: ${what}`)
  usable(core, buffer)
  const offset = size64(range.offset ?? 0, `createBindGroup: offset of ${what}`)
  if (offset > buffer.size) refuse(`${what}: offset ${offset} is beyond ${buffer}, which has ${buffer.size} bytes`)
  const size = range.size === undefined ? buffer.size - offset : size64(range.size, `createBindGroup: size of ${what}`)
  if (size === 0) refuse(`${what}: the range of ${buffer} is empty`)
  inside(offset, size, buffer.size, `${buffer} (${what})`)
  const uniform = layout.type === 'uniform'
  const need = uniform ? usage.UNIFORM : usage.STORAGE
  if (!(buffer.usage & need)) {
    refuse(
      `${what}: ${buffer} has usage ${usageNames(buffer.usage)}, a ${layout.type} binding needs ${usageNames(need)}`,
    )
  }
  const { limits } = core
  multiple(
    offset,
    uniform ? limits.minUniformBufferOffsetAlignment : limits.minStorageBufferOffsetAlignment,
    `${what}: the offset into ${buffer}`,
  )
  if (!uniform) multiple(size, 4, `${what}: the size of a storage binding`)
  const limit = uniform ? 'maxUniformBufferBindingSize' : 'maxStorageBufferBindingSize'
  if (size > limits[limit]) refuse(`${what}: size ${size} exceeds ${limit} (${limits[limit]})`)
  if (size < layout.minBindingSize) {
    refuse(`${what}: ${size} bytes of ${buffer}, the layout asks for at least ${layout.minBindingSize}`)
  }
  return { layout, buffer, offset, size, dynamicIndex }
}

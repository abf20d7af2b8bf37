// Compute passes: what is checked at each dispatch. This is the path every launch takes, so it allocates one array and
// one object per dispatch, and checks only what changed since the last.
import { CpuBuffer } from './buffer.ts'
import { Dispatch, IndirectDispatch, type Stamp } from './commands.ts'
import { DeviceObject, type Core } from '../runtime/core.ts'
import type { CpuCommandEncoder } from './encoder.ts'
import { Refusal, refuse } from '../runtime/errors.ts'
import { usage, usageNames } from './flags.ts'
import { CpuBindGroup, type Bound } from './layout.ts'
import { CpuComputePipeline } from './pipeline.ts'
import { inside, instance, multiple, size64, u32, usable } from './validation.ts'

const none: readonly number[] = []

/** Records dispatches into its encoder. */
export class CpuComputePass extends DeviceObject implements GPUComputePassEncoder {
  declare readonly __brand: 'GPUComputePassEncoder'
  readonly kind = 'ComputePassEncoder'
  private readonly encoder: CpuCommandEncoder
  private readonly atEnd: Stamp | undefined
  private ended = false
  /** False if the pass could not begin; its encoder then knows why, and calls have no effect. */
  private readonly begun: boolean
  private pipeline: CpuComputePipeline | undefined
  private readonly groups: (CpuBindGroup | undefined)[] = []
  private readonly offsets: (readonly number[])[] = []
  /** Addresses and lengths for the current pipeline and groups, undefined after a change of either. */
  private bindings: number[] | undefined

  constructor(
    core: Core,
    label: string | undefined,
    encoder: CpuCommandEncoder,
    atEnd: Stamp | undefined,
    begun: boolean,
  ) {
    super(core, label)
    this.encoder = encoder
    this.atEnd = atEnd
    this.begun = begun
  }

  setPipeline(pipeline: GPUComputePipeline): undefined {
    const next = instance(pipeline, CpuComputePipeline, 'setPipeline: pipeline')
    this.record('setPipeline', () => {
      usable(this.core, next)
      this.pipeline = next
      this.bindings = undefined
    })
  }

  setBindGroup(
    index: number,
    group: GPUBindGroup | null | undefined,
    dynamicOffsets?: Iterable<number> | Uint32Array,
    start?: number,
    length?: number,
  ): undefined {
    const at = u32(index, 'setBindGroup: index')
    const next = group ? instance(group, CpuBindGroup, 'setBindGroup: bindGroup') : undefined
    let offsets = none
    if (dynamicOffsets) {
      if (start !== undefined) {
        const data = dynamicOffsets as Uint32Array, count = length ?? 0
        if (start + count > data.length) {
          throw new RangeError(`setBindGroup: offsets ${start}..${start + count} of an array of ${data.length}`)
        }
        offsets = [...data.subarray(start, start + count)]
      } else {
        offsets = [...dynamicOffsets]
      }
    }
    this.record('setBindGroup', () => {
      if (at >= this.core.limits.maxBindGroups) {
        refuse(`index ${at} is not below maxBindGroups (${this.core.limits.maxBindGroups})`)
      }
      if (next) {
        usable(this.core, next)
        this.checkOffsets(next, offsets)
      }
      this.groups[at] = next
      this.offsets[at] = offsets
      this.bindings = undefined
    })
  }

  dispatchWorkgroups(x: number, y: number = 1, z: number = 1): undefined {
    const nx = u32(x, 'dispatchWorkgroups: x')
    const ny = u32(y, 'dispatchWorkgroups: y')
    const nz = u32(z, 'dispatchWorkgroups: z')
    this.record('dispatchWorkgroups', () => {
      const bindings = this.bindings ??= this.prepare()
      const { kernel } = this.pipeline!
      const most = this.core.limits.maxComputeWorkgroupsPerDimension
      if (nx > most || ny > most || nz > most) {
        refuse(`${nx} x ${ny} x ${nz} workgroups, maxComputeWorkgroupsPerDimension is ${most}`)
      }
      if (nx * ny * nz > 0x7fffffff) {
        refuse(`${nx} x ${ny} x ${nz} workgroups are more than the embedded device counts (2^31 - 1)`)
      }
      this.encoder.commands.push(new Dispatch(kernel!, this.pipeline!.label, bindings, nx, ny, nz))
    })
  }

  dispatchWorkgroupsIndirect(indirectBuffer: GPUBuffer, indirectOffset: number): undefined {
    const buffer = instance(indirectBuffer, CpuBuffer, 'dispatchWorkgroupsIndirect: indirectBuffer')
    const offset = size64(indirectOffset, 'dispatchWorkgroupsIndirect: indirectOffset')
    this.record('dispatchWorkgroupsIndirect', () => {
      const bindings = this.bindings ??= this.prepare()
      usable(this.core, buffer)
      if (!(buffer.usage & usage.INDIRECT)) {
        refuse(`${buffer} has usage ${usageNames(buffer.usage)}, INDIRECT is needed`)
      }
      multiple(offset, 4, 'indirectOffset')
      inside(offset, 12, buffer.size, `${buffer}`)
      // the size is read in the same usage scope, so the dispatch must not write it
      for (let g = 0; g < this.groups.length; g++) {
        for (const { buffer: bound, layout } of this.used(g)) {
          if (bound === buffer && layout.type === 'storage') {
            refuse(`${buffer} is written by the dispatch that takes its size from it`)
          }
        }
      }
      this.encoder.use(buffer)
      this.encoder.commands.push(
        new IndirectDispatch(this.pipeline!.kernel!, this.pipeline!.label, bindings, buffer, offset),
      )
    })
  }

  setImmediates(
    rangeOffset: number,
    data: GPUAllowSharedBufferSource,
    dataOffset: number = 0,
    dataSize?: number,
  ): undefined {
    void rangeOffset
    const size = dataSize ?? data.byteLength - dataOffset
    this.record('setImmediates', () => {
      if (size > 0) refuse(`${size} bytes, maxImmediateSize of the embedded device is 0`)
    })
  }

  end(): undefined {
    if (this.ended) {
      this.core.errors.validation(`end: ${this} has already ended`)
      return
    }
    this.ended = true
    if (!this.begun) return
    if (this.atEnd) this.encoder.commands.push(this.atEnd)
    this.encoder.unlock()
  }

  pushDebugGroup(groupLabel: string): undefined {
    void groupLabel
  }
  popDebugGroup(): undefined {/* labels of groups are shown nowhere */}
  insertDebugMarker(markerLabel: string): undefined {
    void markerLabel
  }

  /** The entries of group `g` that the current pipeline's layout covers. */
  private used(g: number): readonly Bound[] {
    return this.pipeline?.layout?.groups[g] ? this.groups[g]?.bound ?? [] : []
  }

  private checkOffsets(group: CpuBindGroup, offsets: readonly number[]): void {
    const { layout, bound } = group
    if (offsets.length !== layout.dynamicCount) {
      refuse(`${offsets.length} dynamic offsets, ${layout} of ${group} has ${layout.dynamicCount}`)
    }
    if (offsets.length === 0) return
    for (const { layout: entry, buffer, offset, size, dynamicIndex } of bound) {
      if (dynamicIndex < 0) continue
      const limit = entry.type === 'uniform' ? 'minUniformBufferOffsetAlignment' : 'minStorageBufferOffsetAlignment'
      multiple(
        offsets[dynamicIndex],
        this.core.limits[limit],
        `the dynamic offset of binding ${entry.binding}, by ${limit},`,
      )
      inside(
        offset + offsets[dynamicIndex],
        size,
        buffer.size,
        `${buffer} (binding ${entry.binding}, with its dynamic offset)`,
      )
    }
  }

  /** Checks the current pipeline with the current groups; the addresses and lengths the kernel gets. */
  private prepare(): number[] {
    const { pipeline, groups } = this
    if (!pipeline) refuse('no pipeline is set')
    const layouts = pipeline.layout!.groups
    for (let g = 0; g < layouts.length; g++) {
      const layout = layouts[g]
      if (!layout || layout.entries.length === 0) continue
      const group = groups[g]
      if (!group) refuse(`${pipeline} needs a bind group at index ${g}, none is set`)
      if (group.layout !== layout && group.layout.key !== layout.key) {
        refuse(`${group} at index ${g} has ${group.layout}, which does not match ${layout} of ${pipeline}`)
      }
    }
    this.checkAliasing(layouts.length)
    const bindings = new Array<number>(pipeline.slots.length * 2)
    for (let i = 0; i < pipeline.slots.length; i++) {
      const slot = pipeline.slots[i]
      const bound = groups[slot.group]!.bound[slot.index]
      if (bound.size < slot.minSize) {
        refuse(
          `${bound.buffer} at binding ${slot.info.binding} of group ${slot.group} has ${bound.size} bytes bound, `
            + `${slot.info.name} in ${pipeline} needs ${slot.minSize}`,
        )
      }
      bindings[2 * i] = bound.buffer.address + this.offsetOf(slot.group, bound)
      bindings[2 * i + 1] = bound.size
    }
    for (let g = 0; g < layouts.length; g++) for (const bound of this.used(g)) this.encoder.use(bound.buffer)
    return bindings
  }

  private offsetOf(g: number, bound: Bound): number {
    return bound.dynamicIndex < 0 ? bound.offset : bound.offset + this.offsets[g][bound.dynamicIndex]
  }

  /** A buffer is either written or read in a dispatch, and two writable bindings do not overlap. */
  private checkAliasing(count: number): void {
    for (let g = 0; g < count; g++) {
      for (const writer of this.used(g)) {
        if (writer.layout.type !== 'storage') continue
        for (let h = 0; h < count; h++) {
          for (const other of this.used(h)) {
            if (other === writer && g === h || other.buffer !== writer.buffer) continue
            const where = `${writer.buffer}, at binding ${writer.layout.binding} of group ${g} and binding `
              + `${other.layout.binding} of group ${h},`
            if (other.layout.type !== 'storage') refuse(`${where} is writable and read-only in one dispatch`)
            const a = this.offsetOf(g, writer), b = this.offsetOf(h, other)
            if (a < b + other.size && b < a + writer.size) refuse(`${where} is writable twice with ranges that overlap`)
          }
        }
      }
    }
  }

  private record(call: string, steps: () => void): void {
    if (this.ended) {
      this.core.errors.validation(`${call}: ${this} has already ended`)
      return
    }
    if (!this.begun) return
    try {
      steps()
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.encoder.invalidate(`${error.message}\n - while encoding ${call}${this.label ? ` in ${this}` : ''}`)
    }
  }
}

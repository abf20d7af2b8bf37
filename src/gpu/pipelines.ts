// The compiled variants of kernels: one pipeline for each kernel and set of overrides, and what the device says of it.
import { type EspalierError, KernelError } from '../base/errors.ts'
import type { Kernel, Overrides } from './kernel.ts'
import type { Reflection } from './reflect.ts'

/** A compiled variant of a kernel. */
export interface Pipeline {
  id: number
  kernel: Kernel
  reflection: Reflection
  layout: GPUBindGroupLayout
  pipeline: GPUComputePipeline
  /**
   * Frozen parameters that were written last, where, and before which flush: the next launch with them writes nothing.
   */
  written: { values: Readonly<Record<string, number>>, offset: number, flush: number } | null
  /** Why it does not compile. */
  error: EspalierError | null
  /** Whether the device has said that it compiles, or that it does not. */
  checked: boolean
}

/** The pipelines of one device, made when they are first asked for. */
export class Pipelines {
  private readonly device: GPUDevice
  private readonly counts: { pipelines: number }
  private readonly watch: (check: Promise<EspalierError | null>) => void
  private readonly variants = new Map<Kernel, Map<string, Pipeline>>()

  /** `counts` is told of each pipeline made; `watch` is given the check of each. */
  constructor(
    device: GPUDevice,
    counts: { pipelines: number },
    watch: (check: Promise<EspalierError | null>) => void,
  ) {
    this.device = device
    this.counts = counts
    this.watch = watch
  }

  /**
   * The compiled variant of a kernel. Compilation errors are found by an error scope; they are thrown with file and
   * line where a result of the kernel is read back or used, and at each further launch. Unknown overrides are thrown
   * here.
   */
  get(kernel: Kernel, overrides?: Overrides): Pipeline {
    let variants = this.variants.get(kernel)
    if (!variants) this.variants.set(kernel, variants = new Map())
    let key = ''
    if (overrides) { for (const name in overrides) key += `${name}=${overrides[name]},` }
    const cached = variants.get(key)
    if (cached) return cached
    const made = this.create(kernel, overrides ?? {})
    variants.set(key, made)
    return made
  }

  private create(kernel: Kernel, overrides: Overrides): Pipeline {
    const { reflection, label } = kernel
    const unknown = Object.keys(overrides).filter((name) => !reflection.overrides.includes(name))
    if (unknown.length) {
      throw new KernelError(
        `${label}: no override ${unknown.join(', ')}; the file has ${reflection.overrides.join(', ') || 'none'}`,
      )
    }
    const entries: GPUBindGroupLayoutEntry[] = reflection.storage.map((slot) => ({
      binding: slot.binding,
      visibility: 0x4,
      buffer: { type: slot.write ? 'storage' : 'read-only-storage' },
    }))
    if (reflection.uniform) {
      entries.push({
        binding: reflection.uniform.binding,
        visibility: 0x4,
        buffer: { type: 'uniform', hasDynamicOffset: true, minBindingSize: reflection.uniform.size },
      })
    }
    const { device } = this
    device.pushErrorScope('validation')
    device.pushErrorScope('internal')
    const layout = device.createBindGroupLayout({ label, entries })
    const module = device.createShaderModule({ label, code: kernel.source })
    const pipeline = device.createComputePipeline({
      label,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: kernel.entry, constants: overrides as Record<string, number> },
    })
    this.counts.pipelines++
    const made: Pipeline = {
      id: this.counts.pipelines,
      kernel,
      reflection,
      layout,
      pipeline,
      written: null,
      error: null,
      checked: false,
    }
    this.watch(
      this.compilationError(kernel, overrides, module).then((error) => {
        made.error = error
        made.checked = error === null
        return error
      }),
    )
    return made
  }

  private async compilationError(
    kernel: Kernel,
    overrides: Overrides,
    module: GPUShaderModule,
  ): Promise<KernelError | null> {
    const scopes = [this.device.popErrorScope(), this.device.popErrorScope()]
    const errors = (await Promise.all(scopes)).filter((error) => error !== null)
    if (errors.length === 0) return null
    const { messages } = await module.getCompilationInfo()
    const first = messages.find((message) => message.type === 'error')
    const at = first
      ? `${kernel.quote(first.lineNum)}\n  ${first.message}`
      : errors[0].message.split('\n')[0]
    const variant = Object.entries(overrides).map(([name, value]) => `${name}=${value}`).join(' ')
    return new KernelError(`${kernel.label}${variant ? ` [${variant}]` : ''}: does not compile, ${at}`)
  }

  /** A message of the device about lines of a kernel's text, with the files and lines these came from. */
  located(message: string): string {
    const named = [...this.variants.keys()].filter(({ label }) => message.includes(label))
    if (named.length === 0) return message
    const about = named.reduce((best, kernel) => kernel.label.length > best.label.length ? kernel : best)
    return message.replace(/\bline (\d+)\b/g, (_, line: string) => about.whereIs(Number(line)))
  }
}

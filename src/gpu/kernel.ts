// A kernel is a WGSL file. Its launcher names buffers and parameters; reflection supplies binding numbers and offsets
// and compares the names at load, so WGSL and TypeScript cannot drift apart.
import { KernelError } from '../base/errors.ts'
import { reflect, type Reflection } from './reflect.ts'
import { wgsl } from './wgsl.generated.ts'

/** What the launcher says about a kernel. `splice` replaces marker comments such as `/*expression*\/` in the text. */
export interface KernelOptions {
  buffers: readonly string[]
  params?: readonly string[]
  entry?: string
  splice?: Record<string, string>
  /** Distinguishes spliced versions of one file in messages and profiles: `elementwise.wgsl (gelu)`. */
  label?: string
}

/** Overrides of a variant: tile sizes and switches, by name. */
export type Overrides = Readonly<Record<string, number>>

let nextKernel = 1

/** A loaded kernel text. Nothing is parsed or compiled before the first use. */
export class Kernel {
  readonly id = nextKernel++
  readonly file: string
  readonly entry: string
  readonly buffers: readonly string[]
  readonly params: readonly string[]
  readonly label: string
  private readonly splice: Record<string, string>
  private text: string | null = null
  private reflected: Reflection | null = null

  constructor(file: string, options: KernelOptions) {
    this.file = file
    this.entry = options.entry ?? 'main'
    this.buffers = options.buffers
    this.params = options.params ?? []
    this.splice = options.splice ?? {}
    this.label = options.label ? `${file} (${options.label})` : this.entry === 'main' ? file : `${file}:${this.entry}`
  }

  /** The WGSL text after splicing. */
  get source(): string {
    if (this.text === null) {
      let text = wgsl[this.file]
      if (text === undefined) {
        throw new KernelError(`${this.file}: no such kernel file; run 'npm run embed' after adding one to kernels/`)
      }
      for (const [marker, replacement] of Object.entries(this.splice)) {
        if (!text.includes(marker)) throw new KernelError(`${this.file}: no marker ${marker} to splice into`)
        text = text.replaceAll(marker, () => replacement)
      }
      this.text = text
    }
    return this.text
  }

  /** Bindings, parameters and overrides, compared with the launcher's names on first use. */
  get reflection(): Reflection {
    if (!this.reflected) {
      const found = reflect(this.label, this.source, this.entry)
      sameNames(this.label, 'buffers', this.buffers, found.storage.map((slot) => slot.name))
      sameNames(this.label, 'params', this.params, found.uniform?.fields.map((field) => field.name) ?? [])
      this.reflected = found
    }
    return this.reflected
  }
}

const kernels = new Set<Kernel>()

/**
 * Declares a kernel of `kernels/`. Buffers and parameters must be the very names the WGSL entry point uses.
 * @throws KernelError at first use if names differ or the text does not parse.
 */
export function kernel(file: string, options: KernelOptions): Kernel {
  const made = new Kernel(file, options)
  kernels.add(made)
  return made
}

/**
 * A kernel from a text of the caller's own (a pattern that brings its kernel, a test); `name` stands for the file in
 * messages.
 */
export function kernelFromText(name: string, text: string, options: KernelOptions): Kernel {
  wgsl[name] = text
  return new Kernel(name, options)
}

/** Every kernel declared so far, for tests that compile or check all of them. */
export function declaredKernels(): readonly Kernel[] {
  return [...kernels]
}

function sameNames(label: string, what: string, launcher: readonly string[], file: readonly string[]) {
  const missing = launcher.filter((name) => !file.includes(name))
  const extra = file.filter((name) => !launcher.includes(name))
  if (missing.length + extra.length === 0) return
  const parts = [
    missing.length ? `the launcher names ${missing.join(', ')}, which the WGSL does not use` : '',
    extra.length ? `the WGSL uses ${extra.join(', ')}, which the launcher does not name` : '',
  ].filter(Boolean)
  throw new KernelError(`${label}: ${what} differ: ${parts.join('; ')}`)
}

/** One line of a WGSL text with its number, for messages. */
export function sourceLine(source: string, line: number): string {
  return `line ${line}: ${source.split('\n')[line - 1]?.trim() ?? ''}`
}

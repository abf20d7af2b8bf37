// A kernel is a WGSL file. Its launcher names buffers and parameters; reflection supplies binding numbers and offsets
// and compares the names at load, so WGSL and TypeScript cannot drift apart.
import { KernelError } from '../base/errors.ts'
import { reflect, type Reflection } from './reflect.ts'
import { assemble, type SourceText } from './source.ts'
import { wgsl } from './wgsl.generated.ts'

/**
 * What the launcher says about a kernel. `splice` replaces marker comments such as `/*expression*\/` in the text, also
 * by lines that include files; see `assemble`.
 */
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
  private assembled: SourceText | null = null
  private reflected: Reflection | null = null

  constructor(file: string, options: KernelOptions) {
    this.file = file
    this.entry = options.entry ?? 'main'
    this.buffers = options.buffers
    this.params = options.params ?? []
    this.splice = options.splice ?? {}
    this.label = options.label ? `${file} (${options.label})` : this.entry === 'main' ? file : `${file}:${this.entry}`
  }

  private get sourceText(): SourceText {
    return this.assembled ??= assemble(this.file, (file) => wgsl[file], this.splice)
  }

  /** The WGSL text with what it includes, after splicing. */
  get source(): string {
    return this.sourceText.text
  }

  /**
   * Where a line of `source` stands: `line 9`, or `line 9 of shared/row-sum.wgsl` if it is not of the kernel's file.
   */
  whereIs(line: number): string {
    const origin = this.sourceText.origins[line - 1]
    if (!origin) return `line ${line}`
    return `line ${origin.line}${origin.file === this.file ? '' : ` of ${origin.file}`}`
  }

  /** One line of `source` and where it stands, for messages. */
  quote(line: number): string {
    return `${this.whereIs(line)}: ${this.source.split('\n')[line - 1]?.trim() ?? ''}`
  }

  /** Bindings, parameters and overrides, compared with the launcher's names on first use. */
  get reflection(): Reflection {
    if (!this.reflected) {
      const found = reflect(this.label, this.source, this.entry, (line) => this.quote(line))
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

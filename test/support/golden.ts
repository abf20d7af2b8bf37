// Reads golden values: test/fixtures/golden first, then $ESPALIER_SHARED/data/golden (default ../shared). Every value
// read from the fixtures is noted, so that a run of the whole suite fails when a golden is used by no test.
import { appendFileSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A tensor of a golden file; `data` is in row-major order. */
export interface GoldenTensor {
  dtype: 'f32' | 'i32' | 'u8'
  shape: number[]
  data: Float32Array | Int32Array | Uint8Array
}

const root = fileURLToPath(new URL('../..', import.meta.url))
const fixtures = join(root, 'test/fixtures/golden')

/** The folder with the data that is not part of the repository; may not exist. */
export const shared: string = resolve(root, process.env.ESPALIER_SHARED ?? '../shared')

/**
 * Whether a golden of this name is at hand, so that a test which needs a large one can be skipped with `test.skipIf`.
 */
export const hasGolden = (name: string): boolean => locate(name) !== null

function locate(name: string): string | null {
  return [fixtures, join(shared, 'data/golden')].map((folder) => join(folder, `${name}.safetensors`)).find((file) =>
    existsSync(file)
  ) ?? null
}

const types = { F32: ['f32', Float32Array], I32: ['i32', Int32Array], U8: ['u8', Uint8Array] } as const

interface Header {
  [name: string]: { dtype: keyof typeof types, shape: number[], data_offsets: [number, number] }
}

function readHeader(bytes: Buffer): { header: Header, metadata: Record<string, string>, start: number } {
  const length = Number(bytes.readBigUInt64LE(0))
  const { __metadata__: metadata = {}, ...header } = JSON.parse(bytes.toString('utf8', 8, 8 + length))
  return { header, metadata, start: 8 + length }
}

/** One golden file. Reading a tensor with `get` counts as using it. */
export class Golden {
  readonly name: string
  readonly metadata: Record<string, string>
  private readonly bytes: Buffer
  private readonly header: Header
  private readonly start: number
  private readonly used = new Set<string>()
  private readonly counted: boolean

  /** `counted: false` is for a test whose reading must not pass for use: the oracle's own, which runs no kernel. */
  constructor(name: string, { counted = true } = {}) {
    const file = locate(name)
    if (!file) {
      throw new Error(`golden '${name}' is neither in ${fixtures} nor in ${shared}/data/golden; set ESPALIER_SHARED`)
    }
    this.name = name
    this.bytes = readFileSync(file)
    const { header, metadata, start } = readHeader(this.bytes)
    this.header = header
    this.metadata = metadata
    this.start = start
    this.counted = counted && file.startsWith(fixtures)
  }

  /** Names of all tensors, or of those that start with `prefix`. */
  names(prefix = ''): string[] {
    return Object.keys(this.header).filter((name) => name.startsWith(prefix))
  }

  has(name: string): boolean {
    return name in this.header
  }

  get(name: string): GoldenTensor {
    const entry = this.header[name]
    if (!entry) throw new Error(`golden '${this.name}' has no tensor '${name}'`)
    if (this.counted && !this.used.has(name)) {
      this.used.add(name)
      note(`${this.name}/${name}`)
    }
    const [dtype, Type] = types[entry.dtype]
    const [first, end] = entry.data_offsets
    // aligned, and free to be changed
    const copy = Uint8Array.from(this.bytes.subarray(this.start + first, this.start + end))
    return { dtype, shape: entry.shape, data: new Type(copy.buffer) }
  }

  /** All tensors whose name starts with `prefix`, by the rest of their name. */
  group(prefix: string): Record<string, GoldenTensor> {
    return Object.fromEntries(this.names(prefix).map((name) => [name.slice(prefix.length), this.get(name)]))
  }
}

const opened = new Map<string, Golden>()

/** Opens a golden file by its name without extension, e.g. `golden('ops')`. Throws where it is not at hand. */
export function golden(name: string): Golden {
  if (!opened.has(name)) opened.set(name, new Golden(name))
  return opened.get(name)!
}

/**
 * The cases of `ops`: inputs, output, weights of the output in the loss, and gradients of that loss, by argument name.
 */
export function opCase(name: string) {
  const ops = golden('ops')
  return {
    inputs: ops.group(`${name}.in.`),
    out: ops.get(`${name}.out`),
    weights: ops.get(`${name}.w`),
    grads: ops.group(`${name}.grad.`),
  }
}

// `inject` works in a test's process only, and setup.ts imports this file in vitest's own.
const ledger = process.env.VITEST_WORKER_ID ? (await import('vitest')).inject('goldenLedger') : null

function note(line: string): void {
  if (ledger) appendFileSync(join(ledger, `${process.pid}.txt`), `${line}\n`)
}

/** Goldens that nothing in this package computes yet, by what their names start with, and why. */
const exempt: [string, string][] = [
  ['ops/cumsum.', 'no model here needs a running sum'],
  ['ops/unfold_3x3.', 'convolution is one kernel, nothing unfolds'],
  ['ops/resize_bicubic.', 'images are resized on the way in, not by an op'],
  ['ops/upsample_', 'images are resized on the way in, not by an op'],
]

/** Values a test must have compared with: results, not inputs. */
function isResult(file: string, name: string): boolean {
  if (file === 'ops') return /\.out$|\.grad\./.test(name)
  if (file === 'optim') return /\.p\d+\.step\d+$/.test(name)
  return /^(eval|train)\.|^prune\.logits$/.test(name)
}

/** The names of `unusedGoldens` short enough to print: per file how many, and the first three. */
export function summarize(unused: string[]): string {
  const files = new Map<string, string[]>()
  for (const key of unused) {
    const [file, name] = [key.slice(0, key.indexOf('/')), key.slice(key.indexOf('/') + 1)]
    files.set(file, [...files.get(file) ?? [], name])
  }
  return [...files].map(([file, names]) =>
    `\n  ${file}: ${names.length} (${names.slice(0, 3).join(', ')}${names.length > 3 ? ', ...' : ''})`
  ).join('')
}

/** Results in test/fixtures/golden that are in no note of `ledgerFolder`, as `file/tensor`. */
export function unusedGoldens(ledgerFolder: string): string[] {
  const used = new Set(
    readdirSync(ledgerFolder).flatMap((file) => readFileSync(join(ledgerFolder, file), 'utf8').split('\n')),
  )
  return readdirSync(fixtures).filter((file) => file.endsWith('.safetensors')).flatMap((file) => {
    const stem = file.slice(0, -'.safetensors'.length)
    return Object.keys(readHeader(readFileSync(join(fixtures, file))).header).filter((name) => isResult(stem, name))
      .map((name) => `${stem}/${name}`)
  }).filter((key) => !used.has(key) && !exempt.some(([prefix]) => key.startsWith(prefix)))
}

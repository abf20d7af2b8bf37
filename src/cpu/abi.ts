// What the two halves of the embedded device agree on: the compiler (WGSL in, WASM out) and the device that runs the
// result.

/**
 * A mistake in a shader, or something the embedded device does not know; positions count from 1, length in characters.
 */
export class WgslError extends Error {
  /** Line of the construct, from 1. */
  readonly line: number
  /** Column of the construct, from 1, in UTF-16 units. */
  readonly column: number
  /** Length of the construct in UTF-16 units; 0 if unknown. */
  readonly length: number
  /** All errors that were found, this one first. */
  errors: WgslError[]
  constructor(message: string, line: number, column: number, length: number) {
    super(message)
    this.name = 'WgslError'
    this.line = line
    this.column = column
    this.length = length
    this.errors = [this]
  }
}

/** One resource variable. `minSize` is the smallest binding in bytes (a runtime-sized array counts one element). */
export interface BindingInfo {
  group: number
  binding: number
  name: string
  kind: 'uniform' | 'storage' | 'read-only-storage'
  minSize: number
}

/** One `override` declaration; `id` is its `@id`, or null if it is set by name. */
export interface OverrideInfo {
  name: string
  id: number | null
  type: 'f32' | 'i32' | 'u32' | 'bool' | 'f16'
  hasDefault: boolean
}

/** A parsed and type-checked shader module. */
export interface Module {
  readonly source: string
  /** Names of the compute entry points, in order of appearance. */
  readonly entryPoints: string[]
  readonly overrides: OverrideInfo[]
  /** All resource variables of the module, used or not, in order of appearance. */
  readonly bindings: BindingInfo[]
  /** The typed tree; only the compiler reads it. */
  readonly program: object
}

/**
 * How a kernel is compiled.
 * - fast: nothing checked beyond what WebGPU's robustness asks for
 * - bounds: every dynamic index is compared with the length, a miss is reported and then treated as in fast
 * - race: accesses of two invocations to one word between barriers, one of them a write, are reported
 * - nan: the first NaN written to a buffer whose inputs were not checked is reported
 * - permuted: invocations of a region run in reverse order, workgroups too; equal bits are evidence of no race
 * - deterministic: mul and add are never contracted, so that every machine computes the same bits
 */
export type Mode = 'fast' | 'bounds' | 'race' | 'nan' | 'permuted' | 'deterministic'

/** Modes that look at a whole dispatch: it runs on one thread, in one call of the kernel. */
export const isChecking = (mode: Mode): boolean => mode !== 'fast' && mode !== 'deterministic'

/** Compile options; `constants` are keyed by override name, or by its id in decimal. */
export interface CompileOptions {
  /** May be left out if the module has exactly one compute entry point. */
  entryPoint?: string
  constants?: Record<string, number>
  /** Default `fast`. */
  mode?: Mode
  /** True if the engine validates relaxed SIMD: a*b+c on vectors becomes `f32x4.relaxed_madd`. */
  relaxed?: boolean
  /** Whether `env.memory` is imported as shared (needs a maximum, 65536 pages). */
  sharedMemory: boolean
}

/**
 * One compiled entry point.
 *
 * The WASM module imports `env.memory` (initial 1 page, maximum 65536), `env.tick(line: i32)`, which is called now and
 * then by loops that may not end (line 0 between workgroups) and may throw, and, in the modes bounds, race and nan,
 * `env.report(kind: i32, line: i32, a: i32, b: i32)` (kinds: `reportKind`). It exports
 * `run(block: i32, scratch: i32, first: i32, last: i32)`, which executes the workgroups with linear index first..last-1
 * (x fastest, then y, then z) and may be called by several threads at once with disjoint ranges and own scratch areas.
 *
 * `block` is the byte address of u32 words: [0..2] number of workgroups x, y, z; [3] spare (never written); then for
 * each entry of `bindings`, in order, two words: byte address and byte length of the binding. `scratch` is the 16-byte
 * aligned address of `scratchBytes` bytes; its contents need not be zero and do not matter afterwards. Addresses are
 * unsigned.
 */
export interface CompiledKernel {
  wasm: Uint8Array
  /** Only those the entry point uses; the order is that of the slots in `block`. */
  bindings: BindingInfo[]
  workgroupSize: [number, number, number]
  /** Bytes of `var<workgroup>` variables, to compare with maxComputeWorkgroupStorageSize. */
  workgroupStorage: number
  scratchBytes: number
  /** Module-scope variables in the order of the ids that race reports use: workgroup variables. */
  workgroupVariables: string[]
}

/**
 * Kinds of `env.report`. `line` is the source line of the access, from 1.
 * - bounds: a = the index (as i32), b = the number of elements it was compared with
 * - raceWorkgroup: a = 256 * id of the variable in `workgroupVariables` | kind of pair (0 write-write, 1 read after
 * write,
 *   2 write after read), b = word index inside the variable * 65536 + the other invocation's local index, 2046 if
 *   several
 * - raceStorage: a = 256 * slot of the binding | kind of pair as above, b = word index inside the binding
 * - nan: a = slot of the binding, b = word index inside the binding of the first NaN lane
 */
export const reportKind = { bounds: 1, raceWorkgroup: 2, raceStorage: 3, nan: 4 } as const

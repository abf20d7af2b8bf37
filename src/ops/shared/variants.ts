// Variants of a kernel are rows of a table: what each needs, which adapters and sizes it is made for, and what it does
// to the digits. One function chooses among them, for every op; tests and benches loop over the tables.
import { type AdapterKind } from '../../gpu/adapters.ts'
import { currentGpu, type Gpu } from '../../gpu/device.ts'
import { wantFeatures } from '../../gpu/features.ts'
import { quickest, type Trial } from '../../gpu/tune.ts'
import { precision } from '../../core/precision.ts'
import { InputError } from '../../base/errors.ts'

/**
 * What a variant does to the last digits. Rows of 'exact-order' add the same terms in the same order and give the same
 * bits, so that the tuner may exchange them in the middle of a run. 'reordered' adds in an order of its own.
 * 'transformed' multiplies what was transformed before and loses no more digits by that than a sum does (to 2e-6 of the
 * largest value): it is chosen unless `high` precision is asked for. 'lossy' loses more (up to 3e-5) and is chosen only
 * at `fast`. 'f16' rounds operands to half precision and is never chosen unasked, only by name.
 */
export type NumericClass = 'exact-order' | 'reordered' | 'transformed' | 'lossy' | 'f16'

/** What a choice may depend on: the adapter, and nothing that changes while a device is open. */
export interface Machine {
  kind: AdapterKind
  features: ReadonlySet<string>
  /** Lanes of a subgroup where subgroups are offered and have one size, else 0. */
  lanes: number
  /**
   * Vectors of four columns that an invocation of the embedded device makes of a row: as many sums as fit the machine's
   * registers, which hold twice as much where the engine joins neighbouring vectors.
   */
  columns: 2 | 4
  /** Storage buffers that a kernel may bind. */
  buffers: number
  /** Tests run each kernel once or twice: what compiles quickly is the faster choice. */
  fixed: boolean
}

/** One row of a table: `W` is what is known about the work, mostly its sizes. */
export interface Variant<W> {
  readonly name: string
  readonly numeric: NumericClass
  /** Adapters it is made for; all if absent, none if empty: then it runs by name only. */
  readonly adapters?: readonly AdapterKind[]
  /** Features of the device without which it does not compile. */
  readonly features?: readonly GPUFeatureName[]
  /** What else it cannot do without. */
  readonly runs?: (machine: Machine, work: W) => boolean
  /** Whether it is worth choosing for this work; always, if absent. */
  readonly fits?: (work: W, machine: Machine) => boolean
  /** Whether it goes before the rows that do not lead; of several that do, the uppermost is the choice. */
  readonly leads?: (work: W, machine: Machine) => boolean
}

/** The variants of one piece of an op. Without anything that leads, the first row that fits is the choice. */
export interface VariantTable<W, V extends Variant<W>> {
  readonly name: string
  readonly rows: readonly V[]
}

/** The name of every row, and a way to take it: what tests and benches need of a table of any kind. */
export interface AnyTable {
  readonly name: string
  readonly rows: readonly Variant<never>[]
}

const tables: AnyTable[] = []
const forced = new Map<AnyTable, string>()

/** Declares the variants of something; the features that rows need are requested of every device opened afterwards. */
export function variants<W, V extends Variant<W>>(name: string, rows: readonly V[]): VariantTable<W, V> {
  const table = { name, rows }
  wantFeatures(rows.flatMap(({ features = [] }) => features))
  tables.push(table)
  return table
}

/** Every table declared so far. */
export function variantTables(): readonly AnyTable[] {
  return tables
}

/**
 * Takes this row from now on, on whatever adapter and for whatever sizes it can run, until called with null: for tests
 * and benches. @throws InputError if there is no such row.
 */
export function force(table: AnyTable, name: string | null): void {
  if (name === null) forced.delete(table)
  else if (table.rows.some((row) => row.name === name)) forced.set(table, name)
  else {
    throw new InputError(
      `${table.name}: no variant '${name}'; there are ${table.rows.map((row) => `'${row.name}'`).join(', ')}`,
    )
  }
}

let taken: Map<AnyTable, Set<string>> | null = null

/** The tables that `work` chooses from, and the names of the rows that it takes: for tests and benches. */
export async function rowsTaken(work: () => Promise<unknown>): Promise<ReadonlyMap<AnyTable, ReadonlySet<string>>> {
  const seen = taken = new Map<AnyTable, Set<string>>()
  try {
    await work()
    return seen
  } finally {
    taken = null
  }
}

const known = new WeakMap<Gpu, Machine>()
const traced: Machine = {
  kind: 'gpu',
  features: new Set(),
  lanes: 0,
  columns: 2,
  buffers: 8,
  fixed: true,
}

/** What computes; a GPU without features while only shapes are traced. */
export function machine(): Machine {
  const gpu = currentGpu()
  if (!gpu) return traced
  let found = known.get(gpu)
  if (!found) {
    const { subgroupMinSize: least, subgroupMaxSize: most } = gpu.device.adapterInfo
    known.set(
      gpu,
      found = {
        kind: gpu.adapter.kind,
        features: gpu.features,
        lanes: gpu.features.has('subgroups') && least === most ? least : 0,
        columns: gpu.adapter.architecture === 'wasm-simd-256' ? 4 : 2,
        buffers: gpu.device.limits.maxStorageBuffersPerShaderStage,
        fixed: gpu.fixedVariants,
      },
    )
  }
  return found
}

/** Whether a row can run this work on a machine at all. */
export function canRun<W>({ features, runs }: Variant<W>, work: W, on: Machine): boolean {
  return (features?.every((name) => on.features.has(name)) ?? true) && (runs?.(on, work) ?? true)
}

/** The rows for some work, the fixed choice first; those after it give the same bits, so a tuner may take them. */
export function candidates<W, V extends Variant<W>>(table: VariantTable<W, V>, work: W, on = machine()): V[] {
  const rows = table.rows.filter((row) => suits(row, work, on))
  const { length } = rows
  if (length === 0) throw new InputError(`${table.name}: no variant for ${on.kind}; a table ends with a row for all`)
  const first = rows.find((row) => row.leads?.(work, on)) ?? rows[0]
  if (first.numeric !== 'exact-order') return [first]
  const leading = rows.filter((row) => row.leads?.(work, on)), others = rows.filter((row) => !row.leads?.(work, on))
  return [...leading, ...others].filter(({ numeric }) => numeric === 'exact-order')
}

function suits<W>(row: Variant<W>, work: W, on: Machine): boolean {
  return row.numeric !== 'f16' && (row.adapters?.includes(on.kind) ?? true) && canRun(row, work, on)
    && (row.fits?.(work, on) ?? true) && isPrecise(row)
}

/** Looked at last of all: a capture takes for granted what was found. */
function isPrecise({ numeric }: { readonly numeric: NumericClass }): boolean {
  if (numeric === 'transformed') return precision() !== 'high'
  return numeric !== 'lossy' || precision() === 'fast'
}

/**
 * The row to use for a piece of work, the same for equal work on one device. With `tuning`, rows that give the same
 * bits as the fixed choice are timed on the device for each class of work (`key`), and the fastest is taken once that
 * is known; see `quickest`.
 */
export function choose<W, V extends Variant<W>>(
  table: VariantTable<W, V>,
  work: W,
  tuning?: { key: string, prepare: () => Trial<V> },
  on = machine(),
): V {
  const row = pick(table, work, tuning, on)
  if (taken) taken.set(table, (taken.get(table) ?? new Set<string>()).add(row.name))
  return row
}

function pick<W, V extends Variant<W>>(
  table: VariantTable<W, V>,
  work: W,
  tuning: { key: string, prepare: () => Trial<V> } | undefined,
  on: Machine,
): V {
  const name = forced.size ? forced.get(table) : undefined
  const named = name === undefined ? undefined : table.rows.find((row) => row.name === name)
  if (named && canRun(named, work, on)) return named
  const gpu = currentGpu()
  if (tuning && gpu) return quickest(gpu, tuning.key, candidates(table, work, on), tuning.prepare)
  for (const row of table.rows) if (row.leads?.(work, on) && suits(row, work, on)) return row
  for (const row of table.rows) if (suits(row, work, on)) return row
  return candidates(table, work, on)[0] // which says that there is none
}

// The cases of the kernels by every row of the tables that they choose from: what a table's choice on this adapter is
// worth, and whether another row would do better.
import { tuned } from '../src/gpu/tune.ts'
import { type AnyTable, force, rowsTaken } from '../src/ops/shared/variants.ts'
import { type CaseMaker, defaultRounds, measure, type AllOptions, type Row, type Subject } from './harness.ts'
import { meter } from './meter.ts'

/** Rows of the table that is printed: a case as it is run usually, and by each row that can run it, in turns. */
export async function variantRows(makers: readonly CaseMaker[], options: AllOptions): Promise<Row[]> {
  const rows: Row[] = [],
    count = meter('bench variants', makers.length, options.rounds ?? defaultRounds, options.onProgress)
  for (const [i, { name, make }] of makers.entries()) {
    if (performance.now() > (options.until ?? Infinity)) {
      options.notes?.push(`${makers.length - i} of ${makers.length} cases are left out, from ${name} on: out of time`)
      break
    }
    const onProgress = count.begin(i, name)
    const work = await make(), [usual] = work.subjects
    const tables = [...(await rowsTaken(() => usual.run())).keys()].filter((table) => table.rows.length > 1)
    await tuned()
    const subjects: Subject[] = [usual]
    for (const table of tables) {
      for (const { name } of table.rows) {
        const taken = await by(table, name, () => rowsTaken(() => usual.run()))
        if (!taken.get(table)?.has(name)) continue
        subjects.push({
          impl: `${table.name}: ${name}`,
          run: () => by(table, name, () => usual.run()),
          inOrder: usual.inOrder,
          device: usual.device && (() => by(table, name, usual.device!)),
          launch: usual.launch && (() => {
            forcedOnce(table, name, usual.launch!)
          }),
        })
      }
    }
    rows.push(...await measure({ ...work, suite: 'variants', subjects }, { ...options, onProgress }))
  }
  return rows
}

function forcedOnce(table: AnyTable, name: string, launch: () => void) {
  force(table, name)
  try {
    launch()
  } finally {
    force(table, null)
  }
}

async function by<T>(table: AnyTable, name: string, work: () => Promise<T>): Promise<T> {
  force(table, name)
  try {
    return await work()
  } finally {
    force(table, null)
  }
}

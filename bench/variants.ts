// The cases of the kernels by every row of the tables that they choose from: what a table's choice on this adapter is
// worth, and whether another row would do better.
import { tuned } from '../src/gpu/tune.ts'
import { type AnyTable, force, rowsTaken } from '../src/ops/shared/variants.ts'
import { type CaseMaker, measure, type MeasureOptions, type Row, type Subject } from './harness.ts'

/** Rows of the table that is printed: a case as it is run usually, and by each row that can run it, in turns. */
export async function variantRows(makers: readonly CaseMaker[], options: MeasureOptions): Promise<Row[]> {
  const rows: Row[] = []
  for (const { make } of makers) {
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
        })
      }
    }
    rows.push(...await measure({ ...work, suite: 'variants', subjects }, options))
  }
  return rows
}

async function by<T>(table: AnyTable, name: string, work: () => Promise<T>): Promise<T> {
  force(table, name)
  try {
    return await work()
  } finally {
    force(table, null)
  }
}

// Curves as a table for documents.
import { areaOf, seedsOf } from './curves.ts'
import { percent } from './format.ts'
import type { Curve } from './types.ts'

/**
 * One row for each method, best area first: A_PR with its standard error, the trapezoid area, Top-PR and the number of
 * seeds.
 */
export function markdownTable(curves: readonly Curve[]): string {
  const rows = curves.toSorted((a, b) => b.area - a.area).map((
    curve,
  ) => [
    plain(curve.name),
    areaOf(curve),
    curve.trapezoid?.toFixed(3) ?? '–',
    percent(curve.topRate, 0),
    String(seedsOf(curve)),
  ])
  return [['method', 'A_PR', 'trapezoid', 'Top-PR', 'seeds'], ['---', '---:', '---:', '---:', '---:'], ...rows]
    .map((row) => `| ${row.join(' | ')} |\n`).join('')
}

/** A name that can end neither its cell nor its row, nor start HTML. */
const plain = (text: string) => text.replace(/\s+/g, ' ').replace(/[\\|<>*_`[\]]/g, '\\$&')

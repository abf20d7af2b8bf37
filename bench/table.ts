// The rows of a bench as a table for people, and how ours compare with the peers.
import { plain } from '../src/base/quote.ts'
import type { Row } from './harness.ts'
import { peerNames } from './peers.ts'

/** How much faster espalier is than the fastest peer, per shape and as geometric mean; null without peers. */
export function against(
  rows: readonly Row[],
  by: 'msMedian' | 'msP10' = 'msMedian',
): { cases: { name: string, shape: string, peer: string, ratio: number }[], mean: number } | null {
  const names: readonly string[] = peerNames
  const cases = rows.filter((row) => row.impl === 'espalier').flatMap((row) => {
    const peers = rows.filter((other) =>
      other.name === row.name && other.shape === row.shape && names.includes(other.impl)
    )
    const best = peers.sort((a, b) => a[by] - b[by])[0]
    return best ? [{ name: row.name, shape: row.shape, peer: best.impl, ratio: best[by] / row[by] }] : []
  })
  return cases.length
    ? { cases, mean: Math.exp(cases.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / cases.length) }
    : null
}

/** A column of the table. */
export interface Column {
  head: string
  left?: boolean
  /** Null where a row has nothing to say; a column in which no row has is left out, unless it always stands there. */
  cell: (row: Row) => string | null
  always?: boolean
}

const fixed = (value: number | null | undefined, digits: number) =>
  Number.isNaN(value) ? null : value?.toFixed(digits) ?? null

const columns: readonly Column[] = [
  { head: 'name', left: true, cell: (row) => row.name, always: true },
  { head: 'shape', left: true, cell: (row) => row.shape, always: true },
  { head: 'impl', left: true, cell: (row) => row.impl, always: true },
  { head: 'profile', left: true, cell: (row) => row.profile ?? null },
  { head: 'density', cell: (row) => fixed(row.density, 2) },
  { head: 'wall ms', cell: (row) => fixed(row.msMedian, 3), always: true },
  { head: 'mad', cell: (row) => fixed(row.msMad, 3), always: true },
  { head: 'p10', cell: (row) => fixed(row.msP10, 3), always: true },
  { head: 'device ms', cell: (row) => fixed(row.msDevice, 3), always: true },
  { head: 'runs', cell: (row) => String(row.runs), always: true },
  { head: 'GFLOP/s', cell: (row) => fixed(row.gflops, 2), always: true },
  { head: 'as dense', cell: (row) => fixed(row.gflopsDense, 2) },
  { head: 'GB/s', cell: (row) => fixed(row.gbps, 2), always: true },
  {
    head: 'of roof',
    cell: ({ roofline, bound }) =>
      roofline === undefined ? null : `${Math.round(100 * roofline)} %${bound === 'memory' ? ' mem' : ' fma'}`,
  },
  { head: 'x dense', cell: (row) => fixed(over(row, 'dense'), 2) },
  { head: 'x sliced', cell: (row) => fixed(over(row, 'sliced'), 2) },
  { head: 'x softmax', cell: (row) => fixed(over(row, 'softmax'), 2) },
  { head: 'of training step', cell: (row) => fixed(1 / (over(row, 'training step') ?? NaN), 2) },
  { head: 'max error', cell: (row) => row.maxRelError?.toExponential(1) ?? null, always: true },
  {
    head: 'note',
    left: true,
    cell: (row) => [row.noisy ? 'NOISY' : '', row.note].filter(Boolean).join(', '),
    always: true,
  },
]

/** How many times as fast as a baseline, or undefined where it was not compared. */
export const over = ({ speedUps }: Row, baseline: string): number | undefined =>
  speedUps?.find((each) => each.over === baseline)?.value

/** The columns that these rows fill, with those that always stand there. */
export const columnsOf = (rows: readonly Row[]): readonly Column[] =>
  columns.filter(({ cell, always }) => always || rows.some((row) => cell(row) !== null))

/** The rows as a table for people. */
export function table(rows: readonly Row[]): string {
  const shown = columnsOf(rows)
  const lines = [
    shown.map(({ head }) => head),
    ...rows.map((row) => shown.map(({ cell }) => plain(cell(row) ?? '-', 300))),
  ]
  const widths = shown.map((_, i) => Math.max(...lines.map((line) => line[i].length)))
  return lines.map((line) =>
    line.map((text, i) => shown[i].left ? text.padEnd(widths[i]) : text.padStart(widths[i])).join('  ').trimEnd()
  ).join('\n')
}

/** What tells a row from all others of a report, and finds it in another run. */
export const keyOf = (row: Row): string =>
  JSON.stringify([row.suite, row.name, row.shape, row.impl, row.density, row.profile])

/** The shape of a row but for its tokens, which its curve is drawn over. */
export const shapeOfCurve = ({ shape }: Row): string => shape.replace(/ tokens=\d+$/, '')

/** What a row is called where it is named: suite aside, everything that tells it from others. */
export const rowName = ({ name, shape, impl, density, profile }: Row): string =>
  [name, shape, impl, density === undefined ? '' : `at ${density}`, profile].filter(Boolean).join(' ')

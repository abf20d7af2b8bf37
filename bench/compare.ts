// A run beside an earlier one: which rows changed by more than the noise of both.
import { plain, shown } from '../src/base/quote.ts'
import type { Row } from './harness.ts'
import { type BenchReport, SCHEMA } from './schema.ts'
import { changeBetween, type Interval } from './statistics.ts'
import { keyOf, rowName } from './table.ts'

/** How a row changed; `value` above 1 is slower than before. */
export interface Change extends Interval {
  row: string
  /**
   * What was compared: times, or times as multiples of a baseline that took turns with it in both runs, which leaves
   * out how busy the machine was.
   */
  by: string
  beyondNoise: boolean
}

/** All changes of rows that both runs have, and the rows that only one of them has. */
export interface RunComparison {
  changes: Change[]
  onlyNow: string[]
  onlyBefore: string[]
  /** Said where the runs are of different machines or adapters. */
  warnings: string[]
}

/** Changes below this share are not told, whatever the rounds say: runs differ by more than their rounds do. */
const LEAST = 0.05

/** Compares two runs row by row. */
export function compareReports(old: BenchReport, now: BenchReport): RunComparison {
  const before = new Map(old.rows.map((row) => [keyOf(row), row]))
  const after = new Map(now.rows.map((row) => [keyOf(row), row]))
  const changes = now.rows.flatMap((row) => {
    const other = before.get(keyOf(row))
    return other ? [changeOf(other, row, old.rows, now.rows)] : []
  })
  const facts = (['adapter', 'profile'] as const).map((key) => [key, old[key], now[key]] as const)
  const machine = (['cpu', 'cores', 'node'] as const).map((key) => [key, old.machine?.[key], now.machine[key]] as const)
  return {
    changes,
    onlyNow: now.rows.filter((row) => !before.has(keyOf(row))).map(rowName),
    onlyBefore: old.rows.filter((row) => !after.has(keyOf(row))).map(rowName),
    warnings: [...facts, ...machine].filter(([, was, is]) => was !== is).map(([what, was, is]) =>
      `${what}: ${told(was)} before, ${told(is)} now`
    ),
  }
}

/** A fact of an earlier run's file, whatever stands there. */
const told = (value: unknown): string =>
  value === undefined || value === null ? 'not said' : typeof value === 'string' ? plain(value, 80) : shown(value)

function changeOf(old: Row, now: Row, oldRows: readonly Row[], nowRows: readonly Row[]): Change {
  const over = now.speedUps?.find(({ over }) => old.speedUps?.some((each) => each.over === over))?.over
  const rounds = (row: Row, rows: readonly Row[]): readonly number[] => {
    const own = row.msRounds?.length ? row.msRounds : [row.msMedian]
    const base = over === undefined
      ? undefined
      : rows.find((other) => other.impl === over && keyOf({ ...other, impl: row.impl }) === keyOf(row))
    return base?.msRounds?.length === own.length ? own.map((ms, i) => ms / base.msRounds![i]) : own
  }
  const interval = changeBetween(rounds(old, oldRows), rounds(now, nowRows), {
    before: old.processes,
    after: now.processes,
  })
  const { value, low, high } = interval, enough = (old.msRounds?.length ?? 0) > 1 && (now.msRounds?.length ?? 0) > 1
  return {
    ...interval,
    row: rowName(now),
    by: over === undefined ? 'time' : `time beside ${over}`,
    beyondNoise: enough && Math.abs(value - 1) > LEAST && (low > 1 || high < 1),
  }
}

/** The report as the one object that `--json` prints; `comparison` stands in it where there is an earlier run. */
export const jsonReport = (report: BenchReport, old?: { path: string, report: BenchReport }): object => ({
  schema: SCHEMA,
  ...report,
  ...old && { comparison: { file: old.path, ...compareReports(old.report, report) } },
})

/** The comparison as lines for people: what changed, and how much did not. */
export function comparisonText({ changes, onlyNow, onlyBefore, warnings }: RunComparison, path: string): string {
  const told = changes.filter(({ beyondNoise }) => beyondNoise)
  const factor = (value: number) => value.toFixed(2)
  return [
    `beside ${plain(path, 200)}: ${told.length} of ${changes.length} rows changed beyond noise`,
    ...warnings.map((line) => `  other conditions, so that times do not compare: ${line}`),
    ...told.map(({ row, value, low, high, by }) =>
      `  ${row}: ${factor(value)} times the ${by} (${factor(low)} to ${factor(high)}), ${
        value > 1 ? 'SLOWER' : 'faster'
      }`
    ),
    ...listed('only in this run', onlyNow),
    ...listed('only in the earlier one', onlyBefore),
  ].join('\n')
}

const listed = (what: string, rows: readonly string[]): string[] =>
  rows.length
    ? [
      `  ${what}: ${rows.slice(0, 5).map((row) => plain(row)).join('; ')}${
        rows.length > 5 ? ` and ${rows.length - 5} more` : ''
      }`,
    ]
    : []

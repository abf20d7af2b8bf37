// One report made of those of several processes. Rounds of one process agree with each other better than with those of
// the next: where its memory lies and what was compiled when is settled as it starts. An interval over processes knows
// of that, one over the rounds of a single process does not.
import { quantile, median } from '../src/base/turns.ts'
import type { Row } from './harness.ts'
import { judged } from './judge.ts'
import { tokenBreakEvens } from './attention.ts'
import { breakEvenRows } from './patterns.ts'
import { type Roofline, withRoofline } from './roofline.ts'
import type { BenchReport } from './schema.ts'
import { keyOf, rowName } from './table.ts'

/**
 * The rows that all of the reports have, each with the rounds of all processes one after the other (`processes` of as
 * many), medians over those rounds, the middle of the processes' `msP10` and `msDevice`, and the spread of the rounds
 * as `msMad`. Comparisons, noise, roofs and break-even densities are found anew.
 * @throws RangeError without reports.
 */
export function mergeReports(reports: readonly BenchReport[]): BenchReport {
  const [first] = reports as readonly (BenchReport | undefined)[]
  if (!first) throw new RangeError('mergeReports: expected at least one report, got none')
  if (reports.length === 1) return first
  const byKey = reports.map(({ rows }) => new Map(rows.map((row) => [keyOf(row), row])))
  const lost: string[] = []
  const found = first.rows.flatMap((row) => {
    const same = byKey.flatMap((rows) => rows.get(keyOf(row)) ?? [])
    if (same.length === reports.length) return [mergeRows(same)]
    lost.push(rowName(row))
    return []
  })
  const rooflines = mergeRooflines(reports.map((report) => report.rooflines))
  const rows = judged(found).map((row) => {
    const roofline = rooflines[row.profile ?? (first.profile === 'native' ? 'native' : 'browser')]
    return row.roofline !== undefined && roofline ? withRoofline([row], roofline)[0] : row
  })
  const notes = [...new Set(reports.flatMap((report) => report.notes))]
  if (lost.length) notes.push(`not measured in every process, so left out: ${lost.join('; ')}`)
  return {
    ...first,
    processes: reports.length,
    rows,
    rooflines,
    breakEven: [...breakEvenRows(rows), ...tokenBreakEvens(rows)],
    tuning: mergeTuning(reports.map(({ tuning }) => tuning)),
    notes,
  }
}

function mergeRows(same: readonly Row[]): Row {
  const [row] = same, msRounds = same.flatMap(({ msRounds, msMedian }) => msRounds ?? [msMedian])
  const msMedian = median(msRounds), faster = row.msMedian / msMedian
  const devices = same.flatMap(({ msDevice }) => msDevice ?? []),
    errors = same.flatMap((each) => each.maxRelError ?? [])
  return {
    ...row,
    msMedian,
    msMad: median(msRounds.map((ms) => Math.abs(ms - msMedian))),
    runs: same.reduce((sum, { runs }) => sum + runs, 0),
    gflops: row.gflops && row.gflops * faster,
    gbps: row.gbps && row.gbps * faster,
    ...row.gflopsDense !== undefined && { gflopsDense: row.gflopsDense * faster },
    maxRelError: errors.length ? Math.max(...errors) : null,
    msP10: quantile(same.map(({ msP10 }) => msP10), 0.5),
    msDevice: devices.length ? median(devices) : null,
    msRounds,
    // Rounds of which nobody knows whose they were are taken as one process's.
    ...same.every((each) => each.msRounds?.length === row.msRounds?.length) && { processes: same.length },
  }
}

function mergeRooflines(all: readonly BenchReport['rooflines'][]): BenchReport['rooflines'] {
  const merged: BenchReport['rooflines'] = {}
  for (const profile of ['browser', 'native'] as const) {
    const found = all.flatMap((each): Roofline[] => each[profile] ? [each[profile]] : [])
    // A roof is what is possible at all, so the best of the processes counts.
    const fma = found.toSorted((a, b) => b.fmaGflops - a.fmaGflops)[0] as Roofline | undefined
    if (fma) merged[profile] = { ...fma, copyGbps: Math.max(...found.map(({ copyGbps }) => copyGbps)) }
  }
  return merged
}

/** What the tuner chose; where processes chose differently, all that they chose. */
function mergeTuning(all: readonly Record<string, string>[]): Record<string, string> {
  const names = [...new Set(all.flatMap((each) => Object.keys(each)))]
  return Object.fromEntries(names.map((name) => {
    const chosen = new Set(all.flatMap((each) => (each as Partial<Record<string, string>>)[name] ?? []))
    return [name, [...chosen].join(' | ')]
  }))
}

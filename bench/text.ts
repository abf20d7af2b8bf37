// A report as text: the roofs, the table, how it compares with the peers, what may not be trusted.
import { compareReports, comparisonText } from './compare.ts'
import type { BenchReport, BreakEvenRow } from './schema.ts'
import { against, rowName, table } from './table.ts'

/** The report for a terminal; `old` is an earlier run with its file's name. */
export function benchText(report: BenchReport, old?: { path: string, report: BenchReport }): string {
  const { adapter, versions, profile, machine, rows, rooflines, breakEven, notes, processes } = report
  const lines = [
    `adapter: ${adapter}   profile: ${profile}   ${Object.entries(versions).map((pair) => pair.join(' ')).join(', ')}`,
    `machine: ${machine.cpu}, ${machine.cores} cores, ${machine.platform}${
      machine.commit ? `, commit ${machine.commit}` : ''
    }${processes ? `, ${processes} processes` : ''}`,
    ...Object.entries(rooflines).map(([name, { copyGbps, copyBytes, fmaGflops, fmaChains }]) =>
      `roofs, ${name}: copies ${copyGbps.toFixed(1)} GB/s (${(copyBytes / 1e6).toFixed(0)} MB), multiply-adds ${
        fmaGflops.toFixed(1)
      } GFLOP/s (${fmaChains} chains)`
    ),
    table(rows),
  ]
  for (const by of ['msMedian', 'msP10'] as const) {
    const ratios = against(rows, by)
    if (!ratios) continue
    lines.push(
      '',
      `times as fast as the fastest peer (${by === 'msMedian' ? 'medians' : 'fastest tenth'}):`,
      ...ratios.cases.map(({ name, shape, peer, ratio }) => `  ${name} ${shape}: ${ratio.toFixed(2)} (${peer})`),
      `  geometric mean: ${ratios.mean.toFixed(2)}`,
    )
  }
  const by = (what?: 'tokens') => breakEven.filter((row) => row.by === what).map(breakEvenText)
  if (by().length) lines.push('', 'as fast as dense at a density of:', ...by())
  if (by('tokens').length) lines.push('', 'faster from so many tokens on:', ...by('tokens'))
  const noisy = rows.filter((row) => row.noisy)
  if (noisy.length) {
    lines.push(
      '',
      `too noisy to trust to 10 %, ${noisy.length} of ${rows.length} rows (more --rounds or a calmer machine):`,
      ...noisy.map((row) => `  ${rowName(row)}`),
    )
  }
  lines.push(...notes.map((note) => `note: ${note}`))
  if (old) lines.push('', comparisonText(compareReports(old.report, report), old.path))
  return lines.join('\n')
}

/** One break-even density, or number of tokens, with its interval. */
export function breakEvenText(row: BreakEvenRow): string {
  const { pattern, op, shape, over, value, low, high, beyond, profile, by } = row
  const [shown, least, most] = by === 'tokens'
    ? [(x: number) => String(Math.round(x)), 'fewest', 'most']
    : [(x: number) => x.toFixed(2), 'sparsest', 'densest']
  const at = beyond === 'above'
    ? `above ${shown(value)}, the ${most} that was measured`
    : beyond === 'below'
    ? `below ${shown(value)}, the ${least} that was measured`
    : `${shown(value)} (${shown(low)} to ${shown(high)})`
  return `  ${pattern} ${op} ${shape} beside ${over}${profile ? ` (${profile})` : ''}: ${at}`
}

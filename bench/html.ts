// A bench as one HTML file that fetches nothing and runs no script: the machine, curves, the roofline, every row.
import { html, type Html } from '../src/report/html.ts'
import { legend, type Plot, type PlotPoint, responsivePlot, type Series } from '../src/report/plot.ts'
import { definitions, page } from '../src/report/page.ts'
import { compareReports, type RunComparison } from './compare.ts'
import type { Row } from './harness.ts'
import type { Roofline } from './roofline.ts'
import type { BenchReport } from './schema.ts'
import { columnsOf, rowName, shapeOfCurve } from './table.ts'
import { breakEvenText } from './text.ts'

/** The page; `old` is an earlier run with its file's name. */
export function benchPage(report: BenchReport, old?: { path: string, report: BenchReport }): string {
  const title = `Espalier bench ${report.suite}, ${report.adapter}`
  return page(title, report.versions.espalier, benchSections(report, old))
}

/** What a page says of one run. */
export function benchSections(report: BenchReport, old?: { path: string, report: BenchReport }): Html[] {
  const { rows, rooflines, notes } = report, noisy = rows.filter((row) => row.noisy)
  return [
    facts(report),
    ...notes.length ? [html`<ul>${notes.map((note) => html`<li>${note}</li>`)}</ul>`] : [],
    ...speedUpPlots(rows),
    ...breakEvens(report),
    ...Object.entries(rooflines).map(([profile, roofline]) =>
      rooflinePlot(rows.filter((row) => (row.profile ?? profile) === profile), profile, roofline)
    ),
    ...noisy.length
      ? [
        html`<section><h2>Too noisy to trust to 10 %</h2><ul>${
          noisy.map((row) => html`<li>${rowName(row)}</li>`)
        }</ul></section>`,
      ]
      : [],
    ...old ? [changes(compareReports(old.report, report), old.path)] : [],
    rowTable(rows),
  ]
}

function facts({ adapter, profile, machine, versions, date, processes = 1 }: BenchReport): Html {
  return definitions([
    ['adapter', adapter],
    ['profile', profile],
    ['processor', `${machine.cpu}, ${machine.cores} cores, ${machine.platform}`],
    ['versions', Object.entries(versions).map((pair) => pair.join(' ')).join(', ')],
    ['commit', machine.commit],
    ['processes', String(processes)],
    ['date', date],
  ])
}

const short = (value: number) => String(Number(value.toPrecision(3)))

/** Speed-up over what it is compared with against density or tokens, a plot for each op and shape. */
function speedUpPlots(rows: readonly Row[]): Html[] {
  const found = new Map<string, { by: 'density' | 'tokens', curves: Map<string, PlotPoint[]> }>()
  for (const row of rows) {
    const { name, impl, density, tokens, profile, speedUps } = row, x = density ?? tokens
    if (x === undefined) continue
    const by = density === undefined ? 'tokens' : 'density', shape = shapeOfCurve(row)
    for (const { over, value, low, high } of speedUps ?? []) {
      const where = `${name}, ${shape}${profile ? `, ${profile} profile` : ''}: times as fast as ${over}`
      const { curves } = found.get(where) ?? { curves: new Map<string, PlotPoint[]>() }
      found.set(where, { by, curves })
      const points = curves.get(impl) ?? []
      curves.set(impl, points)
      points.push({
        x,
        y: value,
        low,
        high,
        title: `${impl} at ${by === 'tokens' ? `${x} tokens` : `density ${x}`}: ${short(value)} (${short(low)} to ${
          short(high)
        })`,
      })
    }
  }
  return [...found].map(([label, { by, curves }]) => {
    const plot: Plot = {
      label,
      x: { label: by, tick: short, log: by === 'tokens' },
      y: { label: 'speed-up', tick: short, log: true },
      series: [...curves].map(([name, points]) => ({ name, points: points.toSorted((a, b) => a.x - b.x) })),
      level: { value: 1, label: 'as fast' },
    }
    return html`<section><h2>${label}</h2>${legend(plot)}${responsivePlot(plot)}
<p class="small">A band is the 95 % interval over rounds, and over processes where there were several.</p></section>`
  })
}

const breakEvens = ({ breakEven }: BenchReport): Html[] =>
  ([[undefined, 'Break-even density'], ['tokens', 'Faster from so many tokens on']] as const).flatMap(([by, title]) => {
    const found = breakEven.filter((row) => row.by === by)
    return found.length
      ? [
        html`<section><h2>${title}</h2><ul>${
          found.map((each) => html`<li>${breakEvenText(each).trim()}</li>`)
        }</ul></section>`,
      ]
      : []
  })

/** GFLOP/s against operations per byte, under both roofs; ours and each other implementation in marks of their own. */
function rooflinePlot(rows: readonly Row[], profile: string, { copyGbps, fmaGflops }: Roofline): Html {
  const marks = new Map<string, PlotPoint[]>()
  for (const row of rows) {
    const { gflops, gbps, impl, msMedian, msDevice, roofline } = row
    if (!gflops || !gbps || roofline === undefined) continue
    const y = gflops * msMedian / (msDevice ?? msMedian)
    const points = marks.get(impl) ?? []
    marks.set(impl, points)
    points.push({
      x: gflops / gbps,
      y,
      low: y,
      high: y,
      title: `${rowName(row)}: ${short(y)} GFLOP/s, ${Math.round(100 * roofline)} % of the roof`,
    })
  }
  const all = [...marks.values()].flat()
  if (!all.length) return html``
  const ridge = fmaGflops / copyGbps, xs = all.map(({ x }) => x)
  const ends = [Math.min(ridge / 4, ...xs), ridge, Math.max(4 * ridge, ...xs)]
  const roof: Series = {
    name: `roof: ${short(copyGbps)} GB/s, ${short(fmaGflops)} GFLOP/s`,
    draw: 'line',
    points: ends.map((x) => {
      const y = Math.min(fmaGflops, x * copyGbps)
      return { x, y, low: y, high: y, title: '' }
    }),
  }
  const plot: Plot = {
    label: `Roofline, ${profile} profile`,
    x: { label: 'operations per byte', tick: short, log: true },
    y: { label: 'GFLOP/s', tick: short, log: true },
    series: [roof, ...[...marks].map(([name, points]): Series => ({ name, points, draw: 'marks' }))],
  }
  return html`<section><h2>${plot.label}</h2>${legend(plot)}${responsivePlot(plot)}
<p class="small">Both roofs were measured on this adapter in the same run. Bytes are those that have to be read and
written at least once, so that work which fits a cache can stand above the slope.</p></section>`
}

function changes({ changes: all, warnings, onlyNow, onlyBefore }: RunComparison, path: string): Html {
  const told = all.filter(({ beyondNoise }) => beyondNoise)
  return html`<section><h2>Beside ${path}</h2>
<p>${told.length} of ${all.length} rows changed beyond noise; ${onlyNow.length} are only in this run,
${onlyBefore.length} only in the earlier one.</p>
<ul>${warnings.map((line) => html`<li>other conditions: ${line}</li>`)}${
    told.map(({ row, value, low, high, by }) =>
      html`<li>${row}: ${short(value)} times the ${by} (${short(low)} to ${short(high)})</li>`
    )
  }</ul></section>`
}

function rowTable(rows: readonly Row[]): Html {
  const columns = columnsOf(rows)
  return html`<section><h2>All rows</h2><div class="scroll"><table>
<thead><tr>${columns.map(({ head }) => html`<th>${head}</th>`)}</tr></thead>
<tbody>${
    rows.map((row) =>
      html`
<tr>${
        columns.map(({ cell }, i) => i === 0 ? html`<th>${cell(row) ?? '–'}</th>` : html`<td>${cell(row) ?? '–'}</td>`)
      }</tr>`
    )
  }
</tbody></table></div></section>`
}

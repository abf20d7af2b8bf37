// What `sparse-networks` measured as a page: accuracy against density, a curve for each choice of tiles, and every row.
import { percent } from '../src/report/format.ts'
import { html, type Html } from '../src/report/html.ts'
import { legend, type Plot, responsivePlot } from '../src/report/plot.ts'
import { definitions, page } from '../src/report/page.ts'
import type { MachineFacts } from './schema.ts'

/** A network, dense or packed, as it was measured. Shares of times are of the dense network's in turns with it. */
export interface SparseResult {
  top1: number
  top5: number
  loss: number
  images: number
  keptMacs: number
  bytes: number
  cpuMsPerImage?: number
  cpuShare?: number
}

/** How the tiles of a packed one were chosen. */
export interface SparseRow extends SparseResult {
  pattern: string
  method: string
  ranking: string
  density: number
}

/** The file of results. */
export interface SparseNetworks {
  command: string
  version: string
  adapter: string
  machine: MachineFacts
  skip: readonly string[]
  references: number
  dense: SparseResult
  rows: readonly SparseRow[]
}

/** The page; accuracies have one standard error to either side, sqrt(p (1 - p) / images). */
export function sparsePage(
  { command, version, adapter, machine, skip, references, dense, rows }: SparseNetworks,
): string {
  const plot = accuracies(dense, rows)
  return page('Sparse networks without training', version, [
    definitions(Object.entries({
      command,
      adapter,
      processor: `${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}`,
      commit: machine.commit ?? 'unknown',
      'left dense': skip.join(', ') || 'nothing',
      pictures: `${dense.images} tested, ${references} scored by`,
    })),
    ...rows.length ? [html`<section><h2>${plot.label}</h2>${legend(plot)}${responsivePlot(plot)}</section>`] : [],
    table(dense, rows),
  ])
}

function accuracies(dense: SparseResult, rows: readonly SparseRow[]): Plot {
  const curves = new Map<string, SparseRow[]>()
  for (const row of rows) {
    const name = `${row.pattern} by ${row.method}, ${row.ranking}`
    curves.set(name, [...curves.get(name) ?? [], row])
  }
  return {
    label: 'Top-1 accuracy by density',
    x: { label: 'density', tick: (value) => String(value) },
    y: { label: 'top-1', tick: (value) => percent(value, 0), ends: [0, 1] },
    series: [...curves].map(([name, found]) => ({
      name,
      points: found.toSorted((a, b) => a.density - b.density).map(({ density: x, top1: y, images }) => {
        const error = Math.sqrt(y * (1 - y) / images)
        return { x, y, low: y - error, high: y + error, title: `${name}, density ${x.toFixed(3)}: ${percent(y, 1)}` }
      }),
    })),
    level: { value: dense.top1, label: 'dense' },
  }
}

function table(dense: SparseResult, rows: readonly SparseRow[]): Html {
  const heads = ['weights', 'density', 'top-1', 'top-5', 'loss', 'multiply-adds done', 'file', 'ms an image', 'time']
  const cells = (name: string, density: number, row: SparseResult) => [
    name,
    density.toFixed(3),
    percent(row.top1, 1),
    percent(row.top5, 1),
    row.loss.toFixed(3),
    percent(row.keptMacs / dense.keptMacs, 1),
    percent(row.bytes / dense.bytes, 1),
    row.cpuMsPerImage?.toFixed(2) ?? '–',
    row.cpuShare === undefined ? '–' : percent(row.cpuShare, 0),
  ]
  const lines = [
    cells('dense', 1, dense),
    ...rows.map((row) => cells(`${row.pattern} by ${row.method}, ${row.ranking}`, row.density, row)),
  ]
  return html`<section><h2>All rows</h2><div class="scroll"><table>
<thead><tr>${heads.map((head) => html`<th>${head}</th>`)}</tr></thead>
<tbody>${
    lines.map(([name, ...values]) =>
      html`
<tr><th>${name}</th>${values.map((value) => html`<td>${value}</td>`)}</tr>`
    )
  }
</tbody></table></div>
<p class="small">Shares are of the dense network's; time is processor time on one thread, in turns with it.</p>
</section>`
}

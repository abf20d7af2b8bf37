// A report: one HTML file that holds everything it shows, fetches nothing and runs no script.
import { maskPicture, type MaskReport } from './class-masks.ts'
import { comparisonSection } from './comparison.ts'
import { curveSection } from './curves.ts'
import { figureSection } from './figures.ts'
import { differsInTime, percent } from './format.ts'
import { headGraphSection } from './head-graph.ts'
import { html, type Html } from './html.ts'
import { unitSection } from './kept.ts'
import { definitions, page } from './page.ts'
import { stageSection } from './stages.ts'
import type { Heatmaps, Report } from './types.ts'

/** The report as a self-contained HTML document. Every text in it is escaped; parts that are absent are left out. */
export function htmlReport(report: Report): string {
  const { title, command, notes = [], heatmaps = [] } = report
  return page(
    title,
    report.version,
    html`${facts(report)}
${tiles(report)}
<p class="small">The command; one click selects it all.</p>
<pre>${command}</pre>
${notes.length > 0 && html`<ul>${notes.map((note) => html`<li>${note}</li>`)}</ul>`}
${figureSection(report)}
${curveSection(report)}
${report.comparison && comparisonSection(report.comparison)}
${stageSection(report.stages)}
${report.masks && maskSection(report.masks)}
${report.graph && headGraphSection(report.graph)}
${heatmaps.length > 0 && html`<section><h2>Relevance before and after</h2>${heatmaps.map(pair)}</section>`}
${unitSection(report)}`,
  )
}

function facts({ model, data, test, method, rate, seed, adapter, version }: Report): Html {
  return definitions([
    ['model', model],
    ['method', method],
    ['rate', rate === undefined ? undefined : percent(rate, 1)],
    ['data', data],
    ['test', test],
    ['seed', String(seed)],
    ['adapter', adapter],
    ['version', `Espalier ${version}`],
  ])
}

/** What most readers came for, in large type. */
function tiles({ before, after }: Report): Html | null {
  if (!after) return null
  const left = (key: 'macs' | 'params', label: string): [string, string] | null =>
    before[key] && after[key] !== undefined ? [percent(after[key] / before[key], 1), label] : null
  const accuracy: [string, string] | null = before.top1 === undefined || after.top1 === undefined
    ? null
    : [percent(after.top1, 1), `top-1, was ${percent(before.top1, 1)}`]
  const shown = [
    accuracy,
    left('macs', 'of the multiply-adds'),
    left('params', 'of the parameters'),
    after.timeShare === undefined
      ? null
      : differsInTime(after)
      ? [percent(after.timeShare, 1), 'of the time']
      : ['≈ 100 %', 'of the time: no difference beyond noise'],
  ]
  return html`<div class="tiles">${
    shown.map((tile) => tile && html`<div class="tile"><b>${tile[0]}</b><span>${tile[1]}</span></div>`)
  }</div>`
}

function maskSection(masks: MaskReport): Html {
  const png = Buffer.from(maskPicture(masks, '').png()).toString('base64')
  return html`<section><h2>Masks of classes</h2><figure><div class="scroll"><img
alt="How far each class leans on each layer, and which classes share units" src="data:image/png;base64,${png}"></div>
</figure></section>`
}

function pair({ name, before, after }: Heatmaps): Html {
  const picture = (png: Uint8Array, when: string) =>
    html`<span><small>${when}</small><img alt="${name}, ${when} pruning" src="data:image/png;base64,${
      Buffer.from(png).toString('base64')
    }"></span>`
  return html`<figure><figcaption>${name}</figcaption><div>${picture(before, 'before')}${
    picture(after, 'after')
  }</div></figure>`
}

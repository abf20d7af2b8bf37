// Stages that learnt: losses and what else was measured after every epoch, as plots in a report and as lines of text.
import type { StageRecord } from '../pruning/learning/record.ts'
import { percent } from './format.ts'
import { html, type Html } from './html.ts'
import { sparkline } from './learning-curve.ts'
import { legend, type Plot, responsivePlot, type Series } from './plot.ts'

const short = (value: number) => String(Number(value.toPrecision(3)))

/** The section with the curves of each stage. */
export function stageSection(stages: readonly StageRecord[] = []): Html | null {
  const drawn = stages.filter(({ losses }) => losses.length > 0)
  if (!drawn.length) return null
  return html`
<section><h2>Learning</h2>${
    drawn.map((stage) => {
      const plots = plotsOf(stage)
      return html`
<h3>${stage.name}: ${stage.epochs} epochs on ${stage.images.toLocaleString('en')} images</h3>${
        plots.map((plot) => [responsivePlot(plot), plot.series.length > 1 && legend(plot)])
      }${layerTable(stage)}`
    })
  }
</section>`
}

function plotsOf({ losses, curves, layers: what = 'rate' }: StageRecord): Plot[] {
  const layers = layersOf(curves),
    plot = (label: string, lines: Record<string, readonly number[]>): Plot => ({
      label: `${label} by epoch`,
      x: { label: 'epoch', tick: (epoch) => Number.isInteger(epoch) ? String(epoch) : '' },
      y: { label, tick: short },
      series: Object.entries(lines).map(([name, values]) => seriesOf(name, values)),
    })
  const others = Object.entries(curves).filter(([name]) => name !== what && !layers.includes(name))
  return [
    plot('loss', { loss: losses }),
    ...others.map(([name, values]) => plot(name, { [name]: values })),
    ...layers.length
      ? [plot(what, { 'whole network': curves[what] ?? [], ...spread(curves, layers, ends[what]) })]
      : [],
  ]
}

const ends: Record<string, [string, string] | undefined> = { rate: ['most pruned layer', 'least pruned layer'] }

/** Of many layers a plot shows where the least, the median and the most pruned one are. */
function spread(
  curves: StageRecord['curves'],
  layers: readonly string[],
  [most, least] = ['greatest', 'least'],
): Record<string, number[]> {
  if (layers.length <= 6) return Object.fromEntries(layers.map((name) => [name, curves[name]]))
  const sorted = curves[layers[0]].map((_, epoch) => layers.map((name) => curves[name][epoch]).sort((a, b) => a - b))
  return {
    [most]: sorted.map((rates) => rates.at(-1)!),
    'median layer': sorted.map((rates) => rates[rates.length >> 1]),
    [least]: sorted.map((rates) => rates[0]),
  }
}

/** Curves named after a unit are of layers. */
const layersOf = (curves: StageRecord['curves']) => Object.keys(curves).filter((name) => name.includes('.'))

const seriesOf = (name: string, values: readonly number[]): Series => ({
  name,
  points: values.map((y, i) => ({ x: i + 1, y, low: y, high: y, title: `${name}, epoch ${i + 1}: ${short(y)}` })),
})

function layerTable({ curves, layers: what = 'rate' }: StageRecord): Html | null {
  const layers = layersOf(curves)
  if (!layers.length) return null
  return html`
<details><summary>${what}s of ${layers.length} layers in the end</summary>
<div class="scroll"><table><thead><tr><th>layer</th><th>${what}</th></tr></thead><tbody>${
    layers.map((name) =>
      html`
<tr><th>${name}</th><td>${percent(curves[name].at(-1)!, 1)}</td></tr>`
    )
  }
</tbody></table></div></details>`
}

/** A line for each stage: its losses, and what it came to. */
export const stageLines = (stages: readonly StageRecord[]): string[] =>
  stages.filter(({ losses }) => losses.length > 0).map(({ name, epochs, losses, curves, layers = 'rate' }) => {
    const all = curves[layers], came = all?.length ? `, ${layers} ${sparkline(all)} ${all.at(-1)!.toFixed(3)}` : ''
    return `${name}: ${epochs} ${epochs === 1 ? 'epoch' : 'epochs'}, loss ${sparkline(losses)} ${
      losses.at(-1)!.toFixed(4)
    }${came}`
  })

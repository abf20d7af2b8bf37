// Curves as SVG text: d3's scales and shapes compute, nothing needs a document. Colours are the page's variables.
import { scaleLinear, scaleLog } from 'd3-scale'
import { area, line, symbol, symbolsFill } from 'd3-shape'
import { html, type Html } from './html.ts'

/** One place of a series; `low` and `high` are the ends of its error band. */
export interface PlotPoint {
  x: number
  y: number
  low: number
  high: number
  title: string
}

/** A line with its band; `draw` leaves the line or the marks away. */
export interface Series {
  name: string
  points: readonly PlotPoint[]
  draw?: 'line' | 'marks'
}

/** An axis. Ticks are printed by `tick`; a logarithmic one takes positive values alone. */
export interface Axis {
  label: string
  tick: (value: number) => string
  log?: boolean
}

/** A plot. `level` is a horizontal line to compare with. */
export interface Plot {
  label: string
  x: Axis
  y: Axis
  series: readonly Series[]
  level?: { value: number, label: string }
}

const colours = 8 // --c0 .. --c7 of the page
const colourOf = (i: number) => `color: var(--c${i % colours})`

/** The plot for a phone and for a wide screen: text keeps its size, so one picture cannot be scaled to both. */
export const responsivePlot = (plot: Plot): Html =>
  html`
<div class="narrow">${svg(plot, 360, 270)}</div>
<div class="wide">${svg(plot, 820, 380)}</div>`

/** Names with the colour, the mark and the line of their series, and the name of the level. */
export const legend = ({ series, level }: Plot): Html =>
  html`
<ul class="legend">${
    series.map(({ name, draw }, i) =>
      html`
  <li><svg width="30" height="14" style="${colourOf(i)}" aria-hidden="true">${
        draw !== 'marks' && html`<path class="line" d="M0,7H30"/>`
      }${draw !== 'line' && html`<path class="mark" d="${mark(i)}" transform="translate(15,7)"/>`}</svg>${name}</li>`
    )
  }
  ${
    level
    && html`
  <li><svg width="30" height="14" aria-hidden="true"><path class="level" d="M0,7H30"/></svg>${level.label}</li>`
  }
</ul>`

function svg({ label, x, y, series, level }: Plot, width: number, height: number): Html {
  const margin = { left: 46, right: 24, top: 14, bottom: 40 }
  const all = series.flatMap(({ points }) => points)
  const [least, most] = extent(all.map((point) => point.x), x.log)
  const right = (x.log ? scaleLog : scaleLinear)([least, most], [margin.left, width - margin.right]).nice()
  const top = Math.max(level?.value ?? 0, ...all.map(({ high }) => high))
  const floor = y.log ? Math.min(...all.map(({ low }) => low)) : 0
  const up = (y.log ? scaleLog : scaleLinear)(
    y.log ? extent([floor, top], true) : [0, top || 1],
    [height - margin.bottom, margin.top],
  ).nice()
  const curve = line<PlotPoint>((point) => right(point.x), (point) => up(point.y))
  const band = area<PlotPoint>((point) => right(point.x), ({ low }) => up(low), ({ high }) => up(high))
  const ends = `M${margin.left},0H${width - margin.right}`
  return html`<svg class="plot" viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">
${
    ticksOf(up, 5, y.log).map((value) =>
      html`<g transform="translate(0,${round(up(value))})"><path class="grid" d="${ends}"/><text x="${
        margin.left - 6
      }" dy="0.32em" text-anchor="end">${y.tick(value)}</text></g>`
    )
  }
${
    ticksOf(right, width / 80, x.log).map((value) =>
      html`<text x="${round(right(value))}" y="${height - margin.bottom + 18}" text-anchor="middle">${
        x.tick(value)
      }</text>`
    )
  }
<text x="${margin.left}" y="9">${y.label}</text>
<text x="${width - margin.right}" y="${height - 6}" text-anchor="end">${x.label}</text>
${level && html`<g transform="translate(0,${round(up(level.value))})"><path class="level" d="${ends}"/></g>`}
${
    series.map(({ points }, i) =>
      points.some(({ low, high }) => high > low)
      && html`<path class="band" style="${colourOf(i)}" d="${rounded(band(points))}"/>`
    )
  }
${
    series.map(({ points, draw }, i) =>
      html`<g style="${colourOf(i)}">${draw !== 'marks' && html`<path class="line" d="${rounded(curve(points))}"/>`}
${
        draw !== 'line' && points.map((point) =>
          html`<path class="mark" d="${mark(i)}" transform="translate(${round(right(point.x))},${
            round(up(point.y))
          })"><title>${point.title}</title></path>`
        )
      }</g>`
    )
  }
</svg>`
}

/** Marks differ in shape as well as in colour, for those who cannot tell colours apart. */
const mark = (i: number) => rounded(symbol(symbolsFill[i % symbolsFill.length], 40)())

const round = (value: number) => Math.round(100 * value) / 100
const rounded = (path: string | null) =>
  (path ?? '').replace(/-?\d+\.\d+(e-?\d+)?/g, (value) => String(round(Number(value))))

/** Of a logarithmic axis the powers of ten, and more where those are too few. */
function ticksOf(scale: { ticks(count: number): number[] }, count: number, log = false): number[] {
  const all = scale.ticks(count), tens = all.filter((value) => Number.isInteger(Math.log10(value)))
  return log && tens.length > 1 ? tens : all
}

function extent(values: readonly number[], log = false): [number, number] {
  const low = Math.min(...values), high = Math.max(...values)
  if (high > low) return [low, high]
  return log ? [low / 2, low * 2] : [low - 0.5, low + 0.5]
}

// Curves as SVG text: d3's scales and shapes compute, nothing needs a document. In a page its style and variables
// colour them; a file of its own (`plotFile`) brings both.
import { scaleLinear, scaleLog } from 'd3-scale'
import { area, symbol, symbolsFill } from 'd3-shape'
import { Html, html } from './html.ts'

/** One place of a series; `low` and `high` are the ends of its error band. */
export interface PlotPoint {
  x: number
  y: number
  low: number
  high: number
  title: string
}

/** A line with its band, NaN leaves a gap; `draw` leaves the line or the marks away. */
export interface Series {
  name: string
  points: readonly PlotPoint[]
  draw?: 'line' | 'marks'
  /** Instead of the page's next one. */
  colour?: string
}

/**
 * An axis. Ticks are printed by `tick`, '' for none; a logarithmic one takes positive values alone. `ends` are exact;
 * without them an axis goes to round numbers beyond the values, a linear y axis from 0.
 */
export interface Axis {
  label: string
  tick: (value: number) => string
  log?: boolean
  ends?: readonly [number, number]
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
const colourOf = (i: number, own?: string) => `color: ${own ?? `var(--c${i % colours})`}`

/** The plot for a phone and for a wide screen: text keeps its size, so one picture cannot be scaled to both. */
export const responsivePlot = (plot: Plot): Html =>
  html`
<div class="narrow">${svg(plot, 360, 270)}</div>
<div class="wide">${svg(plot, 820, 380)}</div>`

/** Names with the colour, the mark and the line of their series, and the name of the level. */
export const legend = ({ series, level }: Plot): Html =>
  html`
<ul class="legend">${
    series.map(({ name, draw, colour }, i) =>
      html`
  <li><svg width="30" height="14" style="${colourOf(i, colour)}" aria-hidden="true">${
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

/** Plots side by side as an SVG file, names of series in their colours within. */
export function plotFile(title: string, plots: readonly Plot[]): string {
  const [each, height] = [460, 320], width = each * Math.max(1, plots.length)
  const panels = plots.map((plot, i) => {
    const box = { left: each * i + 60, right: each * i + 440, top: 60, bottom: 280 }
    const names = plot.series.map(({ name, colour }, row) =>
      html`
<text style="${colourOf(row, colour)}" x="${box.right}" y="${44 + 15 * row}" text-anchor="end">${name}</text>`
    )
    return html`${drawing(plot, box)}${names}`
  })
  return html`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}"
  height="${height}">
<style>${new Html(fileStyle)}</style>
<rect width="${width}" height="${height}" fill="#fff"/><text x="20" y="22" font-size="14">${title}</text>
${panels}
</svg>
`.text
}

const fileStyle = 'svg { font: 12px sans-serif } text { fill: currentColor } .grid { stroke: #ddd }'
  + ' .level { stroke: #888; stroke-dasharray: 5 4 } .band { fill: currentColor; opacity: .18 }'
  + ' .line { stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round }'
  + ' .mark { fill: currentColor }'

const svg = (plot: Plot, width: number, height: number): Html =>
  html`<svg class="plot" viewBox="0 0 ${width} ${height}" role="img" aria-label="${plot.label}">
${drawing(plot, { left: 46, right: width - 24, top: 14, bottom: height - 40 })}
</svg>`

/** Where the curves stand, in pixels; ticks and labels are around it. */
interface Box {
  left: number
  right: number
  top: number
  bottom: number
}

function drawing({ x, y, series, level }: Plot, box: Box): Html {
  const points = series.flatMap((each) => each.points.filter((point) => Number.isFinite(point.y)))
  const across = scaleOf(x, extent(points.map((point) => point.x), x.log), [box.left, box.right])
  const heights = [...points.flatMap(({ low, high }) => [low, high]), ...level ? [level.value] : []]
  const fromZero: [number, number] = [Math.min(0, ...heights), Math.max(0, ...heights) || 1]
  const up = scaleOf(y, y.log ? extent(heights, true) : fromZero, [box.bottom, box.top])
  const band = area<PlotPoint>((point) => across(point.x), ({ low }) => up(low), ({ high }) => up(high))
  const ends = `M${box.left},0H${box.right}`
  const ticks = {
    x: ticksOf(across, (box.right - box.left) / 64, x.log).filter((value) => x.tick(value)),
    y: ticksOf(up, 5, y.log).filter((value) => y.tick(value)),
  }
  return html`${
    ticks.y.map((value) =>
      html`<g transform="translate(0,${round(up(value))})"><path class="grid" d="${ends}"/><text x="${
        box.left - 6
      }" dy="0.32em" text-anchor="end">${y.tick(value)}</text></g>`
    )
  }
${
    ticks.x.map((value) =>
      html`<text x="${round(across(value))}" y="${box.bottom + 18}" text-anchor="middle">${x.tick(value)}</text>`
    )
  }
<text x="${box.left}" y="${box.top - 5}">${y.label}</text>
<text x="${box.right}" y="${box.bottom + 34}" text-anchor="end">${x.label}</text>
${level && html`<g transform="translate(0,${round(up(level.value))})"><path class="level" d="${ends}"/></g>`}
${
    series.map((each, i) =>
      each.points.some(({ low, high }) => high > low)
      && html`<path class="band" style="${colourOf(i, each.colour)}" d="${rounded(band(each.points))}"/>`
    )
  }
${
    series.map((each, i) =>
      html`<g style="${colourOf(i, each.colour)}">${
        each.draw !== 'marks' && html`<path d="${lineOf(each.points, across, up)}" fill="none" class="line"/>`
      }
${
        each.draw !== 'line' && each.points.map((point) =>
          html`<path class="mark" d="${mark(i)}" transform="translate(${round(across(point.x))},${
            round(up(point.y))
          })"><title>${point.title}</title></path>`
        )
      }</g>`
    )
  }`
}

/** A path through points; one between gaps shows as a dot. */
function lineOf(points: readonly PlotPoint[], across: (x: number) => number, up: (y: number) => number): string {
  let pen = 'M'
  return points.map(({ x, y }) => {
    const started = pen === 'M'
    pen = Number.isFinite(y) ? 'L' : 'M'
    if (pen === 'M') return ''
    return `${started ? 'M' : 'L'}${across(x).toFixed(1)} ${up(y).toFixed(1)}${started ? 'h0' : ''}`
  }).join('')
}

/** A scale to pixels, over the axis's own ends or from round number to round number around those given. */
function scaleOf({ log, ends }: Axis, around: readonly [number, number], pixels: [number, number]) {
  const scale = (log ? scaleLog : scaleLinear)(ends ?? around, pixels)
  return ends ? scale : scale.nice()
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

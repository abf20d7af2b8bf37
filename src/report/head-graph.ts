// The graph of attention heads as a picture: heads of a layer on a ring, lines between them as thick as they are alike,
// nodes as large as the walk over the graph is often there. One panel for each layer, in SVG.
import { html, Html } from './html.ts'
import { page } from './page.ts'

/** The graph of one layer; matrices are lists of rows. */
export interface GraphLayer {
  unit: string
  heads: number
  /** How alike heads are, 0 to 1. */
  S: readonly (readonly number[])[]
  /** Where a step from a head leads. */
  P: readonly (readonly number[])[]
  /** Where the walk is in the long run. */
  pi: readonly number[]
  /** What heads are ranked by, with a mean of 1. */
  importance: readonly number[]
  /** Heads that a plan keeps; absent where nothing was cut. */
  kept?: readonly number[]
}

/** The graphs of a network, as JSON has them. */
export interface HeadGraphReport {
  direction: string
  source: string
  diagonal: string
  damping: number
  /** How many images they are of. */
  images: number
  layers: readonly GraphLayer[]
}

/** Heads, the most important one first. */
export const orderOf = ({ importance }: GraphLayer): number[] =>
  [...importance.keys()].sort((a, b) => importance[b] - importance[a] || a - b)

const width = 220, height = 262, ring = 72, across = 4

/** What thick and large mean, the same in all panels of a picture. */
interface Scales {
  alike: readonly [number, number]
  size: readonly [number, number]
}

const within = (value: number, [low, high]: readonly [number, number]) =>
  high - low > 1e-6 ? (value - low) / (high - low) : 0.5

function scalesOf(layers: readonly GraphLayer[]): Scales {
  const ends = (values: readonly number[]): [number, number] =>
    values.length
      ? [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))]
      : [0, 1]
  return {
    alike: ends(layers.flatMap(({ S }) => S.flatMap((row, i) => row.slice(i + 1)))),
    size: ends(layers.flatMap(({ heads, pi }) => pi.map((each) => heads * each))),
  }
}

/** The panel of a layer. */
function panel(layer: GraphLayer, scales: Scales): Html {
  const { unit, heads, S, pi, kept } = layer, order = orderOf(layer), middle = { x: width / 2, y: 34 + ring + 24 }
  const at = (head: number, radius: number) => {
    const angle = 2 * Math.PI * head / heads - Math.PI / 2, far = heads === 1 ? 0 : radius
    return { x: round(middle.x + far * Math.cos(angle)), y: round(middle.y + far * Math.sin(angle)) }
  }
  // Neighbours on the ring must not touch, however many there are.
  const most = Math.min(20, 0.85 * Math.PI * ring / Math.max(heads, 3))
  const size = (head: number) => round(most * (0.35 + 0.65 * within(heads * pi[head], scales.size)))
  const stays = (head: number) => !kept || kept.includes(head)
  const edges = order.flatMap((_, i) =>
    order.slice(i + 1).map((__, j) => ({ from: i, to: i + 1 + j, alike: S[i][i + 1 + j] }))
  ).sort((a, b) => a.alike - b.alike) // the strongest on top
  return html`<text x="${width / 2}" y="16" text-anchor="middle" class="name">${unit}</text>
${
    edges.map(({ from, to, alike }) => {
      const [a, b] = [at(from, ring), at(to, ring)], strong = within(alike, scales.alike)
      return html`<line class="edge" x1="${a.x}" y1="${a.y}" x2="${b.x}" y2="${b.y}" stroke-width="${
        round(0.8 + 3.2 * strong)
      }" opacity="${round(0.3 + 0.6 * strong)}"><title>heads ${from} and ${to}: ${alike.toFixed(4)}</title></line>
`
    })
  }${
    pi.map((share, head) => {
      const { x, y } = at(head, ring), name = at(head, ring + most + 9)
      return html`<circle class="${stays(head) ? 'head' : 'head gone'}" cx="${x}" cy="${y}" r="${
        size(head)
      }"><title>head ${head}: pi ${share.toFixed(4)}, ${(heads * share).toFixed(3)} of the mean${
        stays(head) ? '' : ', cut'
      }</title></circle><text x="${name.x}" y="${
        heads === 1 ? y + most + 14 : name.y
      }" dy="0.35em" text-anchor="middle">${head}</text>
`
    })
  }<text x="${width / 2}" y="${height - 20}" text-anchor="middle">${orderText(order)}</text>`
}

/** The order, as long as it fits under a panel. */
const orderText = (order: readonly number[]) =>
  order.length > 10 ? `${order.slice(0, 9).join(' > ')} > ...` : order.join(' > ')

/** What is drawn, in words and figures. */
function keyOf({ images, source, direction, diagonal, damping, layers }: HeadGraphReport): string[] {
  const { alike, size } = scalesOf(layers), pairs = layers.some(({ heads }) => heads > 1)
  return [
    pairs
      ? `lines: how alike the ${source} of two heads are, ${alike[0].toFixed(3)} (thin) to ${
        alike[1].toFixed(3)
      } (thick)`
      : 'no layer has two heads',
    `nodes: share of the walk, ${size[0].toFixed(3)} (small) to ${
      size[1].toFixed(3)
    } (large) times the mean of the layer`,
    `below: heads by how much they matter, ${direction}; ${images} images, diagonal ${diagonal}, damping ${damping}`,
    ...layers.some(({ kept, heads }) => kept && kept.length < heads) ? ['dashed: heads that were cut'] : [],
  ]
}

/** An SVG file with all panels. */
export function graphFile(title: string, report: HeadGraphReport): string {
  const { layers } = report, key = keyOf(report), scales = scalesOf(layers)
  const columns = Math.min(across, layers.length), rows = Math.ceil(layers.length / across)
  const top = 34 + 16 * key.length, wide = Math.max(720, columns * width + 40), high = top + rows * height + 10
  return html`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${wide} ${high}" width="${wide}" height="${high}">
<style>${new Html(fileStyle)}</style>
<rect width="${wide}" height="${high}" fill="#fff"/><text x="20" y="24" class="title">${title}</text>
${key.map((line, i) => html`<text x="20" y="${44 + 16 * i}">${line}</text>`)}
${
    layers.map((layer, i) =>
      html`<g transform="translate(${20 + width * (i % across)},${top + height * Math.floor(i / across)})">
${panel(layer, scales)}</g>
`
    )
  }</svg>
`.text
}

const drawing = '.edge { stroke: #0060a8 } .head { fill: #c44f00 } .head.gone { fill: #fff; stroke: #8a949c;'
  + ' stroke-width: 1.5; stroke-dasharray: 3 2 } '
const fileStyle =
  `svg { font: 12px sans-serif } text { fill: #333 } .title { font-size: 15px } .name { font-weight: 600 }
${drawing}`

/** The panels as a section of a page. */
export function headGraphSection(report: HeadGraphReport): Html {
  const { layers } = report, scales = scalesOf(layers)
  return html`<section><h2>Graph of heads</h2>
<style>.heads { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: .4rem }
.heads .name { font-weight: 600 } ${new Html(drawing)} .head.gone { fill: var(--page) }</style>
<ul class="small">${keyOf(report).map((line) => html`<li>${line}</li>`)}</ul>
<div class="heads">${
    layers.map((layer) =>
      html`<svg class="plot" viewBox="0 0 ${width} ${height}" role="img"
aria-label="graph of the heads of ${layer.unit}">
${panel(layer, scales)}</svg>
`
    )
  }</div></section>`
}

/** A page of its own with the panels. */
export const graphPage = (title: string, version: string, report: HeadGraphReport): string =>
  page(title, version, headGraphSection(report))

const round = (value: number) => Math.round(100 * value) / 100

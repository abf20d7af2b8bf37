// Relevance as pictures: a diverging colour map, heatmap and overlay, and a sheet with the image, its best classes and
// a colour bar.
import { Canvas, type Colour, textWidth } from './canvas.ts'
import { lineHeight } from './font.ts'
import { resize } from '../data/resize.ts'

/** Ends of the map in Oklab's lightness, chroma and hue (degrees), of near-equal contrast to the white between them. */
const ends = { negative: [0.43, 0.15, 257], positive: [0.45, 0.175, 26] } as const
const centre = 0.975

/**
 * The colour of -1 (blue) over 0 (white) to 1 (red). Steps run along straight lines in Oklab (B. Ottosson 2020), where
 * equal distances look equal, so no value stands out by itself; both sides darken alike.
 */
export function diverging(value: number): Colour {
  const t = Math.min(1, Math.abs(Number.isNaN(value) ? 0 : value))
  const [lightness, chroma, hue] = value < 0 ? ends.negative : ends.positive
  const angle = hue * Math.PI / 180
  return fromOklab(centre + (lightness - centre) * t, t * chroma * Math.cos(angle), t * chroma * Math.sin(angle))
}

/** Oklab to 8-bit sRGB: cube roots of cone responses, linear light, then the sRGB curve. */
function fromOklab(L: number, a: number, b: number): Colour {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3
  const s = (L - 0.0894841775 * a - 1.2914855480 * b) ** 3
  const curve = (light: number) => {
    const x = Math.min(1, Math.max(0, light))
    return Math.round(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055))
  }
  return [
    curve(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    curve(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    curve(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s),
  ]
}

const shades: Colour[] = []

/** `diverging` in steps of 1 / 512, finer than 8 bits tell apart: a sheet has millions of pixels. */
export function shade(value: number): Colour {
  const step = Math.round(512 * Math.max(-1, Math.min(1, value || 0)))
  return shades[step + 512] ??= diverging(step / 512)
}

/** Relevance of an image's pixels, summed over channels; row by row. */
export interface Heatmap {
  width: number
  height: number
  values: Float32Array
}

/** Sums the channels of one image's relevance [channels, height, width]. */
export function heatmapOf(relevance: ArrayLike<number>, channels: number, height: number, width: number): Heatmap {
  const area = height * width, values = new Float32Array(area)
  for (let i = 0; i < relevance.length; i++) values[i % area] += relevance[i]
  if (relevance.length !== channels * area) {
    throw new RangeError(`heatmap: ${relevance.length} values are not ${channels} x ${height} x ${width}`)
  }
  return { width, height, values }
}

/**
 * What full colour stands for: the absolute value that one pixel in 200 exceeds, so that single pixels do not wash out
 * the rest.
 */
export function fullScale({ values }: Heatmap): number {
  const step = Math.ceil(values.length / 20000) // of a large map, pixels evenly spread
  const sorted = Float32Array.from({ length: Math.ceil(values.length / step) }, (_, i) => Math.abs(values[i * step]))
    .sort()
  return sorted[Math.floor(0.995 * (sorted.length - 1))] || sorted[sorted.length - 1] || 1
}

/**
 * The map under a Gaussian of a 56th of its width (4 pixels of 224), since single pixels of a transformer's relevance
 * alternate in sign; read off at any size.
 */
export function smoothed(map: Heatmap, width = map.width, height = map.height): Heatmap {
  const sigma = map.width / 56
  return filtered(map, width, height, () => 3 * sigma, (distance) => Math.exp(-(distance ** 2) / (2 * sigma * sigma)))
}

/**
 * The map at another size: pixels as they are where each becomes three or more, else by linear interpolation, means
 * where it shrinks.
 */
export function resized(map: Heatmap, width: number, height: number): Heatmap {
  if (isSmall(map, width)) {
    const { values } = map
    return {
      width,
      height,
      values: Float32Array.from({ length: width * height }, (_, i) => values[nearest(map, i, width, height)]),
    }
  }
  return filtered(
    map,
    width,
    height,
    (step) => Math.max(1, step),
    (distance, step) => Math.max(0, 1 - Math.abs(distance) / Math.max(1, step)),
  )
}

const isSmall = (of: { width: number }, width: number) => width >= 3 * of.width

/** Which pixel of a small picture the i-th of its enlargement shows. */
const nearest = (of: { width: number, height: number }, i: number, width: number, height: number) =>
  Math.floor(Math.floor(i / width) * of.height / height) * of.width + Math.floor(i % width * of.width / width)

/**
 * Weighted means over rows, then over columns. Distances, steps and reach are in pixels of the map; outside it nothing
 * has weight.
 */
function filtered(
  { width, height, values }: Heatmap,
  toWidth: number,
  toHeight: number,
  reach: (step: number) => number,
  weight: (distance: number, step: number) => number,
): Heatmap {
  const along = (
    from: Float32Array,
    lines: number,
    [length, step, start]: number[],
    [to, toStep, toStart]: number[],
  ) => {
    const out = new Float32Array(lines * to), scale = length / to
    for (let at = 0; at < to; at++) {
      const centre = (at + 0.5) * scale - 0.5
      const first = Math.max(0, Math.ceil(centre - reach(scale))),
        last = Math.min(length - 1, Math.floor(centre + reach(scale)))
      const weights = Array.from({ length: last - first + 1 }, (_, i) => weight(first + i - centre, scale))
      const total = weights.reduce((a, b) => a + b, 0)
      for (let line = 0; line < lines; line++) {
        let sum = 0
        for (let i = 0; i < weights.length; i++) sum += weights[i] * from[line * start + (first + i) * step]
        out[line * toStart + at * toStep] = sum / total
      }
    }
    return out
  }
  // Lines of a picture, then its columns: number of values, how far apart they are, how far apart the lines are.
  const rows = along(values, height, [width, 1, width], [toWidth, 1, toWidth])
  return {
    width: toWidth,
    height: toHeight,
    values: along(rows, toWidth, [height, toWidth, 1], [toHeight, toWidth, 1]),
  }
}

/** The picture an explanation belongs to: planes of 8 bits, as `Pixels` of images.ts. */
export interface Picture {
  width: number
  height: number
  channels: number
  data: Uint8Array
}

/** One explanation: heading lines above its heatmap and its overlay, and a line below the overlay. */
export interface Panel {
  heading: string
  subheading: string
  note: string
  heatmap: Heatmap
}

/** One row of a sheet: an image, its best classes (a line of text each) and its explanations. */
export interface Row {
  name: string
  picture: Picture
  best: readonly string[]
  panels: readonly Panel[]
}

const tile = 320, gap = 14, line = 2 * lineHeight, bar = 10, soft: Colour = [110, 110, 110]

const shownHeight = (of: { width: number, height: number }) => Math.round(tile * of.height / of.width)

/** The relevance that full colour stands for where a sheet shows this map: the number under its colours. */
export const scaleOnSheet = (map: Heatmap): number => fullScale(resized(map, tile, shownHeight(map)))

/**
 * A contact sheet: a row per image; in it the image over its best classes, then heatmap and overlay of each
 * explanation.
 */
export function sheet(rows: readonly Row[], title: string): Canvas {
  const tall = Math.max(...rows.map(({ picture }) => shownHeight(picture)))
  const panels = Math.max(...rows.map((row) => row.panels.length))
  const below = Math.max(bar + 2 * line, Math.max(...rows.map(({ best }) => best.length)) * line)
  const rowHeight = line + 4 + tall + 6 + below + gap, head = title ? line + 6 : 0
  const canvas = new Canvas(gap + (1 + 2 * panels) * (tile + gap), gap + head + rows.length * rowHeight)
  canvas.text(gap, gap, title, { width: canvas.width - 2 * gap })
  rows.forEach((row, at) => {
    const top = gap + head + at * rowHeight, body = top + line + 4
    const height = shownHeight(row.picture)
    const picture = enlarged(row.picture, tile, height)
    const left = (column: number) => gap + column * (tile + gap)
    canvas.text(left(0), top, row.name, { colour: soft, width: tile })
    canvas.paint(left(0), body, tile, height, (x, y) => colourOf(picture, x, y))
    row.best.forEach((text, i) => {
      canvas.text(left(0), body + height + 6 + i * line, text, { width: tile })
    })
    row.panels.forEach((panel, i) => {
      paint(canvas, picture, panel, left(1 + 2 * i), left(2 + 2 * i), { top, body })
    })
  })
  return canvas
}

/** The picture at another size: pixels as they are where each becomes three or more, as in `resized`. */
export function enlarged(picture: Picture, width: number, height: number): Picture {
  const { channels, data } = picture, area = picture.width * picture.height, size = width * height
  if (!isSmall(picture, width)) return resize(picture, width, height, 'bicubic')
  const shown = Uint8Array.from(
    { length: channels * size },
    (_, i) => data[Math.floor(i / size) * area + nearest(picture, i % size, width, height)],
  )
  return { width, height, channels, data: shown }
}

function paint(
  canvas: Canvas,
  picture: Picture,
  panel: Panel,
  left: number,
  right: number,
  { top, body }: { top: number, body: number },
) {
  const { height } = picture, under = body + height + 6
  const map = resized(panel.heatmap, tile, height), smooth = smoothed(panel.heatmap, tile, height)
  const scale = fullScale(map), smoothScale = fullScale(smooth)
  canvas.text(left, top, panel.heading, { width: tile })
  canvas.text(right, top, panel.subheading, { width: tile })
  canvas.paint(left, body, tile, height, (x, y) => shade(map.values[y * tile + x] / scale))
  frame(canvas, left, body, tile, height)
  canvas.paint(
    right,
    body,
    tile,
    height,
    (x, y) => overlaid(colourOf(picture, x, y), smooth.values[y * tile + x] / smoothScale),
  )
  canvas.paint(left, under, tile, bar, (x) => shade(2 * x / (tile - 1) - 1))
  const most = `+${short(scale)}`
  canvas.text(left, under + bar + 4, `-${short(scale)}`, { colour: soft })
  canvas.text(left + Math.floor((tile - textWidth('0')) / 2), under + bar + 4, '0', { colour: soft })
  canvas.text(left + tile - textWidth(most), under + bar + 4, most, { colour: soft })
  canvas.text(right, under, panel.note, { colour: soft, width: tile })
  canvas.text(right, under + line, 'overlay smoothed', { colour: soft, width: tile })
}

function frame(canvas: Canvas, left: number, top: number, width: number, height: number) {
  const grey: Colour = [205, 205, 205]
  canvas.fill(left - 1, top - 1, width + 2, 1, grey)
  canvas.fill(left - 1, top + height, width + 2, 1, grey)
  canvas.fill(left - 1, top, 1, height, grey)
  canvas.fill(left + width, top, 1, height, grey)
}

/** Two digits, without a long tail: 0.00042 as 4.2e-4. */
function short(value: number): string {
  return value >= 0.01 && value < 1000
    ? value.toPrecision(2)
    : value.toExponential(1).replace('e-0', 'e-').replace('e+', 'e')
}

/** The 8-bit colour of one pixel. */
export function colourOf({ width, height, channels, data }: Picture, x: number, y: number): Colour {
  const at = y * width + x, area = width * height
  return channels === 1 ? [data[at], data[at], data[at]] : [data[at], data[area + at], data[2 * area + at]]
}

/**
 * The image in pale grey under the full colour of its relevance's sign, which covers it the more the stronger it is.
 */
export function overlaid([red, green, blue]: Colour, value: number): Colour {
  const grey = 90 + 0.6 * (0.2126 * red + 0.7152 * green + 0.0722 * blue), cover = Math.min(1, Math.abs(value)) * 0.9
  const mix = (colour: number) => Math.round(grey + (colour - grey) * cover)
  const [r, g, b] = shade(value < 0 ? -1 : 1)
  return [mix(r), mix(g), mix(b)]
}

/** Normalised values [channels, height, width] back to 8-bit planes, for showing. */
export function pictureOf(
  input: Float32Array,
  channels: number,
  height: number,
  width: number,
  { mean, std }: { mean: readonly number[], std: readonly number[] },
): Picture {
  const area = height * width
  const data = Uint8Array.from(input, (value, i) => {
    const c = Math.floor(i / area)
    return Math.max(0, Math.min(255, Math.round(255 * (value * std[c % std.length] + mean[c % mean.length]))))
  })
  return { width, height, channels, data }
}

// Antialiased resizing, equal to Pillow's `Image.resize` value for value: the filter is stretched by the scale when
// shrinking, weights are rounded to 22-bit fixed point, and the picture is rounded to 8 bits between the horizontal and
// the vertical pass. Networks were evaluated on pictures made this way; a GPU's bilinear sampling costs them points.
import type { Pixels } from './images.ts'

/**
 * Pillow's filters: bicubic (a = -0.5) as DeiT and ViT are evaluated with, bilinear as torchvision's CNNs, lanczos
 * (three lobes), box and hamming; nearest takes one pixel and mixes none.
 */
export type Interpolation = 'bicubic' | 'bilinear' | 'lanczos' | 'nearest' | 'box' | 'hamming'

/** All of them. */
export const interpolations: readonly Interpolation[] = ['bicubic', 'bilinear', 'lanczos', 'nearest', 'box', 'hamming']

const sinc = (x: number) => x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x)

const FILTERS: Record<Exclude<Interpolation, 'nearest'>, { support: number, at(x: number): number }> = {
  box: { support: 0.5, at: (x) => x > -0.5 && x <= 0.5 ? 1 : 0 },
  hamming: { support: 1, at: (x) => Math.abs(x) < 1 ? sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x)) : 0 },
  lanczos: { support: 3, at: (x) => x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0 },
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    at(x) {
      const a = -0.5, d = Math.abs(x)
      return d < 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0
    },
  },
}

const BITS = 22 // of a weight: 32 - 8 bits of value - 2 bits of headroom for negative lobes

/** A rectangle of a picture. */
export interface Window {
  left: number
  top: number
  width: number
  height: number
}

/**
 * Resizes each plane to `width` x `height`, of which only `window` (default all) is computed: a thin picture that grows
 * a hundredfold before its centre is cut out costs no more than the centre. The same picture is returned when nothing
 * changes.
 */
export function resize(
  image: Pixels,
  width: number,
  height: number,
  interpolation: Interpolation,
  window: Window = { left: 0, top: 0, width, height },
): Pixels {
  const { left, top } = window, right = left + window.width, bottom = top + window.height
  const down = weights(image.height, height, top, bottom, interpolation)
  const needed = rowsOf(image, down.low, down.high)
  const same = width === image.width && window.width === width
  const wide = same ? needed : horizontal(needed, weights(image.width, width, left, right, interpolation))
  return height === image.height && window.height === height ? wide : vertical(wide, down)
}

/** The size where the shorter side is `size`; the longer is truncated to an integer, as torchvision does. */
export function shortSideSize({ width, height }: Pixels, size: number): [width: number, height: number] {
  if (Math.min(width, height) === size) return [width, height]
  return width <= height
    ? [size, Math.max(1, Math.trunc(size * height / width))]
    : [Math.max(1, Math.trunc(size * width / height)), size]
}

/** Resizes so that the shorter side becomes `size`. */
export function resizeShortSide(image: Pixels, size: number, interpolation: Interpolation): Pixels {
  return resize(image, ...shortSideSize(image, size), interpolation)
}

/** Rows `low` to `high` of every plane. */
function rowsOf(image: Pixels, low: number, high: number): Pixels {
  const { width, height, channels, data } = image
  if (low === 0 && high === height) return image
  const rows = high - low, out = new Uint8Array(channels * rows * width)
  for (let c = 0; c < channels; c++) {
    out.set(data.subarray((c * height + low) * width, (c * height + high) * width), c * rows * width)
  }
  return { width, height: rows, channels, data: out }
}

/** Weights of the results `start` to `end` of an axis; `first` counts from `low`, the first input that is needed. */
interface Weights {
  taps: number
  first: Int32Array
  count: Int32Array
  weight: Int32Array
  low: number
  high: number
}

const cache = new Map<string, Weights>() // a data set has few sizes, and weights cost more than a row
const CACHED = 1 << 16 // entries; larger ones are of single large pictures

function weights(from: number, to: number, start: number, end: number, interpolation: Interpolation): Weights {
  const key = `${interpolation} ${from} ${to} ${start} ${end}`, known = cache.get(key)
  if (known) return known
  const made = from === to
    ? unchanged(start, end)
    : interpolation === 'nearest'
    ? nearestOf(from, to, start, end)
    : weightsOf(from, to, start, end, interpolation)
  if (made.weight.length > CACHED) return made
  if (cache.size >= 256) cache.clear()
  cache.set(key, made)
  return made
}

function unchanged(start: number, end: number): Weights {
  const length = end - start
  return {
    taps: 1,
    first: Int32Array.from({ length }, (_, i) => i),
    count: new Int32Array(length).fill(1),
    weight: new Int32Array(length).fill(1 << BITS),
    low: start,
    high: end,
  }
}

/** The pixel under the centre of each result. Centres are added up from one to the next, as Pillow has them. */
function nearestOf(from: number, to: number, start: number, end: number): Weights {
  const scale = from / to, all = new Int32Array(end)
  for (let o = 0, centre = scale * 0.5; o < end; o++, centre += scale) all[o] = Math.min(from - 1, Math.trunc(centre))
  const base = all[start], length = end - start
  return {
    taps: 1,
    first: all.slice(start).map((at) => at - base),
    count: new Int32Array(length).fill(1),
    weight: new Int32Array(length).fill(1 << BITS),
    low: base,
    high: all[end - 1] + 1,
  }
}

/** What one result along an axis takes of its inputs: weights that sum to 1, from the input `first` on. */
export interface Taps {
  first: number
  weights: number[]
}

/** The taps of result `o` of `to`, where the axis has `from` inputs; the filter is stretched when shrinking. */
export function tapsAt(o: number, from: number, to: number, interpolation: keyof typeof FILTERS): Taps {
  const { support, at } = FILTERS[interpolation]
  const scale = from / to, stretch = Math.max(1, scale), reach = support * stretch, centre = (o + 0.5) * scale
  const first = Math.max(0, Math.trunc(centre - reach + 0.5)), end = Math.min(from, Math.trunc(centre + reach + 0.5))
  const row = Array.from({ length: end - first }, (_, i) => at((first + i - centre + 0.5) * (1 / stretch)))
  const sum = row.reduce((s, w) => s + w, 0)
  return { first, weights: row.map((w) => sum === 0 ? w : w / sum) }
}

function weightsOf(
  from: number,
  to: number,
  start: number,
  end: number,
  interpolation: keyof typeof FILTERS,
): Weights {
  const length = end - start, all = Array.from({ length }, (_, i) => tapsAt(start + i, from, to, interpolation))
  const taps = Math.ceil(FILTERS[interpolation].support * Math.max(1, from / to)) * 2 + 1
  const first = new Int32Array(length)
  const count = new Int32Array(length)
  const weight = new Int32Array(length * taps)
  const base = all[0].first
  let last = 0
  all.forEach(({ first: low, weights: row }, i) => {
    first[i] = low - base
    count[i] = row.length
    last = low + row.length
    row.forEach((w, j) => {
      const fixed = w * (1 << BITS)
      weight[i * taps + j] = Math.trunc(fixed + (fixed < 0 ? -0.5 : 0.5))
    })
  })
  return { taps, first, count, weight, low: base, high: last }
}

const clip = (sum: number) => {
  const value = sum >> BITS
  return value < 0 ? 0 : value > 255 ? 255 : value
}

/** Across, from the first column the weights need. */
function horizontal(image: Pixels, { taps, first, count, weight, low }: Weights): Pixels {
  const width = first.length, rows = image.channels * image.height, source = image.data
  const data = new Uint8Array(rows * width)
  for (let r = 0; r < rows; r++) {
    for (let x = 0; x < width; x++) {
      const from = r * image.width + low + first[x], base = x * taps, n = count[x]
      let sum = 1 << BITS - 1
      for (let i = 0; i < n; i++) sum += source[from + i] * weight[base + i]
      data[r * width + x] = clip(sum)
    }
  }
  return { width, height: image.height, channels: image.channels, data }
}

/** Down; the picture begins with the first row the weights need. */
function vertical(image: Pixels, { taps, first, count, weight }: Weights): Pixels {
  const { width, channels } = image, source = image.data, height = first.length
  const data = new Uint8Array(channels * height * width), sums = new Int32Array(width)
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      sums.fill(1 << BITS - 1)
      for (let i = 0; i < count[y]; i++) {
        const w = weight[y * taps + i], from = (c * image.height + first[y] + i) * width
        for (let x = 0; x < width; x++) sums[x] += source[from + x] * w
      }
      const to = (c * height + y) * width
      for (let x = 0; x < width; x++) data[to + x] = clip(sums[x])
    }
  }
  return { width, height, channels, data }
}

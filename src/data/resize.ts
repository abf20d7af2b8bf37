// Antialiased resizing, equal to Pillow's `Image.resize` value for value: the filter is stretched by the scale when
// shrinking, weights are rounded to 22-bit fixed point, and the picture is rounded to 8 bits between the horizontal and
// the vertical pass. Networks were evaluated on pictures made this way; a GPU's bilinear sampling costs them points.
import type { Pixels } from './images.ts'

/** Filters: bicubic (a = -0.5) as DeiT and ViT are evaluated with, bilinear as torchvision's CNNs. */
export type Interpolation = 'bicubic' | 'bilinear'

const FILTERS: Record<Interpolation, { support: number, at(x: number): number }> = {
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

/** Resizes each plane to `width` x `height`. The same picture is returned when nothing changes. */
export function resize(image: Pixels, width: number, height: number, interpolation: Interpolation): Pixels {
  const wide = width === image.width ? image : horizontal(image, width, interpolation)
  return height === image.height ? wide : vertical(wide, height, interpolation)
}

/** Resizes so that the shorter side becomes `size`; the longer is truncated to an integer, as torchvision does. */
export function resizeShortSide(image: Pixels, size: number, interpolation: Interpolation): Pixels {
  const { width, height } = image
  if (Math.min(width, height) === size) return image
  return width <= height
    ? resize(image, size, Math.max(1, Math.trunc(size * height / width)), interpolation)
    : resize(image, Math.max(1, Math.trunc(size * width / height)), size, interpolation)
}

interface Weights {
  taps: number
  first: Int32Array
  count: Int32Array
  weight: Int32Array
}

const cache = new Map<string, Weights>() // a data set has few sizes, and weights cost more than a row

function weights(from: number, to: number, interpolation: Interpolation): Weights {
  const key = `${interpolation} ${from} ${to}`, known = cache.get(key)
  if (known) return known
  const { support, at } = FILTERS[interpolation]
  const scale = from / to, stretch = Math.max(1, scale), reach = support * stretch
  const taps = Math.ceil(reach) * 2 + 1
  const first = new Int32Array(to), count = new Int32Array(to), weight = new Int32Array(to * taps)
  for (let o = 0; o < to; o++) {
    const centre = (o + 0.5) * scale
    const low = Math.max(0, Math.trunc(centre - reach + 0.5)), high = Math.min(from, Math.trunc(centre + reach + 0.5))
    const row = Array.from({ length: high - low }, (_, i) => at((low + i - centre + 0.5) * (1 / stretch)))
    const sum = row.reduce((s, w) => s + w, 0)
    first[o] = low
    count[o] = high - low
    row.forEach((w, i) => {
      const fixed = (sum === 0 ? w : w / sum) * (1 << BITS)
      weight[o * taps + i] = Math.trunc(fixed + (fixed < 0 ? -0.5 : 0.5))
    })
  }
  if (cache.size >= 256) cache.clear()
  const made = { taps, first, count, weight }
  cache.set(key, made)
  return made
}

const clip = (sum: number) => {
  const value = sum >> BITS
  return value < 0 ? 0 : value > 255 ? 255 : value
}

function horizontal(image: Pixels, width: number, interpolation: Interpolation): Pixels {
  const { taps, first, count, weight } = weights(image.width, width, interpolation)
  const rows = image.channels * image.height, source = image.data, data = new Uint8Array(rows * width)
  for (let r = 0; r < rows; r++) {
    for (let x = 0; x < width; x++) {
      const from = r * image.width + first[x], base = x * taps, n = count[x]
      let sum = 1 << BITS - 1
      for (let i = 0; i < n; i++) sum += source[from + i] * weight[base + i]
      data[r * width + x] = clip(sum)
    }
  }
  return { width, height: image.height, channels: image.channels, data }
}

function vertical(image: Pixels, height: number, interpolation: Interpolation): Pixels {
  const { taps, first, count, weight } = weights(image.height, height, interpolation)
  const { width, channels } = image, source = image.data, data = new Uint8Array(channels * height * width)
  const sums = new Int32Array(width)
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

// The operations RandAugment picks from, on 8-bit planes. They follow Pillow's ImageOps and ImageEnhance in meaning,
// not bit for bit: augmentation only has to be plausible and repeatable.
import type { Pixels } from './images.ts'
import { toChannels } from './preprocess.ts'

const clamp = (x: number) => x < 0 ? 0 : x > 255 ? 255 : Math.round(x)

function mapValues(image: Pixels, table: (value: number) => number): Pixels {
  const values = Uint8Array.from({ length: 256 }, (_, v) => clamp(table(v)))
  return { ...image, data: image.data.map((v) => values[v]) }
}

function mapPlanes(image: Pixels, tableOf: (plane: Uint8Array) => (value: number) => number): Pixels {
  const area = image.width * image.height, data = new Uint8Array(image.data.length)
  for (let start = 0; start < data.length; start += area) {
    const plane = image.data.subarray(start, start + area), table = tableOf(plane)
    for (let i = 0; i < area; i++) data[start + i] = clamp(table(plane[i]))
  }
  return { ...image, data }
}

/** Scales brightness: 0 is black, 1 the original. */
export const brightness = (image: Pixels, factor: number) => mapValues(image, (v) => v * factor)

/** Scales the distance from the mean grey: 0 is flat, 1 the original. */
export function contrast(image: Pixels, factor: number): Pixels {
  const grey = toChannels(image, 1).data, mean = grey.reduce((sum, v) => sum + v, 0) / grey.length
  return mapValues(image, (v) => mean + (v - mean) * factor)
}

/** Scales the distance of each pixel from its own grey: 0 is grey, 1 the original. */
export function colourfulness(image: Pixels, factor: number): Pixels {
  if (image.channels === 1) return image
  const grey = toChannels(image, 1).data
  return {
    ...image,
    data: image.data.map((v, i) => {
      const g = grey[i % grey.length]
      return clamp(g + (v - g) * factor)
    }),
  }
}

/** Keeps the upper `bits` of each value, 1..8. */
export const posterize = (image: Pixels, bits: number) => mapValues(image, (v) => v & 256 - 2 ** (8 - bits))

/** Inverts values at or above `threshold`. */
export const solarize = (image: Pixels, threshold: number) => mapValues(image, (v) => v < threshold ? v : 255 - v)

/** Stretches each channel to 0..255. */
export const stretchContrast = (image: Pixels) =>
  mapPlanes(image, (plane) => {
    let low = 255, high = 0
    for (const v of plane) {
      low = Math.min(low, v)
      high = Math.max(high, v)
    }
    return high > low ? (v) => (v - low) * 255 / (high - low) : (v) => v
  })

/** Flattens each channel's histogram. */
export const equalize = (image: Pixels) =>
  mapPlanes(image, (plane) => {
    const below = new Uint32Array(257)
    for (const v of plane) below[v + 1]++
    for (let v = 0; v < 256; v++) below[v + 1] += below[v]
    const first = plane.reduce((low, v) => Math.min(low, v), 255), span = plane.length - below[first + 1]
    return span > 0 ? (v) => Math.max(0, below[v + 1] - below[first + 1]) * 255 / span : (v) => v
  })

/** Affine map about the centre, nearest neighbour, outside is mid grey: source = [a b c; d e f] * (x, y, 1). */
export function warp(
  image: Pixels,
  [a, b, c, d, e, f]: readonly [number, number, number, number, number, number],
): Pixels {
  const { width, height, channels, data } = image, out = new Uint8Array(data.length).fill(128), area = width * height
  const cx = (width - 1) / 2, cy = (height - 1) / 2
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const sx = Math.round(a * (x - cx) + b * (y - cy) + c + cx), sy = Math.round(d * (x - cx) + e * (y - cy) + f + cy)
      if (sx < 0 || sy < 0 || sx >= width || sy >= height) continue
      for (let k = 0; k < channels; k++) out[k * area + y * width + x] = data[k * area + sy * width + sx]
    }
  }
  return { ...image, data: out }
}

// A decoded picture in planes, and what its size may be.
import { InputError } from '../base/errors.ts'

/**
 * An 8-bit picture in planes: `data[(channel * height + y) * width + x]`, `data.length` = channels * height * width.
 */
export interface Pixels {
  width: number
  height: number
  channels: number
  data: Uint8Array
}

/** 67 megapixels: 201 MB as planes. */
export const MAX_PIXELS = 2 ** 26
/** The longest side: a row of that many pixels of 16-bit RGBA is 34 MB. */
export const MAX_SIDE = 2 ** 22

/** Throws InputError where a header asks for no pixels or too many: more than `most`, or a side beyond MAX_SIDE. */
export function checkSize(width: number, height: number, name: string, most = MAX_PIXELS) {
  if (width >= 1 && height >= 1 && width * height <= most && Math.max(width, height) <= MAX_SIDE) return
  throw new InputError(
    `${name}: its header says ${width}x${height} pixels, expected 1 to ${most} and no side above ${MAX_SIDE}; `
      + 'the file is damaged, or make the picture smaller',
  )
}

/** Interleaved samples to three planes: 1 or 2 per pixel are grey (and alpha), 3 or 4 are RGB (and alpha). */
export function planes(samples: ArrayLike<number>, width: number, height: number, perPixel: number): Pixels {
  const area = width * height, data = new Uint8Array(3 * area), colour = perPixel >= 3
  for (let i = 0, s = 0; i < area; i++, s += perPixel) {
    data[i] = samples[s]
    data[area + i] = samples[colour ? s + 1 : s]
    data[2 * area + i] = samples[colour ? s + 2 : s]
  }
  return { width, height, channels: 3, data }
}

/**
 * RGBA pixels, row by row, as planes; alpha is dropped as everywhere here. @throws InputError where they do not fit.
 */
export function pixelsOf(
  { width, height, data }: { width: number, height: number, data: ArrayLike<number> },
  name = 'image',
): Pixels {
  checkSize(width, height, name)
  if (data.length === 4 * width * height) return planes(data, width, height, 4)
  throw new InputError(`${name}: ${data.length} values, expected 4 for each of ${width} x ${height} pixels`)
}

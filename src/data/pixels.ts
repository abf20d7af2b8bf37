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

/** 67 megapixels: 256 MB as RGBA inside the decoder. */
export const MAX_PIXELS = 2 ** 26

/** Throws InputError where a header asks for no pixels or too many. */
export function checkSize(width: number, height: number, name: string) {
  if (width < 1 || height < 1 || width * height > MAX_PIXELS) {
    throw new InputError(
      `${name}: its header says ${width}x${height} pixels, expected 1 to ${MAX_PIXELS}; `
        + 'the file is damaged, or make the picture smaller',
    )
  }
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

/** RGBA pixels, row by row, as planes; alpha is dropped as everywhere here. @throws InputError where they do not fit. */
export function pixelsOf(
  { width, height, data }: { width: number, height: number, data: ArrayLike<number> },
  name = 'image',
): Pixels {
  checkSize(width, height, name)
  if (data.length === 4 * width * height) return planes(data, width, height, 4)
  throw new InputError(`${name}: ${data.length} values, expected 4 for each of ${width} x ${height} pixels`)
}

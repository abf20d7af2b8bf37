// One picture as a network sees it, from whatever a program has of it.
import { InputError } from '../base/errors.ts'
import { bytesOf, type ByteSource, isByteSource } from '../files/bytes.ts'
import { type Files, nodeFiles } from '../files/files.ts'
import { checkPicture, decodeImage } from './images.ts'
import { type Pixels, pixelsOf } from './pixels.ts'
import { checkPreprocessing, normalise, type Preprocessing, shape } from './preprocess.ts'

/** RGBA pixels as `ImageData` has them. */
export interface RgbaPixels {
  width: number
  height: number
  data: Uint8ClampedArray
}

/** A JPEG or PNG by its path, address, bytes, Blob or File; or pixels: of a canvas, an ImageBitmap, an ImageData. */
export type ImageSource = ByteSource | RgbaPixels | Pixels | CanvasImageSource

/** A picture for a network. */
export interface LoadedImage {
  /** After resize and crop, 8 bits, for showing. */
  pixels: Pixels
  /** Normalised, [channels, height, width]. */
  input: Float32Array<ArrayBuffer>
}

/**
 * One picture as a network with this preprocessing sees it. JPEG and PNG give the same pixels in Node and in every
 * browser; what a browser has decoded itself (a canvas, an `<img>`) is what it made of it. `files` reads paths: Node's
 * file system, `fetch` in a page. @throws InputError for what is no picture, or too small for the crop.
 */
export async function loadImage(
  source: ImageSource,
  preprocessing: Preprocessing,
  files: Files = nodeFiles,
): Promise<LoadedImage> {
  checkPreprocessing(preprocessing, typeof source === 'string' ? source : 'image')
  const { decoded, name } = await decode(source, files)
  const pixels = shape(decoded, preprocessing, name), input = new Float32Array(pixels.data.length)
  normalise(pixels, preprocessing, input)
  return { pixels, input }
}

async function decode(source: ImageSource, files: Files): Promise<{ decoded: Pixels, name: string }> {
  if (isByteSource(source)) {
    const { bytes, name } = await bytesOf(source, files, 'image', (start, _, path) => checkPicture(start, path))
    return { decoded: await decodeImage(bytes, name), name }
  }
  if (typeof source === 'object' && source !== null) {
    if ('channels' in source) return { decoded: checkedPlanes(source), name: 'image' }
    const rgba = 'data' in source && source.data instanceof Uint8ClampedArray ? source as RgbaPixels : drawn(source)
    if (rgba) return { decoded: pixelsOf(rgba), name: 'image' }
  }
  throw new InputError(
    'image: expected a path, an address, bytes, a Blob, a File, an ImageData, an ImageBitmap, a canvas or an <img>; '
      + `got ${Object.prototype.toString.call(source).slice(8, -1)}`,
  )
}

function checkedPlanes(pixels: Pixels): Pixels {
  const { width, height, channels, data } = pixels
  if (width > 0 && height > 0 && data.length === width * height * channels) return pixels
  throw new InputError(`image: ${data.length} values, expected ${channels} planes of ${width} x ${height}`)
}

/** What a browser can draw, read back from a canvas; null where there is no such thing. */
function drawn(source: unknown): RgbaPixels | null {
  if (typeof OffscreenCanvas === 'undefined') return null
  const { naturalWidth, naturalHeight, videoWidth, videoHeight, displayWidth, displayHeight, width, height } =
    source as Record<string, unknown>
  const [w, h] = [
    naturalWidth ?? videoWidth ?? displayWidth ?? width,
    naturalHeight ?? videoHeight ?? displayHeight ?? height,
  ]
  if (typeof w !== 'number' || typeof h !== 'number') return null
  if (!(w >= 1 && h >= 1)) {
    throw new InputError(`image: ${w} x ${h} pixels; is it loaded yet? Wait for its load event, or decode()`)
  }
  const context = new OffscreenCanvas(w, h).getContext('2d', { willReadFrequently: true })!
  try {
    context.drawImage(source as CanvasImageSource, 0, 0)
    return context.getImageData(0, 0, w, h)
  } catch (error) {
    throw new InputError(
      `image: its pixels cannot be read (${(error as Error).message}); a picture of another host needs CORS`,
      { cause: error },
    )
  }
}

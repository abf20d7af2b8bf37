// PNG to planes: fast-png decodes all but interlaced pictures of 1, 2 or 4 bits per sample, which it takes for damaged.
import { InputError } from '../base/errors.ts'
import { deinterlaced } from './adam7.ts'
import { checkSize, type Pixels, planes } from './pixels.ts'

const MAX_INFLATED = 2 ** 28

/** Decodes a PNG to three planes. Throws InputError. */
export async function decodePng(bytes: Uint8Array, name: string): Promise<Pixels> {
  const { width, height, data, depth, colour, interlaced, palette } = pngHeader(bytes, name)
  checkSize(width, height, name)
  // deflate shrinks at most 1032-fold, so only long data can be a bomb; that is measured before it is decoded
  if (data.reduce((sum, part) => sum + part.length, 0) * 1032 > MAX_INFLATED) {
    await checkInflated(data, width, height, name)
  }
  const { decode } = await import('fast-png')
  try {
    if (interlaced && isNarrow(depth) && (colour === 0 || palette)) {
      const samples = await deinterlaced(data, width, height, depth)
      const grey = samples.map((value) => value * 255 / (2 ** depth - 1))
      return pngPlanes({ width, height, channels: 1, depth: 8, data: palette ? samples : grey, palette })
    }
    const image = decode(bytes, { checkCrc: true }), samples = width * height * image.channels
    const needed = image.depth >= 8 ? samples : Math.ceil(width * image.channels * image.depth / 8) * height
    if (image.data.length !== needed) throw new Error(`${image.data.length} samples instead of ${needed}`)
    return pngPlanes(image)
  } catch (error) {
    // the decoder runs off the end of short pixel data and meets a row filter that is undefined
    const message = String((error as Error).message).replace(/.*undefined/, 'it ends before the last row')
    const reason = message.replace(/\s+/g, ' ').slice(0, 120)
    throw new InputError(`${name}: the PNG does not decode (${reason}); the file is truncated or damaged`, {
      cause: error,
    })
  }
}

interface PngHeader {
  width: number
  height: number
  depth: number
  colour: number
  interlaced: boolean
  palette?: number[][]
  data: Uint8Array[]
}

const isNarrow = (depth: number): depth is 1 | 2 | 4 => depth === 1 || depth === 2 || depth === 4

// Walks the chunks: every length is checked before the decoder trusts it, and the pixel data is found.
function pngHeader(bytes: Uint8Array, name: string): PngHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), data: Uint8Array[] = []
  const type = (at: number) => String.fromCharCode(...bytes.subarray(at + 4, at + 8))
  let at = 8, ended = false, colours: Uint8Array | undefined
  while (!ended && at + 12 <= bytes.length) {
    const length = view.getUint32(at), kind = type(at)
    if (at + 12 + length > bytes.length) break
    if (at === 8 && (kind !== 'IHDR' || length !== 13)) break
    const body = bytes.subarray(at + 8, at + 8 + length)
    if (kind === 'IDAT') data.push(body)
    if (kind === 'PLTE') {
      colours = body
      if (crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length)) {
        throw new InputError(`${name}: the checksum of the PNG's palette is wrong; the file is damaged`)
      }
    }
    ended = kind === 'IEND'
    at += 12 + length
  }
  if (!ended || data.length === 0) {
    throw new InputError(`${name}: the PNG ends inside a chunk or has no pixel data; the file is truncated or damaged`)
  }
  const palette = bytes[25] === 3 && colours
    ? Array.from({ length: Math.floor(colours.length / 3) }, (_, i) => [...colours.subarray(3 * i, 3 * i + 3)])
    : undefined
  return {
    width: view.getUint32(16),
    height: view.getUint32(20),
    depth: bytes[24],
    colour: bytes[25],
    interlaced: bytes[28] === 1,
    palette,
    data,
  }
}

function crc32(bytes: Uint8Array): number {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let k = 0; k < 8; k++) crc = crc >>> 1 ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}

async function checkInflated(data: Uint8Array[], width: number, height: number, name: string) {
  const limit = (width * 8 + 8) * height + 4096 // 16-bit RGBA with a filter byte a row is the most there can be
  let total = 0
  try {
    const stream = new Blob(data as BlobPart[]).stream().pipeThrough(new DecompressionStream('deflate')).getReader()
    for (;;) {
      const { done, value } = await stream.read()
      if (done) return
      total += value.length
      if (total > limit) {
        await stream.cancel()
        break
      }
    }
  } catch (error) {
    throw new InputError(`${name}: the PNG's pixel data does not inflate; the file is truncated or damaged`, {
      cause: error,
    })
  }
  throw new InputError(
    `${name}: the PNG inflates beyond the ${width}x${height} pixels of its header; the file is damaged`,
  )
}

interface PngSamples {
  width: number
  height: number
  channels: number
  depth: number
  data: ArrayLike<number>
  palette?: number[][]
}

function pngPlanes({ width, height, channels, depth, data, palette }: PngSamples): Pixels {
  let samples = data
  if (depth < 8) samples = unpackBits(data, width, height, depth, palette ? 1 : 255 / (2 ** depth - 1))
  if (depth === 16) samples = Uint8Array.from(data, (x) => x >> 8)
  if (!palette) return planes(samples, width, height, channels)
  const looked = new Uint8Array(width * height * 3)
  for (let i = 0; i < width * height; i++) {
    const entry = palette[samples[i]]
    if (!entry) throw new Error(`colour ${samples[i]} of a palette of ${palette.length}`)
    looked.set(entry.slice(0, 3), i * 3)
  }
  return planes(looked, width, height, 3)
}

// Rows of 1, 2 or 4-bit samples, each row starting on a byte.
function unpackBits(data: ArrayLike<number>, width: number, height: number, depth: number, scale: number): Uint8Array {
  const out = new Uint8Array(width * height), stride = Math.ceil(width * depth / 8), mask = 2 ** depth - 1
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const bit = x * depth
      out[y * width + x] = (data[y * stride + (bit >> 3)] >> 8 - depth - (bit & 7) & mask) * scale
    }
  }
  return out
}

// JPEG and PNG to 8-bit RGB planes, with the same result in Node and in browsers. JPEG goes through MozJPEG compiled to
// WASM (the libjpeg-turbo decoder: accurate integer IDCT, smooth chroma upsampling), so pixels equal Pillow's bit for
// bit; a browser's own decoder would not. As Pillow does by default: EXIF orientation and colour profiles are ignored,
// alpha is dropped without blending, a palette is looked up, grey becomes three equal planes. Of 16-bit samples the
// high byte is kept.
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

const MAX_PIXELS = 2 ** 26 // 67 megapixels: 256 MB as RGBA inside the decoder
const MAX_INFLATED = 2 ** 28

/** Decodes a JPEG or PNG, told apart by its first bytes, to three planes. Errors call it `name`. Throws InputError. */
export async function decodeImage(bytes: Uint8Array, name = 'image'): Promise<Pixels> {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return decodeJpeg(bytes, name)
  if (startsWith(bytes, '\x89PNG\r\n\x1a\n')) return decodePng(bytes, name)
  const found = bytes.length === 0
    ? 'an empty file'
    : startsWith(bytes, 'GIF8')
    ? 'a GIF'
    : startsWith(bytes, 'RIFF') && startsWith(bytes.subarray(8), 'WEBP')
    ? 'a WebP'
    : startsWith(bytes, 'BM')
    ? 'a BMP'
    : startsWith(bytes, 'II*\0') || startsWith(bytes, 'MM\0*')
    ? 'a TIFF'
    : `a file that starts with ${
      Array.from(bytes.subarray(0, 4), (b) => `0x${b.toString(16).padStart(2, '0')}`).join(' ')
    }`
  throw new InputError(`${name}: expected a JPEG or PNG image, found ${found}; convert it first`)
}

function startsWith(bytes: Uint8Array, text: string): boolean {
  return bytes.length >= text.length && [...text].every((c, i) => bytes[i] === c.charCodeAt(0))
}

function checkSize(width: number, height: number, name: string) {
  if (width < 1 || height < 1 || width * height > MAX_PIXELS) {
    throw new InputError(
      `${name}: its header says ${width}x${height} pixels, expected 1 to ${MAX_PIXELS}; `
        + 'the file is damaged, or make the picture smaller',
    )
  }
}

// --- JPEG ---

interface Rgba {
  width: number
  height: number
  data: Uint8ClampedArray
}
interface JpegDecoder {
  decode(bytes: Uint8Array, preserveOrientation: boolean): Rgba | null
}
type JpegFactory = (options: Record<string, unknown>) => Promise<JpegDecoder>

/** Where a browser finds `mozjpeg_dec.wasm` of @jsquash/jpeg: its address, its bytes, or the compiled module. */
export type WasmSource = string | URL | BufferSource | WebAssembly.Module

let wasmSource: WasmSource | undefined
let decoder: Promise<JpegDecoder> | undefined
const messages: string[] = [] // libjpeg's own words; decoding is synchronous, so one list does

/** Says where the JPEG decoder's WASM lies, for bundlers that do not copy it along. Node finds it by itself. */
export function setJpegWasm(source: WasmSource): void {
  wasmSource = source
  decoder = undefined
}

async function loadJpegDecoder(): Promise<JpegDecoder> {
  const factory = (await import('@jsquash/jpeg/codec/dec/mozjpeg_dec.js')).default as unknown as JpegFactory
  const say = (line: unknown) => messages.push(String(line))
  const options: Record<string, unknown> = { noInitialRun: true, print: say, printErr: say }
  const module = await compileWasm(wasmSource ?? await wasmOfNode())
  if (module) {
    options.instantiateWasm = (imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) => {
      void WebAssembly.instantiate(module, imports).then(done)
      return {}
    }
  }
  return factory(options)
}

async function wasmOfNode(): Promise<BufferSource | undefined> {
  if (typeof process !== 'object' || !process.versions?.node) return undefined
  const { createRequire } = await import('node:module'), { readFile } = await import('node:fs/promises')
  return readFile(createRequire(import.meta.url).resolve('@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm')) as Promise<
    BufferSource
  >
}

// undefined leaves it to the codec, which fetches the .wasm beside its script
async function compileWasm(source: WasmSource | undefined): Promise<WebAssembly.Module | undefined> {
  if (source === undefined || source instanceof WebAssembly.Module) return source
  if (typeof source !== 'string' && !(source instanceof URL)) return WebAssembly.compile(source)
  const response = await fetch(source)
  if (!response.ok) {
    throw new InputError(`${source}: expected the JPEG decoder's WASM, got HTTP ${response.status}; check setJpegWasm`)
  }
  return WebAssembly.compile(await response.arrayBuffer())
}

async function decodeJpeg(bytes: Uint8Array, name: string): Promise<Pixels> {
  const frame = jpegFrame(bytes)
  if (!frame) {
    throw new InputError(`${name}: starts as a JPEG but has no frame header; the file is truncated or damaged`)
  }
  checkSize(frame.width, frame.height, name)
  if (frame.components === 4) return decodeCmykJpeg(bytes, name)
  const codec = await (decoder ??= loadJpegDecoder().catch((error) => {
    decoder = undefined
    throw error
  }))
  messages.length = 0
  let image: Rgba | null = null
  try {
    image = codec.decode(bytes, false)
  } catch (error) {
    decoder = undefined // libjpeg left by its error exit and freed nothing: start the next one afresh
    if (error instanceof Error && messages.length === 0) messages.push(error.message)
  }
  const complaint = messages.find(isDamage)
  if (!image || complaint) {
    const reason = (complaint ?? messages.at(-1) ?? 'no reason given').replace(/\s+/g, ' ').slice(0, 120)
    throw new InputError(`${name}: the JPEG does not decode (${reason}); the file is truncated or damaged`)
  }
  return planes(image.data, image.width, image.height, 4)
}

// libjpeg goes on after a warning and fills the rest with grey. A few stray bytes before a marker are harmless padding
// that cameras write; anything more means lost picture data.
function isDamage(message: string): boolean {
  const stray = /(\d+) extraneous bytes/.exec(message)
  return stray
    ? Number(stray[1]) > 64
    : /premature end|corrupt|invalid|bogus|unsupported|not a jpeg|error/i.test(message)
}

// Size and number of components from the first start-of-frame segment; null if the segments end before one.
function jpegFrame(bytes: Uint8Array): { width: number, height: number, components: number } | null {
  const u16 = (i: number) => bytes[i] << 8 | bytes[i + 1]
  let at = 2
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) {
      at++
      continue
    } // stray bytes between segments
    const marker = bytes[at + 1]
    if (marker === 0xff) {
      at++
      continue
    } // fill byte
    if (marker <= 1 || marker >= 0xd0 && marker <= 0xd8) {
      at += 2
      continue
    } // markers without a length
    if (marker === 0xd9 || marker === 0xda) return null
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc
    if (isFrame && at + 10 <= bytes.length) {
      return { height: u16(at + 5), width: u16(at + 7), components: bytes[at + 9] }
    }
    at += 2 + u16(at + 2)
  }
  return null
}

// Four components are rare (22 files of ImageNet) and beyond MozJPEG's RGB output; within 1 of Pillow per value.
async function decodeCmykJpeg(bytes: Uint8Array, name: string): Promise<Pixels> {
  const { decode } = (await import('jpeg-js')).default
  try {
    const image = decode(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      maxResolutionInMP: MAX_PIXELS / 1e6,
      maxMemoryUsageInMB: 2048,
    })
    return planes(image.data, image.width, image.height, 3)
  } catch (error) {
    const reason = String((error as Error).message).replace(/\s+/g, ' ').slice(0, 120)
    throw new InputError(`${name}: the CMYK JPEG does not decode (${reason}); the file is truncated or damaged`, {
      cause: error,
    })
  }
}

// --- PNG ---

async function decodePng(bytes: Uint8Array, name: string): Promise<Pixels> {
  const { width, height, data } = pngHeader(bytes, name)
  checkSize(width, height, name)
  // deflate shrinks at most 1032-fold, so only long data can be a bomb; that is measured before it is decoded
  if (data.reduce((sum, part) => sum + part.length, 0) * 1032 > MAX_INFLATED) {
    await checkInflated(data, width, height, name)
  }
  const { decode } = await import('fast-png')
  try {
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

// Walks the chunks: every length is checked before the decoder trusts it, and the pixel data is found.
function pngHeader(bytes: Uint8Array, name: string): { width: number, height: number, data: Uint8Array[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), data: Uint8Array[] = []
  const type = (at: number) => String.fromCharCode(...bytes.subarray(at + 4, at + 8))
  let at = 8, ended = false
  while (!ended && at + 12 <= bytes.length) {
    const length = view.getUint32(at), kind = type(at)
    if (at + 12 + length > bytes.length) break
    if (at === 8 && (kind !== 'IHDR' || length !== 13)) break
    if (kind === 'IDAT') data.push(bytes.subarray(at + 8, at + 8 + length))
    ended = kind === 'IEND'
    at += 12 + length
  }
  if (!ended || data.length === 0) {
    throw new InputError(`${name}: the PNG ends inside a chunk or has no pixel data; the file is truncated or damaged`)
  }
  return { width: view.getUint32(16), height: view.getUint32(20), data }
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

// Interleaved samples to three planes: 1 or 2 per pixel are grey (and alpha), 3 or 4 are RGB (and alpha).
function planes(samples: ArrayLike<number>, width: number, height: number, perPixel: number): Pixels {
  const area = width * height, data = new Uint8Array(3 * area), colour = perPixel >= 3
  for (let i = 0, s = 0; i < area; i++, s += perPixel) {
    data[i] = samples[s]
    data[area + i] = samples[colour ? s + 1 : s]
    data[2 * area + i] = samples[colour ? s + 2 : s]
  }
  return { width, height, channels: 3, data }
}

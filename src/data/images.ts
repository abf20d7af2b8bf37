// JPEG and PNG to 8-bit RGB planes, with the same result in Node and in browsers. JPEG goes through MozJPEG compiled to
// WASM (the libjpeg-turbo decoder: accurate integer IDCT, smooth chroma upsampling), so pixels equal Pillow's bit for
// bit; a browser's own decoder would not. As Pillow does by default: EXIF orientation and colour profiles are ignored,
// alpha is dropped without blending, a palette is looked up, grey becomes three equal planes. Of 16-bit samples the
// high byte is kept.
import { InputError } from '../base/errors.ts'
import type { Files } from '../files/files.ts'
import { checkSize, MAX_PIXELS, type Pixels, planes } from './pixels.ts'
import { decodePng } from './png.ts'
import { jpegWasm } from './jpeg-wasm.ts'

export type { Pixels } from './pixels.ts'

/** Decodes a picture file; a large one is looked at before all of it is read. @throws InputError. */
export async function readPicture(files: Files, path: string): Promise<Pixels> {
  return decodeImage(await files.read(path, (start) => checkPicture(start, path)), path)
}

/** Decodes a JPEG or PNG, told apart by its first bytes, to three planes. Errors call it `name`. Throws InputError. */
export async function decodeImage(bytes: Uint8Array, name = 'image'): Promise<Pixels> {
  return checkPicture(bytes, name) === 'jpeg' ? decodeJpeg(bytes, name) : decodePng(bytes, name)
}

/** What a picture is by its first bytes. @throws InputError for what is not read here. */
export function checkPicture(bytes: Uint8Array, name: string): 'jpeg' | 'png' {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return 'jpeg'
  if (startsWith(bytes, '\x89PNG\r\n\x1a\n')) return 'png'
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

/** Another place for the JPEG decoder's WASM than the package, which has it in Node and in its build for browsers. */
export function setJpegWasm(source: WasmSource): void {
  wasmSource = source
  decoder = undefined
}

async function loadJpegDecoder(): Promise<JpegDecoder> {
  const factory = (await import('@jsquash/jpeg/codec/dec/mozjpeg_dec.js')).default as unknown as JpegFactory
  const say = (line: unknown) => messages.push(String(line))
  const options: Record<string, unknown> = { noInitialRun: true, print: say, printErr: say, locateFile: String }
  const module = await compileWasm(wasmSource ?? await jpegWasm())
  if (module) {
    options.instantiateWasm = (imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) => {
      void WebAssembly.instantiate(module, imports).then(done)
      return {}
    }
  }
  return factory(options)
}

async function compileWasm(source: WasmSource | undefined): Promise<WebAssembly.Module | undefined> {
  if (source === undefined || source instanceof WebAssembly.Module) return source
  if (typeof source !== 'string' && !(source instanceof URL)) return WebAssembly.compile(source)
  const response = await fetch(source)
  if (!response.ok) {
    throw new InputError(`${source}: expected the JPEG decoder's WASM, got HTTP ${response.status}; check setJpegWasm`)
  }
  return WebAssembly.compile(await response.arrayBuffer())
}

/** CMYK goes through a decoder in JavaScript that keeps all coefficients: about 40 bytes a pixel. */
const MAX_CMYK = 2 ** 24
/** A progressive JPEG is kept whole as coefficients while it is decoded: 6 bytes a pixel more than a baseline one. */
const MAX_PROGRESSIVE = 2 ** 25
const progressive: ReadonlySet<number> = new Set([0xc2, 0xca])
/** Pixels from which the decoder is thrown away afterwards: its memory grows and never shrinks. */
const LARGE = 2 ** 23
/** Pixels that all scans together may touch; a picture of 67 megapixels may have 16 scans, one of a megapixel 1,000. */
const MAX_WORK = 2 ** 30

function checkWork({ width, height, scans }: JpegFrame, name: string) {
  const most = Math.floor(MAX_WORK / (width * height + 4096))
  if (scans <= most) return
  throw new InputError(
    `${name}: the JPEG draws its ${width}x${height} pixels in ${scans} scans, expected at most ${most}; `
      + 'convert it, e.g. to PNG',
  )
}

async function decodeJpeg(bytes: Uint8Array, name: string): Promise<Pixels> {
  const frame = jpegFrame(bytes)
  if (!frame) {
    throw new InputError(`${name}: starts as a JPEG but has no frame header; the file is truncated or damaged`)
  }
  const isCmyk = frame.components === 4
  const most = isCmyk ? MAX_CMYK : progressive.has(frame.marker) ? MAX_PROGRESSIVE : MAX_PIXELS
  checkSize(frame.width, frame.height, name, most)
  const unsupported = frame.precision !== 8 ? `${frame.precision}-bit samples` : processes[frame.marker]
  if (unsupported) {
    throw new InputError(
      `${name}: expected a baseline or progressive JPEG of 8 bits, found ${unsupported}, which are not supported; `
        + 'convert it, e.g. to PNG',
    )
  }
  checkWork(frame, name)
  if (isCmyk) return decodeCmykJpeg(bytes, name)
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
  if (frame.width * frame.height > LARGE) decoder = undefined
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

// What a frame's marker announces beyond baseline and progressive Huffman coding.
const processes: Record<number, string | undefined> = {
  0xc3: 'lossless coding',
  0xc5: 'hierarchical frames',
  0xc6: 'hierarchical frames',
  0xc7: 'hierarchical frames',
  0xcb: 'lossless arithmetic coding',
  0xcd: 'hierarchical frames',
  0xce: 'hierarchical frames',
  0xcf: 'hierarchical frames',
}

interface JpegFrame {
  marker: number
  precision: number
  width: number
  height: number
  components: number
  /** How often the picture is gone over: 1 in a baseline JPEG, about 10 in a progressive one. */
  scans: number
}

// The first start-of-frame segment, and how many scans follow; null if the segments end before one.
function jpegFrame(bytes: Uint8Array): JpegFrame | null {
  const u16 = (i: number) => bytes[i] << 8 | bytes[i + 1]
  let at = 2, frame: JpegFrame | null = null
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
    if (marker === 0xd9) break
    if (marker === 0xda) {
      if (!frame) return null
      frame.scans++
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc
    if (isFrame && !frame && at + 10 <= bytes.length) {
      const precision = bytes[at + 4]
      frame = { marker, precision, height: u16(at + 5), width: u16(at + 7), components: bytes[at + 9], scans: 0 }
    }
    at += 2 + u16(at + 2)
  }
  return frame
}

// Without Adobe's marker four components are CMYK all the same, stored as with it: inverted, as Pillow and libjpeg read
// them. The decoder wants the marker, so one that says "no colour transform" is put after the start of the image.
function withAdobe(bytes: Uint8Array): Uint8Array {
  const marker = [0xff, 0xee, 0, 14, ...new TextEncoder().encode('Adobe'), 0, 100, 0, 0, 0, 0, 0]
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda;) {
    const isAdobe = bytes[at + 1] === 0xee && new TextDecoder().decode(bytes.subarray(at + 4, at + 9)) === 'Adobe'
    if (isAdobe) return bytes
    at += 2 + (bytes[at + 2] << 8 | bytes[at + 3])
  }
  const marked = new Uint8Array(bytes.length + marker.length)
  marked.set(bytes.subarray(0, 2))
  marked.set(marker, 2)
  marked.set(bytes.subarray(2), 2 + marker.length)
  return marked
}

// Four components are rare (22 files of ImageNet) and beyond MozJPEG's RGB output; within 1 of Pillow per value.
async function decodeCmykJpeg(bytes: Uint8Array, name: string): Promise<Pixels> {
  const { decode } = (await import('jpeg-js')).default
  try {
    const image = decode(withAdobe(bytes), {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      maxResolutionInMP: MAX_CMYK / 1e6,
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

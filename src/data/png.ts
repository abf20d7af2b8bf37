// PNG to planes, row by row as the pixel data inflates: beside the file and the planes only two rows are in memory,
// whatever the depth. Chunks that say nothing about pixels (profiles, text, animation) are passed over unread, so that
// none of them can be a bomb.
import { InputError } from '../base/errors.ts'
import { inflatedRows, type RowLayout } from './png-rows.ts'
import { checkSize, type Pixels } from './pixels.ts'

/** Decodes a PNG to three planes. Throws InputError. */
export async function decodePng(bytes: Uint8Array, name: string): Promise<Pixels> {
  const header = pngHeader(bytes, name)
  try {
    return await pngPlanes(header)
  } catch (error) {
    const reason = String((error as Error).message).replace(/\s+/g, ' ').slice(0, 120)
    throw new InputError(`${name}: the PNG does not decode (${reason}); the file is truncated or damaged`, {
      cause: error,
    })
  }
}

interface PngHeader extends RowLayout {
  colour: number
  palette?: Uint8Array
  data: Uint8Array[]
}

/** Samples per pixel and allowed depths of each colour type. */
const colours: Readonly<Record<number, [samples: number, depths: readonly number[], what: string]>> = {
  0: [1, [1, 2, 4, 8, 16], 'grey'],
  2: [3, [8, 16], 'RGB'],
  3: [1, [1, 2, 4, 8], 'a palette'],
  4: [2, [8, 16], 'grey with alpha'],
  6: [4, [8, 16], 'RGBA'],
}

// Walks the chunks: every length and checksum is checked before anything is decoded, and the pixel data is found.
function pngHeader(bytes: Uint8Array, name: string): PngHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), data: Uint8Array[] = []
  let at = 8, ended = false, palette: Uint8Array | undefined
  while (!ended && at + 12 <= bytes.length) {
    const length = view.getUint32(at), kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8))
    if (at + 12 + length > bytes.length) break
    if (at === 8 && (kind !== 'IHDR' || length !== 13)) break
    if (at === 8) checkSize(view.getUint32(16), view.getUint32(20), name)
    if (crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length)) {
      const what = kind === 'PLTE'
        ? 'palette'
        : kind === 'IDAT'
        ? 'pixel data'
        : /^[A-Za-z]{4}$/.test(kind)
        ? kind
        : 'chunk'
      throw new InputError(`${name}: the checksum of the PNG's ${what} is wrong; the file is damaged`)
    }
    const body = bytes.subarray(at + 8, at + 8 + length)
    if (kind === 'IDAT') data.push(body)
    if (kind === 'PLTE') palette = body
    ended = kind === 'IEND'
    at += 12 + length
  }
  if (!ended || data.length === 0) {
    throw new InputError(`${name}: the PNG ends inside a chunk or has no pixel data; the file is truncated or damaged`)
  }
  const [depth, colour, compression, filter, interlace] = bytes.subarray(24, 29), found = colours[colour]
  if (!found || compression || filter || interlace > 1) {
    throw new InputError(
      `${name}: the PNG has colour type ${colour}, compression ${compression}, filter ${filter}, interlacing `
        + `${interlace}, expected colour 0, 2, 3, 4 or 6 and no others than 0 (interlacing 0 or 1); `
        + 'the file is damaged',
    )
  }
  if (!found[1].includes(depth)) {
    throw new InputError(
      `${name}: the PNG has ${depth} bits per sample, expected ${found[1].join(', ')} for ${
        found[2]
      }; the file is damaged`,
    )
  }
  if (colour === 3 && (!palette || palette.length === 0 || palette.length % 3 || palette.length > 768)) {
    throw new InputError(
      `${name}: the PNG looks its colours up in a palette, which ${
        palette ? `has ${palette.length} bytes, expected 3 to 768` : 'is missing'
      }; the file is damaged`,
    )
  }
  const [width, height] = [view.getUint32(16), view.getUint32(20)]
  return { width, height, depth, samples: found[0], interlaced: interlace === 1, colour, palette, data }
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let k = 0; k < 8; k++) crc = crc >>> 1 ^ (crc & 1 ? 0xedb88320 : 0)
  return crc
})

function crc32(bytes: Uint8Array): number {
  let crc = ~0
  for (let i = 0; i < bytes.length; i++) crc = crc >>> 8 ^ table[(crc ^ bytes[i]) & 255]
  return ~crc >>> 0
}

async function pngPlanes(header: PngHeader): Promise<Pixels> {
  const { width, height, depth, samples, colour, palette } = header, area = width * height
  const out = new Uint8Array(3 * area), colourful = colour === 2 || colour === 6
  const step = samples * depth >> 3, green = depth >> 3, entries = (palette?.length ?? 0) / 3
  const mask = 2 ** depth - 1, level = 255 / mask
  const looked = (index: number, to: number) => {
    if (index >= entries) throw new Error(`colour ${index} of a palette of ${entries}`)
    for (let c = 0; c < 3; c++) out[c * area + to] = palette![3 * index + c]
  }
  await inflatedRows(header.data, header, (line, count, to, gap) => {
    for (let i = 0, from = 0; i < count; i++, from += step, to += gap) {
      const bit = i * depth
      if (depth < 8) {
        const value = line[bit >> 3] >> 8 - depth - (bit & 7) & mask
        if (palette && colour === 3) looked(value, to)
        else out[to] = out[area + to] = out[2 * area + to] = value * level
      } else if (palette && colour === 3) looked(line[i], to)
      else {
        out[to] = line[from]
        out[area + to] = line[colourful ? from + green : from]
        out[2 * area + to] = line[colourful ? from + 2 * green : from]
      }
    }
  })
  return { width, height, channels: 3, data: out }
}

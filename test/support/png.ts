// PNG files made by tests: any depth and colour type, interlaced or not, any row filter, chunks of the test's own.
import { crc32, deflateSync } from 'node:zlib'

/** What the file shall be; `samples` are row by row, `perPixel` of them (default 1) for each pixel. */
export interface PngOptions {
  width: number
  height: number
  depth: 1 | 2 | 4 | 8 | 16
  perPixel?: 1 | 2 | 3 | 4
  samples: ArrayLike<number>
  palette?: readonly (readonly number[])[]
  interlaced?: boolean
  /** Row filters in turn: 0 none, 1 sub, 2 up, 3 average, 4 Paeth. */
  filters?: readonly number[]
}

/** A chunk with its length and checksum. */
export function pngChunk(type: string, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(12 + body.length)
  bytes.writeUInt32BE(body.length, 0)
  bytes.write(type, 4, 'latin1')
  bytes.set(body, 8)
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + body.length)), 8 + body.length)
  return bytes
}

/** A PNG of a header and chunks that may not fit it; those of a good file are IDAT alone. */
export function pngWith(
  { width, height, depth = 8, colour = 2, interlaced = 0 }: Record<'width' | 'height', number> & {
    depth?: number,
    colour?: number,
    interlaced?: number,
  },
  chunks: readonly (readonly [type: string, body: Uint8Array])[],
): Buffer {
  const head = Buffer.alloc(13)
  head.writeUInt32BE(width, 0)
  head.writeUInt32BE(height, 4)
  head.set([depth, colour, 0, 0, interlaced], 8)
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    pngChunk('IHDR', head),
    ...chunks.map(([type, body]) => pngChunk(type, body)),
    pngChunk('IEND', new Uint8Array(0)),
  ])
}

const passes = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]]

/** The bytes of such a PNG. */
export function pngOf(
  { width, height, depth, perPixel = 1, samples, palette, interlaced = false, filters = [0] }: PngOptions,
): Buffer {
  const rows: Buffer[] = [], step = Math.max(1, perPixel * depth >> 3)
  for (const [x, y, right, down] of interlaced ? passes : [[0, 0, 1, 1]]) {
    let above: Buffer | undefined
    for (let v = y; v < height && x < width; v += down) {
      const line = Buffer.alloc(Math.ceil(Math.ceil((width - x) / right) * perPixel * depth / 8))
      for (let u = x, i = 0; u < width; u += right) {
        for (let c = 0; c < perPixel; c++, i++) {
          const value = samples[(v * width + u) * perPixel + c]
          if (depth === 16) line.writeUInt16BE(value, 2 * i)
          else line[i * depth >> 3] |= value << 8 - depth - (i * depth & 7)
        }
      }
      rows.push(filtered(filters[rows.length % filters.length], line, above ??= Buffer.alloc(line.length), step))
      above = line
    }
  }
  return pngWith({
    width,
    height,
    depth,
    colour: palette ? 3 : [0, 4, 2, 6][perPixel - 1],
    interlaced: Number(interlaced),
  }, [
    ...palette ? [['PLTE', Uint8Array.from(palette.flat())]] as const : [],
    ['IDAT', deflateSync(Buffer.concat(rows))],
  ])
}

function filtered(filter: number, line: Buffer, above: Buffer, step: number): Buffer {
  const out = Buffer.alloc(1 + line.length)
  out[0] = filter
  for (let i = 0; i < line.length; i++) {
    const a = i >= step ? line[i - step] : 0, b = above[i], c = i >= step ? above[i - step] : 0
    const near = [a, b, c].sort((p, q) => Math.abs(a + b - c - p) - Math.abs(a + b - c - q))
    out[1 + i] = line[i] - [0, a, b, a + b >> 1, near[0]][filter]
  }
  return out
}

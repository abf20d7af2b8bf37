// PNG files made by tests: any depth of one sample per pixel, grey or palette, interlaced or not, any row filter.
import { crc32, deflateSync } from 'node:zlib'

/** What the file shall be; `samples` are row by row, one per pixel. */
export interface PngOptions {
  width: number
  height: number
  depth: 1 | 2 | 4 | 8
  samples: ArrayLike<number>
  palette?: readonly (readonly number[])[]
  interlaced?: boolean
  /** Row filters in turn: 0 none, 1 sub, 2 up, 3 average, 4 Paeth. */
  filters?: readonly number[]
}

const passes = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]]

/** The bytes of such a PNG. */
export function pngOf(
  { width, height, depth, samples, palette, interlaced = false, filters = [0] }: PngOptions,
): Buffer {
  const chunk = (type: string, body: Uint8Array) => {
    const bytes = Buffer.alloc(12 + body.length)
    bytes.writeUInt32BE(body.length, 0)
    bytes.write(type, 4, 'latin1')
    bytes.set(body, 8)
    bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + body.length)), 8 + body.length)
    return bytes
  }
  const head = Buffer.alloc(13)
  head.writeUInt32BE(width, 0)
  head.writeUInt32BE(height, 4)
  head.set([depth, palette ? 3 : 0, 0, 0, Number(interlaced)], 8)
  const rows: Buffer[] = []
  for (const [x, y, right, down] of interlaced ? passes : [[0, 0, 1, 1]]) {
    let above: Buffer | undefined
    for (let v = y; v < height && x < width; v += down) {
      const line = Buffer.alloc(Math.ceil(Math.ceil((width - x) / right) * depth / 8))
      for (let u = x, i = 0; u < width; u += right, i++) {
        line[i * depth >> 3] |= samples[v * width + u] << 8 - depth - (i * depth & 7)
      }
      rows.push(filtered(filters[rows.length % filters.length], line, above ??= Buffer.alloc(line.length)))
      above = line
    }
  }
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', head),
    ...palette ? [chunk('PLTE', Uint8Array.from(palette.flat()))] : [],
    chunk('IDAT', deflateSync(Buffer.concat(rows))),
    chunk('IEND', new Uint8Array(0)),
  ])
}

function filtered(filter: number, line: Buffer, above: Buffer): Buffer {
  const out = Buffer.alloc(1 + line.length)
  out[0] = filter
  for (let i = 0; i < line.length; i++) {
    const a = i ? line[i - 1] : 0, b = above[i], c = i ? above[i - 1] : 0
    const near = [a, b, c].sort((p, q) => Math.abs(a + b - c - p) - Math.abs(a + b - c - q))
    out[1 + i] = line[i] - [0, a, b, a + b >> 1, near[0]][filter]
  }
  return out
}

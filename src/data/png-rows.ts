// The rows of a PNG, one at a time, out of deflate and row filters. An interlaced PNG (Adam7) is seven smaller
// pictures, one after the other in the pixel data, each with row filters of its own.

/** What the header says of the pixel data. */
export interface RowLayout {
  width: number
  height: number
  /** Bits per sample: 1, 2, 4, 8 or 16. */
  depth: number
  /** Samples per pixel. */
  samples: number
  interlaced: boolean
}

/**
 * Takes one row: its bytes, how many pixels it has, where the first lies (y * width + x), and how far apart they lie.
 */
export type TakeRow = (line: Uint8Array, count: number, at: number, gap: number) => void

const WHOLE = [[0, 0, 1, 1]] as const
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const

/** Bytes handed to the decompressor at once, so that it never runs far ahead of the rows that are taken. */
const SLICE = 1 << 16

/** Inflates pixel data and hands over each row without its filter. Throws Error where the data end early or go on. */
export async function inflatedRows(data: readonly Uint8Array[], layout: RowLayout, take: TakeRow): Promise<void> {
  const rows = new Rows(layout, take)
  const source = new ReadableStream<Uint8Array<ArrayBuffer>>(slicesOf(data), { highWaterMark: 1 })
  const reader = source.pipeThrough(new DecompressionStream('deflate')).getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      rows.push(value)
    }
  } catch (error) {
    await reader.cancel().catch(() => {})
    // what follows the last row harms nobody: some writers leave bytes behind the end of the stream
    if (!rows.complete || rows.failed) throw error
  }
  if (!rows.complete) throw new Error('it ends before the last row')
}

function slicesOf(data: readonly Uint8Array[]): UnderlyingDefaultSource<Uint8Array<ArrayBuffer>> {
  let part = 0, at = 0
  return {
    pull(controller) {
      while (part < data.length && at >= data[part].length) [part, at] = [part + 1, 0]
      if (part >= data.length) return controller.close()
      const slice = data[part].subarray(at, at + SLICE)
      at += slice.length
      controller.enqueue(slice as Uint8Array<ArrayBuffer>)
    },
  }
}

interface Pass {
  columns: number
  rows: number
  stride: number
  start: number
  gap: number
  down: number
}

class Rows {
  complete = false
  failed = false
  private readonly passes: Pass[]
  private readonly pixelBytes: number
  private line: Uint8Array
  private above: Uint8Array
  private pass = 0
  private row = 0
  private filled = 0
  private readonly take: TakeRow

  constructor({ width, height, depth, samples, interlaced }: RowLayout, take: TakeRow) {
    this.take = take
    this.passes = (interlaced ? ADAM7 : WHOLE).map(([x, y, right, down]) => {
      const columns = Math.ceil((width - x) / right), rows = Math.ceil((height - y) / down)
      const stride = Math.ceil(columns * samples * depth / 8)
      return { columns, rows, stride, start: y * width + x, gap: right, down: down * width }
    }).filter(({ columns, rows }) => columns > 0 && rows > 0)
    this.pixelBytes = Math.max(1, samples * depth >> 3)
    const longest = 1 + Math.max(...this.passes.map(({ stride }) => stride))
    this.line = new Uint8Array(longest)
    this.above = new Uint8Array(longest)
  }

  /** The next bytes, filters included. */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.complete) {
        this.failed = true
        throw new Error('more pixel data than its header promises')
      }
      const { stride } = this.passes[this.pass], some = Math.min(bytes.length - at, 1 + stride - this.filled)
      this.line.set(bytes.subarray(at, at + some), this.filled)
      at += some
      this.filled += some
      if (this.filled > stride) this.finish(this.passes[this.pass])
    }
  }

  private finish({ stride, columns, rows, start, gap, down }: Pass): void {
    unfilter(this.line, this.above, stride, this.pixelBytes)
    this.take(this.line.subarray(1, 1 + stride), columns, start + this.row * down, gap)
    ;[this.line, this.above] = [this.above, this.line]
    this.filled = 0
    if (++this.row < rows) return
    this.row = 0
    this.pass++
    this.above.fill(0)
    this.complete = this.pass === this.passes.length
  }
}

/** Takes a row's filter off in place. `line[0]` names it, `above` is the row before (zeros for the first). */
function unfilter(line: Uint8Array, above: Uint8Array, stride: number, step: number): void {
  const filter = line[0]
  switch (filter) {
    case 0:
      return
    case 1:
      for (let i = 1 + step; i <= stride; i++) line[i] += line[i - step]
      return
    case 2:
      for (let i = 1; i <= stride; i++) line[i] += above[i]
      return
    case 3:
      for (let i = 1; i <= stride; i++) line[i] += (i > step ? line[i - step] : 0) + above[i] >> 1
      return
    case 4:
      for (let i = 1; i <= stride; i++) {
        const left = i > step ? line[i - step] : 0, up = above[i], corner = i > step ? above[i - step] : 0
        const guess = left + up - corner
        const a = Math.abs(guess - left)
        const b = Math.abs(guess - up)
        const c = Math.abs(guess - corner)
        line[i] += a <= b && a <= c ? left : b <= c ? up : corner
      }
      return
    default:
      throw new Error(`row filter ${filter}`)
  }
}

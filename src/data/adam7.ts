// Adam7: an interlaced PNG is seven smaller pictures, one after the other in the pixel data, each with row filters of
// its own. Here for samples of 1, 2 and 4 bits, of which there is one per pixel.

const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [
  0,
  1,
  1,
  2,
]] as const

/** Sample values [height * width] of an interlaced picture. Throws Error where the data end early or go on. */
export async function deinterlaced(
  data: Uint8Array[],
  width: number,
  height: number,
  depth: 1 | 2 | 4,
): Promise<Uint8Array> {
  const passes = PASSES.map(([x, y, right, down]) => {
    const columns = Math.ceil((width - x) / right), rows = Math.ceil((height - y) / down)
    const stride = columns > 0 && rows > 0 ? Math.ceil(columns * depth / 8) : 0
    return { x, y, right, down, columns, rows, stride, bytes: stride && rows * (stride + 1) }
  })
  const bytes = await inflated(data, passes.reduce((sum, pass) => sum + pass.bytes, 0))
  const out = new Uint8Array(width * height), mask = 2 ** depth - 1
  let at = 0
  for (const { x, y, right, down, columns, rows, stride } of passes) {
    let above = new Uint8Array(stride)
    for (let row = 0; stride && row < rows; row++) {
      const line = unfiltered(bytes[at], bytes.subarray(at + 1, at + 1 + stride), above)
      for (let i = 0; i < columns; i++) {
        const bit = i * depth
        out[(y + row * down) * width + x + i * right] = line[bit >> 3] >> 8 - depth - (bit & 7) & mask
      }
      above = line
      at += 1 + stride
    }
  }
  return out
}

/** A row without its filter; the pixel to the left is the byte to the left, as samples are narrower than a byte. */
function unfiltered(filter: number, row: Uint8Array, above: Uint8Array): Uint8Array<ArrayBuffer> {
  const line = new Uint8Array(row.length)
  for (let i = 0; i < row.length; i++) {
    const left = i ? line[i - 1] : 0, up = above[i], corner = i ? above[i - 1] : 0
    line[i] = row[i] + predicted(filter, left, up, corner)
  }
  return line
}

function predicted(filter: number, left: number, up: number, corner: number): number {
  switch (filter) {
    case 0:
      return 0
    case 1:
      return left
    case 2:
      return up
    case 3:
      return left + up >> 1
    case 4: {
      const guess = left + up - corner
      const [a, b, c] = [left, up, corner].map((each) => Math.abs(guess - each))
      return a <= b && a <= c ? left : b <= c ? up : corner
    }
    default:
      throw new Error(`row filter ${filter}`)
  }
}

async function inflated(data: Uint8Array[], size: number): Promise<Uint8Array> {
  const stream = new Blob(data as BlobPart[]).stream().pipeThrough(new DecompressionStream('deflate'))
  const reader = stream.getReader(), out = new Uint8Array(size)
  let at = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    if (at + value.length > size) {
      await reader.cancel()
      throw new Error(`more than the ${size} bytes its header promises`)
    }
    out.set(value, at)
    at += value.length
  }
  if (at < size) throw new Error('it ends before the last row')
  return out
}

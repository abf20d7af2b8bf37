// JPEG files made by tests: four components, one flat value for each block of 8 x 8 pixels, markers of the test's own.

/** What the file shall be. */
export interface JpegOptions {
  /** Blocks across and down. */
  across: number
  down: number
  /** Four bytes of each block, row by row, as the file holds them. */
  values: readonly (readonly number[])[]
  /** The transform an Adobe marker tells (0 CMYK, 2 YCCK); without one there is no such marker. */
  adobe?: 0 | 2
  /** Whether a JFIF marker stands in front, which says nothing of colours in four components. */
  jfif?: boolean
  /** MCUs between restart markers. */
  restart?: number
}

const segment = (
  marker: number,
  ...body: number[]
) => [0xff, marker, body.length + 2 >> 8, body.length + 2 & 255, ...body]
const text = (value: string) => [...Buffer.from(value, 'latin1')]

/** A baseline JPEG whose blocks hold a DC coefficient alone: with steps of 8 that is the value itself, less 128. */
export function cmykJpeg({ across, down, values, adobe, jfif = false, restart = 0 }: JpegOptions): Buffer {
  const components = [1, 2, 3, 4]
  const head = [
    0xff,
    0xd8,
    ...jfif ? segment(0xe0, ...text('JFIF\0'), 1, 1, 0, 0, 1, 0, 1, 0, 0) : [],
    ...adobe === undefined ? [] : segment(0xee, ...text('Adobe'), 0, 100, 0, 0, 0, 0, adobe),
    ...segment(0xdb, 0, ...new Array<number>(64).fill(8)),
    ...segment(
      0xc0,
      8,
      8 * down >> 8,
      8 * down & 255,
      8 * across >> 8,
      8 * across & 255,
      4,
      ...components.flatMap((id) => [id, 0x11, 0]),
    ),
    // Twelve codes of four bits, the number of bits of a difference; and one code of one bit, the end of a block.
    ...segment(0xc4, 0x00, 0, 0, 0, 12, ...new Array<number>(12).fill(0), ...Array.from({ length: 12 }, (_, i) => i)),
    ...segment(0xc4, 0x10, 1, ...new Array<number>(15).fill(0), 0),
    ...restart ? segment(0xdd, 0, restart) : [],
    ...segment(0xda, 4, ...components.flatMap((id) => [id, 0]), 0, 63, 0),
  ]
  const body: number[] = []
  let bits = '', before = [0, 0, 0, 0]
  const flush = () => {
    bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1')
    for (let at = 0; at < bits.length; at += 8) {
      const byte = parseInt(bits.slice(at, at + 8), 2)
      body.push(byte, ...byte === 255 ? [0] : [])
    }
    bits = ''
  }
  values.forEach((block, i) => {
    if (restart && i && i % restart === 0) {
      flush()
      body.push(0xff, 0xd0 + (i / restart - 1) % 8)
      before = [0, 0, 0, 0]
    }
    block.forEach((value, component) => {
      const change = value - 128 - before[component],
        size = change === 0 ? 0 : Math.floor(Math.log2(Math.abs(change))) + 1
      before[component] = value - 128
      const coded = change < 0 ? change + 2 ** size - 1 : change
      bits += `${size.toString(2).padStart(4, '0')}${size ? coded.toString(2).padStart(size, '0') : ''}0`
    })
  })
  flush()
  return Buffer.from([...head, ...body, 0xff, 0xd9])
}

/** What Pillow makes of such a block: components are taken as inverted, whether a marker says so or not. */
export function rgbOf([a, b, c, k]: readonly number[], adobe?: 0 | 2): number[] {
  const inks = adobe === 2
    ? [a + 1.402 * (c - 128), a - 0.344136 * (b - 128) - 0.714136 * (c - 128), a + 1.772 * (b - 128)].map((value) =>
      255 - Math.max(0, Math.min(255, value)) // YCCK holds the colours that the inks leave
    )
    : [a, b, c]
  return inks.map((ink) => ink * k / 255)
}

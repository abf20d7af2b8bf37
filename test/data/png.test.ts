// Every depth and colour of PNG against the samples it was made of; damage is told apart.
import { describe, expect, test } from 'vitest'
import { decodePng } from '../../src/data/png.ts'
import { pngOf, pngWith } from '../support/png.ts'

const decoded = async (options: Parameters<typeof pngOf>[0]) => [...(await decodePng(pngOf(options), 'p')).data]

describe('pixels', () => {
  test.each([1, 2, 4, 8] as const)('grey of %d bits covers 0 to 255', async (depth) => {
    const most = 2 ** depth - 1, samples = [0, most, 1, most - 1, 0]
    const expected = samples.map((value) => Math.floor(value * 255 / most))
    expect(await decoded({ width: 5, height: 1, depth, samples })).toEqual([...expected, ...expected, ...expected])
  })

  test('of 16 bits keep the upper eight', async () => {
    expect(await decoded({ width: 1, height: 1, depth: 16, perPixel: 3, samples: [0x1234, 0xff00, 0x00ff] })).toEqual([
      0x12,
      0xff,
      0,
    ])
  })

  test('lose their alpha', async () => {
    expect(await decoded({ width: 1, height: 2, depth: 8, perPixel: 4, samples: [1, 2, 3, 0, 4, 5, 6, 9] })).toEqual([
      1,
      4,
      2,
      5,
      3,
      6,
    ])
    expect(await decoded({ width: 1, height: 2, depth: 8, perPixel: 2, samples: [7, 0, 8, 0] })).toEqual([
      7,
      8,
      7,
      8,
      7,
      8,
    ])
  })

  test.each([1, 2, 4, 8] as const)('of a palette with %d bits', async (depth) => {
    const palette = [[1, 2, 3], [9, 8, 7]]
    expect(await decoded({ width: 3, height: 1, depth, palette, samples: [1, 0, 1] })).toEqual([
      9,
      1,
      9,
      8,
      2,
      8,
      7,
      3,
      7,
    ])
  })

  test('interlaced and filtered are the same as plain', async () => {
    const samples = Array.from({ length: 3 * 9 * 7 }, (_, i) => (i * 37) % 256),
      base = { width: 9, height: 7, depth: 8, perPixel: 3, samples } as const
    const plain = await decoded(base)
    expect(plain.slice(0, 3)).toEqual([samples[0], samples[3], samples[6]])
    expect(await decoded({ ...base, interlaced: true, filters: [4, 3, 2, 1, 0] })).toEqual(plain)
  })
})

describe('damage', () => {
  const good = pngOf({ width: 4, height: 4, depth: 8, samples: new Uint8Array(16) })
  const refusal = (bytes: Uint8Array) => decodePng(bytes, 'p').then(() => '', (error: Error) => error.message)

  test('of one byte of the pixels is told by the checksum', async () => {
    const bytes = Uint8Array.from(good)
    bytes[bytes.length - 20] ^= 1
    expect(await refusal(bytes)).toBe("p: the checksum of the PNG's pixel data is wrong; the file is damaged")
  })

  test('of the end is told', async () => {
    expect(await refusal(good.subarray(0, good.length - 13))).toMatch(/ends inside a chunk or has no pixel data/)
  })

  test('of the header is told', async () => {
    expect(await refusal(pngWith({ width: 1, height: 1, colour: 5 }, [['IDAT', new Uint8Array(1)]]))).toContain(
      'colour type 5',
    )
    expect(await refusal(pngWith({ width: 1, height: 1, depth: 4 }, [['IDAT', new Uint8Array(1)]]))).toContain(
      '4 bits per sample',
    )
    expect(await refusal(pngWith({ width: 1, height: 1, colour: 3 }, [['IDAT', new Uint8Array(1)]]))).toContain(
      'palette, which is missing',
    )
  })

  test('a colour beyond the palette is refused', async () => {
    expect(await refusal(pngOf({ width: 1, height: 1, depth: 8, palette: [[1, 2, 3]], samples: [1] })))
      .toContain('colour 1 of a palette of 1')
  })
})

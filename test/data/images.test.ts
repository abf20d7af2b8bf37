import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { decodeImage } from '../../src/data/images.ts'
import { crop, defaultPreprocessing, normalise, preprocessingOf, shape, toChannels,
  withFlags } from '../../src/data/preprocess.ts'
import { type Interpolation, resize, resizeShortSide } from '../../src/data/resize.ts'
import { parseSafetensors } from '../../src/files/safetensors.ts'
import { lacking, shared } from '../support/files.ts'
import { pngOf } from '../support/png.ts'

const fixtures =
  parseSafetensors(readFileSync(new URL('../fixtures/images.safetensors', import.meta.url)), 'images').tensors
const names = [...fixtures.keys()]
const picture = (name: string) => {
  const { shape: [channels, height, width], data } = fixtures.get(name)!
  return { channels, height, width, data: data as Uint8Array }
}
const largest = (a: Uint8Array, b: Uint8Array) => a.reduce((max, v, i) => Math.max(max, Math.abs(v - b[i])), 0)

describe('decodeImage equals Pillow', () => {
  it.each(names.filter((n) => n.startsWith('file.')).map((n) => n.slice(5)))('%s', async (name) => {
    const image = await decodeImage(fixtures.get(`file.${name}`)!.data as Uint8Array, name),
      expected = picture(`rgb.${name}`)
    expect([image.channels, image.height, image.width]).toEqual([3, expected.height, expected.width])
    // four-component JPEGs go through another decoder
    expect(largest(image.data, expected.data)).toBeLessThanOrEqual(name === 'cmyk.jpg' ? 1 : 0)
  })

  it('a CMYK JPEG without the Adobe marker is read as the same one with it', async () => {
    const bytes = fixtures.get('file.cmyk.jpg')!.data as Uint8Array
    const at = bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xee)
    const bare = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 2 + (bytes[at + 2] << 8 | bytes[at + 3]))])
    expect(bare.includes('Adobe')).toBe(false)
    expect(await decodeImage(bare)).toEqual(await decodeImage(bytes))
    const padded = Buffer.concat([bare, Buffer.alloc(300_000)]) // long enough for any spread to overflow the stack
    expect(await decodeImage(padded)).toEqual(await decodeImage(bytes))
  })

  const absent = lacking('data/imagenet/val64_u8.safetensors')
  it('64 ImageNet images, bit for bit', async ({ skip }) => {
    if (absent) skip(absent)
    const { tensors, metadata } = parseSafetensors(readFileSync(`${shared}/data/imagenet/val64_u8.safetensors`))
    const files = JSON.parse(metadata.files) as string[], expected = tensors.get('images')!.data as Uint8Array
    const p = { ...defaultPreprocessing('transformer'), resize: null }, size = 3 * 224 * 224
    let different = 0
    for (const [i, file] of files.entries()) {
      const image = shape(await decodeImage(readFileSync(`${shared}/data/imagenet/val300/${file}`), file), p, file)
      for (let j = 0; j < size; j++) if (image.data[j] !== expected[i * size + j]) different++
    }
    expect(different).toBe(0)
  })
})

describe('interlaced PNG', () => {
  const noise = (count: number, levels: number) => Uint8Array.from({ length: count }, (_, i) => i * i * 7 % 31 % levels)
  const palette = Array.from({ length: 16 }, (_, i) => [i * 17, 255 - i * 9, i * 5])
  const sizes = [[1, 1], [2, 5], [5, 3], [8, 8], [13, 9], [33, 17]]
  const filters = [[0], [1, 2, 3, 4]]

  it.each([1, 2, 4, 8] as const)('%i bits, grey and palette, equal the same picture not interlaced', async (depth) => {
    for (const [width, height] of sizes) {
      const samples = noise(width * height, Math.min(16, 2 ** depth))
      for (const colours of [undefined, palette]) {
        for (const order of filters) {
          const options = { width, height, depth, samples, palette: colours, filters: order }
          const plain = await decodeImage(pngOf({ ...options, filters: [0] }))
          expect(await decodeImage(pngOf({ ...options, interlaced: true }))).toEqual(plain)
          const [first] = samples, level = first * 255 / (2 ** depth - 1)
          expect(plain.data[0]).toBe(colours ? colours[first][0] : level)
        }
      }
    }
  })

  it('damaged ones are refused', async () => {
    const good = pngOf({ width: 9, height: 9, depth: 2, samples: noise(81, 4), palette, interlaced: true })
    const size = (width: number) => {
      const other = pngOf({ width, height: 9, depth: 2, samples: noise(9 * width, 4), palette, interlaced: true })
      return Buffer.concat([other.subarray(0, 33), good.subarray(33)])
    }
    for (const bytes of [size(8), size(20)]) {
      await expect(decodeImage(bytes, 'a.png')).rejects.toThrow(/a\.png: the PNG/)
    }
    const wrong = Buffer.from(good)
    wrong[wrong.indexOf('PLTE') + 5] ^= 1
    await expect(decodeImage(wrong, 'a.png')).rejects.toThrow(/palette is wrong/)
  })
})

describe('kinds of JPEG that are not read', () => {
  const edit = (marker: number, precision: number) => {
    const bytes = Buffer.from(fixtures.get('file.420.jpg')!.data as Uint8Array)
    const at = bytes.indexOf(Buffer.from([0xff, 0xc0]))
    bytes[at + 1] = marker
    bytes[at + 4] = precision
    return bytes
  }
  it.each([[0xc1, 12, '12-bit'], [0xc3, 8, 'lossless'], [0xc7, 8, 'hierarchical']] as const)(
    'frame %i of %i bits is named instead of called damaged',
    async (marker, precision, what) => {
      await expect(decodeImage(edit(marker, precision), 'a.jpg')).rejects.toThrow(
        new RegExp(`^a\\.jpg: .*${what}.*not supported`),
      )
    },
  )
})

describe('resize equals Pillow', () => {
  it.each(names.filter((n) => /^bi\w+\.\d/.test(n)))('%s', (name) => {
    const expected = picture(name), how = name.split('.')[0] as Interpolation
    const resized = resize(picture('source'), expected.width, expected.height, how)
    expect(largest(resized.data, expected.data)).toBe(0)
    expect(resized.data.length).toBe(expected.data.length)
  })

  it('short side: the longer side is truncated', () => {
    const { width, height } = resizeShortSide(picture('source'), 20, 'bilinear')
    expect([width, height]).toEqual([Math.trunc(20 * 53 / 37), 20])
  })
})

describe('preprocessing', () => {
  const source = picture('source')

  it("grey is Pillow's luma", () => {
    expect(largest(toChannels(source, 1).data, picture('luma').data)).toBe(0)
  })

  it('a centre crop starts at the floor, or rounds half to even for torchvision', () => {
    const p = { ...defaultPreprocessing('cnn'), resize: null, crop: 20 } // margins 33 and 17: halves 16.5 and 8.5
    expect(shape(source, p).data).toEqual(crop(source, 16, 8, 20, 20).data)
    const odd = { ...p, crop: 22 } // 31 and 15: 15.5 and 7.5
    expect(shape(source, odd).data).toEqual(crop(source, 15, 7, 22, 22).data)
    expect(shape(source, { ...odd, cropRounding: 'torchvision' }).data).toEqual(crop(source, 16, 8, 22, 22).data)
  })

  it('normalises in float32 steps', () => {
    const out = new Float32Array(source.data.length), p = defaultPreprocessing('cnn')
    normalise(source, p, out)
    const area = 37 * 53, at = 2 * area + 77, f = Math.fround
    expect(out[at]).toBe(f(f(f(source.data[at] / 255) - f(0.406)) / f(0.225)))
  })

  it('metadata goes over the defaults, flags over metadata, and nonsense is refused by name', () => {
    const base = defaultPreprocessing('transformer')
    expect([base.resize, base.crop, base.interpolation]).toEqual([256, 224, 'bicubic'])
    const read = preprocessingOf(
      { mean: '[0.5]', std: '[0.25]', preprocessing: '{"crop":192,"other":1}' },
      base,
      'm.safetensors',
    )
    expect(read).toEqual({ ...base, mean: [0.5], std: [0.25], crop: 192 })
    expect(withFlags(read, { resize: 'none', crop: '160', mean: '0.1,0.2,0.3', 'crop-rounding': 'torchvision' }))
      .toEqual(
        { ...read, resize: null, crop: 160, mean: [0.1, 0.2, 0.3], cropRounding: 'torchvision' },
      )
    const damaged: Record<string, string>[] = [
      { mean: '0.5,' },
      { mean: '{}' },
      { std: '[0,0,0]' },
      { mean: '[1,2]' },
      { preprocessing: '{"crop":-1}' },
    ]
    for (const metadata of damaged) {
      expect(() => preprocessingOf(metadata, base, 'm.safetensors')).toThrow(/^m\.safetensors: /)
    }
    for (
      const flags of [{ resize: 'big' }, { crop: '0' }, { mean: 'a' }, { std: '0' }, { 'crop-rounding': 'up' }, {
        resize: '100',
      }]
    ) {
      expect(() => withFlags(base, flags)).toThrow(/--/)
    }
  })

  it('refuses a picture smaller than the crop by name', () => {
    const p = { ...defaultPreprocessing('cnn'), resize: null }
    expect(() => shape(source, p, 'a.jpg')).toThrow(/^a\.jpg: 53x37 .*--resize 224/)
  })
})

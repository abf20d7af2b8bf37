import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { decodeImage } from '../../src/data/images.ts'
import { crop, defaultPreprocessing, normalise, preprocessingOf, shape, toChannels,
  withFlags } from '../../src/data/preprocess.ts'
import { type Interpolation, interpolations, resize, resizeShortSide } from '../../src/data/resize.ts'
import { parseSafetensors } from '../../src/files/safetensors.ts'
import { InputError } from '../../src/base/errors.ts'
import { cmykJpeg, type JpegOptions, rgbOf } from '../support/jpeg.ts'
import { lacking, shared } from '../support/files.ts'
import { deflateSync } from 'node:zlib'
import { pngOf, pngWith } from '../support/png.ts'

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

  it.each<[string, Pick<JpegOptions, 'adobe' | 'jfif' | 'restart'>]>([
    ['no marker', {}],
    ['a marker that says CMYK', { adobe: 0 }],
    ['a marker that says YCCK', { adobe: 2 }],
    ['a JFIF marker alone', { jfif: true }],
    ['restarts', { restart: 2 }],
    ['all of them', { jfif: true, adobe: 2, restart: 1 }],
  ])('four components of a file made here, %s', async (_, options) => {
    const values = Array.from(
      { length: 12 },
      (_, i) => [0, 1, 2, 3].map((c) => i < 2 ? 255 * i : (i * 53 + c * 91) % 256),
    )
    const { data, width, height } = await decodeImage(cmykJpeg({ across: 4, down: 3, values, ...options }), 'made.jpg')
    expect([width, height]).toEqual([32, 24])
    const wrong = values.flatMap((block, i) => {
      const x = i % 4 * 8 + i % 8, y = Math.floor(i / 4) * 8 + i % 5
      const found = [0, 1, 2].map((c) => data[(c * height + y) * width + x]), expected = rgbOf(block, options.adobe)
      return found.every((value, c) => Math.abs(value - expected[c]) <= 1.5) ? [] : [{ block, found, expected }]
    })
    expect(wrong).toEqual([])
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

describe('PNG of every colour type', () => {
  const area = 17 * 11
  it.each([[1, 8], [2, 8], [3, 8], [4, 8], [1, 16], [2, 16], [3, 16], [4, 16]] as const)(
    '%i samples of %i bits, interlaced or not, any filter: the high byte of each, alpha dropped',
    async (perPixel, depth) => {
      const samples = Array.from({ length: area * perPixel }, (_, i) => i * i * 37 % 2 ** depth)
      const high = (pixel: number, c: number) => samples[pixel * perPixel + (perPixel > 2 ? c : 0)] >> depth - 8
      const expected = Uint8Array.from({ length: 3 * area }, (_, i) => high(i % area, Math.floor(i / area)))
      for (const interlaced of [false, true]) {
        for (const filters of [[0], [1], [2], [3], [4], [4, 3, 2, 1, 0]]) {
          const file = pngOf({ width: 17, height: 11, depth, perPixel, samples, interlaced, filters })
          expect((await decodeImage(file)).data).toEqual(expected)
        }
      }
    },
  )

  it('pixel data in many chunks, some empty, with bytes behind the end', async () => {
    const whole = deflateSync(Buffer.concat(Array.from({ length: 5 }, (_, y) => Buffer.from([0, y, y, y]))))
    const chunks = [
      ...[...whole, 7, 7].map((byte) => ['IDAT', Uint8Array.of(byte)] as const),
      ['IDAT', Buffer.alloc(0)] as const,
    ]
    const { data } = await decodeImage(pngWith({ width: 1, height: 5 }, chunks))
    expect([...data.subarray(0, 5)]).toEqual([0, 1, 2, 3, 4])
  })
})

describe('pictures that ask for more than they should', () => {
  const rows = (bytes: number) => deflateSync(Buffer.alloc(bytes))
  const good = ['IDAT', rows(25 * 8)] as const
  const peak = async (work: () => Promise<unknown>) => {
    const before = process.memoryUsage.rss()
    let most = before
    const clock = setInterval(() => most = Math.max(most, process.memoryUsage.rss()), 5)
    await work()
    clearInterval(clock)
    return Math.max(most, process.memoryUsage.rss()) - before
  }

  it('large and deep ones decode in the memory of their planes', async () => {
    const side = 3000,
      file = pngWith({ width: side, height: side, depth: 16, colour: 6 }, [
        ['IDAT', rows((8 * side + 1) * side)],
      ])
    const grown = await peak(() => decodeImage(file))
    expect(grown).toBeLessThan(3 * side ** 2 + 60e6) // all rows at once would be 144 MB
  })

  it.each(
    [[8193, 8192], [2 ** 32 - 1, 2 ** 32 - 1], [1, 2 ** 31], [0, 5], [2 ** 22 + 1, 1]] as const,
  )('%i x %i pixels are refused by the header', async (width, height) => {
    await expect(decodeImage(pngWith({ width, height }, [good]), 'a.png')).rejects.toThrow(
      /^a\.png: its header says \d+x\d+ pixels, expected 1 to 67108864/,
    )
  })

  it.each(
    [
      ['colour profile', [['iCCP', Buffer.concat([Buffer.from('p\0\0'), rows(2 ** 26)])], good]],
      ['text', [['zTXt', Buffer.concat([Buffer.from('k\0\0'), rows(2 ** 26)])], good]],
      ['animation', [['acTL', Buffer.alloc(8, 255)], good, ['fdAT', Buffer.concat([Buffer.alloc(4), rows(2 ** 26)])]]],
      ['unknown', [good, ['juNk', Buffer.alloc(2 ** 24)]]],
    ] as const,
  )('what a %s chunk holds is not unpacked', async (_, chunks) => {
    const file = pngWith({ width: 8, height: 8 }, chunks)
    let image: Awaited<ReturnType<typeof decodeImage>> | undefined
    expect(await peak(async () => image = await decodeImage(file))).toBeLessThan(30e6)
    expect(image).toMatchObject({ width: 8, height: 8 })
  })

  it.each([2 ** 24, 2 ** 27])('pixel data of %i bytes for 8 x 8 pixels are not unpacked to their end', async (size) => {
    const file = pngWith({ width: 8, height: 8 }, [['IDAT', rows(size)]])
    const grown = await peak(() =>
      expect(decodeImage(file, 'a.png')).rejects.toThrow(/^a\.png: .*more pixel data than its header promises/)
    )
    expect(grown).toBeLessThan(30e6)
  })

  it.each(
    [
      ['no palette', { colour: 3 }, [good], /palette, which is missing/],
      ['an empty palette', { colour: 3 }, [['PLTE', Buffer.alloc(0)], good], /has 0 bytes/],
      ['a palette of 4 bytes', { colour: 3 }, [['PLTE', Buffer.alloc(4)], good], /has 4 bytes/],
      ['a palette of 257 colours', { colour: 3 }, [['PLTE', Buffer.alloc(771)], good], /has 771 bytes/],
      ['colour type 7', { colour: 7 }, [good], /colour type 7/],
      ['3 bits', { depth: 3 }, [good], /3 bits per sample/],
      ['16 bits of palette', { colour: 3, depth: 16 }, [['PLTE', Buffer.alloc(6)], good], /16 bits per sample/],
      ['interlacing 2', { interlaced: 2 }, [good], /interlacing 2/],
      ['row filter 9', {}, [['IDAT', deflateSync(Buffer.alloc(25 * 8, 9))]], /row filter 9/],
      ['no deflate', {}, [['IDAT', Buffer.alloc(50, 1)]], /does not decode/],
      ['half of its rows', {}, [['IDAT', rows(25 * 4)]], /ends before the last row/],
    ] as const,
  )('%s: refused in a sentence', async (_, header, chunks, sentence) => {
    const failure = await decodeImage(pngWith({ width: 8, height: 8, ...header }, chunks), 'a.png').catch((e) => e)
    expect(failure).toBeInstanceOf(InputError)
    expect(failure.message).toMatch(sentence)
    expect(failure.message).not.toMatch(/undefined|\n/)
  })

  it('a JPEG of thousands of scans is refused before it is decoded, one of many small scans is not', async () => {
    const bytes = Buffer.from(fixtures.get('file.progressive.jpg')!.data as Uint8Array)
    const frame = bytes.indexOf(Buffer.from([0xff, 0xc2])), scan = bytes.lastIndexOf(Buffer.from([0xff, 0xda]))
    const again = (times: number, side: number) => {
      const start = Buffer.from(bytes.subarray(0, -2))
      start.writeUInt16BE(side, frame + 5)
      start.writeUInt16BE(side, frame + 7)
      return Buffer.concat([
        start,
        ...Array.from({ length: times }, () => bytes.subarray(scan, -2)),
        bytes.subarray(-2),
      ])
    }
    for (const [times, side] of [[3000, 1000], [100, 5000], [20_000, 300]]) {
      await expect(decodeImage(again(times, side), 'a.jpg')).rejects.toThrow(/^a\.jpg: the JPEG draws its .* scans/)
    }
    await expect(decodeImage(again(5, 1000), 'a.jpg')).rejects.toThrow(/does not decode/)
  })

  it.each([[1, 60_000], [60_000, 1], [2, 30_000], [1, 2_000_000]])(
    '%i x %i pixels resized to 256 and cropped cost no more than the crop',
    async (width, height) => {
      const image = {
        width,
        height,
        channels: 3,
        data: Uint8Array.from({ length: 3 * width * height }, (_, i) => i % 251),
      }
      const p = { ...defaultPreprocessing('transformer'), resize: 256, crop: 224 }
      let shaped: ReturnType<typeof shape> | undefined
      expect(await peak(() => Promise.resolve(shaped = shape(image, p)))).toBeLessThan(60e6)
      expect(shaped).toMatchObject({ width: 224, height: 224 })
      expect(new Set(shaped!.data).size).toBeGreaterThan(1)
    },
  )

  it.each(interpolations)('%s: only the window is computed, and is the same', (interpolation) => {
    const image = picture('source')
    for (
      const [w, h, left, top, width, height] of [[90, 61, 7, 9, 40, 30], [20, 14, 0, 3, 20, 5], [53, 37, 4, 5, 6, 7], [
        53,
        80,
        3,
        0,
        50,
        80,
      ], [80, 37, 1, 1, 9, 36]]
    ) {
      expect(resize(image, w, h, interpolation, { left, top, width, height })).toEqual(
        crop(resize(image, w, h, interpolation), left, top, width, height),
      )
    }
  })

  it('more than 4096 x 4096 pixels for the network are refused', () => {
    const p = { ...defaultPreprocessing('cnn'), resize: 16384, crop: null }
    expect(() => shape(picture('source'), p, 'a.png')).toThrow(
      /^a\.png: 23468x16384 .*at most 16777216; give a smaller/,
    )
    expect(() => shape(picture('source'), { ...p, crop: 16384 }, 'a.png')).toThrow(/--crop/)
    expect(shape(picture('source'), { ...p, crop: 32 })).toMatchObject({ width: 32, height: 32 })
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

// The formulas written out: one axis after the other, weights that sum to 1, rounded to 8 bits in between.
describe('filters by their formulas', () => {
  const sinc = (x: number) => x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x)
  const kernels: [Interpolation, number, (x: number) => number][] = [
    ['lanczos', 3, (x) => sinc(x) * sinc(x / 3)],
    ['box', 0.5, () => 1],
    ['hamming', 1, (x) => sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x))],
  ]
  const resampled = (values: number[], to: number, reach: number, kernel: (x: number) => number): number[] => {
    const scale = values.length / to, stretch = Math.max(1, scale)
    return Array.from({ length: to }, (_, o) => {
      const weights = values.map((_, i) => {
        const x = (i + 0.5 - (o + 0.5) * scale) / stretch
        return x > -reach && x <= reach ? kernel(x) : 0
      })
      const sum = weights.reduce((a, b) => a + b, 0)
      return Math.max(0, Math.min(255, Math.round(values.reduce((all, value, i) => all + value * weights[i] / sum, 0))))
    })
  }
  const source = picture('source'), plane = source.width * source.height
  const rows = Array.from(
    { length: source.height },
    (_, y) => [...source.data.subarray(y * source.width, (y + 1) * source.width)],
  )

  const sized = kernels.flatMap(([name, reach, kernel]) =>
    [[24, 17], [131, 90], [53, 20]].map(([width, height]) => ({ name, reach, kernel, width, height }))
  )
  it.each(sized)('$name, $width x $height', ({ name, reach, kernel, width, height }) => {
    const across = rows.map((row) => resampled(row, width, reach, kernel))
    const columns = Array.from(
      { length: width },
      (_, x) => resampled(across.map((row) => row[x]), height, reach, kernel),
    )
    const { data } = resize(source, width, height, name)
    const apart = columns.flatMap((column, x) => column.map((value, y) => Math.abs(value - data[y * width + x])))
    expect(Math.max(...apart)).toBeLessThanOrEqual(1) // where a sum lies on the edge between two values
    expect(apart.filter((difference) => difference > 0).length).toBeLessThan(0.01 * apart.length)
  })

  it.each([[24, 17], [131, 90], [53, 20], [160, 3]])(
    'nearest takes the pixel under the centre, %i x %i',
    (width, height) => {
      const { data } = resize(source, width, height, 'nearest')
      for (let c = 0; c < 3; c++) {
        for (let y = 0; y < height; y++) {
          for (let x = 0; x < width; x++) {
            const from = Math.floor((y + 0.5) * source.height / height) * source.width
              + Math.floor((x + 0.5) * source.width / width)
            expect(data[(c * height + y) * width + x]).toBe(source.data[c * plane + from])
          }
        }
      }
    },
  )

  it('box of a half is the mean of two by two', () => {
    const half = resize(
      { width: 4, height: 2, channels: 1, data: Uint8Array.of(0, 10, 20, 31, 40, 50, 60, 71) },
      2,
      1,
      'box',
    )
    expect([...half.data]).toEqual([25, 46])
  })
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
      { preprocessing: '{"crop":{"toString":{}}}' },
      { preprocessing: '{"interpolation":{"toString":{}}}' },
      { preprocessing: '{"channels":{"a":1}}' },
      { preprocessing: '{"mean":{"toString":{}}}' },
      { preprocessing: '{"std":[{"toString":{}}]}' },
    ]
    for (const metadata of damaged) {
      expect(() => preprocessingOf(metadata, base, 'm.safetensors')).toThrow(/^m\.safetensors: /)
      expect(() => preprocessingOf(metadata, base, 'm.safetensors')).not.toThrow(/\[object |undefined/)
    }
    for (
      const flags of [{ resize: 'big' }, { crop: '0' }, { mean: 'a' }, { std: '0' }, { 'crop-rounding': 'up' }, {
        resize: '100',
      }]
    ) {
      expect(() => withFlags(base, flags)).toThrow(/--/)
    }
  })

  it('mean and deviation of bytes are refused with what to divide by, those of 0..1 are not', () => {
    const base = defaultPreprocessing('transformer')
    expect(() => withFlags(base, { mean: '123.675,116.28,103.53' })).toThrow(/^--mean 123.675.*0\.\.1.*divide by 255/)
    expect(() => withFlags(base, { std: '0.2,0.2,57.375' })).toThrow(/^--std .*0\.\.1.*divide by 255/)
    expect(() => withFlags(base, { mean: '1.01' })).toThrow(InputError)
    for (const [mean, std] of [['0.5', '1'], ['0', '1'], ['1,1,1', '1,1,1'], ['0.485,0.456,0.406', '0.229']]) {
      expect(withFlags(base, { mean, std })).toMatchObject({ mean: mean.split(',').map(Number) })
    }
  })

  it('refuses a picture smaller than the crop by name', () => {
    const p = { ...defaultPreprocessing('cnn'), resize: null }
    expect(() => shape(source, p, 'a.jpg')).toThrow(/^a\.jpg: 53x37 .*--resize 224/)
  })
})

// Damaged inputs of every kind: each must be refused with an InputError of one sentence that names the file, and soon.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { openDataset } from '../../src/data/datasets.ts'
import { loadImage } from '../../src/data/picture.ts'
import { nodeFiles } from '../../src/files/files.ts'
import { defaultPreprocessing } from '../../src/data/preprocess.ts'
import { encodeSafetensors, parseSafetensors } from '../../src/files/safetensors.ts'

const fixtures = parseSafetensors(readFileSync(new URL('../fixtures/images.safetensors', import.meta.url))).tensors
const fixture = (name: string) => (fixtures.get(`file.${name}`)!.data as Uint8Array).slice()
const preprocessing = { ...defaultPreprocessing('cnn', 32), crop: null }
let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'espalier-corrupt-'))
})
afterAll(() => rmSync(dir, { recursive: true }))

async function refused(work: () => Promise<unknown>, name: string) {
  let timer: NodeJS.Timeout
  const clock = new Promise((resolve) => {
    timer = setTimeout(resolve, 10_000, 'hangs')
  })
  const outcome = await Promise.race([work().then(() => 'accepted', (error) => error as Error), clock])
  clearTimeout(timer!)
  expect(outcome, String(outcome)).toBeInstanceOf(InputError)
  const { message, exitCode } = outcome as InputError
  expect(exitCode).toBe(2)
  expect(message).not.toMatch(/\n|undefined|\[object|NaN bytes/)
  expect(message.length).toBeLessThan(400)
  expect(message).toContain(name)
}

// --- safetensors ---

const good = encodeSafetensors([
  ['a', { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }],
  ['b', { shape: [4], data: Float32Array.of(5, 6, 7, 8) }],
])
const withLength = (length: bigint) => {
  const bytes = good.slice()
  new DataView(bytes.buffer).setBigUint64(0, length, true)
  return bytes
}
const withHeader = (header: string | object, data = 32) => {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header))
  const bytes = new Uint8Array(8 + json.length + data)
  new DataView(bytes.buffer).setUint32(0, json.length, true)
  bytes.set(json, 8)
  return bytes
}
const f32 = (shape: unknown, start: unknown, end: unknown, dtype: unknown = 'F32') => ({
  dtype,
  shape,
  data_offsets: [start, end],
})
const poisoned = (value: number) => {
  const bytes = good.slice()
  new DataView(bytes.buffer).setFloat32(bytes.length - 4, value, true)
  return bytes
}

const tensorFiles: Record<string, Uint8Array> = {
  'empty file': new Uint8Array(0),
  'three bytes': good.slice(0, 3),
  'only the length': good.slice(0, 8),
  'header cut': good.slice(0, 40),
  'data cut': good.slice(0, good.length - 5),
  'one tensor missing': good.slice(0, good.length - 16),
  'bytes after the end': Uint8Array.of(...good, 0, 0, 0),
  'header longer than the file': withLength(1000n),
  'length of 2 GiB': withLength(2n ** 31n),
  'length of 2^63': withLength(2n ** 63n),
  'length 0': withLength(0n),
  'text': new TextEncoder().encode('this is a readme, not a checkpoint'),
  'a pickle': Uint8Array.of(0x50, 0x4b, 3, 4, ...new Uint8Array(60)),
  'header not JSON': withHeader('{"a":'),
  'header an array': withHeader('[1,2]'),
  'header null': withHeader('null'),
  'header not UTF-8': (() => {
    const b = good.slice()
    b[10] = 0xff
    return b
  })(),
  'no tensors': withHeader({}, 0),
  'duplicate names': withHeader(`{"a":${JSON.stringify(f32([4], 0, 16))},"a":${JSON.stringify(f32([4], 16, 32))}}`),
  'duplicate escaped names': withHeader(
    `{"a":${JSON.stringify(f32([4], 0, 16))},"\\u0061":${JSON.stringify(f32([4], 16, 32))}}`,
  ),
  'offsets beyond the data': withHeader({ a: f32([8], 0, 32), b: f32([4], 32, 48) }),
  'overlapping offsets': withHeader({ a: f32([5], 0, 20), b: f32([4], 16, 32) }),
  'same offsets twice': withHeader({ a: f32([8], 0, 32), b: f32([8], 0, 32) }),
  'a hole': withHeader({ a: f32([2], 0, 8), b: f32([4], 16, 32) }),
  'a hole at the start': withHeader({ a: f32([4], 16, 32) }),
  'shape larger than its bytes': withHeader({ a: f32([100], 0, 32) }),
  'shape that overflows': withHeader({ a: f32([2 ** 40, 2 ** 40, 2 ** 40], 0, 32) }),
  'negative size': withHeader({ a: f32([-8], 0, 32) }),
  'fractional size': withHeader({ a: f32([0.5, 16], 0, 32) }),
  'zero size with bytes': withHeader({ a: f32([7], 0, 28), b: f32([0], 28, 32) }),
  'end before start': withHeader({ a: f32([8], 32, 0) }),
  'offset as text': withHeader({ a: f32([8], '0', 32) }),
  'offsets missing': withHeader({ a: { dtype: 'F32', shape: [8] } }),
  'entry null': withHeader({ a: null }),
  'unknown dtype': withHeader({ a: f32([8], 0, 32, 'F7') }),
  'dtype from the prototype': withHeader({ a: f32([8], 0, 32, 'constructor') }),
  'metadata a number': withHeader({ __metadata__: 5, a: f32([8], 0, 32) }),
  'metadata of numbers': withHeader({ __metadata__: { a: 5 }, a: f32([8], 0, 32) }),
  'NaN weight': poisoned(NaN),
  'infinite weight': poisoned(-Infinity),
}

describe('safetensors', () => {
  it.each(Object.keys(tensorFiles))(
    '%s',
    (name) => refused(async () => parseSafetensors(tensorFiles[name], 'x.safetensors'), 'x.safetensors'),
  )

  it('every single flipped bit of a header is read correctly or refused, never anything else', () => {
    const length = 8 + new DataView(good.buffer).getUint32(0, true)
    for (let bit = 0; bit < length * 8; bit++) {
      const bytes = good.slice()
      bytes[bit >> 3] ^= 1 << (bit & 7)
      try {
        parseSafetensors(bytes)
      } catch (error) {
        expect(error).toBeInstanceOf(InputError)
      }
    }
  })
})

// --- images ---

const jpeg = fixture('420.jpg'), png = fixture('rgb.png')
const edit = (bytes: Uint8Array, change: (bytes: Uint8Array) => void) => {
  const copy = bytes.slice()
  change(copy)
  return copy
}
const find = (bytes: Uint8Array, ...pattern: number[]) =>
  bytes.findIndex((_, i) => pattern.every((p, j) => bytes[i + j] === p))
function crc32(bytes: Uint8Array): number {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let k = 0; k < 8; k++) crc = crc >>> 1 ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}
function pngOf(width: number, height: number, data: Uint8Array, colour = 2, depth = 8): Uint8Array {
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
  head.set([depth, colour, 0, 0, 0], 8)
  return Buffer.concat([png.subarray(0, 8), chunk('IHDR', head), chunk('IDAT', data), chunk('IEND', new Uint8Array(0))])
}
const pixels = (width: number, height: number) => deflateSync(new Uint8Array((width * 3 + 1) * height))

const imageFiles: Record<string, Uint8Array> = {
  'empty': new Uint8Array(0),
  'text': new TextEncoder().encode('<html>404 not found</html>'),
  'gif': new TextEncoder().encode('GIF89a and more'),
  'webp': new TextEncoder().encode('RIFF0000WEBPVP8 '),
  'jpeg of two bytes': jpeg.slice(0, 2),
  'jpeg cut in its header': jpeg.slice(0, 100),
  'jpeg cut in its data': jpeg.slice(0, jpeg.length >> 1),
  'jpeg without its last 40 bytes': jpeg.slice(0, jpeg.length - 40),
  'jpeg with noise in its data': edit(jpeg, (b) => {
    for (let i = 640; i < b.length - 2; i += 5) b[i] ^= 0x5a
  }),
  'jpeg of 65500 x 65500': edit(jpeg, (b) => b.set([0xff, 0xdc, 0xff, 0xdc], find(b, 0xff, 0xc0) + 5)),
  'jpeg of height 0': edit(jpeg, (b) => b.set([0, 0], find(b, 0xff, 0xc0) + 5)),
  'jpeg of 12 bits': edit(jpeg, (b) => {
    b[find(b, 0xff, 0xc0) + 4] = 12
  }),
  'jpeg, lossless process': edit(jpeg, (b) => {
    b[find(b, 0xff, 0xc0) + 1] = 0xc3
  }),
  'jpeg without quantisation tables': edit(jpeg, (b) => {
    for (let i = find(b, 0xff, 0xdb); i >= 0; i = find(b, 0xff, 0xdb)) b[i + 1] = 0xfe
  }),
  'cmyk jpeg, cut': fixture('cmyk.jpg').slice(0, 700),
  'png of its signature': png.slice(0, 8),
  'png cut': png.slice(0, png.length >> 1),
  'png without its end': png.slice(0, png.length - 12),
  'png with a wrong checksum': edit(png, (b) => {
    b[find(b, 0x49, 0x44, 0x41, 0x54) + 20] ^= 1
  }),
  'png with a chunk of 2 GiB': edit(png, (b) => b.set([0x7f, 0xff, 0xff, 0xff], find(b, 0x49, 0x44, 0x41, 0x54) - 4)),
  'png of 2^31 x 2^31': pngOf(2 ** 31, 2 ** 31, pixels(2, 2)),
  'png of width 0': pngOf(0, 4, pixels(2, 2)),
  'png with too few pixels': pngOf(30, 30, pixels(30, 20)),
  'png of unknown colour': pngOf(4, 4, pixels(4, 4), 5),
  'png of depth 3': pngOf(4, 4, pixels(4, 4), 2, 3),
  'png whose data is no zlib': pngOf(4, 4, new TextEncoder().encode('not compressed at all')),
  'png that inflates to 400 MB': pngOf(4, 4, deflateSync(new Uint8Array(400e6), { level: 1 })),
}

describe('images', () => {
  it.each(Object.keys(imageFiles))('%s', async (name) => {
    const path = join(dir, 'picture.bin')
    writeFileSync(path, imageFiles[name])
    await refused(() => loadImage(path, preprocessing), 'picture.bin')
  })

  it('a good picture decodes after all those', async () => {
    writeFileSync(join(dir, 'fine.jpg'), jpeg)
    expect((await loadImage(join(dir, 'fine.jpg'), preprocessing)).pixels.width).toBe(53)
  })
})

// --- data sets ---

const idx = (magic: number, dims: number[], data: Uint8Array) => {
  const bytes = Buffer.alloc(4 + 4 * dims.length + data.length)
  bytes.writeUInt32BE(magic, 0)
  dims.forEach((d, i) => bytes.writeUInt32BE(d, 4 + 4 * i))
  bytes.set(data, 4 + 4 * dims.length)
  return bytes
}
const idxImages = idx(0x803, [2, 3, 3], new Uint8Array(18)), idxLabels = idx(0x801, [2], Uint8Array.of(0, 9))
const rows = (...list: unknown[]) => new TextEncoder().encode(JSON.stringify(list))
const tensors = (
  images: [number[], Uint8Array | Float32Array | Int32Array] | null,
  labels: [number[], Int32Array | Float32Array] | null,
) =>
  encodeSafetensors([
    ...images ? [['images', { shape: images[0], data: images[1] }] as const] : [],
    ...labels ? [['labels', { shape: labels[0], data: labels[1] }] as const] : [],
    ['other', { shape: [1], data: new Float32Array(1) }],
  ])
const image2 = [[2, 3, 1, 1], new Uint8Array(6)] as [number[], Uint8Array]

/** name: [data argument with @ for the folder, files, what the message must name, number of classes] */
const dataSets: Record<string, [string, Record<string, Uint8Array>, string, number?]> = {
  'no kind': ['@/a.bin', {}, 'expected cifar10:'],
  'unknown kind': ['mnist:@/a.bin', {}, 'expected cifar10:'],
  'no path': ['images:', {}, 'expected cifar10:'],
  'idx with one file': ['idx:@/a.gz', {}, 'two files'],
  'cifar10 with an empty name': ['cifar10:@/a.bin,', {}, 'file name is missing'],
  'slice without an end': ['cifar10:@/a.bin#5', { 'a.bin': new Uint8Array(3073) }, '#first-last'],
  'slice of words': ['cifar10:@/a.bin#a-b', { 'a.bin': new Uint8Array(3073) }, '#first-last'],
  'slice backwards': ['cifar10:@/a.bin#5-2', { 'a.bin': new Uint8Array(3073) }, 'ends before it starts'],
  'slice out of range': ['cifar10:@/a.bin#0-1', { 'a.bin': new Uint8Array(3073) }, 'beyond the 1 images'],
  'missing file': ['cifar10:@/nowhere.bin', {}, 'nowhere.bin'],
  'a folder instead of a file': ['cifar10:@', {}, 'it is a folder'],
  'a device': ['cifar10:/dev/zero', {}, 'regular file'],
  'cifar10 empty': ['cifar10:@/a.bin', { 'a.bin': new Uint8Array(0) }, 'a.bin'],
  'cifar10 cut': ['cifar10:@/a.bin', { 'a.bin': new Uint8Array(3073 * 2 - 1) }, '3073'],
  'cifar10 label 10': ['cifar10:@/a.bin', { 'a.bin': Uint8Array.of(10, ...new Uint8Array(3072)) }, 'record 0'],
  'idx swapped': ['idx:@/y,@/x', { x: idxImages, y: idxLabels }, '0x801'],
  'idx wrong magic': ['idx:@/x,@/y', { x: idx(0x1803, [2, 3, 3], new Uint8Array(18)), y: idxLabels }, '0x1803'],
  'idx cut': ['idx:@/x,@/y', { x: idxImages.subarray(0, 30), y: idxLabels }, 'truncated'],
  'idx header cut': ['idx:@/x,@/y', { x: idxImages.subarray(0, 9), y: idxLabels }, 'truncated'],
  'idx of 2^32 images': ['idx:@/x,@/y', {
    x: idx(0x803, [2 ** 32 - 1, 2 ** 16, 2 ** 16], new Uint8Array(18)),
    y: idxLabels,
  }, 'header says'],
  'idx of zero images': ['idx:@/x,@/y', { x: idx(0x803, [0, 3, 3], new Uint8Array(0)), y: idxLabels }, 'header says'],
  'idx label count': [
    'idx:@/x,@/y',
    { x: idxImages, y: idx(0x801, [3], new Uint8Array(3)) },
    '3 labels for the 2 images',
  ],
  'idx empty': ['idx:@/x,@/y', { x: new Uint8Array(0), y: idxLabels }, 'x'],
  'idx label out of range': ['idx:@/x,@/y', { x: idxImages, y: idxLabels }, 'label 9', 9],
  'gzip cut': ['idx:@/x,@/y', { x: gzipSync(idxImages).subarray(0, 25), y: idxLabels }, 'inflate'],
  'gzip damaged': ['idx:@/x,@/y', {
    x: edit(gzipSync(idxImages), (b) => {
      b[14] ^= 0xff
    }),
    y: idxLabels,
  }, 'x'],
  'gzip bomb': [
    'idx:@/x,@/y',
    { x: gzipSync(idx(0x803, [2, 3, 3], new Uint8Array(50e6))), y: idxLabels },
    'inflates beyond',
  ],
  'list missing': ['images:@/none.json', {}, 'none.json'],
  'list not JSON': ['images:@/l.json', { 'l.json': new TextEncoder().encode('file,label') }, 'not valid JSON'],
  'list empty': ['images:@/l.json', { 'l.json': rows() }, 'at least one row'],
  'list an object': ['images:@/l.json', { 'l.json': new TextEncoder().encode('{"a":1}') }, 'JSON array'],
  'list row null': ['images:@/l.json', { 'l.json': rows(null) }, 'row 0'],
  'list row without label': ['images:@/l.json', { 'l.json': rows({ file: 'a.jpg' }) }, 'row 0'],
  'list label text': ['images:@/l.json', { 'l.json': rows({ file: 'a.jpg', label: '3' }) }, 'row 0'],
  'list label negative': ['images:@/l.json', { 'l.json': rows({ file: 'a.jpg', label: -1 }) }, 'row 0'],
  'list label fraction': ['images:@/l.json', { 'l.json': rows({ file: 'a.jpg', label: 0.5 }) }, 'row 0'],
  'list label too large': ['images:@/l.json', { 'l.json': rows({ file: 'a.jpg', label: 1000 }) }, 'label 1000', 1000],
  'list climbs out': ['images:@/l.json', { 'l.json': rows({ file: '../../etc/passwd', label: 0 }) }, 'inside the list'],
  'list absolute': ['images:@/l.json', { 'l.json': rows({ file: '/etc/passwd', label: 0 }) }, 'inside the list'],
  'list names a missing picture': ['images:@/l.json', { 'l.json': rows({ file: 'gone.jpg', label: 0 }) }, 'gone.jpg'],
  'list names a text': ['images:@/l.json', {
    'l.json': rows({ file: 'a.jpg', label: 0 }),
    'l/a.jpg': new TextEncoder().encode('text'),
  }, 'a.jpg'],
  'pictures of two sizes': ['images:@/l.json', {
    'l.json': rows({ file: 'a.png', label: 0 }, { file: 'b.png', label: 0 }),
    'l/a.png': pngOf(4, 4, pixels(4, 4)),
    'l/b.png': pngOf(4, 5, pixels(4, 5)),
  }, '--resize'],
  'classes.json damaged': ['images:@/l.json', {
    'l.json': rows({ file: 'a.jpg', label: 0 }),
    'classes.json': rows(1, 2),
  }, 'classes.json'],
  'folder missing': ['folder:@/none', {}, 'none'],
  'folder empty': ['folder:@', { 'readme.txt': new Uint8Array(1) }, 'a folder per class'],
  'folder with too few classes': ['folder:@', { 'a/1.png': png, 'b/1.png': png }, '2 classes', 1000],
  'folder of an unknown class': ['folder:@', { 'a/1.png': png, 'classes.json': rows('b') }, 'not in classes.json'],
  'tensors without labels': ['tensors:@/t', { t: tensors(image2, null) }, '"labels"'],
  'tensors of another shape': [
    'tensors:@/t',
    { t: tensors([[2, 3], new Uint8Array(6)], [[2], Int32Array.of(0, 1)]) },
    'images is U8 [2,3]',
  ],
  'tensors of integers': [
    'tensors:@/t',
    { t: tensors([[2, 3, 1, 1], new Int32Array(6)], [[2], Int32Array.of(0, 1)]) },
    'images is I32',
  ],
  'tensors, too few labels': ['tensors:@/t', { t: tensors(image2, [[1], Int32Array.of(0)]) }, 'labels is I32 [1]'],
  'tensors, float labels': ['tensors:@/t', { t: tensors(image2, [[2], Float32Array.of(0, 1)]) }, 'labels is F32'],
  'tensors, negative label': ['tensors:@/t', { t: tensors(image2, [[2], Int32Array.of(0, -1)]) }, 'label -1'],
  'tensors, label too large': ['tensors:@/t', { t: tensors(image2, [[2], Int32Array.of(0, 7)]) }, 'label 7', 7],
}

describe('data sets', () => {
  it.each(Object.keys(dataSets))('%s', async (name) => {
    const [spec, files, mentions, classes] = dataSets[name], folder = mkdtempSync(join(dir, 'case-'))
    for (const [path, bytes] of Object.entries(files)) {
      mkdirSync(join(folder, path, '..'), { recursive: true })
      writeFileSync(join(folder, path), bytes)
    }
    await refused(async () => {
      const data = await openDataset(spec.replaceAll('@', folder), { preprocessing, classes })
      for await (const batch of data.batches({ size: 8 })) expect(batch.shape[0]).toBeGreaterThan(0)
    }, mentions)
  })

  it('files: reading a folder, listing a file', async () => {
    await refused(() => nodeFiles.read(dir), 'folder')
    writeFileSync(join(dir, 'plain'), 'x')
    await refused(() => nodeFiles.list(join(dir, 'plain')), 'plain')
  })
})

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Batch, type BatchOptions, type Dataset, openDataset, parseDataSpec } from '../../src/data/datasets.ts'
import { loadImage } from '../../src/data/picture.ts'
import { defaultPreprocessing, type Preprocessing } from '../../src/data/preprocess.ts'
import { encodeSafetensors, parseSafetensors } from '../../src/files/safetensors.ts'
import { lacking, shared } from '../support/files.ts'

let dir: string
const fixtures = parseSafetensors(readFileSync(new URL('../fixtures/images.safetensors', import.meta.url))).tensors
const file = (name: string) => fixtures.get(`file.${name}`)!.data as Uint8Array
const plain: Preprocessing = { ...defaultPreprocessing('cnn', 32), mean: [0], std: [1] }

function cifarBytes(count: number): Uint8Array {
  const bytes = Uint8Array.from({ length: count * 3073 }, (_, i) => i * 31 % 256)
  for (let i = 0; i < count; i++) bytes[i * 3073] = i % 10
  return bytes
}
function idxBytes(shape: number[], data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + data.length), view = new DataView(bytes.buffer)
  view.setUint32(0, 0x800 + shape.length)
  shape.forEach((d, i) => view.setUint32(4 + 4 * i, d))
  bytes.set(data, 4 + 4 * shape.length)
  return bytes
}
async function all(dataset: Dataset, options: BatchOptions): Promise<Batch[]> {
  const batches: Batch[] = []
  for await (const batch of dataset.batches(options)) batches.push(batch)
  return batches
}

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'espalier-data-'))
  writeFileSync(join(dir, 'a.bin'), cifarBytes(7))
  writeFileSync(join(dir, 'b.bin'), cifarBytes(5))
  writeFileSync(join(dir, 'x.gz'), gzipSync(idxBytes([4, 2, 3], Uint8Array.from({ length: 24 }, (_, i) => i * 10))))
  writeFileSync(join(dir, 'y.idx'), idxBytes([4], Uint8Array.of(3, 1, 4, 1)))
  for (const folder of ['list', 'tree/cat', 'tree/ant/deep']) mkdirSync(join(dir, folder), { recursive: true })
  writeFileSync(join(dir, 'list/one.jpg'), file('420.jpg'))
  writeFileSync(join(dir, 'list/two.png'), file('rgb.png'))
  writeFileSync(
    join(dir, 'list.json'),
    JSON.stringify([{ file: 'one.jpg', label: 5 }, { file: 'two.png', label: 0, wnid: 'n0' }]),
  )
  writeFileSync(join(dir, 'tree/cat/1.png'), file('rgb.png'))
  writeFileSync(join(dir, 'tree/ant/deep/2.JPEG'), file('444.jpg'))
  writeFileSync(join(dir, 'tree/ant/notes.txt'), 'not a picture')
  writeFileSync(
    join(dir, 't.safetensors'),
    encodeSafetensors([
      ['images', { shape: [3, 1, 2, 2], data: Uint8Array.from({ length: 12 }, (_, i) => i * 20) }],
      ['labels', { shape: [3], data: BigInt64Array.of(2n, 0n, 1n) }],
    ]),
  )
})
afterAll(() => rmSync(dir, { recursive: true }))

describe('parseDataSpec', () => {
  it('splits kind, paths and slice', () => {
    expect(parseDataSpec('cifar10:a.bin,b.bin#0-9')).toEqual({
      kind: 'cifar10',
      paths: ['a.bin', 'b.bin'],
      slice: [0, 9],
    })
    expect(parseDataSpec('folder:some #1/dir')).toEqual({ kind: 'folder', paths: ['some #1/dir'], slice: null })
    expect(parseDataSpec('images:a,b.json')).toEqual({ kind: 'images', paths: ['a,b.json'], slice: null })
  })
})

describe('sources', () => {
  it('cifar10: several files, slice across them', async () => {
    const data = await openDataset(`cifar10:${dir}/a.bin,${dir}/b.bin#5-8`, { preprocessing: plain })
    expect([...data.labels]).toEqual([5, 6, 0, 1])
    const [batch] = await all(data, { size: 4 })
    expect(batch.shape).toEqual([4, 3, 32, 32])
    expect(batch.images[3072 * 2]).toBe(Math.fround(31 / 255)) // first pixel of b.bin's first record
    expect([...batch.indices]).toEqual([0, 1, 2, 3])
  })

  it('idx: gzip and plain, grey or repeated to three channels', async () => {
    const grey = { ...plain, channels: 1 as const }
    const data = await openDataset(`idx:${dir}/x.gz,${dir}/y.idx`, { preprocessing: grey })
    expect([...data.labels]).toEqual([3, 1, 4, 1])
    expect(await data.inputShape()).toEqual([1, 2, 3])
    const [batch] = await all(data, { size: 4 })
    expect(batch.images[6 + 2]).toBe(Math.fround(80 / 255))
    const rgb = await openDataset(`idx:${dir}/x.gz,${dir}/y.idx`, { preprocessing: plain })
    expect(await rgb.inputShape()).toEqual([3, 2, 3])
  })

  it('images: files in the folder of the same name, resized and cropped', async () => {
    const data = await openDataset(`images:${dir}/list.json`, { preprocessing: { ...plain, resize: 24, crop: 20 } })
    const [batch] = await all(data, { size: 8 })
    expect(batch.shape).toEqual([2, 3, 20, 20])
    expect([...batch.labels]).toEqual([5, 0])
    const { input, pixels } = await loadImage(`${dir}/list/one.jpg`, data.preprocessing)
    expect(batch.images.subarray(0, 1200)).toEqual(input)
    expect([pixels.width, pixels.height]).toEqual([20, 20])
  })

  it('folder: classes are the sorted folders, or what classes.json says', async () => {
    const data = await openDataset(`folder:${dir}/tree/`, { preprocessing: plain, classes: 2 })
    expect(data.classes).toEqual(['ant', 'cat'])
    expect([...data.labels]).toEqual([0, 1])
    expect((await all(data, { size: 2 }))[0].shape).toEqual([2, 3, 37, 53])
    writeFileSync(
      join(dir, 'tree/classes.json'),
      JSON.stringify([{ name: 'bee' }, { name: 'tabby', wnid: 'cat' }, { name: 'ant' }]),
    )
    const mapped = await openDataset(`folder:${dir}/tree`, { preprocessing: plain, classes: 3 })
    expect([...mapped.labels]).toEqual([2, 1])
    rmSync(join(dir, 'tree/classes.json'))
  })

  it('tensors: bytes are normalised, floats are used as they are', async () => {
    const grey = { ...plain, channels: 1 as const, mean: [0.5], std: [0.25] }
    const data = await openDataset(`tensors:${dir}/t.safetensors`, { preprocessing: grey })
    const [batch] = await all(data, { size: 3 })
    expect(batch.images[5]).toBe(Math.fround((Math.fround(100 / 255) - 0.5) / 0.25))
    expect([...data.labels]).toEqual([2, 0, 1])
    const floats = Float32Array.from({ length: 8 }, (_, i) => i - 3)
    writeFileSync(
      join(dir, 'f.safetensors'),
      encodeSafetensors([
        ['images', { shape: [2, 1, 2, 2], data: floats }],
        ['labels', { shape: [2], data: Uint8Array.of(0, 1) }],
      ]),
    )
    const ready = await openDataset(`tensors:${dir}/f.safetensors`, { preprocessing: grey })
    expect((await all(ready, { size: 2 }))[0].images).toEqual(floats)
  })

  it('tensors: floats are said to be normalised, and values of 0..1 or 0..255 are said to be odd', async () => {
    const open = (
      values: ArrayLike<number>,
      p = { ...plain, channels: 1 as const, mean: [0.5], std: [0.25] },
      f16 = false,
    ) => {
      const data = Float32Array.from(values)
      const images = { shape: [data.length / 4, 1, 2, 2], data }, floats = f16 ? 'f16' : 'f32'
      const labels = { shape: [data.length / 4], data: new Uint8Array(data.length / 4) }
      writeFileSync(
        join(dir, 'v.safetensors'),
        encodeSafetensors([['images', images], ['labels', labels]], { floats }),
      )
      return (slice = '') => openDataset(`tensors:${dir}/v.safetensors${slice}`, { preprocessing: p })
    }
    const usual = await open([-1.9, 0, 1, 1.9])()
    expect([usual.normalised, usual.notes ?? []]).toEqual(['F32', []])
    expect((await open([-1.9, 0, 1, 1.9], undefined, true)()).normalised).toBe('F16')
    expect((await openDataset(`tensors:${dir}/t.safetensors`, { preprocessing: plain })).normalised).toBeUndefined()
    const unit = open([0.1, 0.2, 0.9, 1, -1, 0, 0, 0])
    expect((await unit('#0-0')).notes).toEqual([
      expect.stringMatching(/v\.safetensors: .*F32.* 0\.1 to 1.*normalised values were expected/),
    ])
    expect((await unit()).notes ?? []).toEqual([]) // the second image is below 0
    expect((await unit('#1-1')).notes ?? []).toEqual([])
    expect((await open([0, 3, 255, 9])()).notes?.join()).toMatch(/0 to 255.*normalised values were expected/)
    expect((await open([0, -3, -21, 9])()).notes?.join()).toMatch(/-21 to 9/)
    const asIs = { ...plain, channels: 1 as const, mean: [0], std: [1] }
    expect((await open([0, 0.5, 1, 0], asIs)()).notes ?? []).toEqual([]) // what this network was trained on
    expect((await open([0, 128, 255, 0], { ...asIs, std: [1 / 255] })()).notes ?? []).toEqual([])
    writeFileSync(
      join(dir, 'i8.safetensors'),
      encodeSafetensors([
        ['images', { shape: [1, 1, 2, 2], data: new Int8Array(4) }],
        ['labels', { shape: [1], data: new Uint8Array(1) }],
      ]),
    )
    await expect(openDataset(`tensors:${dir}/i8.safetensors`, { preprocessing: plain }))
      .rejects.toThrow(/I8 .*expected U8, F32, F16 or BF16/)
    const late = [...Array.from({ length: 64 }, () => 0.5), -1, 0, 0, 0]
    expect((await open(late)()).notes?.join()).toMatch(/first 16 images/)
  })

  it('tensors already of the size of the crop are not resized; files are', async () => {
    const data = await openDataset(`tensors:${dir}/t.safetensors`, {
      preprocessing: { ...plain, channels: 1, resize: 3, crop: 2 },
    })
    expect((await all(data, { size: 3 }))[0].images[11]).toBe(Math.fround(220 / 255))
    const small = { ...plain, crop: 37 } // the height of the pictures
    const list = async (p: Preprocessing) =>
      (await all(await openDataset(`images:${dir}/list.json`, { preprocessing: p }), { size: 2 }))[0]
    expect((await list({ ...small, resize: 40 })).images).not.toEqual((await list(small)).images)
  })
})

describe('batches', () => {
  const open = () => openDataset(`cifar10:${dir}/a.bin,${dir}/b.bin`, { preprocessing: plain })

  it('covers everything once, the last batch short or dropped', async () => {
    const data = await open(), batches = await all(data, { size: 5, shuffle: true, seed: 3 })
    expect(batches.map((b) => b.shape[0])).toEqual([5, 5, 2])
    expect(batches.flatMap((b) => [...b.indices]).sort((a, b) => a - b)).toEqual([...Array(12).keys()])
    expect((await all(data, { size: 5, dropLast: true })).length).toBe(2)
    for (const batch of batches) batch.indices.forEach((at, i) => expect(batch.labels[i]).toBe(data.labels[at]))
  })

  it('order and augmentation depend on seed and epoch only, not on batch size or prefetch', async () => {
    const data = await open(), augment = { padCrop: 4, flip: 0.5, randAugment: { ops: 2, magnitude: 9 }, erase: 0.5 }
    const flat = async (options: Partial<BatchOptions>) => {
      const batches = await all(data, { size: 4, shuffle: true, seed: 1, epoch: 2, augment, ...options })
      return { order: batches.flatMap((b) => [...b.indices]), images: batches.flatMap((b) => [...b.images]) }
    }
    const base = await flat({})
    expect(await flat({ size: 5, prefetch: 0 })).toEqual(base)
    expect((await flat({ epoch: 3 })).order).not.toEqual(base.order)
    expect((await flat({ seed: 2 })).order).not.toEqual(base.order)
    expect((await flat({ augment: undefined })).images).not.toEqual(base.images)
  })

  it('soft labels sum to one and name the two classes', async () => {
    const [batch] = await all(await open(), { size: 6, augment: { mixup: 0.8 }, seed: 5 })
    for (let i = 0; i < 6; i++) {
      const row = batch.soft!.subarray(i * 10, i * 10 + 10)
      expect(row.reduce((s, v) => s + v, 0)).toBeCloseTo(1, 6)
      row.forEach((v, c) => {
        if (v > 0) expect([batch.labels[i], batch.labels[5 - i]]).toContain(c)
      })
    }
  })

  it('leaving early neither hangs nor leaves a rejection behind', async () => {
    writeFileSync(join(dir, 'list/bad.jpg'), 'no picture')
    writeFileSync(join(dir, 'list2.json'), '[{"file":"one.jpg","label":0},{"file":"bad.jpg","label":0}]')
    mkdirSync(join(dir, 'list2'))
    writeFileSync(join(dir, 'list2/one.jpg'), file('420.jpg'))
    writeFileSync(join(dir, 'list2/bad.jpg'), 'no picture')
    const data = await openDataset(`images:${dir}/list2.json`, { preprocessing: plain })
    for await (const batch of data.batches({ size: 1 })) {
      expect([...batch.indices]).toEqual([0])
      break
    }
    await expect(all(data, { size: 1 })).rejects.toThrow(/bad\.jpg: expected a JPEG or PNG/)
  })
})

describe('shared data', () => {
  const absent = lacking('data/imagenet/val300.json')
  it('val300 through the list equals the decoded tensors', async ({ skip }) => {
    if (absent) skip(absent)
    const preprocessing = { ...defaultPreprocessing('transformer'), resize: null }
    const list = await openDataset(`images:${shared}/data/imagenet/val300.json`, { preprocessing, classes: 1000 })
    const path = `${shared}/data/imagenet/val64_u8.safetensors`
    const tensors = await openDataset(`tensors:${path}#0-7`, {
      preprocessing: defaultPreprocessing('transformer'),
      classes: 1000,
    })
    expect(list.length).toBe(300)
    expect(list.classes?.[281]).toBe('tabby, tabby cat')
    const names = JSON.parse(parseSafetensors(readFileSync(path)).metadata.files) as string[]
    const rows = JSON.parse(readFileSync(`${shared}/data/imagenet/val300.json`, 'utf8')) as {
      file: string,
      label: number,
    }[]
    const [expected] = await all(tensors, { size: 8 })
    for (let i = 0; i < 8; i++) {
      const { input } = await loadImage(`${shared}/data/imagenet/val300/${names[i]}`, preprocessing)
      expect(
        Buffer.compare(
          Buffer.from(input.buffer),
          Buffer.from(expected.images.slice(i * 150528, (i + 1) * 150528).buffer),
        ),
      ).toBe(0)
      expect(rows.find((row) => row.file.endsWith(names[i]))!.label).toBe(expected.labels[i])
    }
  })

  const noDigits = lacking('data/mnist/t10k-images-idx3-ubyte.gz')
  it('MNIST and CIFAR-10 test sets', async ({ skip }) => {
    if (noDigits) skip(noDigits)
    const digits = `${shared}/data/mnist/t10k`
    const mnist = await openDataset(`idx:${digits}-images-idx3-ubyte.gz,${digits}-labels-idx1-ubyte.gz`, {
      preprocessing: { ...plain, channels: 1 },
      classes: 10,
    })
    expect(mnist.length).toBe(10_000)
    expect([...mnist.labels.subarray(0, 5)]).toEqual([7, 2, 1, 0, 4])
    const cifar = await openDataset(`cifar10:${shared}/data/cifar10/test700.bin`, { preprocessing: plain, classes: 10 })
    expect([...cifar.labels.subarray(0, 10)]).toEqual([3, 8, 8, 0, 6, 6, 1, 6, 3, 1])
    expect(cifar.classes?.[6]).toBe('frog')
  })
})

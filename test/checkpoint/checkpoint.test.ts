// Checkpoints: detection from names and shapes, our own format, published naming written back, and damaged files.
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Architecture, architectures, buildModel, checkArchitecture, parseArchitecture,
  preprocessingFor } from '../../models/index.ts'
import { encodeCheckpoint, loadCheckpoint, modelOf, parseCheckpoint } from '../../src/checkpoint/checkpoint.ts'
import { InputError } from '../../src/base/errors.ts'
import type { Model } from '../../src/nn/model.ts'
import { initialize } from '../../src/nn/init.ts'
import { published } from '../../src/checkpoint/published.ts'
import { encodeSafetensors, parseSafetensors, type TensorToStore } from '../../src/files/safetensors.ts'
import { saveWeights } from '../../src/checkpoint/weights.ts'
import { disposeTree, leaves } from '../../src/core/tree.ts'
import { describeDevice } from '../support/device.ts'
import { digitPreprocessing } from '../support/digits.ts'
import { hasGolden, shared } from '../support/golden.ts'

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'espalier-checkpoint-'))
})
afterAll(() => rmSync(dir, { recursive: true }))

/** Small relatives of each published naming, with what their shapes must tell. */
const small: Record<string, { architecture: Architecture, arch?: string }> = {
  'timm-vit': {
    architecture: {
      type: 'vit',
      image: 32,
      patch: 8,
      channels: 3,
      width: 64,
      depth: 2,
      heads: 1,
      hidden: 96,
      classes: 7,
      distilled: true,
      classToken: true,
    },
  },
  'torchvision-vit': {
    architecture: {
      type: 'vit',
      image: 16,
      patch: 8,
      channels: 3,
      width: 64,
      depth: 1,
      heads: 1,
      hidden: 32,
      classes: 5,
      distilled: false,
      classToken: true,
    },
  },
  'hf-vit': {
    architecture: {
      type: 'vit',
      image: 16,
      patch: 4,
      channels: 1,
      width: 128,
      depth: 2,
      heads: 2,
      hidden: 64,
      classes: 3,
      distilled: false,
      classToken: true,
      eps: 1e-12,
    },
  },
  'hf-deit': {
    architecture: {
      type: 'vit',
      image: 16,
      patch: 4,
      channels: 3,
      width: 64,
      depth: 1,
      heads: 1,
      hidden: 64,
      classes: 3,
      distilled: false,
      classToken: true,
      eps: 1e-12,
    },
  },
  'hf-deit-distilled': {
    architecture: {
      type: 'vit',
      image: 16,
      patch: 4,
      channels: 3,
      width: 64,
      depth: 1,
      heads: 1,
      hidden: 64,
      classes: 3,
      distilled: true,
      classToken: true,
      eps: 1e-12,
    },
  },
  'microsoft-swin': {
    architecture: {
      type: 'swin',
      image: 32,
      patch: 4,
      channels: 3,
      width: 16,
      depths: [1, 2],
      heads: [1, 2],
      windows: [8, 4],
      kinds: 'LS',
      ratio: 2,
      classes: 4,
    },
  },
  'timm-swin': {
    architecture: {
      type: 'swin',
      image: 32,
      patch: 4,
      channels: 3,
      width: 16,
      depths: [2, 1],
      heads: [1, 2],
      windows: [2, 4],
      kinds: 'SS',
      ratio: 2,
      classes: 4,
    },
  },
  'hf-swin': {
    architecture: {
      type: 'swin',
      image: 32,
      patch: 4,
      channels: 3,
      width: 16,
      depths: [1, 1, 1],
      heads: [1, 2, 2],
      windows: [2, 2, 2],
      kinds: 'SSS',
      ratio: 2,
      classes: 4,
    },
  },
  'torchvision-swin': {
    architecture: {
      type: 'swin',
      image: 24,
      patch: 4,
      channels: 3,
      width: 16,
      depths: [1, 1],
      heads: [1, 2],
      windows: [3, 3],
      kinds: 'SS',
      ratio: 2,
      classes: 4,
      fit: 'pad',
    },
  },
  'torchvision-resnet': {
    architecture: {
      type: 'resnet',
      layers: [1, 2, 1],
      width: 4,
      classes: 6,
      channels: 3,
      block: 'bottleneck',
      stem: 'imagenet',
    },
  },
  'cifar-resnet': {
    architecture: {
      type: 'resnet',
      layers: [1, 1, 1],
      width: 4,
      classes: 6,
      channels: 3,
      block: 'basic',
      stem: 'cifar',
    },
  },
  'torchvision-vgg': {
    architecture: {
      type: 'vgg',
      plan: [4, 'pool', 8, 8, 'pool', 4, 'pool'],
      channels: 3,
      classes: 5,
      batchNorm: true,
      side: 2,
      hidden: [12, 10],
    },
  },
  'tiny-vgg': {
    architecture: { type: 'tiny-vgg', plan: [4, 5, 'pool', 6, 7, 'pool'], channels: 3, classes: 5, side: 3 },
  },
}

const fresh = (architecture: Architecture, seed = 1): Model => initialize(buildModel(architecture), seed)
const info = (architecture: Architecture, naming: string) => ({
  architecture,
  preprocessing: preprocessingFor(architecture),
  naming,
  metadata: {},
  others: new Map(),
})

/** A file as another library would write it: names and tensors only. */
async function foreign(
  model: Model,
  architecture: Architecture,
  naming: string,
  extra: Iterable<[string, TensorToStore]> = [],
): Promise<Uint8Array> {
  return encodeSafetensors([...await saveWeights(model, published[naming].naming(architecture)), ...extra])
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => new Uint8Array(buffer, byteOffset, byteLength)
const hashOf = (data: ArrayBufferView) => createHash('sha1').update(bytesOf(data)).digest('hex')

/** Every tensor's path, shape and a hash of its bits. */
async function content(model: Model): Promise<string[]> {
  return Promise.all(leaves(model).map(async ([path, leaf]) => `${path} [${leaf.shape}] ${hashOf(await leaf.data())}`))
}

const stored = (bytes: Uint8Array) =>
  [...parseSafetensors(bytes).tensors].map(([key, { type, shape, data }]) =>
    `${key} ${type} [${shape}] ${hashOf(data)}`
  ).sort()

describeDevice('checkpoints', () => {
  test.each(Object.entries(small))(
    '%s: architecture from names and shapes, content written back as it was',
    async (naming, { architecture }) => {
      const model = fresh(architecture)
      const carried: [string, TensorToStore][] = naming.includes('resnet')
        ? [['bn1.num_batches_tracked', { shape: [1], data: BigInt64Array.of(7n) }]]
        : []
      const file = await foreign(model, architecture, naming, carried)
      const read = await parseCheckpoint(file, 'x.safetensors')
      expect(read.naming).toBe(naming)
      expect(read.architecture).toEqual(architecture)
      expect(read.source.sha256).toMatch(/^[0-9a-f]{64}$/)
      const loaded = modelOf(read)
      expect(await content(loaded)).toEqual(await content(model))
      const again = await encodeCheckpoint(loaded, read, { naming })
      expect(stored(again)).toEqual(stored(file))
      // and what was saved so is read again by its metadata
      expect((await parseCheckpoint(again, 'y.safetensors')).architecture).toEqual(architecture)
      disposeTree([model, loaded])
    },
  )

  test.each(Object.entries(small))('%s: our own format holds everything', async (naming, { architecture }) => {
    const model = fresh(architecture)
    const classes = Array.from({ length: Number(architecture.classes) }, (_, i) => `class ${i}`)
    const source = { file: 'origin.safetensors', sha256: 'ab'.repeat(32) }
    const bytes = await encodeCheckpoint(model, {
      ...info(architecture, naming),
      classes,
      source,
      metadata: { licence: 'MIT' },
    })
    const read = await parseCheckpoint(bytes, 'x.safetensors')
    expect(read).toMatchObject({
      naming: 'espalier',
      classes,
      source,
      metadata: { licence: 'MIT' },
      preprocessing: preprocessingFor(architecture),
    })
    expect(read.architecture).toEqual(architecture)
    const loaded = modelOf(read)
    expect(await content(loaded)).toEqual(await content(model))
    disposeTree([model, loaded])
  })

  test('f16 goes out and comes in', async () => {
    const { architecture } = small['cifar-resnet'], model = fresh(architecture)
    const half = await encodeCheckpoint(model, info(architecture, 'cifar-resnet'), {
      floats: 'f16',
      naming: 'cifar-resnet',
    })
    expect([...parseSafetensors(half).tensors.values()].every(({ type }) => type === 'F16')).toBe(true)
    const loaded = modelOf(await parseCheckpoint(half, 'half.safetensors'))
    const after = new Map(leaves(loaded))
    for (const [path, leaf] of leaves(model)) {
      const exact = await leaf.data(), rounded = await after.get(path)!.data()
      expect(exact.every((value, i) => Math.abs(value - rounded[i]) <= 2 ** -11 * Math.abs(value) + 2 ** -24), path)
        .toBe(true)
    }
    disposeTree([model, loaded])
  })

  test('--arch tells what shapes do not: alone, by name, and as options over what is found', async () => {
    const architecture: Architecture = {
      type: 'vit',
      image: 16,
      patch: 8,
      channels: 3,
      width: 48,
      depth: 1,
      heads: 3,
      hidden: 32,
      classes: 5,
    }
    const model = fresh(architecture), file = await foreign(model, architecture, 'timm-vit')
    await expect(parseCheckpoint(file, 'x.safetensors')).rejects.toThrow(/x\.safetensors: a width of 48.*heads.*--arch/)
    expect((await parseCheckpoint(file, 'x', { arch: '{"heads":3}' })).architecture).toMatchObject({
      heads: 3,
      width: 48,
    })
    expect((await parseCheckpoint(file, 'x', { arch: JSON.stringify(architecture) })).architecture).toMatchObject(
      architecture,
    )
    disposeTree(model)
  })

  test.skipIf(!hasGolden('deit_tiny_imagenet8'))('real files: metadata of the reference weights', async () => {
    const path = (name: string) => `${shared}/data/weights/${name}.safetensors`
    const expected = {
      deit_tiny_patch16_224: ['timm-vit', 1000],
      mnist_vit_postnorm: ['timm-vit', 10],
      resnet20_cifar10: ['cifar-resnet', 10],
      resnet32_cifar10: ['cifar-resnet', 10],
      tiny_vgg: ['tiny-vgg', 10],
    }
    for (const [name, [naming, classCount]] of Object.entries(expected)) {
      const loaded = await loadCheckpoint(path(name))
      expect(loaded).toMatchObject({ naming, classCount })
      expect(stored(await encodeCheckpoint(loaded.model, loaded, { naming: loaded.naming }))).toEqual(
        stored(readFileSync(path(name))),
      )
      disposeTree(loaded.model)
    }
    expect((await parseCheckpoint(readFileSync(path('tiny_vgg')), 'tiny_vgg')).classes?.[2]).toBe('pizza')
  })
})

// ---- damaged files ----------------------------------------------------------------------------------------------

const zerosOf = (...shape: number[]): TensorToStore => ({
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
})
const mlp: Record<string, TensorToStore> = {
  'layers.0.weight': zerosOf(4, 9),
  'layers.0.bias': zerosOf(4),
  'layers.1.weight': zerosOf(3, 4),
  'layers.1.bias': zerosOf(3),
}
const ours: Record<string, unknown> = {
  format: 1,
  naming: 'espalier',
  architecture: { type: 'mlp', inputs: 9, hidden: [4], classes: 3 },
  preprocessing: digitPreprocessing,
}
const file = (tensors: Record<string, TensorToStore>, metadata: Record<string, string> = {}) =>
  encodeSafetensors(Object.entries(tensors), { metadata })
const own = (change: Record<string, unknown> = {}, tensors = mlp) =>
  file(tensors, { espalier: JSON.stringify({ ...ours, ...change }) })
const architecture = (options: object) => own({ architecture: options })
const without = (tensors: Record<string, TensorToStore>, name: string) =>
  Object.fromEntries(Object.entries(tensors).filter(([key]) => key !== name))

const tiny: Record<string, TensorToStore> = {
  'patch_embed.proj.weight': zerosOf(64, 3, 8, 8),
  'patch_embed.proj.bias': zerosOf(64),
  'cls_token': zerosOf(1, 1, 64),
  'pos_embed': zerosOf(1, 5, 64),
  ...Object.fromEntries(
    ['norm1', 'norm2'].flatMap((
      norm,
    ) => [[`blocks.0.${norm}.weight`, zerosOf(64)], [`blocks.0.${norm}.bias`, zerosOf(64)]]),
  ),
  'blocks.0.attn.qkv.weight': zerosOf(192, 64),
  'blocks.0.attn.qkv.bias': zerosOf(192),
  'blocks.0.attn.proj.weight': zerosOf(64, 64),
  'blocks.0.attn.proj.bias': zerosOf(64),
  'blocks.0.mlp.fc1.weight': zerosOf(32, 64),
  'blocks.0.mlp.fc1.bias': zerosOf(32),
  'blocks.0.mlp.fc2.weight': zerosOf(64, 32),
  'blocks.0.mlp.fc2.bias': zerosOf(64),
  'norm.weight': zerosOf(64),
  'norm.bias': zerosOf(64),
  'head.weight': zerosOf(5, 64),
  'head.bias': zerosOf(5),
}
const cut = (bytes: Uint8Array, by: number) => bytes.slice(0, bytes.length - by)
const damaged: Record<string, Uint8Array> = {
  'truncated': cut(own(), 8),
  'a readme': new TextEncoder().encode('# A model\n'),
  'metadata no JSON': file(mlp, { espalier: '{' }),
  'metadata null': file(mlp, { espalier: 'null' }),
  'metadata a number': file(mlp, { espalier: '5' }),
  'no format': own({ format: undefined }),
  'a newer format': own({ format: 2 }),
  'no naming': own({ naming: undefined }),
  'naming unknown': own({ naming: 'keras' }),
  'naming from the prototype': own({ naming: 'constructor' }),
  'naming of another family': own({ naming: 'timm-vit' }),
  'no architecture': own({ architecture: undefined }),
  'architecture a string': own({ architecture: 'mlp' }),
  'architecture null': own({ architecture: null }),
  'architecture without type': architecture({ inputs: 9 }),
  'unknown architecture': architecture({ type: 'perceiver' }),
  'architecture from the prototype': architecture({ type: 'toString' }),
  'unknown option': architecture({ type: 'mlp', inputs: 9, layers: 3 }),
  'option of the wrong type': architecture({ type: 'mlp', inputs: '9' }),
  'option negative': architecture({ type: 'mlp', inputs: -9 }),
  'option fractional': architecture({ type: 'mlp', inputs: 9, hidden: [4.5] }),
  'option gigantic': architecture({ type: 'mlp', inputs: 1e300 }),
  'a thousand million blocks': architecture({ type: 'vit', depth: 1e9 }),
  'an endless list': architecture({ type: 'mlp', hidden: Array.from({ length: 1000 }, () => 1) }),
  'a window of 4096': architecture({ type: 'swin', image: 4096, patch: 1, windows: 256 }),
  'heads that do not divide': architecture({ type: 'vit', width: 64, heads: 5 }),
  'patches larger than the image': architecture({ type: 'vit', image: 8, patch: 16, classToken: false }),
  'stages that differ': architecture({ type: 'swin', depths: [2, 2], heads: [3, 6, 12] }),
  'a large architecture over small tensors': architecture({ type: 'vit-base' }),
  'wrong class count': architecture({ type: 'mlp', inputs: 9, hidden: [4], classes: 10 }),
  'too few class names': own({ classes: ['a', 'b'] }),
  'class names no strings': own({ classes: [1, 2, 3] }),
  'class names no list': own({ classes: { 0: 'a' } }),
  'source without a hash': own({ source: { file: 'x' } }),
  'source a string': own({ source: 'x' }),
  'mean no numbers': own({ preprocessing: { ...ours.preprocessing as object, mean: ['a'] } }),
  'std zero': own({ preprocessing: { ...ours.preprocessing as object, std: [0] } }),
  'crop gigantic': own({ preprocessing: { ...ours.preprocessing as object, crop: 1e9 } }),
  'two channels': own({ preprocessing: { ...ours.preprocessing as object, channels: 2 } }),
  'tensor missing': own({}, without(mlp, 'layers.1.bias')),
  'tensor too many': own({}, { ...mlp, 'layers.2.weight': zerosOf(3, 3) }),
  'tensor transposed': own({}, { ...mlp, 'layers.0.weight': zerosOf(9, 4) }),
  'tensor of integers': own({}, { ...mlp, 'layers.0.bias': { shape: [4], data: new Int32Array(4) } }),
  'names of no architecture': file({ 'encoder.weight': zerosOf(3, 3) }),
  'arch of another size': file(tiny, {
    arch: '{"type":"ViT","dim":64,"image":16,"patch":8,"depth":3,"heads":1,"hidden":32,"classes":5}',
  }),
  'arch with text for a size': file(tiny, { arch: '{"type":"ViT","dim":"wide"}' }),
  'arch of another family': file(tiny, { arch: '{"type":"CifarResNet"}' }),
  'ViT without its head': file(without(tiny, 'head.weight')),
  'ViT without a bias': file(without(tiny, 'blocks.0.attn.qkv.bias')),
  'ViT without positions': file(without(tiny, 'pos_embed')),
  'ViT with seven positions': file({ ...tiny, pos_embed: zerosOf(1, 8, 64) }),
  'ViT with flat positions': file({ ...tiny, pos_embed: zerosOf(5, 64) }),
  'ViT with a fused weight of two thirds': file({ ...tiny, 'blocks.0.attn.qkv.weight': zerosOf(128, 64) }),
  'ViT with a transposed weight': file({ ...tiny, 'blocks.0.mlp.fc1.weight': zerosOf(64, 32) }),
  'ViT with layer scale of another width': file({ ...tiny, 'blocks.0.ls1.gamma': zerosOf(32) }),
  'ViT whose last block is number 999999999': file({ ...tiny, 'blocks.999999999.norm1.weight': zerosOf(64) }),
  'VGG with a layer missing': file({
    'features.0.weight': zerosOf(4, 3, 3, 3),
    'features.7.weight': zerosOf(4, 4, 3, 3),
    'classifier.6.weight': zerosOf(5, 4),
  }),
  'ResNet with a stem of 5 x 5': file({
    'conv1.weight': zerosOf(4, 3, 5, 5),
    'layer1.0.conv1.weight': zerosOf(4, 4, 3, 3),
    'fc.weight': zerosOf(5, 4),
  }),
  'Swin without tables': file({
    'patch_embed.proj.weight': zerosOf(8, 3, 4, 4),
    'layers.0.blocks.0.attn.qkv.weight': zerosOf(24, 8),
    'head.weight': zerosOf(5, 8),
  }),
}

describe('damaged checkpoints are refused with one sentence', () => {
  test.each(Object.keys(damaged))('%s', async (name) => {
    const outcome = await parseCheckpoint(damaged[name], 'x.safetensors').then(
      () => 'accepted',
      (error: unknown) => error,
    )
    expect(outcome, String(outcome)).toBeInstanceOf(InputError)
    const { message } = outcome as InputError
    expect(message).toMatch(/^x\.safetensors: /)
    expect(message).not.toMatch(/\n|undefined|\[object|NaN/)
    expect(message.length).toBeLessThan(700)
  })

  test('what they were damaged from is accepted', async () => {
    expect((await parseCheckpoint(own(), 'x.safetensors')).architecture.type).toBe('mlp')
    expect((await parseCheckpoint(file(tiny), 'x.safetensors')).architecture).toMatchObject({
      type: 'vit',
      image: 16,
      heads: 1,
      classes: 5,
    })
  })

  test('a file that is not there, and a folder', async () => {
    await expect(loadCheckpoint(join(dir, 'none.safetensors'))).rejects.toThrow(InputError)
    await expect(loadCheckpoint(dir)).rejects.toThrow(InputError)
    writeFileSync(join(dir, 'empty.safetensors'), '')
    expect(existsSync(join(dir, 'empty.safetensors'))).toBe(true)
    await expect(loadCheckpoint(join(dir, 'empty.safetensors'))).rejects.toThrow(
      /empty\.safetensors: .*empty or truncated/,
    )
  })
})

describe('--arch', () => {
  test.each(['nonsense', '{', '{"type":"vit","width":"96"}', '{"type":"vit","colour":1}', '{"type":7}', ''])(
    '%j is refused',
    (text) => {
      expect(() => checkArchitecture(parseArchitecture(text) as Architecture)).toThrow(InputError)
    },
  )

  test('every name of the registry is understood, underscores too', () => {
    for (const name of Object.keys(architectures)) {
      expect(parseArchitecture(name.replaceAll('-', '_'))).toEqual({ type: name })
    }
  })
})

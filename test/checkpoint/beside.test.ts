// What weights do not say: configurations beside the file and in its metadata, names others use, tensors that compute
// the same under other names, and relatives that are refused for what they are. All files come from disk.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { readCheckpoint } from '../../src/checkpoint/checkpoint.ts'
import { evalCommand } from '../../src/commands/eval.ts'
import { explain } from '../../src/commands/explain.ts'
import { inspect } from '../../src/commands/inspect.ts'
import { preparedFor } from '../../src/commands/open.ts'
import { train } from '../../src/commands/train.ts'
import { encodeSafetensors } from '../../src/files/safetensors.ts'
import { run, scratch } from '../support/model.ts'
import { cifarResNet, type Tensors, tensorOf, timmViT, torchvisionViT,
  transformersDeiT } from '../support/foreign-files.ts'

const dir = scratch()
let count = 0

/** A folder with model.safetensors and what else is given. */
function folder(
  tensors: Tensors,
  beside: Record<string, object | string> = {},
  metadata?: Record<string, string>,
  file = 'model.safetensors',
): string {
  const at = join(dir, String(count++))
  mkdirSync(at)
  writeFileSync(join(at, file), encodeSafetensors(Object.entries(tensors), { metadata }))
  for (const [name, content] of Object.entries(beside)) {
    writeFileSync(join(at, name), typeof content === 'string' ? content : JSON.stringify(content))
  }
  return join(at, file)
}
const read = (...args: Parameters<typeof folder>) => readCheckpoint(folder(...args))
const wide = { width: 64 }

describe('the number of heads', () => {
  test('is a guess that is said where nothing tells it', async () => {
    const { architecture, origins, notes } = await read(timmViT(wide))
    expect(architecture.heads).toBe(1)
    expect(origins.heads).toBe('guess')
    expect(notes.join()).toMatch(/heads; 1 is a guess.*config\.json.*--arch/)
  })

  test.each(
    [
      ['config.json of transformers', { 'config.json': { hidden_size: 64, num_attention_heads: 4 } }, 4, 'config.json'],
      ['config.json of timm', { 'config.json': { architecture: 'x', model_args: { num_heads: 8 } } }, 8, 'config.json'],
      ['the name pull gives', { 'model-config.json': { num_attention_heads: 2 } }, 2, 'model-config.json'],
    ] as const,
  )('comes from %s', async (_, beside, heads, from) => {
    const { architecture, origins, notes } = await read(timmViT(wide), beside)
    expect([architecture.heads, origins.heads]).toEqual([heads, from])
    expect(notes).toEqual([])
  })

  test('comes from metadata, or from --arch over all', async () => {
    const metadata = { config: JSON.stringify({ num_attention_heads: 16 }) }
    expect((await read(timmViT(wide), {}, metadata)).architecture.heads).toBe(16)
    const path = folder(timmViT(wide), { 'config.json': { num_attention_heads: 4 } })
    const { architecture, origins } = await readCheckpoint(path, { arch: '{"heads":2}' })
    expect([architecture.heads, origins.heads]).toEqual([2, '--arch'])
  })

  test('a config of another network is left alone, with a word; so are heads that do not fit the width', async () => {
    const other = await read(timmViT(wide), { 'config.json': { hidden_size: 768, num_attention_heads: 12 } })
    expect(other.origins.heads).toBe('guess')
    expect(other.notes.join()).toMatch(/config\.json describes another network \(width 768, the weights have 64\)/)
    const odd = await read(timmViT(wide), { 'config.json': { num_attention_heads: 7 } })
    expect(odd.origins.heads).toBe('guess')
    expect((await read(timmViT(wide), { 'config.json': '<html>' })).notes.join()).toMatch(/no JSON object/)
  })

  test('another activation is refused rather than computed as gelu', async () => {
    await expect(read(timmViT(wide), { 'config.json': { hidden_size: 64, hidden_act: 'quick_gelu' } })).rejects.toThrow(
      /model\.safetensors: config\.json says hidden_act "quick_gelu"/,
    )
  })
})

describe('preprocessing', () => {
  const half = [0.5, 0.5, 0.5]
  const cases: [string, Record<string, object>, object, string][] = [
    [
      'timm, crop_pct',
      {
        'config.json': {
          pretrained_cfg: { mean: half, std: half, input_size: [3, 16, 16], crop_pct: 0.9, interpolation: 'bilinear' },
        },
      },
      { mean: half, std: half, resize: 17, crop: 16, interpolation: 'bilinear', squash: false },
      'config.json',
    ],
    [
      'timm, old style, squash',
      {
        'config.json': {
          mean: half,
          std: half,
          input_size: [3, 16, 16],
          crop_pct: 1,
          crop_mode: 'squash',
          interpolation: 'bicubic',
        },
      },
      { resize: 16, crop: 16, squash: true },
      'config.json',
    ],
    [
      'transformers, height and width',
      {
        'preprocessor_config.json': {
          do_resize: true,
          size: { height: 16, width: 16 },
          resample: 2,
          image_mean: half,
          image_std: half,
        },
      },
      { mean: half, resize: 16, crop: null, squash: true, interpolation: 'bilinear' },
      'preprocessor_config.json',
    ],
    [
      'transformers, an int and a crop',
      {
        'preprocessor_config.json': {
          do_center_crop: true,
          crop_size: 16,
          size: 18,
          resample: 3,
          image_mean: half,
          image_std: half,
        },
      },
      { resize: 18, crop: 16, squash: true, interpolation: 'bicubic' },
      'preprocessor_config.json',
    ],
    [
      'transformers, the shortest edge',
      {
        'preprocessor_config.json': {
          size: { shortest_edge: 20 },
          crop_size: { height: 16, width: 16 },
          image_mean: half,
          image_std: half,
        },
      },
      { resize: 20, crop: 16, squash: false },
      'preprocessor_config.json',
    ],
    [
      'transformers, neither resized nor normalised',
      {
        'preprocessor_config.json': { do_resize: false, do_normalize: false, do_center_crop: false, image_mean: half },
      },
      { resize: null, mean: [0], std: [1] },
      'preprocessor_config.json',
    ],
    [
      'the preprocessor before the config',
      {
        'config.json': { mean: [0.1, 0.1, 0.1], std: half },
        'preprocessor_config.json': { image_mean: half, image_std: half },
      },
      { mean: half },
      'preprocessor_config.json',
    ],
  ]
  test.each(cases)('%s', async (_, beside, expected, from) => {
    const { preprocessing, origins } = await read(timmViT(), beside)
    expect(preprocessing).toMatchObject(expected)
    expect(origins.mean).toBe(from)
  })

  test('rescale_factor is folded into mean and deviation', async () => {
    const config = { rescale_factor: 1 / 127.5, image_mean: [1, 1, 1], image_std: [1, 1, 1] }
    const { preprocessing: { mean, std } } = await read(timmViT(), { 'preprocessor_config.json': config })
    expect([...mean, ...std].every((value) => Math.abs(value - 0.5) < 1e-12)).toBe(true)
  })

  test('what is not supported is said', async () => {
    const { notes, preprocessing } = await read(timmViT(), { 'preprocessor_config.json': { resample: 9, size: 16 } })
    expect(preprocessing.interpolation).toBe('bicubic')
    expect(notes.join()).toMatch(/interpolation 9 is not supported/)
    const known = await read(timmViT(), { 'config.json': { input_size: [3, 16, 16], interpolation: 'lanczos' } })
    expect(known.preprocessing.interpolation).toBe('lanczos')
    expect(known.notes.join()).not.toMatch(/interpolation/)
  })

  test('mean and deviation of bytes are not taken and not guessed: commands ask for others', async () => {
    const bytes = { size: 16, image_mean: [123.675, 116.28, 103.53], image_std: [58.395, 57.12, 57.375] }
    const path = folder(timmViT(), { 'preprocessor_config.json': bytes })
    const checked = await readCheckpoint(path)
    expect(checked.preprocessing.mean).toEqual([0.485, 0.456, 0.406])
    expect([checked.origins.mean, checked.origins.resize]).toEqual(['default', 'preprocessor_config.json'])
    expect(checked.notes.join()).toMatch(/preprocessor_config\.json: mean 123\.675/)
    expect(() => preparedFor(checked, {}, 'folder:x')).toThrow(InputError)
    expect(() => preparedFor(checked, { mean: '0.5' }, 'folder:x')).toThrow(
      /preprocessor_config\.json: .*--mean and --std/,
    )
    expect(preparedFor(checked, { mean: '0.5', std: '0.25' }, 'folder:x').preprocessing).toMatchObject({ mean: [0.5] })
    expect(preparedFor(checked, {}, { pictures: false }).preprocessing).toEqual(checked.preprocessing)
    const commands = [
      (args: string[]) => run(evalCommand, args),
      (args: string[]) => run(explain, args),
      (args: string[]) => run(train, args),
    ]
    for (const command of commands) {
      const args = [path, '--data', 'tensors:none.safetensors']
      await expect(command(args)).rejects.toThrow(/preprocessor_config\.json: mean .*expected 0\.\.1/)
      await expect(command([...args, '--mean', '0.5', '--std', '0.5'])).rejects.toThrow(/none\.safetensors/)
    }
    const said: string[] = [], { text } = await run(inspect, [path], said)
    expect(text).toMatch(/note: .*mean 123\.675/)
    expect(said.join()).not.toMatch(/123/)
    const first = { 'preprocessor_config.json': { image_mean: [0.1, 0.1, 0.1], image_std: [0.2, 0.2, 0.2] } }
    const hidden = await read(timmViT(), { ...first, 'config.json': { mean: bytes.image_mean, std: bytes.image_std } })
    expect([hidden.refusedStatistics, hidden.preprocessing.mean]).toEqual([undefined, [0.1, 0.1, 0.1]])
    const plain = await read(timmViT(), {}, { mean: '[123.675,116.28,103.53]' })
    expect(plain.refusedStatistics).toMatch(/^metadata mean: mean 123\.675/)
  })

  test('names of classes come from id2label and from label_names', async () => {
    const id2label = { 0: 'a', 1: 'b', 2: 'c', 3: 'd', 4: 'e' }, label_names = ['v', 'w', 'x', 'y', 'z']
    const labelled = await read(timmViT(), { 'config.json': { id2label } })
    expect([labelled.classes, labelled.origins.classes]).toEqual([['a', 'b', 'c', 'd', 'e'], 'config.json'])
    const described = { label_names, label_descriptions: { v: 'five, V' } }
    expect((await read(timmViT(), { 'config.json': described })).classes?.slice(0, 2)).toEqual(['five, V', 'w'])
    const made = Object.fromEntries(label_names.map((_, i) => [i, `LABEL_${i}`]))
    expect((await read(timmViT(), { 'config.json': { id2label: made } })).classes).toBeUndefined()
  })
})

describe('tensors under other names', () => {
  const prefixed = (tensors: Tensors, prefix: string) =>
    Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [prefix + name, tensor]))

  test.each(['module.', '_orig_mod.', '_orig_mod.module.', 'model.', 'net.backbone.'])(
    'the prefix %s',
    async (prefix) => {
      for (const tensors of [cifarResNet(), timmViT()]) {
        const plain = await read(tensors), found = await read(prefixed(tensors, prefix))
        expect([...found.weights]).toEqual([...plain.weights])
        expect(found.notes[0]).toBe(`the prefix "${prefix}", common to all tensors, is taken off`)
      }
    },
  )

  test('the counter of an averaged model is no weight, an empty tensor is left out and said', async () => {
    const { notes, naming } = await read({
      ...prefixed(cifarResNet(), 'module.'),
      n_averaged: { shape: [], data: BigInt64Array.of(9n) },
      marker: { shape: [2, 0], data: new Float32Array(0) },
    })
    expect(naming).toBe('cifar-resnet')
    expect(notes.join()).toMatch(/empty tensor "marker" is left out/)
  })

  test('linear_1 and linear_2 of old torchvision', async () => {
    const now = torchvisionViT(), plain = await read(now)
    const old = Object.fromEntries(
      Object.entries(now).map((
        [name, tensor],
      ) => [name.replace('mlp.0.', 'mlp.linear_1.').replace('mlp.3.', 'mlp.linear_2.'), tensor]),
    )
    expect(new Map([...(await readCheckpoint(folder(old), { arch: '{"heads":1}' })).weights].sort())).toEqual(
      new Map([...plain.weights].sort()),
    )
  })

  test('DeiT of transformers with one classifier', async () => {
    const { architecture, shape, notes } = await read(transformersDeiT(wide))
    expect(architecture).toMatchObject({ distilled: true, distillHead: false, eps: 1e-12 })
    expect(shape).toMatchObject({ distillHead: null })
    expect(notes.join()).toMatch(/guess/)
  })

  test('class token without a position, LayerScale, absent biases', async () => {
    const { pos_embed: _, ...one } = timmViT(wide),
      blocks = Object.entries(one).filter(([name]) => name.startsWith('blocks.'))
    const both = {
      ...one,
      ...Object.fromEntries(blocks.map(([name, each]) => [name.replace('blocks.0', 'blocks.1'), each])),
    }
    const rest = Object.fromEntries(Object.entries(both).filter(([name]) => !name.endsWith('qkv.bias')))
    const gain = tensorOf(64), patches = tensorOf(1, 16, 64)
    for (const name of ['blocks.0.ls1.gamma', 'blocks.0.gamma_1']) {
      const { weights, notes } = await read({ ...rest, pos_embed: patches, [name]: gain })
      const positions = weights.get('pos_embed')!, proj = weights.get('blocks.0.attn.proj.weight')!
      expect(positions.shape).toEqual([1, 17, 64])
      expect([...positions.data.subarray(0, 64)]).toEqual(new Array(64).fill(0))
      expect(positions.data.subarray(64)).toEqual(patches.data)
      const before = rest['blocks.0.attn.proj.weight'].data as Float32Array
      expect(proj.data[64 * 3 + 7]).toBe(Math.fround(before[64 * 3 + 7] * (gain.data as Float32Array)[3]))
      expect([...weights.get('blocks.0.attn.qkv.bias')!.data]).toEqual(new Array(192).fill(0))
      expect(notes.join()).toMatch(/LayerScale.*qkv_bias.*no_embed_class/)
    }
  })

  test('one logit becomes two of half its size', async () => {
    for (
      const [tensors, name] of [[cifarResNet({ classes: 1 }), 'linear'], [
        timmViT({ width: 64, classes: 1 }),
        'head',
      ]] as const
    ) {
      const { weights, classCount, notes } = await read(tensors)
      expect(classCount).toBe(2)
      const one = tensors[`${name}.weight`].data as Float32Array, two = weights.get(`${name}.weight`)!
      expect(two.shape).toEqual([2, one.length])
      expect([...two.data]).toEqual([...[...one].map((value) => -value / 2), ...[...one].map((value) => value / 2)])
      expect(notes.join()).toMatch(/one logit z, read as a binary decision/)
    }
  })
})

describe('metadata of others', () => {
  test.each(
    [
      ['arch', 'vit_tiny'],
      ['arch', '{"type":"SomethingElse"}'],
      ['arch', '{"type"'],
      ['arch', 'null'],
      ['mean', '[0.5'],
      ['mean', 'nine'],
      ['mean', '[1,2]'],
      ['std', '0'],
      ['std', '[0,0,0]'],
      ['classes', 'cat, dog'],
      ['classes', '["a","b"]'],
      ['preprocessing', 'centred'],
    ],
  )('%s = %s is ignored with a word', async (key, value) => {
    const { notes, preprocessing, classes } = await read(timmViT(wide), {}, { [key]: value })
    expect(notes[0]).toBe(`metadata ${key} is not ours and is ignored`)
    expect(preprocessing.mean).toEqual([0.485, 0.456, 0.406])
    expect(classes).toBeUndefined()
  })
})

describe('relatives that are not read', () => {
  const vit = timmViT()
  const cases: [string, Tensors, RegExp][] = [
    ['Swin V2', { ...vit, 'layers.0.blocks.0.attn.logit_scale': tensorOf(1, 1, 1) }, /Swin V2/],
    ['ResNeXt', { ...cifarResNet(), 'layer1.0.conv2.weight': tensorOf(4, 2, 3, 3) }, /grouped convolutions.*2 groups/],
    ['Wide ResNet', {
      ...cifarResNet(),
      'layer1.0.conv1.weight': tensorOf(8, 4, 1, 1),
      'layer1.0.conv2.weight': tensorOf(8, 8, 3, 3),
      'layer1.0.conv3.weight': tensorOf(16, 8, 1, 1),
    }, /inner width of 8.*outer 4.*Wide ResNet/],
    ['register tokens', { ...vit, reg_token: tensorOf(1, 4, 8) }, /register tokens/],
    ['BEiT', { ...vit, 'blocks.0.attn.q_bias': tensorOf(8) }, /BEiT/],
    ['CLIP', { ...vit, 'norm_pre.weight': tensorOf(8) }, /CLIP/],
    ['SE-ResNet', { ...cifarResNet(), 'layer1.0.se.fc1.weight': tensorOf(2, 4, 1, 1) }, /squeeze and excitation/],
    [
      'a backbone',
      Object.fromEntries(Object.entries(vit).filter(([name]) => !name.startsWith('head'))),
      /no classifier/,
    ],
    ['an adapter', { 'blocks.0.attn.qkv.lora_A.weight': tensorOf(4, 8) }, /LoRA/],
    ['a language model', { 'model.layers.0.self_attn.q_proj.weight': tensorOf(8, 8) }, /language model/],
  ]
  test.each(cases)('%s is named', async (_, tensors, reason) => {
    const refusal = read(tensors)
    await expect(refusal).rejects.toThrow(reason)
    await expect(refusal).rejects.toThrow(/model\.safetensors: /)
    await expect(refusal).rejects.not.toThrow(/incomplete|check --arch/)
  })

  test('one shard of several is named', async () => {
    const { 'head.weight': _, ...part } = vit
    await expect(read(part, {}, undefined, 'model-00001-of-00002.safetensors')).rejects.toThrow(
      /shard 1 of 2; join them/,
    )
  })
})

// Right answers for files that others wrote: what configurations say is used, tensors are read wherever they lie, and
// accuracy is what a reference in float64 says. Whole commands, each in a fresh process, on files made here.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { encodeSafetensors, type TensorToStore } from '../../src/files/safetensors.ts'
import { softplus } from '../reference/elementwise.ts'
import { choices, type Layout, lively, normalised, pictures, rawSafetensors, resNetLogits,
  vitLogits } from '../support/case-files.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { cifarResNet, type Tensors, tensorOf, timmViT, torchvisionViT,
  transformersDeiT } from '../support/foreign-files.ts'
import { scratch } from '../support/model.ts'

const dir = scratch(), imageNet = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]] as const
const photos = pictures(24, 16), small = pictures(12, 32, 3)
let cli = '', count = 0

// Several processes each, on machines that do other work too.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 })

beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cases-answers')
})

interface Made {
  tensors: Tensors
  images?: TensorToStore
  labels: readonly number[]
  beside?: Record<string, object>
  layout?: Layout
}

/** Writes the network, what lies beside it and its pictures, and evaluates it. */
async function evaluated({ tensors, images = photos, labels, beside = {}, layout }: Made, ...flags: string[]) {
  const at = join(dir, String(count++))
  mkdirSync(at)
  const network = join(at, 'model.safetensors'), data = join(at, 'data.safetensors')
  writeFileSync(network, rawSafetensors(tensors, layout))
  writeFileSync(
    data,
    encodeSafetensors([['images', images], ['labels', { shape: [labels.length], data: Int32Array.from(labels) }]]),
  )
  for (const [name, content] of Object.entries(beside)) writeFileSync(join(at, name), JSON.stringify(content))
  const ended = await runNode(cli, [
    'eval',
    network,
    '--data',
    `tensors:${data}`,
    '--adapter',
    'cpu',
    '--json',
    ...flags,
  ])
  expect(ended).toMatchObject({ code: 0 })
  return { ...JSON.parse(ended.stdout) as Answer, stderr: ended.stderr }
}
interface Answer {
  top1: number
  loss: number
  origins: Record<string, string>
}

const vit = lively(timmViT({ width: 64 }))
/** So large that a picture's class depends on where its patches lie. */
const strong = ({ shape, data }: TensorToStore): TensorToStore => ({
  shape,
  data: (data as Float32Array).map((value) => 6 * value),
})

/** Tensors under timm's names, by which the reference reads them; query, key and value are joined. */
function timmNames(tensors: Tensors, twins: Record<string, string | [string, string, string]>): Tensors {
  return Object.fromEntries(
    Object.entries(twins).flatMap(([name, theirs]): [string, TensorToStore][] => {
      if (typeof theirs === 'string') return theirs in tensors ? [[name, tensors[theirs]]] : []
      const parts = theirs.map((each) => tensors[each]), [{ shape: [width, ...rest] }] = parts
      const data = Float32Array.from(parts.flatMap(({ data }) => [...data as Float32Array]))
      return [[name, { shape: [3 * width, ...rest], data }]]
    }),
  )
}

const both = (twins: Record<string, string>) =>
  Object.fromEntries(
    Object.entries(twins).flatMap(([ours, theirs]) =>
      ['weight', 'bias'].map((kind) => [`${ours}.${kind}`, `${theirs}.${kind}`])
    ),
  )
const deitBlock = 'deit.encoder.layer.0', torchvisionBlock = 'encoder.layers.encoder_layer_0'
const deitTwins = {
  cls_token: 'deit.embeddings.cls_token',
  dist_token: 'deit.embeddings.distillation_token',
  pos_embed: 'deit.embeddings.position_embeddings',
  ...Object.fromEntries(['weight', 'bias'].map((kind) => [
    `blocks.0.attn.qkv.${kind}`,
    ['query', 'key', 'value'].map((each) => `${deitBlock}.attention.attention.${each}.${kind}`) as [
      string,
      string,
      string,
    ],
  ])),
  ...both({
    'patch_embed.proj': 'deit.embeddings.patch_embeddings.projection',
    'blocks.0.norm1': `${deitBlock}.layernorm_before`,
    'blocks.0.norm2': `${deitBlock}.layernorm_after`,
    'blocks.0.attn.proj': `${deitBlock}.attention.output.dense`,
    'blocks.0.mlp.fc1': `${deitBlock}.intermediate.dense`,
    'blocks.0.mlp.fc2': `${deitBlock}.output.dense`,
    'norm': 'deit.layernorm',
    'head': 'classifier',
  }),
}
const torchvisionTwins = {
  'cls_token': 'class_token',
  'pos_embed': 'encoder.pos_embedding',
  'blocks.0.attn.qkv.weight': `${torchvisionBlock}.self_attention.in_proj_weight`,
  'blocks.0.attn.qkv.bias': `${torchvisionBlock}.self_attention.in_proj_bias`,
  ...both({
    'patch_embed.proj': 'conv_proj',
    'blocks.0.norm1': `${torchvisionBlock}.ln_1`,
    'blocks.0.norm2': `${torchvisionBlock}.ln_2`,
    'blocks.0.attn.proj': `${torchvisionBlock}.self_attention.out_proj`,
    'blocks.0.mlp.fc1': `${torchvisionBlock}.mlp.0`,
    'blocks.0.mlp.fc2': `${torchvisionBlock}.mlp.3`,
    'norm': 'encoder.ln',
    'head': 'heads.head',
  }),
}

const labelsOf = (heads: number, [mean, std]: readonly (readonly number[])[] = imageNet, tensors = vit) =>
  choices(vitLogits(tensors, normalised(photos, mean, std), heads))

describe('the number of heads', () => {
  test('is called a guess where nothing tells it, and is read where something does', async () => {
    const labels = labelsOf(4)
    expect(labels).not.toEqual(labelsOf(1))
    const guessed = await evaluated({ tensors: vit, labels })
    expect(guessed.top1).toBeLessThan(1)
    expect(guessed.origins.heads).toBe('guess')
    expect(guessed.stderr).toMatch(/nothing tells the number of heads; 1 is a guess/)
    expect(await evaluated({ tensors: vit, labels }, '--arch', '{"heads":4}')).toMatchObject({
      top1: 1,
      origins: { heads: '--arch' },
    })
  })

  test.each([
    [4, { 'config.json': { num_attention_heads: 4 } }, undefined],
    [8, { 'model-config.json': { architecture: 'vit', model_args: { num_heads: 8 } } }, undefined],
    [2, {}, { config: '{"num_attention_heads":2}' }],
  ])('%d heads by %j', async (heads, beside, metadata) => {
    const answer = await evaluated({ tensors: vit, labels: labelsOf(heads), beside, layout: { metadata } })
    expect(answer.top1).toBe(1)
    expect(answer.stderr).not.toMatch(/guess/)
  })
})

describe('mean and deviation beside the file', () => {
  const half = [0.5, 0.5, 0.5], own = [0.1, 0.2, 0.9], wide = [1, 1, 1]
  test.each([
    [
      {
        'config.json': {
          num_classes: 5,
          pretrained_cfg: { mean: half, std: half, input_size: [3, 16, 16], crop_pct: 1 },
        },
      },
      half,
      half,
    ],
    [{ 'config.json': { mean: own, std: wide, input_size: [3, 16, 16], crop_pct: 1 } }, own, wide],
    [{ 'preprocessor_config.json': { image_mean: own, image_std: half, size: 16 } }, own, half],
    [{ 'model-preprocessor_config.json': { image_mean: half, image_std: wide, do_resize: false } }, half, wide],
  ])('%j', async (beside, mean, std) => {
    const labels = labelsOf(1, [mean, std])
    expect(labels).not.toEqual(labelsOf(1))
    const answer = await evaluated({ tensors: vit, labels, beside })
    expect(answer.top1).toBe(1)
    expect([answer.origins.mean, answer.origins.std]).toEqual(new Array(2).fill(Object.keys(beside)[0]))
  })
})

describe('one logit is a binary decision', () => {
  const decided = (logits: ArrayLike<number>) => {
    // two labels are wrong on purpose
    const labels = Array.from(logits, (z, i) => z > 0 !== i < 2 ? 1 : 0)
    const loss = Array.from(
      logits,
      (z, i) => softplus({ shape: [], data: Float64Array.of(labels[i] ? -z : z) }).data[0],
    )
    return { labels, loss: loss.reduce((a, b) => a + b, 0) / loss.length }
  }
  /** With the bias at which as many logits are above zero as below. */
  const centred = (tensors: Tensors, bias: string, logitsOf: (tensors: Tensors) => ArrayLike<number>) => {
    const sorted = Float64Array.from(logitsOf(tensors)).sort(), middle = (sorted.length >> 1) - 1
    const [before] = tensors[bias].data as Float32Array, shift = (sorted[middle] + sorted[middle + 1]) / 2
    return { ...tensors, [bias]: { shape: [1], data: Float32Array.of(before - shift) } }
  }
  const networks: [string, TensorToStore, string, Tensors, (tensors: Tensors) => ArrayLike<number>][] = [
    [
      'a ResNet',
      small,
      'linear.bias',
      lively(cifarResNet({ classes: 1 })),
      (tensors) => resNetLogits(tensors, normalised(small, ...imageNet)).data,
    ],
    [
      'a ViT',
      photos,
      'head.bias',
      lively(timmViT({ width: 64, classes: 1 }), 5),
      (tensors) => vitLogits(tensors, normalised(photos, ...imageNet), 1).data,
    ],
  ]
  test.each(networks)('%s', async (_, images, bias, before, logitsOf) => {
    const tensors = centred(before, bias, logitsOf), { labels, loss } = decided(logitsOf(tensors))
    const answer = await evaluated({ tensors, images, labels })
    expect(answer.top1).toBeCloseTo(1 - 2 / labels.length, 6)
    expect(answer.loss).toBeCloseTo(loss, 4)
    expect(answer.stderr).toMatch(/one logit z, read as a binary decision/)
  })
})

describe('tensors wherever they lie and whatever they are called', () => {
  const labels = labelsOf(1)
  const prefixed = (prefix: string) =>
    Object.fromEntries(Object.entries(vit).map(([name, tensor]) => [prefix + name, tensor]))
  const { cls_token, ...others } = vit
  const files: [string, Tensors, Layout, RegExp | null][] = [
    ['a header of 8 n + 1 bytes', vit, { residue: 1 }, null],
    ['a header of 8 n + 6 bytes', vit, { residue: 6 }, null],
    ['an empty tensor', { marker: { shape: [2, 0], data: new Float32Array(0) }, ...vit }, {}, /empty tensor "marker"/],
    [
      'an empty tensor of eight bytes an entry behind the others',
      { ...vit, 'ema.steps': { shape: [0], data: new BigInt64Array(0) } },
      { residue: 3 },
      /empty tensor "ema\.steps"/,
    ],
    [
      'several empty tensors between the others',
      Object.fromEntries(
        Object.entries(vit).flatMap(([name, tensor], i) => [
          [`empty.${i}`, { shape: [3, 0, i], data: new Uint8Array(0) }],
          [name, tensor],
        ]),
      ),
      {},
      /empty tensors? "empty\.0"/,
    ],
    ['metadata that is null, at an odd place', vit, { metadata: null, residue: 5 }, null],
    ['metadata that is empty', vit, { metadata: {} }, null],
    ['the prefixes of two wrappers', prefixed('_orig_mod.module.'), {}, /prefix "_orig_mod\.module\."/],
    ['a prefix of one', prefixed('student.encoder.'), {}, /prefix "student\.encoder\."/],
    ['tensors in another order', { ...others, cls_token }, {}, null],
  ]
  test.each(files)('%s', async (_, tensors, layout, said) => {
    const answer = await evaluated({ tensors, labels, layout })
    expect(answer.top1).toBe(1)
    if (said) expect(answer.stderr).toMatch(said)
  })

  test.each([[16, 16, 64, 1], [9, 12, 32, 2], [36, 24, 64, 4]])(
    'a class token without one of %d positions, images of %d, width %d, %d heads',
    async (count, side, width, heads) => {
      const tensors = {
        ...lively(timmViT({ width })),
        pos_embed: strong(lively({ x: tensorOf(1, count, width) }, 9).x),
      }
      const images = pictures(24, side), beside = { 'config.json': { num_attention_heads: heads } }
      const labels = choices(vitLogits(tensors, normalised(images, ...imageNet), heads))
      const answer = await evaluated({ tensors, images, labels, beside })
      expect(answer.top1).toBe(1)
      expect(answer.stderr).toMatch(/no_embed_class/)
    },
  )

  test('positions of patches alone, where there is a distillation token as well', async () => {
    const before = lively(timmViT({ width: 64 }), 6), half = [0.5, 0.5, 0.5]
    const tensors: Tensors = {
      ...before,
      'dist_token': lively({ x: tensorOf(1, 1, 64) }, 3).x,
      'pos_embed': lively({ x: tensorOf(1, 16, 64) }, 9).x,
      // the same head twice, so that the mean of both is one head of the mean of both tokens
      'head_dist.weight': before['head.weight'],
      'head_dist.bias': before['head.bias'],
    }
    const inputs = normalised(photos, half, half)
    const one = vitLogits(tensors, inputs, 2), other = vitLogits(tensors, inputs, 2, 1e-6, 1)
    const labels = choices({ shape: one.shape, data: one.data.map((value, i) => value + other.data[i]) })
    expect(labels).not.toEqual(choices(one))
    const beside = {
      'config.json': { num_attention_heads: 2 },
      'preprocessor_config.json': { image_mean: half, image_std: half },
    }
    const answer = await evaluated({ tensors, labels, beside })
    expect(answer.top1).toBe(1)
    expect(answer.stderr).toMatch(/no_embed_class/)
  })

  const half = [0.5, 0.5, 0.5]
  test.each<[string, { width?: number, classes?: number, hidden?: number }, number, number | undefined, string]>([
    ['width 64, two heads', {}, 2, undefined, ''],
    ['width 128, four heads, eps of its own', { width: 128, classes: 3, hidden: 32 }, 4, 1e-3, ''],
    ['width 32, one head, a wrapper', { width: 32, classes: 7 }, 1, undefined, 'module.'],
  ])(
    'DeiT of transformers with one classifier reads the class token alone: %s',
    async (_, sizes, heads, eps, prefix) => {
      const tensors = lively(transformersDeiT(sizes), 4)
      const labels = choices(
        vitLogits(timmNames(tensors, deitTwins), normalised(photos, half, half), heads, eps ?? 1e-12),
      )
      const beside = {
        'config.json': { num_attention_heads: heads, ...eps && { layer_norm_eps: eps } },
        'preprocessor_config.json': { image_mean: half, image_std: half },
      }
      const written = Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [prefix + name, tensor]))
      expect(await evaluated({ tensors: written, labels, beside })).toMatchObject({
        top1: 1,
        origins: { heads: 'config.json' },
      })
    },
  )

  test.each([[{ width: 64 }, 1, ''], [{ width: 128, hidden: 32, classes: 3 }, 4, ''], [{ width: 32 }, 2, 'model.']])(
    'mlp.linear_1 and linear_2 of old torchvision: %j, %d heads',
    async (sizes, heads, prefix) => {
      const tensors = lively(torchvisionViT(sizes), 8)
      const labels = choices(vitLogits(timmNames(tensors, torchvisionTwins), normalised(photos, ...imageNet), heads))
      const written = Object.fromEntries(
        Object.entries(tensors).map(([name, tensor]) => [
          prefix + name.replace('mlp.0.', 'mlp.linear_1.').replace('mlp.3.', 'mlp.linear_2.'),
          tensor,
        ]),
      )
      const answer = await evaluated({
        tensors: written,
        labels,
        beside: { 'config.json': { num_attention_heads: heads } },
      })
      expect(answer.top1).toBe(1)
      expect(answer.stderr).toMatch(/linear_1/)
    },
  )

  test.each([[0, 1], [4, 0], [1, 0]])(
    'counters of eight bytes, header %d, %d odd floats before',
    async (residue, odd) => {
      const counter = { shape: [], data: BigInt64Array.of(7n) }, net = lively(cifarResNet(), 2)
      const { 'linear.bias': bias, ...most } = net // five floats
      const tensors: Tensors = odd
        ? { 'linear.bias': bias, 'bn1.num_batches_tracked': counter, ...most }
        : { 'bn1.num_batches_tracked': counter, ...net }
      const expected = choices(resNetLogits(net, normalised(small, ...imageNet)))
      const answer = await evaluated({ tensors, images: small, labels: expected, layout: { residue } })
      expect(answer.top1).toBe(1)
    },
  )
})

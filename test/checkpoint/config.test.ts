// Configurations beside a checkpoint: what they may say, and what contradicts the weights.
import { describe, expect, test } from 'vitest'
import type { Architecture } from '../../models/registry.ts'
import { toldBy } from '../../src/checkpoint/config.ts'

const vit = { type: 'vit', width: 192, depth: 12, patch: 16, image: 224, classes: 3 } as unknown as Architecture
const said = (config: unknown, architecture = vit, classes = 3) =>
  toldBy([{ name: 'config.json', text: JSON.stringify(config) }], architecture, classes)

describe('options that no tensor shows', () => {
  test('heads and epsilon, with the file that says them', () => {
    const { options, from } = said({ hidden_size: 192, num_attention_heads: 3, layer_norm_eps: 1e-12 })
    expect(options).toEqual({ heads: 3, eps: 1e-12 })
    expect(from).toEqual({ heads: 'config.json', eps: 'config.json' })
  })

  test("heads by timm's names", () => {
    expect(said({ architecture: 'deit_tiny_patch16_224' }).options).toEqual({ heads: 3 })
    expect(said({ architecture: 'vit_small_moco' }, { ...vit, width: 384 } as Architecture).options).toEqual({
      heads: 12,
    })
  })

  test('heads that do not divide the width, and an epsilon out of range, do not count', () => {
    expect(said({ num_attention_heads: 5, layer_norm_eps: 3 }).options).toEqual({})
  })

  test('the first file that says something is believed', () => {
    const files = [3, 6].map((heads, i) => ({
      name: `${i}.json`,
      text: JSON.stringify({ num_attention_heads: heads }),
    }))
    expect(toldBy(files, vit, 3)).toMatchObject({ options: { heads: 3 }, from: { heads: '0.json' } })
  })
})

describe('a configuration of another network is left alone, with the number that differs', () => {
  test.each([
    [{ hidden_size: 384, num_attention_heads: 6 }, 'width 384, the weights have 192'],
    [{ num_hidden_layers: 6 }, 'layers 6, the weights have 12'],
    [{ patch_size: [32, 32] }, 'patch size 32, the weights have 16'],
    [{ id2label: { 0: 'a', 1: 'b' } }, 'classes 2, the weights have 3'],
    [{ image_size: 384 }, 'image size 384, the weights have 224'],
  ])('%j', (config, reason) => {
    const told = said(config)
    expect(told.options).toEqual({})
    expect(told.notes).toEqual([`config.json describes another network (${reason}) and is left alone`])
  })
})

test('what is no object is left alone', () => {
  for (const text of ['[1]', 'null', '{"a":', '3']) {
    expect(toldBy([{ name: 'c', text }], vit, 3).notes).toEqual(['c is no JSON object and is left alone'])
  }
})

test('names of classes: those of id2label unless made up, descriptions of timm', () => {
  expect(said({ id2label: { 0: 'cat', 1: 'dog', 2: 'cow' } }).classes).toEqual(['cat', 'dog', 'cow'])
  expect(said({ id2label: { 0: 'LABEL_0', 1: 'LABEL_1', 2: 'LABEL_2' } }).classes).toBeUndefined()
  expect(said({ label_names: ['n1', 'n2', 'n3'], label_descriptions: { n2: 'dog' } }).classes).toEqual([
    'n1',
    'dog',
    'n3',
  ])
  expect(said({ label_names: ['n1', 'n2'] }).classes).toBeUndefined()
  const inner = { label_names: ['n1', 'n2', 'n3'], label_descriptions: { n2: 'dog' } }
  expect(said({ pretrained_cfg: inner }).classes).toEqual(['n1', 'dog', 'n3'])
  expect(said({ label_names: ['a', 'b', 'c'], pretrained_cfg: inner }).classes).toEqual(['a', 'b', 'c'])
  expect(said({ label_names: inner.label_names, pretrained_cfg: { label_descriptions: { n3: 'cat' } } }).classes)
    .toEqual(['n1', 'n2', 'cat'])
})

test('networks that are computed otherwise are said to be not supported', () => {
  expect(said({ hidden_act: 'quick_gelu' }).unsupported).toContain('hidden_act "quick_gelu"')
  expect(said({ hidden_act: 'relu', hidden_size: 192 }).unsupported).toContain('not supported in a transformer')
  expect(said({ global_pool: 'map' }).unsupported).toContain('attention pooling')
  expect(said({ hidden_act: 'gelu' }).unsupported).toBeUndefined()
})

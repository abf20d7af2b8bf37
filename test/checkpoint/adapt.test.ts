// What is renamed and folded computes the same: LayerScale against a product written out, logits against the sigmoid.
import { describe, expect, test } from 'vitest'
import { adapt, asTwoLogits, commonPrefix } from '../../src/checkpoint/adapt.ts'
import type { HostTensor } from '../../src/checkpoint/weights.ts'

const host = (shape: number[], ...data: number[]): HostTensor => ({ shape, data: Float32Array.from(data) })
const zeros = (...shape: number[]) => host(shape, ...new Array<number>(shape.reduce((a, b) => a * b, 1)).fill(0))

describe('the common prefix', () => {
  const isKnown = (names: readonly string[]) => names.includes('head.weight')

  test('of one wrapper and of several is taken off', () => {
    expect(commonPrefix(['module.head.weight', 'module.head.bias'], isKnown)).toBe('module.')
    expect(commonPrefix(['a._orig_mod.head.weight', 'a._orig_mod.x'], isKnown)).toBe('a._orig_mod.')
  })

  test('is empty where names are known as they are, differ, or are never known', () => {
    expect(commonPrefix(['head.weight', 'head.bias'], isKnown)).toBe('')
    expect(commonPrefix(['module.head.weight', 'other.head.bias'], isKnown)).toBe('')
    expect(commonPrefix(['module.tail.weight'], isKnown)).toBe('')
    expect(commonPrefix(['0.head.weight'], isKnown)).toBe('')
    expect(commonPrefix([], isKnown)).toBe('')
  })
})

test('a LayerScale gain is folded into weight and bias before it, and goes', () => {
  const { weights, notes } = adapt(
    new Map([
      ['blocks.0.mlp.fc2.weight', host([2, 3], 1, 2, 3, 4, 5, 6)],
      ['blocks.0.mlp.fc2.bias', host([2], 7, 8)],
      ['blocks.0.ls2.gamma', host([2], 10, -1)],
    ]),
  )
  expect([...weights.get('blocks.0.mlp.fc2.weight')!.data]).toEqual([10, 20, 30, -4, -5, -6])
  expect([...weights.get('blocks.0.mlp.fc2.bias')!.data]).toEqual([70, -8])
  expect([...weights.keys()]).toEqual(['blocks.0.mlp.fc2.weight', 'blocks.0.mlp.fc2.bias'])
  expect(notes).toEqual(['1 LayerScale gains are folded into the linear layers before them'])
})

test('a gain of another length than its layer is left alone', () => {
  const given = new Map([
    ['blocks.0.attn.proj.weight', zeros(2, 2)],
    ['blocks.0.attn.proj.bias', zeros(2)],
    ['blocks.0.gamma_1', zeros(3)],
  ])
  expect(adapt(given)).toEqual({ weights: given, notes: [] })
})

test('old names of torchvision become the new ones', () => {
  const { weights } = adapt(
    new Map([
      ['encoder.layers.encoder_layer_3.mlp.linear_1.weight', zeros(1)],
      ['encoder.layers.encoder_layer_3.mlp.linear_2.bias', zeros(1)],
    ]),
  )
  expect([...weights.keys()]).toEqual([
    'encoder.layers.encoder_layer_3.mlp.0.weight',
    'encoder.layers.encoder_layer_3.mlp.3.bias',
  ])
})

test('biases that are absent everywhere are zeros; one missing among several is not made up', () => {
  const layers = [['blocks.0.attn.qkv.weight', zeros(6, 2)], ['blocks.1.attn.qkv.weight', zeros(6, 2)]] as const
  const { weights } = adapt(new Map(layers))
  expect(weights.get('blocks.1.attn.qkv.bias')).toEqual(zeros(6))
  const damaged = new Map([...layers, ['blocks.0.attn.qkv.bias', zeros(6)] as const])
  expect(adapt(damaged).weights.has('blocks.1.attn.qkv.bias')).toBe(false)
})

test('positions of patches alone get one of zeros for the class token in front', () => {
  const { weights } = adapt(
    new Map([['pos_embed', host([1, 4, 1], 1, 2, 3, 4)], ['cls_token', zeros(1, 1, 1)]]),
  )
  expect(weights.get('pos_embed')).toEqual(host([1, 5, 1], 0, 1, 2, 3, 4))
  const whole = new Map([['pos_embed', host([1, 5, 1], 9, 1, 2, 3, 4)], ['cls_token', zeros(1, 1, 1)]])
  expect(adapt(whole).weights.get('pos_embed')).toEqual(host([1, 5, 1], 9, 1, 2, 3, 4))
})

test('one logit as two has the same sigmoid', () => {
  const { shape, data } = asTwoLogits(host([1, 2], 3, -5))
  expect(shape).toEqual([2, 2])
  expect([...data]).toEqual([-1.5, 2.5, 1.5, -2.5])
  const z = 3 * 0.4 - 5 * 0.7, [no, yes] = [-1.5 * 0.4 + 2.5 * 0.7, 1.5 * 0.4 - 2.5 * 0.7]
  expect(Math.exp(yes) / (Math.exp(yes) + Math.exp(no))).toBeCloseTo(1 / (1 + Math.exp(-z)), 12)
})

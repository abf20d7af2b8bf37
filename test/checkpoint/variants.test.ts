// Relatives that are not read are told by their tensors, and plain networks are not taken for one.
import { expect, test } from 'vitest'
import { refuseVariants } from '../../src/checkpoint/variants.ts'

const refused = (shapes: Record<string, number[]>) => () => refuseVariants(new Map(Object.entries(shapes)))

test.each([
  ['layers.0.blocks.0.attn.logit_scale', 'Swin V2'],
  ['reg_token', 'register tokens'],
  ['blocks.0.attn.q_bias', 'BEiT'],
  ['blocks.0.attn.q_norm.weight', 'qk_norm'],
  ['blocks.0.mlp.w12.weight', 'SwiGLU'],
  ['layer1.0.se.fc.weight', 'squeeze and excitation'],
  ['conv1.0.weight', 'ResNet-D'],
  ['features.denseblock1.denselayer1.conv1.weight', 'DenseNet'],
  ['transformer.h.0.attn.c_attn.weight', 'a language model'],
  ['base.lora_A.weight', 'a LoRA adapter'],
])('%s shows %s', (name, what) => {
  expect(refused({ [name]: [1] })).toThrow(what)
})

test('grouped convolutions are told by their shapes', () => {
  const shapes = { 'layer1.0.conv1.weight': [128, 64, 1, 1], 'layer1.0.conv2.weight': [128, 4, 3, 3] }
  expect(refused(shapes)).toThrow('ResNeXt, RegNet) of 32 groups')
})

test('a wide residual network is told by its inner width', () => {
  const shapes = {
    'conv1.weight': [64, 3, 7, 7],
    'layer1.0.conv1.weight': [128, 64, 1, 1],
    'layer1.0.conv3.weight': [256, 128, 1, 1],
  }
  expect(refused(shapes)).toThrow('an inner width of 128 that differs from the outer 64')
})

test('plain networks pass', () => {
  expect(refused({ 'blocks.0.attn.qkv.weight': [576, 192], 'pos_embed': [1, 197, 192], 'head.weight': [10, 192] })).not
    .toThrow()
  expect(refused({
    'conv1.weight': [64, 3, 7, 7],
    'layer1.0.conv1.weight': [64, 64, 1, 1],
    'layer1.0.conv2.weight': [64, 64, 3, 3],
    'layer1.0.conv3.weight': [256, 64, 1, 1],
  })).not.toThrow()
})

// Every real checkpoint on its own data: the top-1, top-5, loss and predictions that PyTorch has
// (reference_accuracy.json).
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { evalCommand } from '../../src/commands/eval.ts'
import { run } from '../support/model.ts'
import { shared } from '../support/golden.ts'

interface Reference {
  images: number
  top1: number
  top5: number
  mean_cross_entropy: number
  predictions?: number[]
}

const folder = `${shared}/data`
const here = existsSync(`${folder}/reference_accuracy.json`)
const reference = here
  ? JSON.parse(readFileSync(`${folder}/reference_accuracy.json`, 'utf8')) as Record<string, Record<string, Reference>>
  : {}

/** Weights, data set, `--data`, other flags, and how many images may differ: a JPEG decoder may round differently. */
const cases: [weights: string, set: string, data: string, flags: string[], slack: number][] = [
  ['deit_tiny_patch16_224', 'imagenet/val300', `images:${folder}/imagenet/val300.json`, ['--resize', 'none'], 2],
  ['deit_tiny_patch16_224', 'imagenet/train150', `images:${folder}/imagenet/train150.json`, ['--resize', 'none'], 2],
  ['deit_tiny_patch16_224', 'imagenet/val64_u8', `tensors:${folder}/imagenet/val64_u8.safetensors`, [], 0],
  ['resnet20_cifar10', 'cifar10/test700', `cifar10:${folder}/cifar10/test700.bin`, [], 0],
  ['resnet20_cifar10', 'cifar10/train10k', `cifar10:${folder}/cifar10/train10k.bin#0-1999`, [], 0],
  ['resnet32_cifar10', 'cifar10/test700', `cifar10:${folder}/cifar10/test700.bin`, [], 0],
  ['resnet32_cifar10', 'cifar10/train10k', `cifar10:${folder}/cifar10/train10k.bin#0-1999`, [], 0],
  ['tiny_vgg', 'tiny_vgg/samples', `tensors:${folder}/tiny_vgg/samples_u8.safetensors`, [], 0],
  [
    'mnist_vit_postnorm',
    'mnist/t10k',
    `idx:${folder}/mnist/t10k-images-idx3-ubyte.gz,${folder}/mnist/t10k-labels-idx1-ubyte.gz`,
    [],
    0,
  ],
]

describe('published checkpoints on their data', () => {
  test.skipIf(!here)('every pair of weights and data in the reference is below', () => {
    const wanted = Object.entries(reference).flatMap(([weights, sets]) =>
      Object.entries(sets).filter(([, { images }]) => images).map(([set]) => `${weights} ${set}`)
    )
    expect(cases.map(([weights, set]) => `${weights} ${set}`).sort()).toEqual(wanted.sort())
  })

  test.skipIf(!here).each(cases)('%s on %s', async (weights, set, data, flags, slack) => {
    const { images, top1, top5, mean_cross_entropy: loss, predictions } = reference[weights][set]
    const { json } = await run(evalCommand, [
      `${folder}/weights/${weights}.safetensors`,
      '--data',
      data,
      '--predictions',
      '--adapter',
      'cpu',
      ...flags,
    ])
    const found = json as unknown as { images: number, top1: number, top5: number, loss: number, predictions: number[] }
    console.log(
      `${weights} on ${set}: top-1 ${found.top1} (PyTorch ${top1}), top-5 ${found.top5} (${top5}), loss ${
        found.loss.toFixed(5)
      } (${loss})`,
    )
    expect(found.images).toBe(images)
    // The reference has four digits.
    expect(Math.abs(found.top1 - top1)).toBeLessThanOrEqual(slack / images + 5.1e-5)
    expect(Math.abs(found.top5 - top5)).toBeLessThanOrEqual(slack / images + 5.1e-5)
    expect(Math.abs(found.loss - loss)).toBeLessThanOrEqual(slack ? 5e-3 : 2e-5)
    if (predictions) {
      expect(found.predictions.filter((label, i) => label !== predictions[i]).length).toBeLessThanOrEqual(2 * slack)
    }
  }, 1_200_000)
})

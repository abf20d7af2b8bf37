import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { evalCommand } from '../../src/commands/eval.ts'
import { train } from '../../src/commands/train.ts'
import { InputError } from '../../src/base/errors.ts'
import { hasGolden, shared } from '../support/golden.ts'
import { digits, run, scratch } from '../support/model.ts'

const dir = scratch()

describe('eval', () => {
  test('names of the figures, and the same figures as training ended with', async () => {
    const out = join(dir, 'mlp.safetensors')
    const trained = await run(train, [
      '{"type":"mlp","hidden":[16]}',
      '--data',
      digits(0, 299),
      '--test',
      digits(1700, 1799),
      '--epochs',
      '2',
      '--out',
      out,
    ])
    const { json, text } = await run(evalCommand, [out, '--data', digits(1700, 1799), '--predictions', '--batch', '64'])
    const { top1, top5, loss } = trained.json as Record<string, number>
    expect(json).toMatchObject({
      top1,
      top5,
      images: 100,
      params: 784 * 16 + 16 + 160 + 10,
      macs: 784 * 16 + 160,
      bytes: readFileSync(out).length,
    })
    expect((json as { loss: number }).loss).toBeCloseTo(loss, 5)
    expect((json as { predictions: number[] }).predictions).toHaveLength(100)
    for (const name of ['msPerImage', 'imagesPerSecond', 'adapter', 'version', 'seed']) {
      expect(json).toHaveProperty(name)
    }
    expect(text).toMatch(/top-1 .* %/)
  })

  test.skipIf(!hasGolden('resnet20_cifar8'))('a published checkpoint gives the published predictions', async () => {
    const reference =
      JSON.parse(readFileSync(`${shared}/data/reference_accuracy.json`, 'utf8')).tiny_vgg['tiny_vgg/samples']
    const { json } = await run(evalCommand, [
      `${shared}/data/weights/tiny_vgg.safetensors`,
      '--data',
      `tensors:${shared}/data/tiny_vgg/samples_u8.safetensors`,
      '--predictions',
    ])
    expect(json).toMatchObject({ top1: reference.top1, top5: reference.top5, predictions: reference.predictions })
    expect((json as { loss: number }).loss).toBeCloseTo(reference.mean_cross_entropy, 4)
  })

  test('wrong inputs are refused before a device is opened', async () => {
    const out = join(dir, 'three.safetensors')
    await run(train, ['{"type":"mlp","hidden":[4]}', '--data', digits(0, 49), '--epochs', '1', '--out', out])
    await expect(run(evalCommand, [out, '--data', 'nothing'])).rejects.toThrow(InputError)
    await expect(run(evalCommand, [out, '--data', digits(0, 49), '--crop', '20'])).rejects.toThrow(
      /do not fit the model/,
    )
    await expect(run(evalCommand, [out, '--data', digits(0, 49), '--mean', 'x'])).rejects.toThrow(
      /--mean x: expected numbers/,
    )
    await expect(run(evalCommand, [out, '--data', digits(0, 49), '--arch', 'resnet20'])).rejects.toThrow(InputError)
  })
})

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { bench } from '../../src/commands/bench.ts'
import { evalCommand } from '../../src/commands/eval.ts'
import { explain } from '../../src/commands/explain.ts'
import { prune } from '../../src/commands/prune.ts'
import { train } from '../../src/commands/train.ts'
import { InputError } from '../../src/base/errors.ts'
import { packageFile } from '../../src/files/package.ts'
import { encodeSafetensors } from '../../src/files/safetensors.ts'
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

  test('a precision is taken and said, and refused where it is none', async () => {
    const model = packageFile('models/data/cifar10/resnet20.safetensors')
    const data = `cifar10:${packageFile('models/data/cifar10/test200.bin')}#0-7`
    const usual = await run(evalCommand, [model, '--data', data, '--predictions'])
    const fast = await run(evalCommand, [model, '--data', data, '--predictions', '--precision', 'fast'])
    const { predictions, loss } = usual.json as { predictions: number[], loss: number }
    expect(usual.json).toMatchObject({ precision: 'default' })
    expect(fast.json).toMatchObject({ precision: 'fast', predictions })
    expect((fast.json as { loss: number }).loss).toBeCloseTo(loss, 3)
    expect(fast.text).toContain('precision fast')
    await expect(run(evalCommand, [model, '--data', data, '--precision', 'quick'])).rejects
      .toThrow(/Expected high, default, fast/)
    await expect(run(explain, [model, '--data', data, '--precision', 'fast'])).rejects
      .toThrow(/explain --precision fast: rules of relevance .* leave it out/)
    await expect(run(bench, ['kernels', '--precision', 'fast'])).rejects.toThrow(/bench kernels: --precision is for/)
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

  test.each(['f32', 'f16'] as const)('tensors of %s are taken as normalised, and that is said', async (floats) => {
    const net = join(dir, `${floats}.safetensors`), file = join(dir, `t${floats}.safetensors`), area = 28 * 28
    await run(train, ['{"type":"mlp","hidden":[4]}', '--data', digits(0, 49), '--epochs', '1', '--out', net])
    const write = (scale: number) => {
      const images = Float32Array.from({ length: 4 * area }, (_, i) => scale * (i % 8 - 2))
      writeFileSync(
        file,
        encodeSafetensors([
          ['images', { shape: [4, 1, 28, 28], data: images }],
          ['labels', { shape: [4], data: Uint8Array.of(0, 1, 2, 3) }],
        ], { floats }),
      )
    }
    const type = floats.toUpperCase(), said: string[] = []
    write(0.25)
    const { json, text } = await run(evalCommand, [net, '--data', `tensors:${file}`], said)
    expect(text).toContain(`tensors of ${type}: taken as already normalised`)
    expect(text).not.toMatch(/mean|std|resize|crop/)
    expect(json).toMatchObject({
      normalised: type,
      preprocessing: { mean: null, std: null, resize: null, crop: null, channels: 1 },
      origins: { mean: 'tensors', std: 'tensors' },
    })
    expect(said).toEqual([])
    const args = [net, '--data', `tensors:${file}`], small = join(dir, `${floats}-small.safetensors`)
    const pruned = run(prune, [...args, '--method', 'magnitude', '--keep', '0.5', '--out', small])
    for (const answer of [await pruned, await run(explain, args)]) {
      expect(answer.text).toContain(`tensors of ${type}: taken as already normalised`)
      expect(answer.text).not.toMatch(/mean 0|std 0/)
      expect(answer.json).toMatchObject({ normalised: type, preprocessing: { mean: null, std: null } })
    }
    write(32)
    await run(evalCommand, [net, '--data', `tensors:${file}`], said)
    expect(said.join()).toMatch(/-64 to 160.*normalised values were expected/)
    const plain = await run(evalCommand, [net, '--data', digits(0, 3)])
    expect(plain.json).not.toHaveProperty('normalised')
    expect(plain.text).toMatch(/mean 0\.\d+, std 0\.\d+/)
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

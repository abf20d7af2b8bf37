import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inspect } from '../../src/commands/inspect.ts'
import { InputError } from '../../src/errors.ts'
import { encodeSafetensors } from '../../src/io/safetensors.ts'
import { hasGolden, shared } from '../golden.ts'
import { run, scratch } from './model.ts'

const dir = scratch()

describe('inspect', () => {
  test('an architecture by name, without a device', async () => {
    const { json, text } = await run(inspect, ['resnet20'])
    expect(json).toMatchObject({ architecture: { type: 'resnet20' }, params: 269_722, input: [3, 32, 32], classCount: 10 })
    expect(text).toContain('stages.2.0.layers.1.conv')
    const macs = 41_000_000
    expect((json as { macs: number }).macs).toBeGreaterThan(0.98 * macs)
  })

  test('JSON with options, and --arch over it', async () => {
    expect((await run(inspect, ['{"type":"mlp","inputs":16,"hidden":[8]}', '--arch', '{"classes":3}'])).json).toMatchObject({ params: 16 * 8 + 8 + 8 * 3 + 3, macs: 16 * 8 + 8 * 3 })
  })

  test.skipIf(!hasGolden('deit_tiny_imagenet8'))('a published checkpoint', async () => {
    const { json } = await run(inspect, [`${shared}/data/weights/deit_tiny_patch16_224.safetensors`])
    expect(json).toMatchObject({ naming: 'timm-vit', params: 5_717_416, classCount: 1000, preprocessing: { resize: 256, crop: 224, interpolation: 'bicubic' } })
  })

  test('what is no model is refused', async () => {
    const file = join(dir, 'data.safetensors')
    writeFileSync(file, encodeSafetensors([['images', { shape: [1], data: Float32Array.of(1) }]]))
    await expect(run(inspect, [file])).rejects.toThrow(InputError)
    await expect(run(inspect, ['resnet21'])).rejects.toThrow(/unknown architecture "resnet21", expected one of .*resnet20/)
    await expect(run(inspect, [join(dir, 'missing.safetensors')])).rejects.toThrow(/no such file/)
  })
})

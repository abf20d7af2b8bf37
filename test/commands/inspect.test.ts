import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inspect } from '../../src/commands/inspect.ts'
import type { AboutUnit } from '../../src/commands/unit-table.ts'
import { InputError } from '../../src/base/errors.ts'
import { encodeSafetensors } from '../../src/files/safetensors.ts'
import { hasGolden, shared } from '../support/golden.ts'
import { run, scratch } from '../support/model.ts'

const dir = scratch()

describe('inspect', () => {
  test('an architecture by name, without a device', async () => {
    const { json, text } = await run(inspect, ['resnet20'])
    expect(json).toMatchObject({
      architecture: { type: 'resnet20' },
      params: 269_722,
      input: [3, 32, 32],
      classCount: 10,
    })
    expect(text).toContain('stages.2.0.layers.1.conv')
    const macs = 41_000_000
    expect((json as { macs: number }).macs).toBeGreaterThan(0.98 * macs)
  })

  test('JSON with options, and --arch over it', async () => {
    expect((await run(inspect, ['{"type":"mlp","inputs":16,"hidden":[8]}', '--arch', '{"classes":3}'])).json)
      .toMatchObject({ params: 16 * 8 + 8 + 8 * 3 + 3, macs: 16 * 8 + 8 * 3 })
  })

  test.skipIf(!hasGolden('deit_tiny_imagenet8'))('a published checkpoint', async () => {
    const { json } = await run(inspect, [`${shared}/data/weights/deit_tiny_patch16_224.safetensors`])
    expect(json).toMatchObject({
      naming: 'timm-vit',
      params: 5_717_416,
      classCount: 1000,
      preprocessing: { resize: 256, crop: 224, interpolation: 'bicubic' },
    })
  })

  test('units: what goes together, costs, totals', async () => {
    const { json, text } = await run(inspect, ['resnet20', '--units'])
    expect(json).toMatchObject({ params: 269_722, residual: 'closing' })
    const { units } = json as { units: AboutUnit[] }
    expect(units.find(({ name }) => name === 'stages.2.1.inner.0')).toEqual({
      name: 'stages.2.1.inner.0',
      kind: 'filters',
      size: 64,
      shape: [64],
      exact: true,
      prunable: true,
      closing: false,
      perElement: { params: 2 * 64 * 9 + 2, macs: 2 * 64 * 9 * 64 },
      gates: ['stages.2.1.inner.0'],
      members: [
        ...['conv.weight', 'norm.gain', 'norm.bias', 'norm.mean', 'norm.variance'].map((leaf) => ({
          path: `stages.2.1.layers.0.${leaf}`,
          axis: 0,
        })),
        { path: 'stages.2.1.layers.1.conv.weight', axis: 1 },
      ],
    })
    expect(text).toMatch(
      new RegExp(
        String.raw`stages\.2\.1\.inner\.0 +filters +64 +1\.154 k +73\.728 k +yes +layers\.0\.conv\.weight, `
          + String.raw`layers\.0\.norm\.gain/bias/mean/variance \(0\); layers\.1\.conv\.weight \(1\)`,
      ),
    )
    expect(text).toMatch(/stream +residual +64 +no \[1\]/)
    expect(text).toContain('[1] closing gates keep this residual width')
    expect(text).toContain('can be cut exactly: 688 filters in 19 units')
    const coupled = await run(inspect, ['resnet20', '--units', '--residual', 'coupled'])
    expect(coupled.text).toContain('can be cut exactly: 336 filters in 9 units, 64 residual in 1 units')
    expect(coupled.text).toMatch(/stream +residual +64 +2\.896 k to 6\.105 k/)
    await expect(run(inspect, ['resnet20', '--units', '--residual', 'both'])).rejects.toThrow(
      /Allowed choices are closing, coupled/,
    )
  })

  test('what is no model is refused', async () => {
    const file = join(dir, 'data.safetensors')
    writeFileSync(file, encodeSafetensors([['images', { shape: [1], data: Float32Array.of(1) }]]))
    await expect(run(inspect, [file])).rejects.toThrow(InputError)
    await expect(run(inspect, ['resnet21'])).rejects.toThrow(
      /unknown architecture "resnet21", expected one of .*resnet20/,
    )
    await expect(run(inspect, [join(dir, 'missing.safetensors')])).rejects.toThrow(/no such file/)
  })
})

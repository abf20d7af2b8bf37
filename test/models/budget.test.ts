import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { checkBudget } from '../../models/budget.ts'
import { type Architecture, architectures, buildModel, entryOf, parseArchitecture } from '../../models/registry.ts'
import { InputError } from '../../src/base/errors.ts'
import { withoutDevice } from '../../src/core/tensor.ts'
import { leaves } from '../../src/core/tree.ts'
import { encodeSafetensors } from '../../src/files/safetensors.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { scratch } from '../support/model.ts'

const hostile: [Architecture, RegExp][] = [
  [{ type: 'swin', depths: [512, 512, 512, 512] }, /2048 blocks, expected at most 1024/],
  [{ type: 'swin', image: 4096, patch: 1, depths: [512], heads: [3], windows: 1 }, /entries of window positions/],
  [{ type: 'swin', image: 256, patch: 4, depths: [512], heads: [1], windows: 64 }, /entries of window positions/],
  [{ type: 'swin', depths: Array(64).fill(1), heads: Array(64).fill(1) }, /parameters/],
  [{ type: 'vit', depth: 512, width: 16384, heads: 1 }, /parameters, expected at most 1.1e9/],
  [{ type: 'vit', image: 4096, patch: 1 }, /parameters/],
  [{ type: 'resnet', layers: Array(64).fill(512) }, /blocks/],
  [{ type: 'resnet', layers: [1, 1, 1, 1, 1, 1, 1, 1], width: 16384 }, /parameters/],
  [{ type: 'vgg', plan: Array(200).fill(16384) }, /parameters/],
  [{ type: 'vgg', hidden: [131072, 131072] }, /parameters/],
  [{ type: 'mlp', inputs: 2 ** 24, hidden: [131072] }, /parameters/],
  [{ type: 'flatten-pvt', widths: [16384, 16384, 16384, 16384] }, /parameters/],
]

describe('what an architecture may take is reckoned before it is built', () => {
  test.each(hostile)('%j is refused at once', (architecture, sentence) => {
    const start = performance.now()
    expect(() =>
      withoutDevice(() => buildModel(parseArchitecture(JSON.stringify(architecture)) as Architecture, 'a.json'))
    )
      .toThrow(sentence)
    expect(performance.now() - start).toBeLessThan(1000)
  })

  test('every name of the registry is within', () => {
    for (const type of Object.keys(architectures)) checkBudget(entryOf({ type }).family, { type }, type)
  })

  test.each<Architecture>([
    { type: 'vit', image: 32, patch: 4, width: 96, depth: 4, heads: 3, hidden: 192, classes: 10 },
    { type: 'swin', image: 32, patch: 2, width: 24, depths: [2, 2], heads: [2, 4], windows: [8, 4], classes: 10 },
    {
      type: 'flatten-pvt',
      image: 64,
      widths: [16, 32],
      patches: [4, 2],
      depths: [1, 2],
      heads: [1, 2],
      ratios: [8, 4],
    },
    { type: 'vgg', plan: [8, 'pool', 16], side: 4, hidden: [32], classes: 10 },
    { type: 'resnet', layers: [2, 2], width: 8, stem: 'cifar' },
    { type: 'mlp', inputs: 784, hidden: [100], classes: 10 },
  ])('%j: what is reckoned is near what is built', (architecture) => {
    const built = leaves(withoutDevice(() => buildModel(architecture))).reduce((sum, [, leaf]) => sum + leaf.size, 0)
    const reckoned = (scale: number) => {
      try {
        checkBudget(entryOf(architecture).family, architecture, 'a', Infinity, built * scale)
        return 'within'
      } catch (error) {
        return (error as InputError).message
      }
    }
    expect(reckoned(2)).toBe('within')
    expect(reckoned(0.4)).toMatch(/parameters/)
  })

  const folder = scratch()
  test('inspect refuses such metadata, and more blocks than the file has tensors, with 2', async () => {
    const cli = await bundleForNode('src/cli.ts', 'budget'), path = join(folder, 'net.safetensors')
    const swin = (depths: number[]): Architecture => ({ type: 'swin', depths, heads: depths.map(() => 1) })
    for (
      const [architecture, sentence] of [hostile[0], [swin([512]), /512 blocks.*tensors, which is 1;/], [
        swin([500]),
        /500 blocks.*tensors, which is 1;/,
      ]] as const
    ) {
      const espalier = JSON.stringify({ format: 1, naming: 'espalier', architecture })
      writeFileSync(
        path,
        encodeSafetensors([['w', { shape: [1], data: new Float32Array(1) }]], { metadata: { espalier } }),
      )
      const start = performance.now(), { code, stderr } = await runNode(cli, ['inspect', path])
      expect(stderr).toMatch(sentence)
      expect(code).toBe(2)
      expect(performance.now() - start).toBeLessThan(15_000)
    }
  })
})

// A network with packed weights is the dense network with masked ones, to everything that reads it: logits, gradients,
// relevance by every composite, conservation, units, counts of multiply-adds; on networks with PyTorch's weights.
import { expect, test } from 'vitest'
import { Ledger, summarize } from '../../src/attribution/conservation.ts'
import { compositeNames, compositeOf } from '../../src/attribution/composites.ts'
import { attribute, oneHot } from '../../src/attribution/relevance.ts'
import { classesOf } from '../../models/registry.ts'
import { ViT } from '../../models/index.ts'
import { costOf } from '../../src/nn/macs.ts'
import { foldBatchNorm } from '../../src/nn/fold.ts'
import type { Model } from '../../src/nn/model.ts'
import { adamW, chooseUnits, densify, disposeTree, inference, initialize, leaves, Linear, linear, packedWeights,
  parameters, patternOf, scope, sparsify, sparseWeights, type Tensor, units, valueAndGrad, weightSites,
  sum } from '../../src/index.ts'
import { describeDevice } from '../support/device.ts'
import { relativeError } from '../reference/nd.ts'
import { type GoldenName, loadGolden } from '../support/attribution-goldens.ts'

const networks: [GoldenName, string][] = [
  ['deit_mini', 'block:16x8'],
  ['deit_distilled_mini', 'nm:2:4'],
  ['tv_swin_mini_pad', 'block:4x8'],
  ['flatten_swin_mini', 'unstructured'],
  ['tv_resnet_bottleneck_w4', 'block:4x4'],
  ['tv_vgg11_bn_d16', 'strided:8:2'],
]

async function both(name: GoldenName, pattern: string) {
  const { model, images } = loadGolden(name)
  const sparse = await sparsify(model, [1, ...images.shape.slice(1)], {
    pattern: patternOf(pattern),
    density: 0.4,
    ranking: 'per-unit',
  })
  return { model, images, sparse, masked: await densify(sparse) }
}

const values = async (model: Model, images: Tensor) => {
  const logits = inference(() => model.call(images)), found = await logits.data() as Float32Array
  logits.dispose()
  return found
}

async function relevance(model: Model, images: Tensor, composite: string, ledger?: Ledger) {
  const targets = oneHot(Array.from({ length: images.shape[0] }, (_, i) => i % 10), 10)
  const rules = compositeOf(composite, { mean: [0.5], std: [0.25], channels: 3 })
  const reading = attribute(model, images, targets, { seed: 'unit', composite: rules, read: 'relevance' }, {
    gates: true,
    softmax: true,
    ledger,
  })
  const input = await reading.input.data() as Float32Array, sites = new Map<string, Float32Array>()
  for (const [path, site] of reading.sites) sites.set(path, await site.data() as Float32Array)
  disposeTree([reading.input, reading.logits, targets, [...reading.sites.values()]])
  return { input, sites }
}

describeDevice('networks with packed weights', (adapter) => {
  test.each(networks)(
    '%s as %s: logits, gradients and relevance are those of masked weights',
    async (name, pattern) => {
      const { model, images, sparse, masked } = await both(name, pattern)
      expect(sparseWeights(sparse).length).toBeGreaterThan(2)
      expect(sparseWeights(sparse).length).toBe(weightSites(model, images.shape).sites.length)
      const expected = await values(masked, images)
      expect(relativeError(await values(sparse, images), expected)).toBeLessThan(1e-5)
      expect(relativeError(expected, await values(model, images))).toBeGreaterThan(1e-2)

      // what batch norm is folded into may be packed too
      const [folded, plain] = [sparse, masked].map((network) => foldBatchNorm(network, [1, ...images.shape.slice(1)]))
      expect(relativeError(await values(folded, images), expected)).toBeLessThan(1e-4)
      // The flat rule counts a layer's inputs whatever its weights; of a packed first layer, those that are kept.
      const names = adapter === 'cpu' ? compositeNames : ['attn-lrp', 'z-plus'] as const
      for (const composite of names.filter((each) => each !== 'epsilon-plus-flat')) {
        const found = await relevance(folded, images, composite), wanted = await relevance(plain, images, composite)
        // rules by sign divide by sums that may nearly cancel, which rounding in another order changes; alpha-beta
        // subtracts two such parts in every layer
        const tolerance = ['epsilon', 'attn-lrp', 'cp-lrp'].includes(composite)
          ? 1e-5
          : composite.includes('alpha2')
          ? 5e-4
          : 1e-4
        expect(relativeError(found.input, wanted.input), composite).toBeLessThan(tolerance)
        expect([...found.sites.keys()]).toEqual([...wanted.sites.keys()])
        for (const [path, site] of wanted.sites) {
          expect(relativeError(found.sites.get(path)!, site), `${composite} ${path}`).toBeLessThan(2 * tolerance)
        }
      }
      disposeTree([model, sparse, masked, folded, plain, images])
    },
    400_000,
  )

  test('gradients go to the kept values and to everything else', async () => {
    const { model, images, sparse, masked } = await both('deit_mini', 'block:16x8')
    const loss = (network: Model, x: Tensor) => sum(network.call(x))
    const [, found] = valueAndGrad(loss)(sparse, images), [, wanted] = valueAndGrad(loss)(masked, images)
    const dense = new Map(leaves(wanted))
    for (const [path, weight] of sparseWeights(sparse)) {
      const gradient = new Map(leaves(found)).get(`${path}.values`)!
      const packed = { ...await weight.packed(), values: await gradient.data() as Float32Array }
      const kept = await weight.dense()
      const own = weight.packing.pattern.unpack(packed).map((value, i) => kept[i] ? value : 0)
      const other = (await dense.get(path)!.data() as Float32Array).map((value, i) => kept[i] ? value : 0)
      expect(relativeError(own, other), path).toBeLessThan(1e-4)
    }
    for (const path of ['positions', 'blocks.0.norm1.gain', 'blocks.1.mlp.fc1.bias']) {
      const gradient = await new Map(leaves(found)).get(path)!.data()
      expect(relativeError(gradient, await dense.get(path)!.data()), path).toBeLessThan(1e-4)
    }
    // one step of training changes the values and leaves the places alone
    const before = await sparseWeights(sparse)[0][1].packed()
    scope(() => {
      adamW(parameters(sparse) && sparse, { rate: 0.1 }).update(sparse, found)
    })
    const after = await sparseWeights(sparse)[0][1].packed()
    expect(after.index).toStrictEqual(before.index)
    expect(relativeError(after.values, before.values)).toBeGreaterThan(1e-3)
    disposeTree([model, images, sparse, masked, found, wanted])
  }, 120_000)

  test.each([['deit_mini', 'block:16x8'], ['tv_resnet_bottleneck_w4', 'block:4x4']] as [GoldenName, string][])(
    'relevance in %s is conserved, layer by layer',
    async (name, pattern) => {
      const { model, images, sparse, masked } = await both(name, pattern)
      const [folded, plain] = [sparse, masked].map((network) => foldBatchNorm(network, [1, ...images.shape.slice(1)]))
      const [mine, theirs] = [new Ledger(), new Ledger()]
      await relevance(folded, images, 'attn-lrp', mine)
      await relevance(plain, images, 'attn-lrp', theirs)
      const found = summarize(await mine.flows()), wanted = summarize(await theirs.flows())
      expect(found.map(({ layer }) => layer)).toEqual(wanted.map(({ layer }) => layer))
      const scale = Math.max(...wanted.map(({ entering }) => Math.abs(entering)))
      found.forEach(({ absorbed, rest, layer }, i) => {
        expect(Math.abs(absorbed - wanted[i].absorbed) / scale, layer).toBeLessThan(1e-4)
        expect(Math.abs(rest - wanted[i].rest) / scale, layer).toBeLessThan(1e-4)
      })
      disposeTree([model, images, sparse, masked, folded, plain])
    },
    120_000,
  )

  test('counts: multiply-adds of the dense layer, those that are done, entries that are stored', async () => {
    const { model, images, sparse, masked } = await both('deit_mini', 'block:16x8')
    const input = images.shape.slice(1) as [number, number, number]
    const before = costOf(model, input), after = costOf(sparse, input)
    expect(after.macs).toBe(before.macs)
    expect(before.keptMacs).toBe(before.macs)
    expect(after.keptMacs).toBeLessThan(0.6 * before.macs)
    expect(after.layers.map(({ name }) => name)).toEqual(before.layers.map(({ name }) => name))
    const stored = sparseWeights(sparse).reduce((total, [, { kept }]) => total + kept, 0)
    const whole = sparseWeights(sparse).reduce((total, [, { packing: { shape } }]) => total + shape[0] * shape[1], 0)
    expect(after.params).toBe(before.params - whole + stored)
    expect(Math.abs(stored / whole - 0.4)).toBeLessThan(0.05)
    const layer = (name: string) => after.layers.find((each) => each.name === name)!
    const fc1 = packedWeights(sparse).find(([path]) => path === 'blocks.0.mlp.fc1.weight')![1]
    expect(layer('blocks.0.mlp.fc1').keptMacs).toBe(layer('blocks.0.mlp.fc1').macs * fc1.kept / (96 * 48))
    expect(classesOf(sparse)).toBe(10)

    // what lies in tiles is no unit that could be cut, and says so
    const found = units(sparse, images.shape), hidden = found.find(({ name }) => name === 'blocks.0.mlp.hidden')!
    expect(String(hidden.prunable === true ? hidden.exact : hidden.prunable)).toMatch(/tiles of a sparsity pattern/)
    expect(() => chooseUnits(found)).toThrow(/nothing of that can be cut.*tiles of a sparsity pattern/)
    // start values are for dense weights
    const kept = await sparseWeights(sparse)[0][1].dense()
    initialize(sparse, 1)
    expect(await sparseWeights(sparse)[0][1].dense()).toStrictEqual(kept)
    disposeTree([model, images, sparse, masked])
  }, 120_000)

  test('what can be packed, what is left out, and layers that cannot', async () => {
    const model = initialize(new ViT({ image: 16, patch: 8, width: 16, depth: 2, heads: 2, classes: 4 }), 1)
    const { sites, others } = weightSites(model, [1, 3, 16, 16])
    expect(sites).toHaveLength(14) // the patches, six of each block, and the classifier
    expect(others.size).toBe(0)
    expect(sites.find(({ path }) => path === 'blocks.1.attention.out')).toMatchObject({
      outputs: [16],
      inputs: [2, 8],
      matrix: [16, 16],
    })
    const pattern = patternOf('block:4x4'), options = { pattern, density: 0.5 }
    const part = await sparsify(model, [1, 3, 16, 16], { ...options, skip: ['head', 'patches', 'blocks.0', '*.query'] })
    expect(sparseWeights(part).map(([path]) => path)).toEqual(
      ['key', 'value', 'out'].map((name) => `blocks.1.attention.${name}`).concat(
        ['fc1', 'fc2'].map((name) => `blocks.1.mlp.${name}.weight`),
      ),
    )
    // the rest is packed in a second go, in another pattern
    const more = await sparsify(part, [1, 3, 16, 16], { pattern: patternOf('nm:2:4'), density: 0.5, skip: ['head'] })
    expect(new Set(sparseWeights(more).map(([, { packing }]) => packing.pattern.name)).size).toBe(2)
    await expect(sparsify(model, [1, 3, 16, 16], { ...options, skip: ['haed'] })).rejects.toThrow(
      /--skip 'haed': no weight has such a name, expected one of /,
    )
    await expect(sparsify(more, [1, 3, 16, 16], options)).resolves.toBeTruthy() // the classifier was left
    await expect(sparsify(model, [1, 3, 16, 16], { pattern: patternOf('nm:1:32'), density: 1 })).rejects.toThrow(
      /cannot be nm:1:32: it has 16 inputs, fewer than a group of 32; leave it out with --skip /,
    )
    // of all tiles together, the strongest; the smaller the weights of a layer, the fewer
    const strong = model.blocks[0].mlp.fc1.weight
    strong.write((await strong.data() as Float32Array).map((value) => 10 * value))
    const global = await sparsify(model, [1, 3, 16, 16], options)
    const densities = new Map(
      sparseWeights(global).map(([path, { kept, packing: { shape } }]) =>
        [path, kept / (shape[0] * shape[1])] as const
      ),
    )
    expect(densities.get('blocks.0.mlp.fc1.weight')).toBe(1)
    expect(densities.get('blocks.1.mlp.fc1.weight')).toBeLessThan(0.5)
    disposeTree([model, part, more, global])

    class Own {
      weight = new Linear(16, 8).weight
      call(x: Tensor) {
        return linear(x.view([x.shape[0], 16]), this.weight, null)
      }
    }
    await expect(sparsify(new Own(), [1, 1, 4, 4], options)).rejects.toThrow(
      /a layer cannot multiply by a packed weight, e\.g\. weight .* call applied\(x, weight, bias\)/,
    )
  }, 60_000)
})

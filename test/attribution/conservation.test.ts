// Relevance at the input, plus what every bias and constant absorbed, is the relevance put in at the logits; on real
// architectures.
import { expect, test } from 'vitest'
import { type Composite, on } from '../../src/attribution/composite.ts'
import { attnLRP, attnLRPGamma, boxOf, cpLRP, epsilonAlpha2Beta1, epsilonGammaBox, epsilonPlus, epsilonPlusFlat, recipe,
  structure } from '../../src/attribution/composites.ts'
import { type Flow, Ledger, summarize } from '../../src/attribution/conservation.ts'
import { attribute, oneHot } from '../../src/attribution/relevance.ts'
import { gatesOf } from '../../src/nn/gates.ts'
import { flat, zPlus } from '../../src/attribution/rules.ts'
import type { Model } from '../../src/nn/model.ts'
import { disposeTree, leaves, linear, maskedLinear, maskedMatmul, reshape, scope, sum, type Tensor,
  tensor } from '../../src/index.ts'
import { foldBatchNorm } from '../../src/nn/fold.ts'
import { describeDevice } from '../support/device.ts'
import { relativeError } from '../reference/nd.ts'
import { type GoldenName, goldenNames, loadGolden } from '../support/attribution-goldens.ts'

const total = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0)

async function best(model: Model, images: Tensor): Promise<number[]> {
  const logits = scope(() => model.call(images))
  const values = [...await logits.data()], classes = values.length / images.shape[0]
  logits.dispose()
  return Array.from({ length: images.shape[0] }, (_, i) => {
    const row = values.slice(i * classes, (i + 1) * classes)
    return row.indexOf(Math.max(...row))
  })
}

interface Explained {
  input: Float32Array
  flows: Flow[]
  sites: Map<string, number>
  seeded: number
}

async function explain(model: Model, images: Tensor, composite: Composite): Promise<Explained> {
  const classes = await best(model, images)
  const targets = oneHot(classes, 10), ledger = new Ledger()
  const reading = attribute(model, images, targets, { seed: 'unit', composite, read: 'relevance' }, {
    ledger,
    gates: true,
  })
  const input = await reading.input.data() as Float32Array
  const sites = new Map<string, number>()
  for (const [path, site] of reading.sites) sites.set(path, total(await site.data()))
  const flows = await ledger.flows()
  disposeTree([reading.input, reading.logits, targets, [...reading.sites.values()]])
  return { input, flows, sites, seeded: images.shape[0] }
}

const sinks = ['attention'] // its softmax does not conserve

describeDevice('conservation', () => {
  const box = boxOf({ mean: [0.5], std: [0.25], channels: 3 })
  const plain: [string, Composite][] = [['attn-lrp', attnLRP], ['cp-lrp', cpLRP]]
  const bySign: [string, Composite][] = [
    ['epsilon-plus', epsilonPlus],
    ['epsilon-plus-flat', epsilonPlusFlat],
    ['epsilon-alpha2-beta1', epsilonAlpha2Beta1],
    ['epsilon-gamma-box', epsilonGammaBox(box)],
    ['attn-lrp-gamma', attnLRPGamma],
    [
      'mixed',
      recipe({ low: 'z-plus', middle: 'gamma', high: 'alpha2-beta1', classifier: 'epsilon', softmax: 'z-plus' }),
    ],
  ]

  // z-plus loses the relevance of outputs without any positive contribution, which a ResNet has (before its sums no
  // relu stops them).
  for (
    const [name, composites] of [
      ['deit_mini', [...plain, ...bySign]],
      ['deit_distilled_mini', plain],
      ['tv_swin_mini_pad', [...plain, bySign[4]]],
      ['flatten_swin_mini', [...plain, bySign[4]]],
      ['tv_resnet_bottleneck_w4', [...plain, bySign[3]]],
      ['tv_vgg11_bn_d16', [plain[0], ...bySign]],
    ] as [GoldenName, [string, Composite][]][]
  ) {
    for (const [label, composite] of composites) {
      test(`${name}, ${label}`, async () => {
        const { model, images } = loadGolden(name)
        const used = plain.some(([each]) => each === label) ? model : foldBatchNorm(model, images.shape)
        const { input, flows, sites, seeded } = await explain(used, images, composite)
        const absorbed = total(flows.map((flow) => flow.absorbed))
        const softmax = total(flows.filter(({ op }) => sinks.includes(op)).map(({ rest }) => rest))
        expect(Math.abs(total(input) + absorbed + softmax - seeded) / seeded, 'input + absorbed = seed').toBeLessThan(
          1e-3,
        )
        const largest = Math.max(...flows.map(({ entering }) => Math.abs(entering)))
        for (const { op, layer, rest } of flows) {
          if (!sinks.includes(op)) expect(Math.abs(rest) / largest, `${op} at ${layer}`).toBeLessThan(1e-3)
        }
        if (label === 'cp-lrp') expect(Math.abs(softmax)).toBeLessThan(1e-3)
        if (label === 'attn-lrp' && name === 'deit_mini') {
          expect(Math.max(...flows.filter(({ op }) => op === 'attention').map(({ rest }) => Math.abs(rest))))
            .toBeGreaterThan(1e-3)
        }
        expect([...sites.keys()].sort()).toEqual(gatesOf(model).map(([path]) => path).sort())
        const gates = flows.filter(({ op }) => op === 'gate')
        expect(total([...sites.values()])).toBeCloseTo(total(gates.map(({ entering }) => entering)), 3)
        if (used !== model) disposeTree(used)
        disposeTree([model, images])
      })
    }
  }

  // CP-LRP does not reach what is added to logits, queries or keys.
  const constants = /[bB]ias$|positions$|Token$|\.mean$/
  for (const name of goldenNames) {
    test(`${name} without biases: nothing is absorbed`, async () => {
      const { model, images } = loadGolden(name)
      for (const [path, leaf] of leaves(model)) if (constants.test(path)) leaf.write(new Float32Array(leaf.size))
      const { input, flows, seeded } = await explain(model, images, cpLRP)
      const absorbed = summarize(flows).filter(({ absorbed }) => Math.abs(absorbed) > 1e-3)
      expect(absorbed.map(({ layer, op }) => `${op} at ${layer}`)).toEqual([])
      expect(Math.abs(total(input) - seeded) / seeded).toBeLessThan(1e-3)
      disposeTree([model, images])
    })
  }

  test('images of a batch do not mix', async () => {
    const { model, images } = loadGolden('tv_swin_mini_pad')
    const [count] = images.shape, size = images.size / count
    const together = await explain(model, images, attnLRPGamma)
    const pixels = await images.data() as Float32Array
    for (let i = 0; i < count; i++) {
      const single = tensor(pixels.slice(i * size, (i + 1) * size), [1, ...images.shape.slice(1)])
      const { input } = await explain(model, single, attnLRPGamma)
      expect(relativeError(input, together.input.subarray(i * size, (i + 1) * size))).toBeLessThan(1e-4)
      single.dispose()
    }
    disposeTree([model, images])
  })

  test('rules by sign refuse a batch norm that is not folded, first-layer rules any other layer', async () => {
    const { model, images } = loadGolden('tv_vgg11_bn_d16')
    await expect(explain(model, images, epsilonPlus)).rejects.toThrow('foldBatchNorm')
    await expect(explain(model, images, [on('linear', { group: 'classifier' }, flat()), ...structure()])).rejects
      .toThrow('{ first: true }')
    disposeTree([model, images])
  })

  // Both factors depend on the image, so each is due half of what the product carries.
  test('masked products conserve relevance as plain ones do', async () => {
    const values = (count: number, from: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(from + i))
    const weight = tensor(values(16, 1), [4, 4]), head = tensor(values(40, 2), [10, 4])
    const kept = (count: number) => Float32Array.from({ length: count }, (_, i) => Number(i % 3 > 0))
    const mask = tensor(kept(16), [4, 4]), pattern = tensor(kept(32), [2, 4, 4])
    const model = {
      call(x: Tensor) {
        const rows = reshape(x, { shape: [2, 4, 4] })
        const product = maskedMatmul(rows, maskedLinear(rows, weight, mask, null), pattern)
        return linear(sum(product, { axes: [1] }), head, null)
      },
    }
    const images = tensor(values(32, 3), [2, 1, 4, 4])
    const { input, flows, seeded } = await explain(model, images, attnLRP)
    for (const name of ['masked-linear', 'masked-matmul']) expect(flows.map(({ op }) => op)).toContain(name)
    for (const { op, entering, rest } of flows) {
      expect(Math.abs(rest), op).toBeLessThan(1e-3 * Math.abs(entering) + 1e-4)
    }
    expect(Math.abs(total(input) - seeded)).toBeLessThan(1e-3)
    disposeTree([weight, head, mask, pattern, images])
  })

  test('z-plus keeps relevance positive', async () => {
    const { model, images } = loadGolden('tv_vgg11_bn_d16')
    const folded = foldBatchNorm(model, images.shape)
    const { input } = await explain(folded, images, [on(['conv2d', 'linear'], zPlus()), ...structure()])
    expect(Math.min(...input)).toBeGreaterThanOrEqual(-1e-6)
    disposeTree([model, folded, images])
  })
})

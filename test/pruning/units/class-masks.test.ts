// Networks whose gates have a mask per class: units, costs and folding are those of the network without, and a cut
// takes the masks' columns along.
import { expect, test } from 'vitest'
import { cifarResNet, Swin, ViT } from '../../../models/index.ts'
import { disposeTree, foldBatchNorm, gatesOf, initialize, type Tensor, tensor, trace, units,
  withClassMasks } from '../../../src/index.ts'
import { costOf } from '../../../src/nn/macs.ts'
import type { Gate } from '../../../src/nn/gate.ts'
import type { Model } from '../../../src/nn/model.ts'
import { sliceModel } from '../../../src/pruning/plan/slice.ts'
import { describeDevice } from '../../support/device.ts'
import { generator, random, relativeError } from '../../reference/nd.ts'

const shape = [3, 16, 16] as const, classes = 4
const networks: [string, () => Model][] = [
  ['a ViT', () => new ViT({ image: 16, patch: 4, width: 8, depth: 2, heads: 2, hidden: 12, classes })],
  [
    'a Swin, whose batch axis holds windows',
    () => new Swin({ image: 16, patch: 2, width: 8, depths: [2], heads: [2], windows: 4, ratio: 2, classes }),
  ],
]

/** Sets a mask with a row per class at every gate of the network. */
function maskClasses(model: Model): void {
  const next = generator(5), sizes = new Map<Gate, number[]>()
  for (const { op, attrs, out } of trace((give) => model.call(give([1, ...shape]))).calls) {
    const { at, axes } = attrs as { at?: Gate, axes: readonly number[] }
    if (op.name === 'gate' && at) sizes.set(at, axes.map((axis) => out.shape.at(axis)!))
  }
  for (const [gate, size] of sizes) {
    const all = [classes, ...size]
    gate.mask = tensor(Float32Array.from({ length: all.reduce((a, b) => a * b) }, () => 0.5 + next()), all)
  }
}

/** What is known of units, without the masks among their members. */
const known = (model: Model) =>
  units(model, [1, ...shape]).map(({ members, ...unit }) => ({
    ...unit,
    gates: unit.gates.map(({ path }) => path),
    members: members.filter(({ path }) => !path.endsWith('.mask')),
  }))

describeDevice('masks of classes', () => {
  test.each(networks)('leave units and costs of %s as they are', (_, make) => {
    const model = initialize(make(), 7, { std: 0.3 }), before = known(model), cost = costOf(model, shape)
    maskClasses(model)
    expect(known(model)).toEqual(before)
    expect(costOf(model, shape)).toEqual(cost)
    expect(costOf(model, shape).macs).toBeGreaterThan(1000)
    disposeTree(model)
  })

  test.each(networks)(
    'are cut with the units of %s: what is left computes what zeros in their place did',
    async (_, make) => {
      const model = initialize(make(), 7, { std: 0.3 })
      maskClasses(model)
      const found = units(model, [1, ...shape]).filter(({ exact, prunable, shape }) =>
        exact === true && prunable === true && shape.length === 1
      )
      const plan = new Map(
        found.map(({ name, size }) => [name, Uint8Array.from({ length: size }, (_, i) => Number(i % 2 === 0))]),
      )
      expect(plan.size).toBeGreaterThan(1)
      const image = tensor(Float32Array.from(random(3, [3, ...shape]).data), [3, ...shape]),
        labels = tensor(Int32Array.of(2, 0, 2))
      const small = await sliceModel(model, [1, ...shape], plan)
      const at = async (network: Model) => {
        const out: Tensor = withClassMasks(network, labels, () => network.call(image))
        return out.data()
      }
      const sliced = await at(small)
      const gates = new Map(gatesOf(model)), narrow = new Map(gatesOf(small))
      for (const { name, gates: members } of found) {
        const keep = plan.get(name)!, kept = [...keep.keys()].filter((i) => keep[i])
        for (const { path } of members) {
          const { mask } = gates.get(path)!, rows = await mask!.data(), [count, width] = mask!.shape
          const cut = narrow.get(path)!.mask!
          expect([...cut.shape], path).toEqual([count, kept.length])
          const expected = Array.from({ length: count }, (_, row) => kept.map((i) => rows[row * width + i])).flat()
          expect([...await cut.data()], path).toEqual(expected)
          mask!.write(rows.map((value, i) => keep[i % width] ? value : 0) as Float32Array)
        }
      }
      expect(relativeError(sliced, Float64Array.from(await at(model)))).toBeLessThan(1e-5)
      for (const each of [model, small]) disposeTree(each)
    },
  )

  test('do not keep batch norm from being folded', async () => {
    const model = initialize(cifarResNet(8, { width: 4, classes }), 7)
    const gate = gatesOf(model)[0][1]
    const { calls } = trace((give) => model.call(give([1, 3, 32, 32])))
    const size = calls.find(({ attrs }) => (attrs as { at?: Gate }).at === gate)!.out.shape.at(-3)!
    gate.mask = tensor(new Float32Array(classes * size).fill(1), [classes, size])
    const folded = foldBatchNorm(model, [1, 3, 32, 32])
    expect(
      trace((give) => withClassMasks(folded, tensor(new Int32Array(1)), () => folded.call(give([1, 3, 32, 32])))).calls
        .some(({ op }) => op.name.startsWith('batch')),
    ).toBe(false)
    disposeTree(folded)
    disposeTree(model)
  })
})

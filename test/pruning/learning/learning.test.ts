// What learned methods share: targets from budgets, masks of units at their gates, stages, the best epoch.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { close, init } from '../../../src/gpu/device.ts'
import { MLP, Swin, ViT } from '../../../models/index.ts'
import { tensor } from '../../../src/core/tensor.ts'
import { disposeTree } from '../../../src/core/tree.ts'
import { partOf } from '../../../src/data/subset.ts'
import { initialize } from '../../../src/nn/init.ts'
import { costOf } from '../../../src/nn/macs.ts'
import { finetune } from '../../../src/pruning/learning/finetune.ts'
import { GateMasks } from '../../../src/pruning/learning/gate-masks.ts'
import { learnStage } from '../../../src/pruning/learning/stage.ts'
import { rateTarget } from '../../../src/pruning/learning/target.ts'
import { methodOf } from '../../../src/pruning/methods/index.ts'
import { learnMasks } from '../../../src/pruning/methods/xpruner/stages.ts'
import { settingsOf } from '../../../src/pruning/methods/xpruner/settings.ts'
import { jobOf } from '../../../src/pruning/prune.ts'
import { hostWeights } from '../../../src/pruning/plan/slice.ts'
import { units } from '../../../src/pruning/units/units.ts'
import { accuracyOf } from '../../../src/train/evaluate.ts'
import { keepBest } from '../../../src/train/keep-best.ts'
import { noStore } from '../../../src/train/resume.ts'
import { openDigits } from '../../support/digits.ts'

const open = (count: number) => openDigits(0, count - 1)
const vit = () =>
  initialize(new ViT({ image: 28, patch: 7, channels: 1, width: 16, depth: 2, heads: 4, hidden: 24, classes: 10 }), 3)
const [N, D, head, hidden, heads, dim] = [17, 16, 4 * 17 * 16 * 4 + 2 * 17 * 17 * 4, 24, 4, 4]

describe('what learned methods share on cpu', () => {
  beforeAll(async () => {
    await init({ adapter: 'cpu', fixedVariants: true })
  })
  afterAll(close)

  test('a budget is a share of what may go: heads and neurons cost what the arithmetic says', async () => {
    const model = vit(), data = await open(4), method = methodOf('xpruner'), whole = costOf(model, [1, 28, 28]).macs
    const at = async (budget: object) => rateTarget(await jobOf(model, method, { data, multipleOf: 1, ...budget }))
    const cost = 2 * (heads * head + hidden * 2 * N * D)
    const macs = await at({ macs: 0.7 })
    expect(macs.alpha).toBeCloseTo(0.3 * whole / cost, 9)
    expect(macs.weights.get('blocks.1.attention.heads')).toBeCloseTo(heads * head / cost, 9)
    expect([...macs.weights.values()].reduce((a, b) => a + b)).toBeCloseTo(1, 9)
    const keep = await at({ keep: 0.6 })
    expect([keep.alpha, keep.weights.get('blocks.0.mlp.hidden')]).toEqual([0.4, 24 / 56])
    const params = await at({ params: 0.8 })
    expect(params.weights.get('blocks.0.mlp.hidden')! / params.weights.get('blocks.0.attention.heads')!).toBeCloseTo(
      hidden * (2 * D + 1) / (heads * (4 * D * dim + 3 * dim)),
      9,
    )
    await expect(at({ macs: 0.05 })).rejects.toThrow(/cannot be met/)
    // Milliseconds: the multiply-adds of the plan that was measured to be fast enough.
    const job = await jobOf(model, method, { data, multipleOf: 1, ms: 1 })
    const plan = new Map([['blocks.0.mlp.hidden', Uint8Array.from({ length: hidden }, (_, i) => Number(i < 6))]])
    const time = await rateTarget({ ...job, choose: () => Promise.resolve({ plan, count: 18, notes: [] }) })
    expect(time.what).toBe('macs')
    expect(time.share).toBeCloseTo(1 - 18 * 2 * N * D / whole, 9)
    expect(time.alpha).toBeCloseTo(18 * 2 * N * D / cost, 9)
    disposeTree(model)
  })

  test('one mask of a unit stands at all its gates', async () => {
    const model = new Swin({
      image: 28,
      patch: 7,
      channels: 1,
      width: 12,
      depths: [1],
      heads: [3],
      windows: 2,
      kinds: 'L',
    })
    const found = units(model, [1, 1, 28, 28]), unit = found.find(({ kind }) => kind === 'heads')!
    const places = new GateMasks(found), mask = tensor([1, 2, 3]), placed = places.at(new Map([[unit.name, mask]]))
    expect([...placed.keys()].map((path) => path.split('.').at(-1)).sort()).toEqual(['heads', 'keyHeads', 'queryHeads'])
    expect(new Set(placed.values())).toEqual(new Set([mask]))
    const reversed = new GateMasks([{ ...unit, gates: [{ path: 'a', element: [2, 1, 0] }] }])
    expect([...await reversed.at(new Map([[unit.name, mask]])).get('a')!.data()]).toEqual([3, 2, 1])
    for (const each of [places, reversed]) each.dispose()
    disposeTree([model, mask])
  })

  test('the best epoch on images that are held out is what a network has in the end', async () => {
    const data = await open(60), model = initialize(new MLP({ hidden: [8] }), 3, 'kaiming')
    const part = (first: number, count: number) => partOf(data, Array.from({ length: count }, (_, i) => first + i))
    const job = { model, data: part(0, 40), classes: 10, batch: 20, seed: 1, store: noStore }
    const held = part(40, 20), best = keepBest(model, held, { batch: 20 })
    const record = await learnStage(job, model, {
      name: 'stage',
      epochs: 6,
      rate: 0.05,
      hooks: [best],
      measure: ({ state }) => ({ epoch: state.epoch }),
    })
    expect(record).toMatchObject({ name: 'stage', epochs: 6, images: 40, curves: { epoch: [1, 2, 3, 4, 5, 6] } })
    expect(best.accuracies).toHaveLength(6)
    best.restore(model)
    expect((await accuracyOf(model, held)).top1).toBe(Math.max(...best.accuracies))
    expect(best.accuracies[best.epoch - 1]).toBe(Math.max(...best.accuracies))
    disposeTree(model)
  })

  test('fine-tuning of its own, and masks that learn while weights stay', async () => {
    const data = await open(40), model = vit(), notes: string[] = []
    const job = await jobOf(model, methodOf('xpruner'), { data, keep: 0.5, batch: 20 })
    await expect(finetune(model, job, new Map(), { epochs: 1, best: 0.001 }, notes)).rejects.toThrow(/leaves none/)
    const { curves } = await finetune(model, job, new Map(), { epochs: 2, best: 0.25 }, notes)
    expect(curves['held-out top-1']).toHaveLength(2)
    expect(notes.join()).toMatch(/epoch [12] of 2 is the best on 10 images that were held out/)
    const before = await hostWeights(model)
    const masks = new Map(
      job.units.map(({ name, size }) => [name, tensor(new Float32Array(10 * size).fill(1), [10, size])]),
    )
    await learnMasks(job, masks, settingsOf({ 'mask-epochs': '2', 'mask-rate': '1' }))
    expect(await hostWeights(model)).toEqual(before)
    for (const mask of masks.values()) expect(new Set(await mask.data()).size).toBeGreaterThan(10)
    disposeTree([model, [...masks.values()]])
  })
})

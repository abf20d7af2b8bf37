// GOHSP from end to end on small transformers: budgets of heads and neurons, a network that is soft before it is cut, a
// cut that is Z's, stages that go on to the same numbers.
import { expect, test } from 'vitest'
import { costOf } from '../../../src/nn/macs.ts'
import type { Model } from '../../../src/nn/model.ts'
import { disposeTree } from '../../../src/core/tree.ts'
import { type Dataset } from '../../../src/data/datasets.ts'
import { supportsWithin } from '../../../src/pruning/methods/gohsp/supports.ts'
import { gohsp } from '../../../src/pruning/methods/gohsp.ts'
import { hostWeights, type Plan } from '../../../src/pruning/plan/slice.ts'
import { jobOf, prune, type PruneOptions } from '../../../src/pruning/prune.ts'
import type { Unit } from '../../../src/pruning/units/units.ts'
import { memoryStore } from '../../../src/train/resume.ts'
import { describeDevice } from '../../support/device.ts'
import { digitSwin, digitViT, openDigits } from '../../support/digits.ts'

const slow = 240_000
const open = openDigits, vit = () => digitViT({ hidden: 48 }), swin = (kinds: string) => digitSwin({ kinds, ratio: 4 })
const set = { 'soft-epochs': '4', 'soft-rate': '2e-2', 'rho': '0.2', 'rho-growth': '2', 'graph-images': '20' }
const options = (data: Dataset, more: Partial<PruneOptions> = {}): PruneOptions => ({
  method: 'gohsp',
  data,
  batch: 20,
  seed: 4,
  multipleOf: 1,
  options: set,
  ...more.keep === undefined && more.macs === undefined && more.bytes === undefined && { params: 0.7 },
  ...more,
})
const counts = (plan: Plan, kind: RegExp) =>
  [...plan].filter(([name]) => kind.test(name)).map(([, keep]) => keep.reduce((a, b) => a + b, 0))

describeDevice('gohsp', (adapter) => {
  test('prunes a ViT to its budget by heads and neurons; residuals fall; what is cut was soft', async () => {
    const data = await open(0, 99), model = vit(), before = await hostWeights(model)
    const found = await prune(model, options(data, { finetune: { epochs: 1, rate: 1e-3 } }))
    expect(await hostWeights(model), 'the dense network').toEqual(before)
    const [dense, small] = [costOf(model, [1, 28, 28]).params, costOf(found.model, [1, 28, 28]).params]
    expect(small / dense).toBeLessThanOrEqual(0.7)
    expect(small / dense).toBeGreaterThan(0.69)
    expect(counts(found.plan, /heads/)).toEqual([2, 2])
    expect(new Set(counts(found.plan, /hidden/)).size, 'uniform, but for what is left over').toBeLessThanOrEqual(2)
    expect(found.difference).toBeLessThan(1e-4)
    expect(found.stages.map(({ name, epochs, losses }) => [name, epochs, losses.length])).toEqual([
      ['soft-pruning', 4, 4],
      ['fine-tuning', 1, 1],
    ])
    const { curves, layers } = found.stages[0]
    expect(layers).toBe('residual')
    expect(curves.rho).toEqual([0.4, 0.8, 1.6, 2].map((rho) => expect.closeTo(rho, 9) as number))
    expect(curves.residual[3]).toBeLessThan(0.7 * curves.residual[0])
    for (const name of found.plan.keys()) expect(curves[name], name).toHaveLength(4)
    disposeTree([model, found.model])
  }, slow)

  if (adapter !== 'cpu') return // what follows is the same on every device, and long on a software driver

  test.each<[string, () => Model, Partial<PruneOptions>, [kind: 'params' | 'macs' | null, share: number]]>([
    ['a Swin, by multiply-adds, spread over layers', () => swin('S'), {
      macs: 0.6,
      options: { ...set, 'soft-epochs': '1', 'head-spread': 'global', 'neuron-spread': 'global', 'source': 'outputs' },
    }, ['macs', 0.6]],
    ['a FLatten Swin, neurons first', () => swin('L'), { options: { ...set, 'soft-epochs': '1', 'neurons': '0.5' } }, [
      null,
      0.7,
    ]],
    ['heads as they are, damped, without duals, with a teacher', vit, {
      params: 0.6,
      options: { ...set, 'heads': '1', 'damping': '0.85', 'soft': 'mask', 'distill': 'soft', 'soft-epochs': '2' },
    }, ['params', 0.6]],
    ['at once, by elements, the distinct heads', vit, {
      keep: 0.5,
      options: { ...set, 'soft-epochs': '0', 'direction': 'distinct-first' },
    }, [null, 0.5]],
  ])('%s', async (_, make, more, [kind, share]) => {
    const data = await open(0, 39), model = make(), found = await prune(model, options(data, more))
    expect(found.difference).toBeLessThan(1e-4)
    const [dense, small] = [costOf(model, [1, 28, 28]), costOf(found.model, [1, 28, 28])]
    if (kind) {
      expect(small[kind] / dense[kind]).toBeLessThanOrEqual(share)
      expect(small[kind] / dense[kind]).toBeGreaterThan(share - 0.01)
    } else if (more.keep) {
      expect(found.rate).toBeCloseTo(1 - share, 2)
      expect(found.stages).toEqual([])
    } else expect(counts(found.plan, /hidden/)).toEqual([24, 24])
    if (more.options!.heads === '1') expect(counts(found.plan, /heads/)).toEqual([4, 4])
    disposeTree([model, found.model])
  }, slow)

  test('every stage goes on to the same numbers: a store that fails after any of its writes', async () => {
    const data = await open(0, 59), model = vit()
    const given = { ...set, 'soft-epochs': '3', 'tolerance': '0.5', 'every': '2' }
    const all = (store: PruneOptions['store']) =>
      prune(model, options(data, { store, options: given, finetune: { epochs: 2 } }))
    const whole = await all(memoryStore()), expected = await hostWeights(whole.model)
    const store = memoryStore(), killed: string[] = []
    const failing = {
      read: store.read,
      async write(name: string, bytes: Uint8Array) {
        await store.write(name, bytes)
        if (killed.length < 4) throw new Error(`killed after ${name}`)
      },
    }
    let found: Awaited<ReturnType<typeof all>> | null = null
    for (let attempt = 0; !found && attempt < 8; attempt++) {
      found = await all(failing).catch((error: unknown) => {
        killed.push((error as Error).message)
        return null
      })
    }
    const { epochs, curves } = whole.stages[0]
    expect(curves.residual.map((residual) => residual < 0.5)).toEqual(
      Array.from({ length: epochs }, (_, epoch) => epoch === epochs - 1 && curves.residual.at(-1)! < 0.5),
    )
    expect(new Set(killed)).toEqual(new Set(['killed after soft-pruning', 'killed after fine-tuning']))
    expect(await hostWeights(found!.model)).toEqual(expected)
    expect(found!.stages).toEqual(whole.stages)
    expect(found!.plan).toEqual(whole.plan)
    await expect(prune(model, options(data, { store, options: { ...given, rho: '0.3' } }))).rejects.toThrow(
      /stage 'soft-pruning': its state was written with admm .*start with an empty store/,
    )
    disposeTree([model, whole.model, found!.model])
  }, slow)

  test('refuses options that are not its own, shares that cannot be, units it cannot pull', async () => {
    const data = await open(0, 19), model = vit()
    const refused = (more: Partial<PruneOptions>) => expect(prune(model, options(data, more))).rejects
    await refused({ options: { rank: 'graph' } }).toThrow(/has no option "rank"/)
    await refused({ options: { heads: 'some' } }).toThrow(/--set heads="some": expected auto or a number from 0 to 1/)
    await refused({ options: { heads: '0.5', neurons: '0.5' } }).toThrow(/one of them follows from the budget/)
    await refused({ options: { ...set, heads: '1' }, params: 0.45 }).toThrow(/heads=1: leaves .* at the least/)
    await refused({ options: { ...set, neurons: '1' }, params: 0.4 }).toThrow(/neurons=1: leaves .* at the least/)
    await refused({ params: 0.01 }).toThrow(/cannot be met/)
    await refused({ units: ['values', 'neurons'] }).toThrow(/values has heads and channels/)
    const job = await jobOf(model, gohsp, options(data))
    const [stage] = gohsp.stages!(job)
    expect(stage).toMatchObject({ name: 'soft-pruning', epochs: 4 })
    // Z and U are two copies of query, key, value and out with three biases, and of both layers with one bias.
    const constrained = 2 * (4 * 16 * 16 + 3 * 16 + 2 * 16 * 48 + 48)
    expect(stage.parameters * (stage.moments - 2)).toBeCloseTo(2 * constrained, 3)
    disposeTree(model)
  })
})

test('a budget on DeiT-Tiny and DeiT-Small in numbers: the sizes that were published', () => {
  const published = [
    { depth: 12, width: 192, heads: 3, hidden: 768, share: 0.690, expected: [2, 512] },
    { depth: 12, width: 384, heads: 6, hidden: 1536, share: 0.652, expected: [4, 960] },
    { depth: 12, width: 384, heads: 6, hidden: 1536, share: 0.5045, expected: [3, 736] },
  ]
  for (const { depth, width, heads, hidden, share, expected } of published) {
    const layers = Array.from({ length: depth }, (_, i) => i)
    const unit = (name: string, kind: string, size: number, step: number | null) =>
      ({ name, kind, size, shape: [size], step, members: [] }) as unknown as Unit
    const units = layers.flatMap((i) => [
      unit(`${i}.heads`, 'heads', heads, 1),
      unit(`${i}.hidden`, 'neurons', hidden, null),
    ])
    const dim = width / heads, head = 4 * width * dim + 3 * dim, neuron = 2 * width + 1
    const all = depth * (heads * head + hidden * neuron), whole = { 192: 5717416, 384: 22050664 }[width]!
    const weights = new Map(
      units.map(({ name, kind, size }) => [name, size * (kind === 'heads' ? head : neuron) / all]),
    )
    const ranks = new Map(
      units.filter(({ kind }) => kind === 'heads').map((
        { name, size },
      ) => [name, Float32Array.from({ length: size }, (_, i) => i)]),
    )
    const supports = supportsWithin({
      units,
      target: { alpha: (1 - share) * whole / all, weights, what: 'params', share },
      ranks,
      select: { multipleOf: 4, minimum: 1 },
      set: { heads: null, neurons: null, headSpread: 'uniform', neuronSpread: 'uniform' },
    })
    const plan = supports.of(new Map(units.map(({ name, size }) => [name, new Float32Array(size).fill(1)])))
    expect(new Set(counts(plan, /heads/))).toEqual(new Set([expected[0]]))
    for (const count of counts(plan, /hidden/)) expect(Math.abs(count - expected[1])).toBeLessThanOrEqual(8)
    const gone = units.reduce(
      (sum, { name, kind }) =>
        sum
        + (plan.get(name)!.length - plan.get(name)!.reduce((a, b) => a + b, 0)) * (kind === 'heads' ? head : neuron),
      0,
    )
    expect(1 - gone / whole).toBeLessThanOrEqual(share)
    expect(1 - gone / whole).toBeGreaterThan(share - 0.001)
  }
})

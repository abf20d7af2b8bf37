// APMA from end to end on small transformers of softmax and of linear attention: budgets, equal shares per head, shared
// and own indices, factors that fold, a polynomial that counts as shapes do, stages that go on to the same numbers.
import { expect, test } from 'vitest'
import { trace } from '../../../src/core/transform.ts'
import { disposeTree, leaves } from '../../../src/core/tree.ts'
import { type Dataset } from '../../../src/data/datasets.ts'
import { costOf } from '../../../src/nn/macs.ts'
import type { Model } from '../../../src/nn/model.ts'
import { costAt, costPolynomial } from '../../../src/pruning/learning/cost.ts'
import { calibrationImages } from '../../../src/pruning/methods/apma/calibration.ts'
import { attentionImportance, similarity } from '../../../src/pruning/methods/apma/calibration.ts'
import { search } from '../../../src/pruning/methods/apma/search.ts'
import { settingsOf } from '../../../src/pruning/methods/apma/settings.ts'
import { attentionSites } from '../../../src/pruning/methods/apma/sites.ts'
import { foldFactors, startFactors } from '../../../src/pruning/methods/apma/reweight.ts'
import { startScores, weightProducts } from '../../../src/pruning/methods/apma/start.ts'
import { apma } from '../../../src/pruning/methods/apma.ts'
import { hostWeights } from '../../../src/pruning/plan/slice.ts'
import { jobOf, prune, type PruneOptions } from '../../../src/pruning/prune.ts'
import { planCost } from '../../../src/pruning/trial.ts'
import { memoryStore } from '../../../src/train/resume.ts'
import { describeDevice } from '../../support/device.ts'
import { digitSwin, digitViT, openDigits } from '../../support/digits.ts'

const slow = 240_000
const open = openDigits, swin = (kinds: string) => digitSwin({ kinds })
const vit = (attention: 'softmax' | 'focused' = 'softmax') =>
  digitViT({ heads: 2, attention, classToken: attention === 'softmax' })
const set = { 'search-epochs': '3', 'score-rate': '0.05', 'calibration-images': '20' }
const options = (data: Dataset, more: Partial<PruneOptions> = {}): PruneOptions => ({
  method: 'apma',
  data,
  batch: 20,
  seed: 4,
  multipleOf: 1,
  ...!more.keep && !more.params && { macs: 0.6 },
  ...more,
  options: { ...set, ...more.options },
})
const networks: [string, () => Model][] = [
  ['ViT', () => vit()],
  ['FLatten ViT', () => vit('focused')],
  ['Swin', () => swin('S')],
  ['FLatten Swin', () => swin('L')],
]

/** Indices that each head of a unit keeps. */
const indices = (keep: Uint8Array, heads: number) =>
  Array.from(
    { length: heads },
    (_, head) =>
      [...keep.subarray(head * keep.length / heads, (head + 1) * keep.length / heads).keys()].filter((c) =>
        keep[head * keep.length / heads + c]
      ),
  )

describeDevice('apma', (adapter) => {
  test.each(networks.filter(([name]) => adapter === 'cpu' || name === 'FLatten ViT'))(
    '%s: within the budget, as many channels in every head, sliced equals masked',
    async (_, make) => {
      const data = await open(0, 59), model = make(), before = await hostWeights(model)
      const found = await prune(model, options(data))
      expect(await hostWeights(model), 'the dense network').toEqual(before)
      const [dense, small] = [costOf(model, [1, 28, 28]), costOf(found.model, [1, 28, 28])]
      expect(small.macs).toBeLessThanOrEqual(0.6 * dense.macs)
      expect(small.macs).toBeGreaterThan(0.5 * dense.macs)
      expect(found.difference).toBeLessThan(1e-4)
      expect(found.units.map(({ kind }) => kind)).toEqual(
        expect.arrayContaining(['query-key', 'values', 'neurons']),
      )
      let own = 0
      for (const { name, kind, shape } of found.units) {
        if (kind === 'neurons') continue
        const kept = indices(found.plan.get(name)!, shape[0])
        expect(new Set(kept.map(({ length }) => length)).size, name).toBe(1)
        own += new Set(kept.map(String)).size - 1
      }
      expect(own, 'heads with indices of their own').toBeGreaterThan(0)
      disposeTree([model, found.model])
    },
    slow,
  )

  if (adapter !== 'cpu') return // what follows is the same on every device, and long on a software driver

  test.each(['softmax', 'focused'] as const)('shared indices of values, %s attention', async (attention) => {
    const data = await open(0, 59), model = vit(attention)
    const found = await prune(model, options(data, { keep: 0.6, options: { 'v-index': 'shared', init: 'weights' } }))
    for (const { name, kind, shape } of found.units) {
      if (kind !== 'values') continue
      const kept = indices(found.plan.get(name)!, shape[0])
      expect(kept[1], name).toEqual(kept[0])
      expect(kept[0].length).toBeLessThan(8)
    }
    expect(found.difference).toBeLessThan(1e-4)
    // Heads that share their indices share the depthwise kernel too.
    if (attention === 'focused') {
      for (const [path, { shape }] of leaves(found.model)) if (path.endsWith('kernel')) expect(shape).toHaveLength(4)
    }
    disposeTree([model, found.model])
  }, slow)

  test.each<[string, Partial<PruneOptions>]>([
    ['by parameters; no adjustment, similarity or factors', {
      params: 0.7,
      options: { adjust: 'off', similarity: 'off', reweight: 'none', init: 'uniform', 'dual-rate': '0' },
    }],
    ['from one channel at a time; a teacher; mirrored pictures', {
      options: { init: 'single-channel', distill: 'soft' },
      augment: { flip: 0.5 },
    }],
    ['from Taylor, with heads among the units', {
      units: ['heads', 'query-key', 'values', 'neurons'],
      options: { init: 'taylor' },
    }],
  ])('%s', async (_, more) => {
    const data = await open(0, 39), model = vit(), found = await prune(model, options(data, more))
    expect(found.difference).toBeLessThan(1e-4)
    const uneven = found.notes.filter((note) => note.startsWith('heads ended with different counts'))
    if (more.options?.adjust !== 'off') expect(uneven).toEqual([])
    if (more.params) {
      expect(costOf(found.model, [1, 28, 28]).params).toBeLessThanOrEqual(0.7 * costOf(model, [1, 28, 28]).params)
    }
    disposeTree([model, found.model])
  }, slow)

  test.each<[string, () => Model]>([['ViT', () => vit()], ['Swin', () => swin('S')], [
    'FLatten Swin',
    () => swin('L'),
  ]])(
    'squeeze-excitation while a %s is searched, its mean in the weights after; it goes on to the same numbers',
    async (_, make) => {
      const data = await open(0, 59), model = make(), store = memoryStore()
      const own = options(data, { options: { 'reweight': 'se', 'weight-rate': '0.02' } })
      const whole = await prune(model, own),
        [, spread] = /over 20 images; .* ([\d.]+) % \(standard deviation\)/.exec(
          whole.notes.join('\n'),
        )!
      expect(Number(spread)).toBeGreaterThan(0)
      expect(whole.difference).toBeLessThan(1e-4)
      let writes = 0
      const failing = {
        read: store.read,
        async write(name: string, bytes: Uint8Array) {
          await store.write(name, bytes)
          if (++writes === 2) throw new Error(`killed after ${name}`)
        },
      }
      await expect(prune(model, { ...own, store: failing })).rejects.toThrow('killed after search')
      const found = await prune(model, { ...own, store })
      expect(await hostWeights(found.model)).toEqual(await hostWeights(whole.model))
      disposeTree([model, whole.model, found.model])
    },
    slow,
  )

  test('the search comes to the budget and freezes its masks there', async () => {
    const data = await open(0, 199), model = vit()
    const { stages, notes, plan, units, model: small } = await prune(
      model,
      options(data, { options: { 'search-epochs': '10', 'score-rate': '0.01', freeze: '0.03' } }),
    )
    const { rate, multiplier } = stages[0].curves
    expect(multiplier.some((value) => value !== 0)).toBe(true)
    const [, epoch, came, asked] = /frozen after epoch (\d+) at a rate of ([\d.]+), the budget asks for ([\d.]+)/.exec(
      notes.join('\n'),
    )!
    expect(Math.abs(Number(came) - Number(asked))).toBeLessThan(0.0301)
    expect(Number(epoch)).toBeGreaterThanOrEqual(5)
    expect(rate.slice(Number(epoch) - 1).every((value) => value === rate.at(-1)), 'frozen').toBe(true)
    for (const { name, size } of units) {
      const gone = 1 - plan.get(name)!.reduce((a, b) => a + b, 0) / size
      expect(Math.abs(gone - stages[0].curves[name].at(-1)!), name).toBeLessThan(0.2)
    }
    disposeTree([model, small])
  }, slow)

  test.each(networks)('%s: the polynomial counts as shapes do', async (_, make) => {
    const model = make(), input = [1, 28, 28] as const
    const job = await jobOf(model, { ...apma, reads: 'nothing' }, { input, macs: 0.5 }),
      cost = costPolynomial(job, 'macs')
    for (const left of [1, 0.75, 0.5]) {
      const plan = new Map(job.units.map(({ name, size, shape }, u) => {
        const dim = shape.at(-1)!, stays = Math.max(1, Math.round(dim * left) - u % 2)
        return [name, Uint8Array.from({ length: size }, (_, i) => i % dim < stays ? 1 : 0)]
      }))
      const counts = new Map([...plan].map(([name, keep]) => [name, keep.reduce((a, b) => a + b, 0)]))
      expect(costAt(cost, counts)).toBeCloseTo(planCost(model, job.found, plan, input).macs, 3)
    }
    disposeTree(model)
  })

  test('queries, keys and values are found in every network; products of weights; factors fold', async () => {
    const data = await open(0, 39)
    for (const [name, make] of networks) {
      const model = make(), job = await jobOf(model, apma, options(data)), images = await calibrationImages(job, 10)
      expect(images.length).toBe(10)
      const weights = await similarity(job, model, images, (input) => model.call(input))
      const channels = job.units.filter(({ kind }) => kind !== 'neurons')
      expect([...weights.keys()].sort(), name).toEqual(channels.map((each) => each.name).sort())
      for (const { name: unit, shape: [heads, dim] } of channels) {
        const mine = weights.get(unit)!
        expect(new Set(mine).size, unit).toBeGreaterThan(dim)
        for (let head = 0; head < heads; head++) {
          const sum = mine.subarray(head * dim, (head + 1) * dim).reduce((a, b) => a + b, 0)
          expect(sum / dim).toBeCloseTo(1, 4)
        }
      }
      const importance = await attentionImportance(job, images, 'leave-one-out')
      expect([...importance.keys()], name).toEqual(
        channels.filter(({ kind }) => kind === 'query-key').map((each) => each.name),
      )
      for (const start of await startScores(job, 'leave-one-out', images)) {
        for (const value of start[1]) expect(value > 0.5 && value < 0.7).toBe(true)
      }
      const values = channels.find(({ kind }) => kind === 'values')!, host = await hostWeights(model)
      const [own, out] = ['value', 'out'].map((leaf) =>
        host.get(values.members.find(({ path }) => path.endsWith(`.${leaf}`))!.path)!
      )
      const [heads, dim] = values.shape, width = own.shape[2], at = dim + 1
      const norm = (pick: (i: number) => number) => Math.hypot(...Array.from({ length: width }, (_, i) => pick(i)))
      expect((await weightProducts(model, [values])).get(values.name)![at]).toBeCloseTo(
        norm((i) => own.data![at * width + i]) * norm((i) => out.data![i * heads * dim + at]),
        4,
      )
      const factors = startFactors(model, job.units), factor = factors.get(values.name)!
      factor.write(Float32Array.from({ length: factor.size }, (_, i) => 1 + i))
      foldFactors(model, job.units, factors)
      const folded = await leaves(model).find(([path]) =>
        path === values.members.find(({ path: each }) => each.endsWith('.out'))!.path
      )![1].data()
      expect(folded[at]).toBeCloseTo(out.data![at] * (1 + at), 5)
      disposeTree([model, factors])
    }
  }, slow)

  test('attentions are found by their calls: units, activations before the gates, the map', async () => {
    for (const [name, make] of networks) {
      const model = make(), job = await jobOf(model, { ...apma, reads: 'nothing' }, { input: [1, 28, 28], macs: 0.5 })
      const { calls } = trace((input) => model.call(input([2, 1, 28, 28])))
      const sites = attentionSites(model, job.units, calls)
      expect(sites, name).toHaveLength(2)
      for (const { queryKey, values, map } of sites) {
        expect(queryKey!.activations.map(({ shape }) => shape.length)).toEqual([4, 4])
        expect(queryKey!.unit.kind).toBe('query-key')
        expect(values!.activations).toHaveLength(1)
        expect(values!.unit.name.replace(/values$/, '')).toBe(queryKey!.unit.name.replace(/quer[^.]*$/, ''))
        expect(map.softmax === null).toBe(name.startsWith('FLatten'))
        expect(map.softmax?.bias !== null && map.softmax?.bias !== undefined).toBe(name === 'Swin')
      }
      expect(attentionSites(model, [], calls).map((site) => [site.queryKey, site.values])).toEqual([
        [null, null],
        [null, null],
      ])
      disposeTree(model)
    }
  })

  test('a search of no epochs leaves what it began with', async () => {
    const data = await open(0, 19), model = vit(), job = await jobOf(model, apma, options(data))
    const start = new Map(await startScores(job, 'weights', data))
    const { name: values } = job.units.find(({ kind }) => kind === 'values')!
    start.set(values, start.get(values)!.map((score, i) => i === 0 ? 0.4 : score)) // so heads differ
    const none = settingsOf({ 'search-epochs': '0', 'similarity': 'off', 'adjust': 'off' })
    const target = { what: 'macs', share: 0.6 } as const
    const { scores, record, frozen, notes } = await search(
      job,
      model,
      start,
      data,
      costPolynomial(job, 'macs'),
      target,
      none,
      false,
    )
    expect(record.losses).toEqual([])
    expect(frozen).toBeNull()
    expect(notes).toEqual([expect.stringContaining(`heads ended with different counts (${values}: `)])
    for (const [name, values] of scores) {
      values.forEach((value, i) => expect(value).toBeCloseTo(start.get(name)![i] - 0.5, 5))
    }
    disposeTree(model)
  })

  test('the search goes on to the same numbers: a store that fails after any of its writes', async () => {
    const data = await open(0, 59), model = vit('focused')
    const all = (store: PruneOptions['store']) => prune(model, options(data, { store, finetune: { epochs: 2 } }))
    const whole = await all(memoryStore()), expected = await hostWeights(whole.model), store = memoryStore()
    let writes = 0
    const killed: string[] = []
    const failing = {
      read: store.read,
      async write(name: string, bytes: Uint8Array) {
        await store.write(name, bytes)
        if (++writes % 2) throw new Error(`killed after ${name}`)
      },
    }
    let found: Awaited<ReturnType<typeof all>> | null = null
    for (let attempt = 0; !found && attempt < 10; attempt++) {
      found = await all(failing).catch((error: unknown) => {
        killed.push((error as Error).message)
        return null
      })
    }
    expect(killed).toEqual(['killed after search', 'killed after search', 'killed after fine-tuning'])
    expect(await hostWeights(found!.model)).toEqual(expected)
    expect(found!.stages).toEqual(whole.stages)
    await expect(all(store).then(() => prune(model, options(data, { store, options: { lambda: '3' } })))).rejects
      .toThrow(
        /stage 'search': its state was written with search /,
      )
    disposeTree([model, whole.model, found!.model])
  }, slow)

  test('refuses options that are not its own, values they do not take, budgets out of reach', async () => {
    const data = await open(0, 19), model = vit()
    const refused = (more: Partial<PruneOptions>) => expect(prune(model, options(data, more))).rejects
    await refused({ options: { 'search-epoch': '1' } }).toThrow(/has no option "search-epoch"/)
    await refused({ options: { init: 'best' } }).toThrow(/--set init="best": expected leave-one-out, single-channel/)
    await refused({ options: { 'v-index': 'own' } }).toThrow(/--set v-index="own": expected per-head, shared/)
    await refused({ macs: 0.01 }).toThrow(/cannot be met/)
    await expect(prune(model, { method: 'apma', macs: 0.5, input: [1, 28, 28] })).rejects.toThrow(/reads images/)
    disposeTree(model)
  })
})

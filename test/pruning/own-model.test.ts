// A network of the user's, with names of its own, prunes as well as ours: gates and leaves say what they are. What it
// is compared with is our model of the same tensors.
import { expect, test } from 'vitest'
import { ViT } from '../../models/vit.ts'
import { adamW, copyInto, disposeTree, fit, hostWeights, initialize, leaves, maskModel, type Plan, rank, scope,
  criterionOf, sliceModel, tensor, unmaskModel, units } from '../../src/index.ts'
import type { Batch, Dataset } from '../../src/data/datasets.ts'
import { defaultPreprocessing } from '../../src/data/preprocess.ts'
import { costOf } from '../../src/nn/macs.ts'
import type { Model } from '../../src/nn/model.ts'
import { chooseUnits } from '../../src/pruning/units/kinds.ts'
import { constantsOf, recordOf, shrunken } from '../../src/pruning/plan/record.ts'
import { softmaxSites } from '../../src/attribution/relevance.ts'
import { describeDevice } from '../support/device.ts'
import { Garden, Tower } from '../support/own-models.ts'
import { generator, random, relativeError } from '../reference/nd.ts'

const twin = () =>
  new ViT({ image: 16, patch: 4, width: 16, depth: 2, heads: 2, hidden: 24, classes: 4, classToken: false })
const inputShape = [3, 16, 16] as const, classes = 4

/** Our paths of a tower's. */
const translated = (path: string) =>
  Object.entries({
    'index': 'patches',
    'places': 'positions',
    'lift': 'stream',
    'floors': 'blocks',
    'top': 'norm',
    'roof': 'head',
    'before': 'norm1',
    'between': 'norm2',
    'council': 'attention',
    'asks': 'query',
    'hears': 'key',
    'mask': 'value',
    'asksBy': 'queryBias',
    'hearsBy': 'keyBias',
    'maskBy': 'valueBias',
    'verdict': 'out',
    'verdictBy': 'outBias',
    'pairing': 'queryKey',
    'carried': 'values',
    'seats': 'heads',
    'up': 'mlp.fc1',
    'lamps': 'mlp.hidden',
    'down': 'mlp.fc2',
  }).reduce((names, [own, ours]) => names.map((name) => name === own ? ours : name), path.split('.')).join('.')

function data(count: number, seed = 5): Dataset {
  const size = 3 * 16 * 16, values = Float32Array.from(random(seed, [count, size]).data)
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes)
  return {
    name: 'noise',
    length: count,
    labels,
    preprocessing: defaultPreprocessing('cnn', 16, 3),
    inputShape: () => Promise.resolve([...inputShape]),
    async *batches({ size: most }): AsyncGenerator<Batch> {
      for (let at = 0; at < count; at += most) {
        const n = Math.min(most, count - at)
        yield {
          images: values.slice(at * size, (at + n) * size),
          shape: [n, ...inputShape],
          labels: labels.subarray(at, at + n),
          indices: Int32Array.from({ length: n }, (_, i) => at + i),
        }
        await Promise.resolve()
      }
    },
  }
}

/** The tower and our model of the same values. */
function pair(): { own: Tower, ours: ViT } {
  const ours = initialize(twin(), 3, { std: 0.2 })
  const own = new Tower()
  const from = new Map(leaves(ours))
  for (const [path, leaf] of leaves(own)) copyInto(from.get(translated(path))!, leaf)
  expect(leaves(own).map(([path]) => translated(path)).sort()).toEqual([...from.keys()].sort())
  return { own, ours }
}

const scored = async (model: Model, name: string, kinds = ['heads', 'neurons', 'query-key', 'values']) => {
  const found = chooseUnits(units(model, [1, ...inputShape]), kinds)
  const scores = await criterionOf(name).score({
    model,
    units: found,
    references: data(8),
    classes,
    batch: 4,
    seed: 1,
    aggregation: 'mean-of-abs',
  })
  return { found, scores }
}

/** Cuts about half of everything that may go, at random, and compares with the mask. */
async function slicedEqualsMasked(model: Model, residual: 'closing' | 'coupled' = 'closing') {
  const shape = [2, ...inputShape], image = tensor(Float32Array.from(random(9, shape).data), shape)
  const found = units(model, [1, ...inputShape], { residual }), next = generator(4)
  const able = found.filter(({ exact, prunable }) => exact === true && prunable === true)
  const scores = new Map(able.map(({ name, size }) => [name, Float32Array.from({ length: size }, () => next())]))
  const plan: Plan = rank(able, scores, { multipleOf: 1, ranking: 'per-unit' }).at(0.5)
  expect([...plan.values()].every((keep) => keep.includes(0)), 'every unit loses something').toBe(true)
  const forward = async (m: Model) => {
    const out = scope(() => m.call(image)), values = await out.data()
    out.dispose()
    return values
  }
  maskModel(model, found, plan)
  const masked = await forward(model)
  unmaskModel(model)
  const whole = await forward(model), small = await sliceModel(model, [1, ...inputShape], plan, { residual })
  expect(relativeError(await forward(small), masked)).toBeLessThan(1e-5)
  expect(relativeError(whole, masked)).toBeGreaterThan(1e-3)
  image.dispose()
  return { small, found, plan, able }
}

describeDevice('a network with names of its own', () => {
  test('a transformer: units, kinds, costs and where heads are read are those of our model', () => {
    const { own, ours } = pair()
    const about = (model: Model, rename = (path: string) => path) =>
      units(model, [1, ...inputShape]).map(({ name, kind, step, size, exact, prunable, members }) => ({
        name: rename(name),
        kind,
        step,
        size,
        able: exact === true && prunable === true,
        members: members.map(({ path, axis }) => `${rename(path)} ${axis}`).sort(),
      }))
    expect(about(own, translated)).toEqual(about(ours))
    expect(costOf(own, [...inputShape])).toMatchObject({
      params: costOf(ours, [...inputShape]).params,
      macs: costOf(ours, [...inputShape]).macs,
    })
    expect([...softmaxSites(own)]).toEqual(
      [0, 1].map((i) => [`floors.${i}.council.seats`, `floors.${i}.council.softmax`]),
    )
    disposeTree([own, ours])
  })

  test.each(['magnitude', 'magnitude-l2', 'taylor', 'pxp', 'pxp:attn-lrp', 'activation'])(
    'a transformer: scores by %s are those of our model',
    async (criterion) => {
      const { own, ours } = pair()
      const mine = await scored(own, criterion), theirs = await scored(ours, criterion)
      for (const [name, values] of mine.scores) {
        expect(relativeError(values, theirs.scores.get(translated(name))!), name).toBeLessThan(1e-6)
      }
      const plans = [mine, theirs].map(({ found, scores }) => [...rank(found, scores).at(0.4).values()])
      expect(plans[0]).toEqual(plans[1]) // heads go whole, widths in fours
      disposeTree([own, ours])
    },
  )

  test('a transformer: a slice equals a mask, and its record brings it back from shapes alone', async () => {
    const { own, ours } = pair()
    const { small, found, plan } = await slicedEqualsMasked(own)
    const step = { method: 'random', rate: 0.5, seed: 4, residual: 'closing', scores: '' } as const
    const record = recordOf(small, found, plan, step)
    expect(record.constants).toEqual({ 'floors.0.council.temper': 8 ** -0.5, 'floors.1.council.temper': 8 ** -0.5 })
    const changed = { ...record, constants: { ...record.constants, 'floors.1.council.temper': 0.5 } }
    const again = shrunken(new Tower(), new Map(leaves(small).map(([path, { shape }]) => [path, shape])), changed)
    expect(leaves(again).map(([path, { shape }]) => [path, shape])).toEqual(
      leaves(small).map(([path, { shape }]) => [path, shape]),
    )
    expect(constantsOf(again)['floors.1.council.temper']).toBe(0.5)
    disposeTree([own, ours, small, again])
  })

  test('a transformer: start values, and a step with weight decay, are those of our model', async () => {
    for (const scheme of ['mimetic', 'kaiming'] as const) {
      const own = await hostWeights(initialize(new Tower(), 3, scheme))
      expect(own.get('floors.1.council.hears')!.data).not.toEqual(new Float32Array(2 * 8 * 16))
      if (scheme === 'mimetic') {
        expect(own.get('floors.1.council.hears')!.data).toEqual(own.get('floors.1.council.asks')!.data)
      }
      for (const [path, { data: values }] of own) {
        if (/By$|bias$/.test(path)) expect(values!.every((value) => value === 0), path).toBe(true)
        if (/gain$/.test(path)) expect(values!.every((value) => value === 1), path).toBe(true)
      }
      const deviation = (path: string) => {
        const { data } = own.get(path)!
        return Math.sqrt((data as Float32Array).reduce((sum, value) => sum + value * value, 0) / data!.length)
      }
      if (scheme === 'mimetic') expect(deviation('roof.weight')).toBeLessThan(0.03)
      else expect(deviation('floors.0.council.mask')).toBeCloseTo(0.88 * Math.sqrt(2 / 16), 1)
    }
    const { own, ours } = pair()
    const options = { epochs: 1, batch: 4, rate: 0.01, decay: 0.5, classes, seed: 2 }
    const losses = [await fit(own, data(8), options), await fit(ours, data(8), options)].map(({ steps }) => steps)
    expect(losses[0]).toEqual(losses[1])
    const trained = await hostWeights(ours)
    for (const [path, { data: values }] of await hostWeights(own)) {
      expect(values, path).toEqual(trained.get(translated(path))!.data)
    }
    disposeTree([own, ours])
  })

  test('convolutions: kinds, a kind of its own, and a slice equals a mask, also of the residual width', async () => {
    const garden = initialize(new Garden(), 3, 'kaiming')
    const found = units(garden, [1, ...inputShape])
    expect(Object.fromEntries(found.map(({ name, kind, step }) => [name, [kind, step]]))).toMatchObject({
      beds: ['beds', 2],
      hedge: ['filters', null],
      heads: ['filters', null],
    })
    expect(chooseUnits(found, ['beds']).map(({ name }) => name)).toEqual(['beds'])
    expect(chooseUnits(found).map(({ name }) => name)).toEqual(['hedge', 'heads'])
    expect(() => chooseUnits(found, ['hedges'])).toThrow(/--units hedges: expected some of heads, .*residual, beds/)
    for (const residual of ['closing', 'coupled'] as const) {
      const { small, able, plan } = await slicedEqualsMasked(garden, residual)
      expect(able.map(({ name }) => name).sort()).toEqual(
        residual === 'closing' ? ['beds', 'heads', 'hedge'] : ['entry', 'heads'],
      )
      if (residual === 'closing') expect(plan.get('beds')!.filter((flag) => flag).length % 2).toBe(0)
      disposeTree(small)
    }
    for (const criterion of ['magnitude', 'taylor', 'pxp:epsilon-plus']) {
      const { scores } = await scored(garden, criterion, ['beds', 'filters'])
      for (const [name, values] of scores) {
        expect(values.every(Number.isFinite) && new Set(values).size > 4, `${criterion} ${name}`).toBe(true)
      }
    }
    disposeTree(garden)
  })

  test('running statistics are neither trained nor counted, whatever they are called', () => {
    const garden = new Garden()
    const moments = adamW(garden, { rate: 0.1 }).state.moments
    expect([...moments.keys()].filter((path) => path.startsWith('headIndex'))).toEqual([
      'headIndex.gain',
      'headIndex.bias',
    ])
    expect([...moments.keys()]).toContain('mask.weight')
    expect(costOf(garden, [...inputShape]).params).toBe(8 * 27 + 16 + 8 * 72 + 16 + 12 * 72 + 12 + 48 + 4)
    disposeTree(garden)
  })
})

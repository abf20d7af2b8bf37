// X-Pruner from end to end on small transformers: what learns, that no label reaches what is left, budgets, stages that
// go on to the same numbers, and a cut that equals a mask.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { costOf } from '../../../src/nn/macs.ts'
import type { Model } from '../../../src/nn/model.ts'
import { gatesOf } from '../../../src/nn/gates.ts'
import { withMasks } from '../../../src/nn/masks.ts'
import { trace } from '../../../src/core/transform.ts'
import { disposeTree, leaves } from '../../../src/core/tree.ts'
import { tensor } from '../../../src/core/tensor.ts'
import { type Dataset } from '../../../src/data/datasets.ts'
import { close, gpu, init } from '../../../src/gpu/device.ts'
import { hostWeights } from '../../../src/pruning/plan/slice.ts'
import { prune, type PruneOptions } from '../../../src/pruning/prune.ts'
import { accuracyOf } from '../../../src/train/evaluate.ts'
import { fit } from '../../../src/train/fit.ts'
import { memoryStore } from '../../../src/train/resume.ts'
import { digitSwin, digitViT, openDigits } from '../../support/digits.ts'

const slow = 240_000
const open = openDigits, vit = digitViT, swin = (kinds: string) => digitSwin({ kinds })
const set = {
  'mask-epochs': '2',
  'gate-epochs': '3',
  'mask-rate': '0.05',
  'mask-optimizer': 'adamw',
  'scores': 'range',
}
const options = (data: Dataset, more: Partial<PruneOptions> = {}): PruneOptions => ({
  method: 'xpruner',
  data,
  batch: 20,
  seed: 4,
  multipleOf: 1,
  options: set,
  ...more.keep === undefined && more.params === undefined && more.ms === undefined && { macs: 0.6 },
  ...more,
})

describe('xpruner on cpu', () => {
  // the same on every device, and long on a software driver; terms.test.ts runs on all
  beforeAll(async () => {
    await init({ adapter: 'cpu', fixedVariants: true })
  })
  afterAll(close)

  test('prunes a ViT within its budget, and what is left knows of no label', async () => {
    const data = await open(0, 99), model = vit(), before = await hostWeights(model)
    const found = await prune(model, options(data, { finetune: { epochs: 1, rate: 1e-3 } }))
    expect(await hostWeights(model), 'the dense network').toEqual(before)
    const [dense, small] = [costOf(model, [1, 28, 28]), costOf(found.model, [1, 28, 28])]
    expect(small.macs).toBeLessThanOrEqual(0.6 * dense.macs)
    expect(small.macs).toBeGreaterThan(0.45 * dense.macs)
    expect(found.difference).toBeLessThan(1e-4)
    expect(found.stages.map(({ name, epochs, losses }) => [name, epochs, losses.length])).toEqual([
      ['masks', 2, 2],
      ['thresholds', 3, 3],
      ['fine-tuning', 1, 1],
    ])
    expect(found.stages[1].curves.rate).toHaveLength(3)
    expect(Object.keys(found.stages[1].curves)).toContain('blocks.1.mlp.hidden')
    for (const { classes, values } of found.masks!.values()) {
      expect(classes).toBe(10)
      expect(new Set(values).size).toBeGreaterThan(20)
    }
    // No masks, no integers but those that follow from sizes, and the same answers whatever the labels are said to be.
    expect(gatesOf(found.model).filter(([, { mask }]) => mask)).toEqual([])
    const own = new Set(leaves(found.model).map(([, leaf]) => leaf))
    const { calls } = trace((input) => found.model.call(input([2, 1, 28, 28])))
    expect(calls.flatMap(({ args }) => args).filter((arg) => arg && arg.dtype !== 'f32' && !own.has(arg))).toEqual([])
    const other: Dataset = { ...data, labels: data.labels.map((label) => (label + 3) % 10) }
    const lying: Dataset = {
      ...other,
      async *batches(asked) {
        for await (const batch of data.batches(asked)) {
          yield { ...batch, labels: batch.labels.map((label) => (label + 3) % 10) }
        }
      },
    }
    const [honest, liar] = [await accuracyOf(found.model, data), await accuracyOf(found.model, lying)]
    expect([...liar.predictions]).toEqual([...honest.predictions])
    expect(liar.loss).not.toBe(honest.loss)
    disposeTree([model, found.model])
  }, slow)

  test('thresholds bring the rate to the target; the multiplier goes up while something is missing', async () => {
    const data = await open(0, 199), model = vit()
    const { stages, notes, model: small } = await prune(
      model,
      options(data, { options: { ...set, 'mask-epochs': '1', 'gate-epochs': '10', 'weight-rate': '1e-4' } }),
    )
    const { rate, multiplier } = stages[1].curves
    expect(multiplier[0]).toBeGreaterThan(0)
    expect(rate.at(-1)!).toBeGreaterThan(rate[0])
    const [, came, asked] = /a rate of ([\d.]+), the budget asks for ([\d.]+)/.exec(notes.join('\n'))!
    expect(Math.abs(Number(came) - Number(asked))).toBeLessThan(0.05)
    disposeTree([model, small])
  }, slow)

  test.each<[string, () => Model, Partial<PruneOptions>]>([
    ['a Swin, by parameters, from relevance', () => swin('S'), { params: 0.7, options: { ...set, init: 'relevance' } }],
    ['a FLatten Swin, whose heads have three gates', () => swin('L'), { keep: 0.7 }],
    ['value channels, from Taylor, uniform thresholds', vit, {
      keep: 0.6,
      units: ['values', 'neurons'],
      options: { ...set, init: 'taylor', thresholds: 'uniform' },
    }],
    ['the readings that differ, with a teacher and an average', vit, {
      options: { ...set, sparse: 'norms', smooth: 'diff-class', distill: 'soft', ema: '0.9', 'sharpness-end': '40' },
      augment: { flip: 0.5 },
    }],
  ])('%s', async (_, make, more) => {
    const data = await open(0, 59), model = make()
    const found = await prune(model, options(data, more))
    expect(found.difference).toBeLessThan(1e-4)
    expect([...found.plan.values()].some((keep) => keep.includes(0))).toBe(true)
    if (more.params) {
      const [dense, small] = [costOf(model, [1, 28, 28]), costOf(found.model, [1, 28, 28])]
      expect(small.params).toBeLessThanOrEqual(0.7 * dense.params)
    }
    const uniform = (more.options as Record<string, string> | undefined)?.thresholds === 'uniform'
    if (uniform) expect(found.stages[1].curves.multiplier.every((value) => value === 0)).toBe(true)
    disposeTree([model, found.model])
  }, slow)

  test('a budget of milliseconds is measured once, and every attempt aims at the same', async () => {
    const data = await open(0, 19), model = vit(), store = memoryStore()
    const brief = { ...set, 'mask-epochs': '1', 'gate-epochs': '1' }
    const once = () => prune(model, options(data, { ms: 1e6, store, options: brief }))
    const found = await once()
    expect([...found.plan.values()].some((keep) => keep.includes(0))).toBe(false) // all of it is fast enough
    expect(new TextDecoder().decode(store.entries.get('target'))).toBe('1')
    await store.write('target', new TextEncoder().encode('0.5'))
    await expect(once()).rejects.toThrow(/stage 'thresholds': its state was written with target \{"alpha":0,/)
    disposeTree([model, found.model])
  }, slow)

  test('every stage goes on to the same numbers: a store that fails after any of its writes', async () => {
    const data = await open(0, 59), model = vit()
    const all = (store: PruneOptions['store']) =>
      prune(model, options(data, { store, finetune: { epochs: 2, best: 0.2 } }))
    const whole = await all(memoryStore()), expected = await hostWeights(whole.model)
    const store = memoryStore()
    let writes = 0, attempts = 0
    const failing = {
      read: store.read,
      async write(name: string, bytes: Uint8Array) {
        await store.write(name, bytes)
        if (++writes % 2) throw new Error(`killed after ${name}`)
      },
    }
    let found: Awaited<ReturnType<typeof all>> | null = null
    const killed: string[] = []
    while (!found && attempts++ < 10) {
      found = await all(failing).catch((error: unknown) => {
        killed.push((error as Error).message)
        return null
      })
    }
    expect(killed).toEqual([
      'killed after masks',
      'killed after thresholds',
      'killed after thresholds',
      'killed after fine-tuning',
    ])
    expect(await hostWeights(found!.model)).toEqual(expected)
    expect(found!.stages).toEqual(whole.stages)
    expect(found!.masks).toEqual(whole.masks)
    await expect(prune(model, options(data, { store, options: { ...set, 'mask-rate': '0.1' } }))).rejects.toThrow(
      /stage 'masks': its state was written with masks .*start with an empty store/,
    )
    disposeTree([model, whole.model, found!.model])
  }, slow)

  test('a mask step makes no buffer after the first ones, and takes no more memory than it had', async () => {
    const data = await open(0, 99), model = vit(), gates = gatesOf(model).filter(([path]) => path.endsWith('hidden'))
    const masks = new Map(gates.map(([path]) => [path, tensor(new Float32Array(240).fill(1), [10, 24])]))
    const held: number[] = []
    const { gather } = await import('../../../src/ops/gather.ts')
    await fit(model, data, {
      epochs: 12,
      batch: 20,
      classes: 10,
      extra: { masks },
      forward: (network, { images, labels }) =>
        withMasks(
          network,
          new Map([...masks].map(([path, mask]) => [path, gather(mask, labels, { axis: 0 })])),
          () => network.call(images),
        ),
      groups: [{ parameters: [...masks.values()] }],
      onStep: () => held.push(gpu().pool.memory.created),
    })
    expect(new Set(held.slice(10)).size).toBe(1)
    disposeTree([model, [...masks.values()]])
  }, slow)

  test('refuses options that are not its own, values they do not take, budgets out of reach', async () => {
    const data = await open(0, 19), model = vit()
    const refused = (more: Partial<PruneOptions>) => expect(prune(model, options(data, more))).rejects
    await refused({ options: { 'mask-epoch': '1' } }).toThrow(/has no option "mask-epoch"/)
    await refused({ options: { smooth: 'laplace' } }).toThrow(/--set smooth="laplace": expected laplacian-unit, /)
    await refused({ options: { 'gate-epochs': '1.5' } }).toThrow(/--set gate-epochs=1.5: expected a whole number/)
    await refused({ options: { 'sharpness': '0' } }).toThrow(/--set sharpness="0": expected a number from 0.1/)
    await refused({ macs: 0.01 }).toThrow(/cannot be met/)
    await expect(prune(model, { method: 'xpruner', macs: 0.5, input: [1, 28, 28] })).rejects.toThrow(/reads images/)
    disposeTree(model)
  })
})

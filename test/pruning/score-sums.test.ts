// Scores in parts: what parts of the images say, summed up and put together, is what all of them say.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildModel } from '../../models/registry.ts'
import { addSums, close, disposeTree, init, initialize, methodOf, partOf, prune, score, type ScoreOptions, scoresFrom,
  scoreSums, type ScoreSums, units } from '../../src/index.ts'
import { InputError } from '../../src/base/errors.ts'
import { relativeError } from '../reference/nd.ts'
import { openDigits } from '../support/digits.ts'

const architectures = {
  vit: { type: 'vit', image: 28, channels: 1, patch: 7, width: 16, depth: 2, heads: 4, hidden: 24, classes: 10 },
  resnet: { type: 'resnet', stem: 'cifar', layers: [1, 1], width: 8, classes: 10, channels: 1 },
} as const
const open = (name: keyof typeof architectures) => {
  const model = initialize(buildModel(architectures[name]), 3)
  return { model, found: units(model, [1, 1, 28, 28]) }
}

/** Sums of parts that end after these images. */
const inParts = async (
  { model, found }: ReturnType<typeof open>,
  ends: readonly number[],
  options: ScoreOptions,
): Promise<ScoreSums[]> => {
  const data = await openDigits(0, ends.at(-1)! - 1), parts: ScoreSums[] = []
  // The last part first: who is when at work must not matter.
  for (let i = ends.length - 1; i >= 0; i--) {
    const first = ends[i - 1] ?? 0, positions = Array.from({ length: ends[i] - first }, (_, at) => first + at)
    parts.unshift(await scoreSums(model, found, { ...options, data: partOf(data, positions) }))
  }
  return parts
}

beforeAll(() => init({ adapter: 'cpu' }))
afterAll(close)

describe('scores in parts on cpu', () => {
  test.each<[keyof typeof architectures, string, ScoreOptions['aggregation']]>([
    ['vit', 'pxp', 'mean-of-abs'],
    ['vit', 'pxp:attn-lrp', 'mean-of-abs-everywhere'],
    ['vit', 'taylor', 'signed'],
    ['vit', 'graph', 'mean-of-abs'],
    ['vit', 'graph:source=outputs/others=taylor', 'mean-of-abs'],
    ['resnet', 'yeom', 'mean-of-abs'],
    ['resnet', 'gradient', 'abs-of-mean'],
    ['resnet', 'apoz', 'mean-of-abs'],
  ])('%s by %s, %s', async (name, method, aggregation) => {
    const { model, found } = open(name), options = { method, aggregation, batch: 4 }
    const all = await score(model, found, { ...options, data: await openDigits(0, 10) })
    const parts = await inParts({ model, found }, [4, 5, 11], options), sums = addSums(parts)
    expect(sums.images).toBe(11)
    const scores = await scoresFrom(model, found, sums, options)
    expect([...scores.keys()]).toEqual([...all.keys()])
    for (const [unit, values] of all) expect(relativeError(scores.get(unit)!, values), unit).toBeLessThan(1e-4)
    // Another process of the same parts gives the same bits; the mean is not that of a part.
    expect(addSums(await inParts({ model, found }, [4, 5, 11], options))).toEqual(sums)
    const [first] = all.keys()
    expect(await scoresFrom(model, found, parts[2], options).then((some) => [...some.get(first)!])).not.toEqual([
      ...scores.get(first)!,
    ])
    disposeTree(model)
  })
})

describe('prune by sums on cpu', () => {
  test('comes to what scoring comes to, with its notes and graph', async () => {
    const opened = open('vit'), { model } = opened, data = await openDigits(0, 9), kinds = ['heads', 'neurons']
    const options = { method: 'graph', data, units: kinds, keep: 0.5, batch: 4 }
    const here = await prune(model, options)
    const sums = addSums(await inParts(opened, [4, 8, 10], { method: 'graph', kinds, batch: 4 }))
    const there = await prune(model, { ...options, sums })
    expect(there.plan).toEqual(here.plan)
    expect(there.notes).toEqual(here.notes)
    expect(there.graph!.images).toBe(10)
    disposeTree([here.model, there.model, model])
  })

  test('refuses what does not sum up, and sums of others', async () => {
    const { model, found } = open('vit'), data = await openDigits(0, 3)
    await expect(scoreSums(model, found, { method: 'magnitude', data })).rejects.toThrow(
      /method 'magnitude': expected scores that follow from sums over images, found one that reads no images/,
    )
    const own = { images: true, score: () => Promise.resolve(new Map<string, Float32Array>()) }
    await expect(scoreSums(model, found, { method: own, data })).rejects.toThrow(/found a criterion without parts/)
    const sums = await scoreSums(model, found, { method: 'taylor', data })
    await expect(prune(model, { method: 'magnitude', data, keep: 0.5, sums })).rejects.toThrow(InputError)
    expect(methodOf('gohsp').criterion).toBeUndefined()
    await expect(prune(model, { method: 'gohsp', data, keep: 0.5, sums })).rejects.toThrow(/gohsp does not; leave/)
    await expect(scoresFrom(model, found, sums, { method: 'graph', data })).rejects.toThrow(
      /expected sums of 4 heads, found none/,
    )
    const other = open('resnet'), foreign = await scoreSums(other.model, other.found, { method: 'taylor', data })
    await expect(scoresFrom(model, found, foreign, { method: 'taylor', data })).rejects.toThrow(
      /expected sums of its gate .*, found none for \d+ elements; they are of another network/,
    )
    expect(() => addSums([sums, foreign])).toThrow(/addSums: part 1 has no sums of .*, part 0 has \d+; they are of/)
    expect(() => addSums([])).toThrow(/expected sums of one or more parts/)
    disposeTree([model, other.model])
  })
})

// `bench attention`: the references against the worked example of FLatten, cases right in both passes, break-even rows.
import { describe, expect, test } from 'vitest'
import { attentionGrids, gridCase, tokenBreakEvens } from '../../bench/attention.ts'
import { measure } from '../../bench/harness.ts'
import { benchPage } from '../../bench/html.ts'
import { focusedInDoubles, softmaxInDoubles, type Values } from '../../bench/kernels/attention-reference.ts'
import { mergeReports } from '../../bench/processes.ts'
import { benchText } from '../../bench/text.ts'
import { gpu } from '../../src/gpu/device.ts'
import { describeDevice } from '../support/device.ts'
import { reportOf, rowWith } from './rows.ts'

/** Layers that change nothing but for the three that make q, k and v of the picture. */
function partsOf(query: number[], key: number[], value: number[]): Values {
  const zeros = (length: number) => new Float64Array(length)
  const identity = Float64Array.from({ length: 16 }, (_, i) => i % 5 === 0 ? 1 : 0)
  return {
    query: Float64Array.from(query),
    key: Float64Array.from(key),
    value: Float64Array.from(value),
    queryBias: zeros(4),
    keyBias: zeros(4),
    valueBias: zeros(4),
    out: identity,
    outBias: zeros(4),
    sharpness: zeros(4),
    positions: zeros(16),
    kernel: Float64Array.from([0, 0, 0, 0, 1, 0, 0, 0, 0, ...Array.from({ length: 9 }, () => 0.1)]),
    kernelBias: Float64Array.of(0.01, 0.02),
  }
}

/** Rows are tokens; with the identity as the picture a layer gives its weight's columns. */
const transposed = (rows: number[][]) => rows[0].flatMap((_, c) => rows.map((row) => row[c]))

const sizes = { width: 4, heads: 2, side: 2 }
const picture = Float64Array.from({ length: 16 }, (_, i) => i % 5 === 0 ? 1 : 0)
const q = [[1, -1, 0.5, 2], [0.2, 0.4, 1, 0], [2, 1, -0.5, 0.3], [0.5, 0.5, 0.5, 0.5]]
const k = [[0.5, 1, 0, 1], [1, 0.2, 0.3, -1], [-0.5, 1.5, 1, 0.2], [0.3, 0.3, 2, 0.6]]
const v = [[1, 0, 2, -1], [0, 1, 1, 1], [2, 1, 0, 0.5], [-1, 0.5, 1, 0]]

describe('references', () => {
  test('the whole core of focused linear attention: the worked example', () => {
    const found = focusedInDoubles(picture, partsOf(transposed(q), transposed(k), transposed(v)), sizes)
    const expected = [1.113905, 1.157117, 3.910353, -0.835215]
    expected.forEach((each, i) => expect(found[i]).toBeCloseTo(each, 5))
  })

  test('softmax attention: the map of the worked example times its values', () => {
    // Head 0 alone has queries and keys that differ from zero, of the two tokens that are looked at.
    const queries = [[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    const keys = [[1, 0, 0, 0], [0.5, 2, 0, 0], [-1e4, -1e4, 0, 0], [-1e4, -1e4, 0, 0]]
    const values = partsOf(transposed(queries), transposed(keys), transposed(v))
    const found = softmaxInDoubles(picture, values, sizes)
    const [a, b] = [[0.412521, 0.587479], [0.19557, 0.80443]]
    for (const [i, row] of [a, b].entries()) {
      expect(found[4 * i]).toBeCloseTo(row[0] * v[0][0] + row[1] * v[1][0], 5)
      expect(found[4 * i + 1]).toBeCloseTo(row[0] * v[0][1] + row[1] * v[1][1], 5)
      expect(found[4 * i + 2]).toBeCloseTo((v[0][2] + v[1][2] + v[2][2] + v[3][2]) / 4, 10)
    }
  })
})

describeDevice('cases', () => {
  test.each(['forward', 'gradient'] as const)('%s of both modules equals doubles, and leaves nothing', async (what) => {
    const before = gpu().pool.memory.live
    const rows = await measure(gridCase(`small ${what}`, what, { width: 24, heads: 2, side: 5 }, 2), {
      rounds: 2,
      msPerRound: 1,
    })
    expect(rows.map(({ impl }) => impl)).toEqual(['softmax', 'focused'])
    for (const { maxRelError } of rows) expect(maxRelError).toBeLessThanOrEqual(what === 'forward' ? 1e-5 : 1e-4)
    expect(rows[1].speedUps?.map(({ over }) => over)).toEqual(['softmax'])
    expect(gpu().pool.memory.live).toBe(before)
  })
})

test('cases by name', () => {
  const names = attentionGrids({ batches: [1, 8], only: ['compact b8 forward'], quick: true }).map(({ name }) => name)
  expect(names).toEqual(Array.from({ length: 3 }, () => 'compact b8 forward'))
})

test('break-even tokens: between two grids, beyond all of them', () => {
  const rows = (time: (tokens: number) => number) =>
    [16, 64, 256].flatMap((tokens) => {
      const shape = `batch=1 heads=2 width=8 tokens=${tokens}`, name = 'compact forward'
      return [
        rowWith([10, 10, 10], { suite: 'attention', name, shape, tokens, impl: 'softmax' }),
        rowWith([0.98, 1, 1.02].map((by) => by * time(tokens)), {
          suite: 'attention',
          name,
          shape,
          tokens,
          impl: 'focused',
          speedUps: [{ over: 'softmax', value: 10 / time(tokens), low: 9 / time(tokens), high: 11 / time(tokens) }],
        }),
      ]
    })
  const crossing = rows((tokens) => 5 + 640 / tokens), [found] = tokenBreakEvens(crossing)
  expect(found).toMatchObject({ pattern: 'focused', over: 'softmax', by: 'tokens', beyond: null })
  expect(found.value).toBeCloseTo(128, 8)
  expect(found.low).toBeLessThan(126)
  expect(found.high).toBeGreaterThan(130)
  const report = reportOf(crossing, { suite: 'attention', breakEven: [found] }), text = benchText(report)
  expect(text).toContain('faster from so many tokens on:')
  expect(text).toContain('focused compact forward batch=1 heads=2 width=8 beside softmax: 128 (')
  expect(text).toMatch(/x softmax/)
  const page = benchPage(report)
  expect(page).toContain('Faster from so many tokens on')
  expect(page).toContain('compact forward, batch=1 heads=2 width=8: times as fast as softmax')
  expect(mergeReports([report, report]).breakEven).toMatchObject([{ by: 'tokens', value: found.value }])
  expect(tokenBreakEvens(rows(() => 11))).toMatchObject([{ beyond: 'above', value: 256 }])
  expect(tokenBreakEvens(rows(() => 9))).toMatchObject([{ beyond: 'below', value: 16 }])
})

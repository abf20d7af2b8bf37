// Check first, then time: what is wrong is never timed, and rows carry what they were compared with. No test looks at
// how long anything took.
import { describe, expect, test } from 'vitest'
import { type BenchCase, measure } from '../../bench/harness.ts'
import { bench } from '../../bench/own.ts'
import { opCase } from '../../bench/op-case.ts'
import { measureRoofline, underRoof, withRoofline } from '../../bench/roofline.ts'
import { table } from '../../bench/table.ts'
import { relu, scale } from '../../src/ops/elementwise.ts'
import { NumericError } from '../../src/base/errors.ts'
import { values } from '../../src/testing/values.ts'
import { describeDevice } from '../support/device.ts'
import { rowWith } from './rows.ts'

const timing = { rounds: 2, msPerRound: 1 }
const work = (...results: number[][]): BenchCase => ({
  suite: 'kernels',
  name: 'made up',
  shape: 'n=2',
  flops: 4,
  bytes: 8,
  expected: [1, 2],
  subjects: results.map((result, i) => ({ impl: `impl ${i}`, run: () => Promise.resolve(result), density: 0.5 })),
  baselines: ['impl 0'],
})

describe('measure', () => {
  test('refuses a wrong value, NaN and a missing one, and says by whom', async () => {
    for (const wrong of [[1, 2.1], [1, NaN], [NaN, 2], [1]]) {
      await expect(measure(work([1, 2], wrong), timing)).rejects.toThrow(/impl 1 is off by .*it is not timed/)
    }
    await expect(measure(work([1, 2], [1, 2.1]), timing)).rejects.toThrow(NumericError)
  })

  test('gives a row per implementation with rounds, density and the speed-up over the baseline alone', async () => {
    const rows = await measure(work([1, 2], [1, 2]), timing)
    expect(rows.map(({ impl }) => impl)).toEqual(['impl 0', 'impl 1'])
    expect(rows[0].speedUps).toBeUndefined()
    expect(rows[1].speedUps).toMatchObject([{ over: 'impl 0' }])
    for (const row of rows) {
      expect(row).toMatchObject({ density: 0.5, maxRelError: 0 })
      expect(row.msRounds).toHaveLength(2)
    }
  })
})

describe('the roof', () => {
  const roofline = { copyGbps: 10, copyBytes: 1, fmaGflops: 100, fmaChains: 4 }
  test('is the slower of moving and computing', () => {
    expect(underRoof(roofline, 1e8, 1e6)).toEqual({ ms: 1, bound: 'compute' })
    expect(underRoof(roofline, 1e6, 1e8)).toEqual({ ms: 10, bound: 'memory' })
  })

  test('rows that ran elsewhere have no share of it', () => {
    const [ours, theirs] = withRoofline([rowWith([1], { gflops: 50 }), rowWith([1], { offDevice: true })], roofline)
    expect(ours.roofline).toBeCloseTo(0.5, 10)
    expect(theirs.roofline).toBeUndefined()
  })
})

describeDevice('on a device', (adapter) => {
  test.runIf(adapter === 'cpu')('the roofline kernels compute what they should', async () => {
    const found = await measureRoofline({ rounds: 1, msPerRound: 1 })
    expect(found.copyGbps).toBeGreaterThan(0)
    expect(found.fmaGflops).toBeGreaterThan(0)
  }, 60_000)

  test('an op of anybody, in the table with the baseline it raced', async () => {
    const work = opCase({
      name: 'relu',
      args: [[33, 7]],
      impls: { ours: (x) => relu(x), twice: (x) => scale(relu(scale(x, { by: 2 })), { by: 0.5 }) },
      reference: (x) => values(x.shape, x.data.map((value) => Math.max(0, value))),
      flops: 231,
    })
    const report = await bench([work], { ...timing, roofline: false })
    expect(report.rows.map(({ impl, shape }) => `${impl} ${shape}`)).toEqual(['ours 33x7', 'twice 33x7'])
    expect(table(report.rows)).toMatch(/relu +33x7 +twice/)
  })

  test('a wrong op is named and not timed', async () => {
    const work = opCase({
      name: 'relu',
      args: [[8]],
      impls: { wrong: (x) => scale(x, { by: 1 }) },
      reference: (x) => values(x.shape, x.data.map((value) => Math.max(0, value))),
    })
    await expect(bench([work], { ...timing, roofline: false })).rejects.toThrow(/own relu 8: wrong is off by/)
  })
})

// Taking turns: what is warmed up, in which order, and whether two candidates differ, on clocks whose truth is known.
import { describe, expect, test } from 'vitest'
import { compareTurns, median, quantile, spreadOf, takeTurns } from '../../src/base/turns.ts'
import { random } from '../../src/base/random.ts'

describe('taking turns', () => {
  test('warm-up does not count, what it set going is waited for, and every second round runs backwards', async () => {
    const ran: string[] = []
    let settled = 0
    const run = (name: string) => () => {
      ran.push(name)
      return Promise.resolve(ran.length)
    }
    const found = await takeTurns([run('a'), run('b')], {
      rounds: 3,
      settle: () => {
        settled = ran.length
        return Promise.resolve()
      },
    })
    expect(ran.join('')).toBe('abababbaab')
    expect(settled).toBe(2)
    expect(found).toEqual([[5, 8, 9], [6, 7, 10]])
  })

  test('rounds end with patience, but not before there are enough to compare', async () => {
    const slow = () => new Promise<number>((resolve) => setTimeout(resolve, 20, 1))
    expect((await takeTurns([slow], { rounds: 50, patience: 1, warmUp: 0 }))[0]).toHaveLength(6)
    expect((await takeTurns([slow], { rounds: 50, patience: 1, warmUp: 0, least: 2 }))[0]).toHaveLength(2)
  })
})

test('median, quantiles and spread', () => {
  expect(median([3, 1, 2, 10])).toBe(2.5)
  expect(quantile([0, 10], 0.1)).toBeCloseTo(1)
  expect(quantile([], 0.5)).toBeNaN()
  expect(spreadOf([1, 2, 3, 4, 100])).toEqual({ median: 3, mad: 1, runs: 5 })
})

describe('comparing', () => {
  // The interval of the median from order statistics: ranks from the table of the binomial distribution.
  test.each([[6, 0], [8, 0], [9, 1], [11, 1], [12, 2], [15, 3], [20, 5], [25, 7]])(
    '%i rounds leave out %i on either side',
    (n, outside) => {
      const ratios = Array.from({ length: n }, (_, i) => i + 1)
      const { low, high } = compareTurns(ratios.map(() => 1), ratios)
      expect([low, high]).toEqual([outside + 1, n - outside])
    },
  )

  test('a slowdown of the whole machine in the middle hides nothing', () => {
    const load = [1, 1, 3, 3.1, 2.9, 1, 1, 5, 1]
    const { ratio, differs } = compareTurns(load.map((x) => 10 * x), load.map((x) => 7 * x))
    expect(ratio).toBeCloseTo(0.7)
    expect(differs).toBe(true)
  })

  test('equal candidates are told apart in at most one of twenty trials, and those 30 % apart in nearly all', () => {
    const draw = random(1, 'clocks')
    const times = (ms: number) => Array.from({ length: 9 }, () => ms * (1 + 0.1 * draw.normal()))
    const told = (share: number) =>
      Array.from({ length: 400 }, () => compareTurns(times(10), times(10 * share)).differs).filter(Boolean).length / 400
    expect(told(1)).toBeLessThan(0.07)
    expect(told(0.7)).toBeGreaterThan(0.95)
  })

  test('fewer than six rounds tell nothing', () => {
    expect(compareTurns([1, 1, 1, 1, 1], [9, 9, 9, 9, 9])).toMatchObject({ ratio: 9, differs: false })
  })
})

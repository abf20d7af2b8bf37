// What a bench says of its times, on times whose answer is known.
import { describe, expect, test } from 'vitest'
import { bootstrap, breakEven, changeBetween, isNoisy, medianOf, speedUp } from '../../bench/statistics.ts'

const around = (centre: number, spread: number, n = 9) =>
  Array.from({ length: n }, (_, i) => centre * (1 + spread * (i / (n - 1) - 0.5)))

describe('intervals', () => {
  test('hold the value, are the same every time, and are narrow where rounds agree', () => {
    const { value, low, high } = medianOf(around(10, 0.02))
    expect(value).toBe(10)
    expect(low).toBeLessThan(10)
    expect(high).toBeGreaterThan(10)
    expect(medianOf(around(10, 0.02))).toEqual({ value, low, high })
    expect(isNoisy({ value, low, high }, 9)).toBe(false)
    expect(isNoisy(medianOf(around(10, 0.5)), 9)).toBe(true)
  })

  test('one round tells nothing', () => {
    expect(isNoisy(medianOf([3]), 1)).toBe(true)
  })

  test('a machine that slows both down in some rounds leaves the speed-up alone', () => {
    const busy = [1, 1, 3, 1, 2, 1, 5, 1, 1]
    const dense = busy.map((factor) => 8 * factor), sparse = busy.map((factor) => 2 * factor)
    expect(speedUp(dense, sparse)).toEqual({ value: 4, low: 4, high: 4 })
    expect(isNoisy(medianOf(dense), 9)).toBe(true)
  })

  test('the figure is asked with as many rounds as there are, all of them existing', () => {
    bootstrap(5, (picked) => {
      expect(picked).toHaveLength(5)
      for (const i of picked) expect([0, 1, 2, 3, 4]).toContain(i)
      return 0
    })
  })

  test('what differs between processes is in the interval, where rounds of one process say nothing of it', () => {
    const processes = [10, 12, 11, 9, 13].flatMap((ms) => [ms, 1.001 * ms, 0.999 * ms])
    const alone = medianOf(processes.slice(0, 3)), together = medianOf(processes, 5)
    expect(isNoisy(alone, 3)).toBe(false)
    expect(together.value).toBeCloseTo(11, 1)
    expect(together.low).toBeLessThan(10.1)
    expect(together.high).toBeGreaterThan(11.9)
    expect(isNoisy(together, 15)).toBe(true)
    // Ratios that all processes agree upon stay narrow, however their times differ.
    expect(isNoisy(speedUp(processes.map((ms) => 3 * ms), processes, 5), 15)).toBe(false)
    const { low, high } = changeBetween(processes, processes.map((ms) => 1.05 * ms), { before: 5, after: 5 })
    expect(low).toBeLessThan(1)
    expect(high).toBeGreaterThan(1.1)
  })

  test('of several processes whole processes are drawn, and rounds within them', () => {
    const seen = new Set<number>()
    bootstrap(6, (picked) => {
      expect(picked).toHaveLength(6)
      const owners = [picked.slice(0, 2), picked.slice(2, 4), picked.slice(4)].map((each) =>
        new Set(each.map((i) => Math.floor(i / 2)))
      )
      for (const owner of owners) expect(owner.size).toBe(1)
      for (const i of picked) seen.add(i)
      return 0
    }, 3)
    expect([...seen].toSorted()).toEqual([0, 1, 2, 3, 4, 5])
  })

  test('change between runs: half the time is seen, the same time is not', () => {
    const half = changeBetween(around(10, 0.02), around(5, 0.02))
    expect(half.value).toBe(0.5)
    expect(half.high).toBeLessThan(1)
    const same = changeBetween(around(10, 0.02), around(10, 0.02))
    expect(same.low).toBeLessThanOrEqual(1)
    expect(same.high).toBeGreaterThanOrEqual(1)
  })
})

describe('break-even density', () => {
  const at = (share: (density: number) => number) =>
    [1, 0.75, 0.5, 0.25, 0.1].map((density) => ({
      density,
      dense: around(10, 0.01),
      sparse: around(10, 0.01).map((ms) => ms * share(density)),
    }))

  test('where the share of the time crosses 1, between two densities', () => {
    const { value, low, high, beyond } = breakEven(at((density) => 0.2 + density))
    expect(value).toBeCloseTo(0.8, 10)
    expect(low).toBeLessThanOrEqual(value)
    expect(high).toBeGreaterThanOrEqual(value)
    expect(beyond).toBeNull()
  })

  test('always faster, and never', () => {
    expect(breakEven(at((density) => 0.9 * density))).toMatchObject({ value: 1, beyond: 'above' })
    expect(breakEven(at((density) => 2 + density))).toMatchObject({ value: 0.1, beyond: 'below' })
  })

  test('noise widens the interval', () => {
    const noisy = at((density) => 0.2 + density).map(({ density, dense, sparse }) => ({
      density,
      dense,
      sparse: sparse.map((ms, i) => ms * (1 + (i % 3 - 1) * 0.1)),
    }))
    const [wide, narrow] = [breakEven(noisy), breakEven(at((density) => 0.2 + density))]
    expect(wide.high - wide.low).toBeGreaterThan(narrow.high - narrow.low)
  })

  test('without points there is none', () => {
    expect(() => breakEven([])).toThrow(RangeError)
  })
})

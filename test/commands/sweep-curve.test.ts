// When nothing of a curve is left to measure.
import { expect, test } from 'vitest'
import { isMeasured, pointAt } from '../../src/commands/sweep-curve.ts'
import type { Run, SweepSetup } from '../../src/commands/sweep-setup.ts'
import type { Point } from '../../src/sweeps/point.ts'

const run = { name: 'random', seed: 1, classes: undefined } as Run
const point = (rate: number, top1: number, more: Partial<Point> = {}): Point => ({
  method: 'random',
  seed: 1,
  rate,
  after: { top1, images: 100, params: 1, macs: 1 },
  how: 'sliced',
  kept: [],
  ...more,
})
const measured = (...entries: Point[]) =>
  isMeasured({
    rates: [0, 0.2, 0.4, 0.6],
    job: { checked: { classCount: 10 } } as SweepSetup['job'],
    journal: { entries },
  }, run)

test('all rates, or two in a row at chance; points of other curves do not count', () => {
  expect(measured(point(0, 0.9), point(0.2, 0.8), point(0.4, 0.7))).toBe(false)
  expect(measured(point(0, 0.9), point(0.2, 0.8), point(0.4, 0.7), point(0.6, 0.6))).toBe(true)
  expect(measured(point(0, 0.9), point(0.2, 0.1), point(0.4, 0.1))).toBe(true)
  expect(measured(point(0, 0.9), point(0.2, 0.1), point(0.6, 0.1))).toBe(false)
  for (const more of [{ seed: 0 }, { method: 'pxp' }, { source: 'x' }]) {
    expect(measured(point(0, 0.9), point(0.2, 0.8), point(0.4, 0.7), point(0.6, 0.6, more))).toBe(false)
    expect(pointAt([point(0, 0.9, more)], run, 0)).toBeUndefined()
  }
  expect(pointAt([point(0, 0.9)], run, 0)?.after.top1).toBe(0.9)
})

import { expect, test } from 'vitest'
import { areaOf, curveSection, seedsOf } from '../../src/report/curves.ts'
import type { Curve, CurvePoint, Report } from '../../src/report/types.ts'

const point = (rate: number, top1: number, more: Partial<CurvePoint> = {}): CurvePoint => ({
  rate,
  top1,
  seeds: 1,
  macs: 100 * (1 - rate),
  params: 10,
  ...more,
})
const curve = (name: string, area: number, ...points: CurvePoint[]): Curve => ({ name, area, topRate: 0.4, points })
const section = (...curves: Curve[]) =>
  curveSection({ curves, before: { params: 10, macs: 100, top1: 0.9 } } as unknown as Report)?.text ?? null

test('nothing to draw, no section', () => {
  expect(section()).toBeNull()
  expect(section(curve('empty', 0))).toBeNull()
})

test('the table of areas has the best method first', () => {
  const text = section(
    curve('random', 0.31, point(0.5, 0.2)),
    curve('pxp', 0.62, point(0.5, 0.8, { seeds: 3, low: 0.7, high: 0.9 })),
  )!
  const rows = [...text.matchAll(/<tr><th>(\w+)<\/th><td>([^<]*)<\/td><td>([^<]*)<\/td><td>(\d+)<\/td><\/tr>/g)].map((
    found,
  ) => found.slice(1))
  expect(rows).toEqual([['pxp', '0.620', '40 %', '3'], ['random', '0.310', '40 %', '1']])
  expect(text).toContain('80.0 % (70.0 % to 90.0 %, 3 seeds)')
  expect(text).toContain('A band is the spread over seeds')
})

test('time is drawn where two points have it', () => {
  expect(section(curve('a', 0.5, point(0, 0.9), point(0.5, 0.8)))).not.toContain('Against measured time')
  const shares = section(curve('a', 0.5, point(0, 0.9, { timeShare: 1 }), point(0.5, 0.8, { timeShare: 0.6 })))
  expect(shares).toContain('Against measured time')
  expect(shares).toContain('60 %')
})

test('areas with their standard error, seeds by the most', () => {
  expect(areaOf({ ...curve('a', 0.5), areaError: 0.0123 })).toBe('0.500 ± 0.012')
  expect(areaOf(curve('a', 0.5))).toBe('0.500')
  expect(seedsOf(curve('a', 0.5, point(0, 1), point(0, 1, { seeds: 4 })))).toBe(4)
  expect(seedsOf(curve('a', 0.5))).toBe(0)
})

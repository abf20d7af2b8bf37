import { expect, test } from 'vitest'
import { bytes, count, differsInTime, percent, shareText, timeText } from '../../src/report/format.ts'

test('counts have four digits and a unit', () => {
  expect([0, 999, 1000, 5717416, -2.5e9, 1e12].map(count)).toEqual([
    '0',
    '999',
    '1.000 k',
    '5.717 M',
    '-2.500 G',
    '1000 G',
  ])
  expect([12, 12100000].map(bytes)).toEqual(['12 B', '12.10 MB'])
})

test('shares and times', () => {
  expect(percent(0.125, 1)).toBe('12.5 %')
  expect(timeText({ msPerImage: 6.4, msPerImageMad: 0.111 })).toBe('6.40 ± 0.11')
  expect(timeText({ msPerImage: 64 })).toBe('64.0')
})

test('a time differs only where its whole interval lies to one side of 1', () => {
  const figures = (timeShareLow: number, timeShareHigh: number) => ({
    params: 0,
    macs: 0,
    timeShare: 0.52,
    timeShareLow,
    timeShareHigh,
  })
  expect(differsInTime(figures(0.5, 0.99))).toBe(true)
  expect(differsInTime(figures(0.9, 1.1))).toBe(false)
  expect(differsInTime(figures(1.01, 1.1))).toBe(true)
  expect(shareText(figures(0.501, 0.54))).toBe('52.0 % of the time (50.1 to 54.0 %)')
  expect(shareText(figures(0.9, 1.1))).toBe('no difference beyond noise (90.0 to 110.0 % of the time)')
  expect(shareText(figures(0, Infinity))).toContain('too few turns')
  expect(shareText({ params: 0, macs: 0 })).toBe('not compared')
})

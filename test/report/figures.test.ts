import { expect, test } from 'vitest'
import { figureSection, width } from '../../src/report/figures.ts'
import type { Report } from '../../src/report/types.ts'

/** The cells of the table, row by row. */
const cells = (report: Partial<Report>) =>
  [...figureSection(report as Report).text.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row]) =>
    [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/gs)].map(([, cell]) => cell.replace(/<div.*<\/div>/s, 'bars'))
  )

test('accuracy changes by points, costs by a factor, and what nobody measured is left out', () => {
  const before = { top1: 0.75, params: 4e6, macs: 1e9 }, after = { top1: 0.7375, params: 1e6, macs: 0.999e9 }
  expect(cells({ before, after })).toEqual([
    ['', 'before', 'after', 'change', ''],
    ['top-1', '75.00 %', '73.75 %', '−1.25 pts', 'bars'],
    ['MACs per image', '1.000 G', '999.0 M', '× 1.0', 'bars'],
    ['parameters', '4.000 M', '1.000 M', '× 0.25', 'bars'],
  ])
})

test('a network alone has one column', () => {
  expect(cells({ before: { params: 10, macs: 20 } })).toEqual([['', 'value'], ['MACs per image', '20'], [
    'parameters',
    '10',
  ]])
})

test('times that took turns are compared as such, or not at all', () => {
  const time = (low: number, high: number) =>
    cells({
      before: { params: 1, macs: 1, msPerImage: 10 },
      after: { params: 1, macs: 1, msPerImage: 9, timeShare: 0.5, timeShareLow: low, timeShareHigh: high },
    }).at(-1)![3]
  expect(time(0.4, 0.6)).toBe('× 0.50')
  expect(time(0.4, 1.2)).toBe('no difference beyond noise')
})

test('widths stay inside', () => {
  expect([-1, 0.1234, 2].map(width)).toEqual(['0.0%', '12.3%', '100.0%'])
})

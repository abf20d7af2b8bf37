// The page of a bench: self-contained, escaped, with the curves and the rows that are in the report.
import { expect, test } from 'vitest'
import { benchPage } from '../../bench/html.ts'
import type { Row } from '../../bench/harness.ts'
import { withRoofline } from '../../bench/roofline.ts'
import { reportOf, rowWith } from './rows.ts'

const rows: Row[] = [1, 0.5, 0.1].map((density) =>
  rowWith([density, density, density], {
    name: 'linear forward',
    impl: 'block:32x32',
    density,
    speedUps: [{ over: 'dense', value: 1 / density, low: 0.9 / density, high: 1.1 / density }],
    noisy: density === 0.1,
  })
)
const roofline = { copyGbps: 10, copyBytes: 1e6, fmaGflops: 100, fmaChains: 8 }
const report = reportOf(withRoofline(rows, roofline), {
  adapter: '<script>alert(1)</script>',
  rooflines: { browser: roofline },
  breakEven: [{
    pattern: 'block:32x32',
    op: 'forward',
    shape: '8x8x8',
    over: 'dense',
    value: 0.93,
    low: 0.9,
    high: 0.95,
    beyond: null,
  }],
})

test('fetches nothing, runs nothing, and escapes what is not ours', () => {
  const page = benchPage(report)
  expect(page).not.toMatch(/<script|src=|href=|@import|url\(/)
  expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;')
})

test('has the curve with its points, the roofline, the break-even density and the noisy row', () => {
  const page = benchPage(report)
  expect(page).toContain('times as fast as dense')
  expect(page).toContain('block:32x32 at density 0.5: 2 (1.8 to 2.2)')
  expect(page).toContain('Roofline, browser profile')
  expect(page).toContain('block:32x32 forward 8x8x8 beside dense: 0.93 (0.90 to 0.95)')
  expect(page).toMatch(/Too noisy to trust[^]*linear forward 8x8x8 block:32x32 at 0\.1</)
  expect(page).not.toMatch(/NaN|Infinity|undefined/)
})

test('a page beside an earlier run says what changed', () => {
  const slower = reportOf(rows.map((row) => ({ ...row, msRounds: row.msRounds!.map((ms) => 2 * ms) })))
  expect(benchPage(slower, { path: 'old.json', report })).toContain('3 of 3 rows changed beyond noise')
})

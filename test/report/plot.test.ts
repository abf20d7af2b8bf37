// Plots as SVG: points lie where their values are, bands and levels are drawn where there are any.
import { expect, test } from 'vitest'
import { legend, type Plot, responsivePlot } from '../../src/report/plot.ts'

const point = (x: number, y: number, low = y, high = y) => ({ x, y, low, high, title: `at ${x}` })
const plot = (more: Partial<Plot> = {}): Plot => ({
  label: 'a <b>',
  x: { label: 'rate', tick: (value) => `${value}` },
  y: { label: 'top-1', tick: (value) => `${value}` },
  series: [{ name: 'one', points: [point(0, 1), point(0.5, 0.5), point(1, 0)] }],
  ...more,
})
const marks = (text: string) =>
  [...text.matchAll(/class="mark"[^>]*translate\(([-\d.]+),([-\d.]+)\)/g)].map(([, x, y]) => [Number(x), Number(y)])

test('points in the middle of values lie in the middle of the picture', () => {
  const [[x0, y0], [x1, y1], [x2, y2]] = marks(responsivePlot(plot()).text)
  expect(x1).toBeCloseTo((x0 + x2) / 2, 1)
  expect(y1).toBeCloseTo((y0 + y2) / 2, 1)
  expect(x0).toBeLessThan(x2)
  expect(y0).toBeLessThan(y2) // larger values are higher up
})

test('a picture for a phone and one for a wide screen, with text that is no markup', () => {
  const { text } = responsivePlot(plot())
  expect(text.match(/<svg /g)).toHaveLength(2)
  expect(text).toContain('aria-label="a &lt;b&gt;"')
})

test('bands and levels only where there are any', () => {
  expect(responsivePlot(plot()).text).not.toMatch(/class="band"|class="level"/)
  const full = responsivePlot(
    plot({
      series: [{ name: 'one', points: [point(0, 1, 0.9, 1), point(1, 0.5, 0.4, 0.6)] }],
      level: { value: 0.8, label: 'dense' },
    }),
  ).text
  expect(full).toMatch(/class="band"/)
  expect(full).toMatch(/class="level"/)
})

test('one point alone, and no number is missing', () => {
  expect(responsivePlot(plot({ series: [{ name: 'one', points: [point(0.5, 0.5)] }] })).text).not.toContain('NaN')
})

test('the legend names series and level', () => {
  const { text } = legend(plot({ level: { value: 1, label: 'dense 90 %' } }))
  expect(text).toContain('one</li>')
  expect(text).toContain('dense 90 %</li>')
})

// The graph of heads as a picture: nodes and lines as large and as thick as the figures say.
import { expect, test } from 'vitest'
import { graphReport } from '../../src/commands/head-graph.ts'
import { graphFile, type GraphLayer, graphPage, headGraphSection, orderOf } from '../../src/report/head-graph.ts'

const layer = (more: Partial<GraphLayer> = {}): GraphLayer => ({
  unit: 'blocks.0.attention.heads',
  heads: 3,
  S: [[1, 0.9, 0.2], [0.9, 1, 0.5], [0.2, 0.5, 1]],
  P: [[0.5, 0.4, 0.1], [0.4, 0.4, 0.2], [0.1, 0.3, 0.6]],
  pi: [0.35, 0.4, 0.25],
  importance: [1.05, 1.2, 0.75],
  ...more,
})
const report = (...layers: GraphLayer[]) => ({
  direction: 'central-first',
  source: 'maps',
  diagonal: 'keep',
  damping: 1,
  images: 8,
  layers,
})
/** An attribute of each element of a kind, in order. */
const all = (text: string, element: string, attribute: string) =>
  [...text.matchAll(new RegExp(`<${element}[^>]* ${attribute}="([^"]*)"`, 'g'))].map(([, value]) => value)

test('heads are nodes, likeness is thickness, rank is size; the order stands below', () => {
  const svg = graphFile('net', report(layer()))
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/)
  // the strongest line last, on top: 0 and 2, 1 and 2, 0 and 1
  expect([...svg.matchAll(/<title>(heads [^<]*)/g)].map(([, title]) => title)).toEqual([
    'heads 0 and 2: 0.2000',
    'heads 1 and 2: 0.5000',
    'heads 0 and 1: 0.9000',
  ])
  const [thin, middle, thick] = all(svg, 'line', 'stroke-width').map(Number)
  expect(thin).toBeLessThan(middle)
  expect(middle).toBeLessThan(thick)
  const sizes = all(svg, 'circle', 'r').map(Number)
  expect(sizes).toHaveLength(3)
  expect(sizes[1]).toBeGreaterThan(sizes[0])
  expect(sizes[0]).toBeGreaterThan(sizes[2])
  expect(svg).toContain('>1 &gt; 0 &gt; 2</text>')
  expect(svg).toMatch(/0\.200 \(thin\) to 0\.900 \(thick\)[^]*0\.750 \(small\) to 1\.200 \(large\) times the mean/)
  expect(orderOf(layer({ importance: [1, 1, 1] }))).toEqual([0, 1, 2])
})

test('what was cut is dashed; names are escaped; a lone head and many heads are drawn', () => {
  const html = headGraphSection(report(layer({ kept: [0, 1], unit: 'a.<b>' }))).text
  expect(all(html, 'circle', 'class')).toEqual(['head', 'head', 'head gone'])
  expect(html).toContain('dashed: heads that were cut')
  expect(html).not.toContain('<b>')
  expect(graphFile('<i>', report(layer()))).not.toMatch(/<i>|dashed: heads/)
  const alone = graphFile('one', report(layer({ heads: 1, S: [[1]], P: [[1]], pi: [1], importance: [1] })))
  expect(all(alone, 'circle', 'r')).toHaveLength(1)
  expect(alone).toMatch(/no layer has two heads/)
  expect(alone).not.toMatch(/NaN|Infinity|<line/)
  const many = Array.from({ length: 24 }, () => 1 / 24), row = many.map((_, i) => i / 24)
  const wide = graphPage('many', '0', report(layer({ heads: 24, S: many.map(() => row), pi: many, importance: row })))
  expect(all(wide, 'circle', 'r')).toHaveLength(24)
  // neighbours on the ring stand apart by more than their sizes
  const [x, y, r] = ['cx', 'cy', 'r'].map((name) => all(wide, 'circle', name).map(Number))
  expect(Math.hypot(x[0] - x[1], y[0] - y[1])).toBeGreaterThan(r[0] + r[1])
  expect(wide).toMatch(/&gt; \.\.\.<\/text>/)
  expect(wide).not.toMatch(/NaN|undefined/)
})

test('graphs as JSON: rows of S and P, pi, six digits, what a plan keeps', () => {
  const graph = {
    unit: 'a',
    heads: 2,
    correlation: Float32Array.of(1, 1 / 3, 1 / 3, 1),
    transition: Float32Array.of(0.75, 0.25, 0.25, 0.75),
    stationary: Float32Array.of(0.5, 0.5),
    importance: Float32Array.of(1, 1),
  }
  const made = { direction: 'central-first', source: 'maps', diagonal: false, damping: 0.9, images: 4 } as const
  expect(graphReport({ ...made, layers: [graph] }, new Map([['a', Uint8Array.of(0, 1)]]))).toEqual({
    ...made,
    diagonal: 'zero',
    layers: [{
      unit: 'a',
      heads: 2,
      S: [[1, 0.333333], [0.333333, 1]],
      P: [[0.75, 0.25], [0.25, 0.75]],
      pi: [0.5, 0.5],
      importance: [1, 1],
      kept: [1],
    }],
  })
})

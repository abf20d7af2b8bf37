import { expect, test } from 'vitest'
import { sparsePage } from '../../bench/sparse-page.ts'

const result = { top5: 0.9, loss: 1, images: 100, keptMacs: 500, bytes: 300 }

test('a row for every network, shares of the dense one, text that is not ours escaped', () => {
  const text = sparsePage({
    command: 'node x <script>',
    version: '1',
    adapter: 'embedded',
    machine: { cpu: 'EPYC', cores: 2, platform: 'linux', node: '26', commit: null },
    skip: ['head'],
    references: 32,
    dense: { ...result, top1: 0.75, keptMacs: 1000, bytes: 400, cpuMsPerImage: 20, cpuShare: 1 },
    rows: [
      { ...result, top1: 0.5, pattern: 'block:16x16', method: 'pxp', ranking: 'global', density: 0.5, cpuShare: 0.625 },
      { ...result, top1: 0.25, pattern: 'block:16x16', method: 'pxp', ranking: 'global', density: 0.3 },
    ],
  })
  expect(text).toContain('&lt;script&gt;')
  const rows = [...text.matchAll(/<tr><th>(.*?)<\/th>(.*?)<\/tr>/g)].map(([, name, cells]) => [
    name,
    ...[...cells.matchAll(/<td>(.*?)<\/td>/g)].map(([, cell]) => cell),
  ])
  expect(rows.slice(1)).toEqual([
    ['dense', '1.000', '75.0 %', '90.0 %', '1.000', '100.0 %', '100.0 %', '20.00', '100 %'],
    ['block:16x16 by pxp, global', '0.500', '50.0 %', '90.0 %', '1.000', '50.0 %', '75.0 %', '–', '63 %'],
    ['block:16x16 by pxp, global', '0.300', '25.0 %', '90.0 %', '1.000', '50.0 %', '75.0 %', '–', '–'],
  ])
  // Both rows are places of one curve.
  expect(text.match(/block:16x16 by pxp, global, density/g)).toHaveLength(2 * 2)
})

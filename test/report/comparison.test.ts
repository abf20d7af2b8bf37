// Methods side by side in a report.
import { expect, test } from 'vitest'
import { comparisonSection } from '../../src/report/comparison.ts'

test('a row for each method, with stages and epochs; names are escaped', () => {
  const { text } = comparisonSection({
    title: 'Compared',
    summary: 'at 40 %',
    runs: [
      { method: 'dense', top1: 0.925, macs: 1061376, params: 60730, epochs: [] },
      { method: '<i>', top1: 0.84, macs: 423196, params: 25524, epochs: [['search', 2], ['fine-tuning', 1]] },
    ],
  })
  expect(text).toMatch(/<h2>Compared<\/h2>\s*<p>at 40 %<\/p>/)
  expect(text).toMatch(/<th>dense<\/th><td>92\.5 %<\/td><td>1\.061 M<\/td><td>60\.73 k<\/td><td><\/td>/)
  expect(text).toContain('<th>&lt;i&gt;</th><td>84.0 %</td><td>423.2 k</td><td>25.52 k</td>')
  expect(text).toContain('<td>search 2, fine-tuning 1</td>')
})

import { expect, test } from 'vitest'
import { unitSection } from '../../src/report/kept.ts'
import type { KeptUnit, Report } from '../../src/report/types.ts'

const section = (units: KeptUnit[]) => unitSection({ units } as Report)?.text ?? null

test('no units, no section', () => expect(section([])).toBeNull())

test('sums, bars and layers', () => {
  const text = section([
    { name: 'blocks.0.mlp.hidden', size: 8, kept: 2 },
    { name: 'blocks.0.heads', size: 4, kept: 4 },
    { name: 'blocks.1.heads', size: 4, kept: 3 },
  ])!
  expect(text).toContain('9 of 16 elements in 3 units; one unit is whole.')
  expect(text.match(/width:[\d.]+%/g)).toEqual(['width:25.0%', 'width:100.0%', 'width:75.0%'])
  expect(text.match(/class="unit( next)?"/g)).toEqual(['class="unit"', 'class="unit"', 'class="unit next"'])
  expect(text).toContain('<b>blocks<wbr>.0</b><wbr>.heads')
})

test('names are text, not markup', () => {
  expect(section([{ name: '<i>', size: 1, kept: 0 }])).not.toContain('<i>"')
  expect(section([{ name: '"<script>', size: 1, kept: 0 }])).toContain('&quot;&lt;script&gt;')
})

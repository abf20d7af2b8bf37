// The demo is the first thing a newcomer runs: the whole story, on what ships with the package.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { demo } from '../../src/commands/demo.ts'
import { parseCheckpoint } from '../../src/checkpoint/checkpoint.ts'
import type { Comparison } from '../../src/report/comparison.ts'
import { run, scratch } from '../support/model.ts'

const dir = scratch()

test('prunes by relevance, beats chance, saves a file that stands alone, explains, reports', async () => {
  const { json, text } = await run(demo, ['--out', dir, '--adapter', 'cpu'])
  const { before, after, curves, report, comparison } = json as {
    before: { top1: number, macs: number },
    after: { top1: number, macs: number, bytes: number },
    report: string,
    comparison: Comparison,
    curves: { method: string, area: number, points: { rate: number, top1: number }[] }[],
  }
  expect(before.top1).toBeCloseTo(0.91, 6) // 182 of the 200 images that ship
  expect(after.macs).toBeLessThanOrEqual(0.7 * before.macs)
  expect(after.top1).toBeGreaterThan(0.6)
  const [relevance, chance] = curves
  expect([relevance.method, chance.method]).toEqual(['pxp', 'random'])
  expect(relevance.area).toBeGreaterThan(chance.area + 0.1)
  const { bytes, pruning } = await parseCheckpoint(readFileSync(join(dir, 'resnet20-pruned.safetensors')), 'pruned')
  expect(bytes).toBe(after.bytes)
  expect(pruning!.steps).toMatchObject([{ method: 'pxp' }])
  expect(report).toBe(join(dir, 'report.html'))
  expect(text).toContain(report)
  const html = readFileSync(report, 'utf8')
  expect(html.match(/data:image\/png;base64/g)!.length).toBeGreaterThanOrEqual(4)
  expect(html).toContain('random')
  // The transformer: as many images in training for each, in the budget, better than chance by what learns.
  expect(comparison.runs.map((each) => each.method)).toEqual(['dense', 'apma', 'pxp', 'random'])
  const [dense, learnt, , atRandom] = comparison.runs
  expect(dense.top1).toBeCloseTo(0.925, 6) // 370 of 400 digits
  for (const { macs, epochs } of comparison.runs.slice(1)) {
    expect(macs).toBeLessThanOrEqual(0.4 * dense.macs)
    expect(epochs.reduce((sum, [, each]) => sum + each, 0)).toBe(3)
  }
  expect(learnt.top1).toBeGreaterThan(atRandom.top1)
  expect(html).toMatch(/by a method that learns what to cut[^]*<th>apma<\/th>[^]*search 2, fine-tuning 1/)
}, 240_000)

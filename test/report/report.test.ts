import { describe, expect, test } from 'vitest'
import { escape } from '../../src/report/html.ts'
import { markdownTable } from '../../src/report/markdown.ts'
import { htmlReport } from '../../src/report/report.ts'
import type { Report } from '../../src/report/types.ts'
import { hostile, minimal, sampleReport } from '../support/report.ts'

/** Checks that tags nest, attributes are quoted and nothing but known tags occurs; returns the text between tags. */
function parse(document: string): { text: string, tags: string[] } {
  const open: string[] = [], tags: string[] = []
  let text = ''
  const style = /<style>[^<]*<\/style>/
  expect(document).toMatch(/^<!doctype html>\n<html lang="en">/)
  const body = document.replace('<!doctype html>', '').replace(style, '<style></style>')
  for (const [, between, tag] of body.matchAll(/([^<]*)(<[^>]*>|$)/g)) {
    expect(between).not.toMatch(/&(?!(amp|lt|gt|quot|#39);)/)
    text += between
    if (!tag) continue
    const found = /^<(\/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z-]+="[^"<]*")*)(\/?)>$/.exec(tag)
    expect(found, tag).not.toBeNull()
    const [, closing, name, , self] = found!
    tags.push(name)
    if (closing) expect(open.pop(), tag).toBe(name)
    else if (!self && !['meta', 'img', 'wbr'].includes(name)) open.push(name)
  }
  expect(open).toEqual([])
  return { text, tags }
}

describe('report', () => {
  test('a full one', () => {
    const report = sampleReport()
    const page = htmlReport(report)
    const { text, tags } = parse(page)
    expect(text).not.toMatch(/undefined|NaN|\[object|Infinity/)
    expect(page).not.toMatch(/undefined|NaN|Infinity/)
    // Each series is drawn with its line and its marks, three plots at two sizes, and a band where seeds spread.
    const points = report.curves!.reduce((sum, { points }) => sum + points.length, 0)
    expect(page.match(/<title>[^<]*rate \d/g)).toHaveLength(6 * points)
    expect(page.match(/class="band"/g)).toHaveLength(6)
    for (const { name, area, areaError } of report.curves!) {
      expect(text).toContain(`${name}: `)
      expect(text).toContain(areaError === undefined ? area.toFixed(3) : `${area.toFixed(3)} ± ${areaError.toFixed(3)}`)
    }
    for (const { name, size, kept } of report.units) {
      expect(page).toContain(`aria-label="${name}: ${kept} of ${size} kept"`)
    }
    expect(page).toContain('<b>blocks<wbr>.0</b><wbr>.mlp<wbr>.hidden</span>')
    expect(text).toMatch(/elements in 24 units; \d units are whole\./)
    expect(text).toContain(report.command)
    expect(text).toContain('× 0.50')
    expect(tags.filter((tag) => tag === 'img')).toHaveLength(4)
    expect(page).toContain(`data:image/png;base64,${Buffer.from(report.heatmaps![0].after).toString('base64')}`)
  })

  test('a minimal one leaves out what it lacks', () => {
    const page = htmlReport(minimal)
    const { text, tags } = parse(page)
    expect(text).not.toMatch(/undefined|NaN|Accuracy against|What is left|Relevance before|after/)
    expect(tags).not.toContain('svg')
    expect(text).toContain('5.717 M')
  })

  test('fetches nothing and runs nothing', () => {
    const page = htmlReport(sampleReport())
    expect(page).not.toMatch(/https?:|\burl\(|@import|<link|<script|<iframe|\son\w+=|javascript:/i)
    for (const [, source] of page.matchAll(/\b(?:src|href)="([^"]*)"/g)) {
      expect(source).toMatch(/^data:image\/png;base64,[A-Za-z0-9+/=]+$/)
    }
  })

  test('escapes whatever it is given, everywhere', () => {
    const page = htmlReport(hostile())
    const { tags } = parse(page)
    expect(tags).not.toContain('script')
    expect(page).not.toContain('<script')
    expect(page).not.toContain(' onload="')
    expect(escape('a<b>&"\'\u0000')).toBe('a&lt;b&gt;&amp;&quot;&#39;\ufffd')
  })

  test.each<[string, Partial<Report>]>([
    ['a curve without points', { curves: [{ name: 'random', area: 0, topRate: 0, points: [] }] }],
    ['a curve of one point', {
      curves: [{
        name: 'random',
        area: 0.1,
        topRate: 0,
        points: [{ rate: 0, top1: 0.1, seeds: 1, macs: 1, params: 1 }],
      }],
    }],
    ['accuracy zero everywhere', {
      curves: [{
        name: 'random',
        area: 0,
        topRate: 0,
        points: [0, 0.5].map((rate) => ({ rate, top1: 0, seeds: 1, macs: 0, params: 0 })),
      }],
    }],
    ['nothing measured', { before: { params: 0, macs: 0 }, after: { params: 0, macs: 0 } }],
    ['a unit of no elements', { units: [{ name: 'x', size: 0, kept: 0 }] }],
  ])('%s', (_, part) => {
    const page = htmlReport({ ...minimal, ...part })
    parse(page)
    expect(page).not.toMatch(/undefined|NaN|Infinity/)
  })

  test('the table for documents, best area first', () => {
    const table = markdownTable(sampleReport().curves!)
    const rows = table.trimEnd().split('\n')
    expect(rows[0]).toBe('| method | A_PR | trapezoid | Top-PR | seeds |')
    expect(rows[2]).toMatch(/^\| pxp-epsilon \| 0\.\d{3} \| 0\.\d{3} \| \d+ % \| 1 \|$/)
    expect(rows.at(-1)).toMatch(/^\| random \| 0\.\d{3} ± 0\.\d{3} \|/)
    expect(markdownTable([{ name: 'a|b\n<script>', area: 0.5, topRate: 0, points: [] }])).toContain(
      '| a\\|b \\<script\\> | 0.500 |',
    )
  })
})

import { describe, expect, test } from 'vitest'
import { curveSVG, sparkline } from '../../src/report/learning-curve.ts'

describe('sparkline', () => {
  test('lowest and highest value get the lowest and highest block', () => {
    expect(sparkline([1, 0.5, 0])).toBe('█▅▁')
  })
  test('equal values, one value, none', () => {
    expect([sparkline([2, 2]), sparkline([3]), sparkline([])]).toEqual(['▁▁', '▁', ''])
  })
  test('neighbours are averaged where there are more values than room', () => {
    expect(sparkline([0, 0, 8, 8, 4, 4], 3)).toBe('▁█▅')
  })
})

describe('curve', () => {
  const lines = (svg: string) => [...svg.matchAll(/<path d="([^"]*)" fill="none"/g)].map(([, path]) => path)

  test('one line per series, highest value on top, lowest at the bottom', () => {
    const svg = curveSVG('a & b', [{ name: 'loss', values: [2, 1], colour: '#000' }], [{
      name: 'top-1',
      values: [0.25, 0.75],
      colour: '#111',
    }])
    expect(lines(svg)).toEqual(['M60.0 60.0h0L440.0 280.0', 'M520.0 280.0h0L900.0 60.0'])
    expect(svg).toContain('a &amp; b')
  })

  test('gaps, one epoch, equal values, and an empty panel', () => {
    expect(lines(curveSVG('', [{ name: '', values: [1, NaN, 3], colour: '#000' }], []))).toEqual([
      'M60.0 280.0h0M440.0 60.0h0',
    ])
    const svg = curveSVG('', [{ name: '', values: [5], colour: '#000' }], [{ name: '', values: [], colour: '#000' }])
    expect(lines(svg)).toEqual(['M60.0 280.0h0'])
    expect(svg).not.toMatch(/NaN|Infinity|accuracy/)
  })
})

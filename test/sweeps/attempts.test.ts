import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { attemptFiles, mergePoints, newAttempt } from '../../src/sweeps/attempts.ts'
import { isPoint, placeOf, type Point } from '../../src/sweeps/point.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'attempts-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test('each attempt has a file of its own, and they come back in their order', () => {
  expect(attemptFiles(folder).size).toBe(0)
  const made = Array.from({ length: 12 }, () => newAttempt(folder, 'pxp-0-abcd'))
  newAttempt(folder, 'pxp-0-abcde')
  expect(new Set(made).size).toBe(12)
  for (const file of made) expect(existsSync(file) && readFileSync(file, 'utf8')).toBe('')
  expect(attemptFiles(folder).get('pxp-0-abcd')).toEqual(made)
  rmSync(made[3]) // a damaged one that somebody took away
  const next = newAttempt(folder, 'pxp-0-abcd')
  expect(basename(next)).toBe('pxp-0-abcd.12.jsonl')
})

const point = (rate: number, more: Partial<Point> = {}, after: Partial<Point['after']> = {}): Point => ({
  method: 'pxp',
  seed: 0,
  ...placeOf('a GPU'),
  rate,
  after: { top1: 0.5, top5: 1, images: 20, params: 10, macs: 100, msPerImage: 1, ...after },
  how: 'sliced',
  kept: [3, 4],
  ...more,
})
const found = (...points: Point[]) => points.map((each, i) => ({ point: each, file: `${i}.jsonl` }))

test('a point that was measured twice counts once, with the times of the first', () => {
  const first = point(0), second = point(0, { node: 'n2' }, { msPerImage: 2 })
  expect(mergePoints(found(first, point(0.5), second))).toEqual([first, point(0.5)])
  // Other curves are no duplicates.
  const others = [point(0), point(0, { seed: 1 }), point(0, { source: 'x' }), point(0, { method: 'random' })]
  expect(mergePoints(found(...others))).toEqual(others)
})

test('two measurements that differ in more than times are an error that names both files', () => {
  for (
    const [other, said] of [
      [point(0, {}, { top1: 0.4 }), /top1 0\.4 and not 0\.5/],
      [point(0, {}, { macs: 99 }), /macs 99 and not 100/],
      [point(0, {}, { images: 21 }), /images 21 and not 20/],
      [point(0, { kept: [3, 3] }), /kept 3 3 and not 3 4/],
      [point(0, { how: 'masked' }), /how masked and not sliced/],
      [point(0, { adapter: 'another' }, { images: 21 }), /images 21 and not 20/],
    ] as const
  ) {
    expect(() => mergePoints(found(point(0), other))).toThrow(said)
    expect(() => mergePoints(found(point(0), other))).toThrow(/^1\.jsonl: pxp with seed 0 at rate 0 .*0\.jsonl differs/)
    expect(() => mergePoints(found(point(0), other))).toThrow(InputError)
  }
  // Another adapter adds up in another order.
  expect(mergePoints(found(point(0), point(0, { adapter: 'another' }, { top1: 0.4 })))).toHaveLength(1)
})

test('what is no point is told from one', () => {
  expect(isPoint(point(0), [3, 5])).toBe(true)
  const { node: _, adapter: _a, versions: _v, ...old } = point(0)
  expect(isPoint(old, [3, 5])).toBe(true)
  for (
    const bad of [
      point(0, { node: 3 as never }),
      point(0, { adapter: {} as never }),
      point(0, { versions: 'x' as never }),
      point(1),
      point(0, { kept: [3] }),
      point(0, { kept: [4, 4] }),
      null,
      [],
    ]
  ) expect(isPoint(bad, [3, 5]), JSON.stringify(bad)).toBe(false)
})

import { expect, test } from 'vitest'
import { chooseEntries } from '../../src/sparse/choose.ts'
import { patternOf } from '../../src/sparse/registry.ts'

const site = (path: string, matrix: [number, number]) => ({
  path,
  paths: [path],
  outputs: [matrix[0]],
  inputs: [matrix[1]],
  matrix,
})
const sites = [site('small', [8, 8]), site('large', [8, 16])]
const scores = new Map([['small', new Float32Array(64).fill(1)], ['large', new Float32Array(128).fill(10)]])
const count = (keep: Uint8Array | undefined) => keep!.reduce((sum, one) => sum + one, 0)

test('the strongest tiles of all weights, or the same share of each; each keeps at least one', () => {
  const pattern = patternOf('block:4x4'),
    choose = (ranking: 'global' | 'per-unit', density: number) => {
      const keep = chooseEntries(sites, scores, pattern, { density, ranking })
      return [count(keep.get('small')), count(keep.get('large'))]
    }
  expect(choose('per-unit', 0.5)).toEqual([32, 64])
  expect(choose('global', 0.5)).toEqual([16, 80])
  expect(choose('global', 1)).toEqual([64, 128])
  expect(choose('global', 0.01)).toEqual([16, 16])
})

test('scores that are no numbers are named', () => {
  const bad = new Map([...scores, ['large', new Float32Array(128).fill(NaN)] as const])
  expect(() => chooseEntries(sites, bad, patternOf('rows'), { density: 0.5 })).toThrow(
    'score of large, entry 0, is NaN',
  )
})

import { expect, test } from 'vitest'
import { wantedFeatures, wantFeatures } from '../../src/gpu/features.ts'

test('features are wanted once, beside those of profiler and kernels', () => {
  expect(wantedFeatures()).toEqual(expect.arrayContaining(['timestamp-query', 'shader-f16']))
  wantFeatures(['a-test', 'shader-f16'])
  wantFeatures(['a-test'])
  expect(wantedFeatures().filter((name) => name === 'a-test')).toHaveLength(1)
  expect(new Set(wantedFeatures()).size).toBe(wantedFeatures().length)
})

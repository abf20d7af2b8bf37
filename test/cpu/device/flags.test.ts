import { expect, test } from 'vitest'
import { mapMode, shaderStage, usage, usageNames } from '../../../src/cpu/device/flags.ts'

test("the standard's bits", () => {
  expect(usage).toMatchObject({
    MAP_READ: 1,
    MAP_WRITE: 2,
    COPY_SRC: 4,
    COPY_DST: 8,
    UNIFORM: 64,
    STORAGE: 128,
    QUERY_RESOLVE: 512,
  })
  expect([mapMode.READ, mapMode.WRITE, shaderStage.COMPUTE]).toEqual([1, 2, 4])
})

test('names of what is set', () => {
  expect(usageNames(usage.STORAGE | usage.COPY_SRC)).toBe('COPY_SRC | STORAGE')
  expect(usageNames(0)).toBe('none')
})

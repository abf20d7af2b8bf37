import { expect, test } from 'vitest'
import { sizeOf } from '../../src/base/shape.ts'

test('a shape has the product of its extents, a scalar one element, an empty axis none', () => {
  expect(sizeOf([2, 3, 4])).toBe(24)
  expect(sizeOf([])).toBe(1)
  expect(sizeOf([5, 0, 7])).toBe(0)
})

// How linear maps of every kind fit their arguments.
import { expect, test } from 'vitest'
import { empty, withoutDevice } from '../../src/core/tensor.ts'
import { linearSizes, maskedAxes, notation } from '../../src/ops/matmul/linear-sizes.ts'

test('axes that are contracted, and those of the outputs', () => {
  expect(notation(3, 2)).toBe('... b c, a b c, a -> ... a')
  expect(maskedAxes([[5, 4], [3, 4], [3, 4], [3]], [5, 3], {}).links.length).toBeGreaterThan(3)
  const sizes = (x: number[], weight: number[], over: number) =>
    withoutDevice(() => linearSizes('linear', empty(x), empty(weight), null, over))
  expect(sizes([2, 5, 3, 4], [6, 3, 4], 2)).toEqual({ rows: 10, inputs: 12, outputs: 6, shape: [2, 5, 6] })
  expect(() => sizes([2, 4], [6, 5], 1)).toThrow(/expected x to end in \[5\], got \[4\]/)
  expect(() => sizes([2, 4], [6, 4], 2)).toThrow(/cannot contract 2 axes/)
})

// Shapes that stretch and axes that merge, against walks by plain loops.
import { describe, expect, test } from 'vitest'
import { ShapeError } from '../../../src/base/errors.ts'
import { axisOf, broadcastShape, broadcastStrides, collapse, sameShape,
  stridesOf } from '../../../src/ops/shared/broadcast.ts'

test('strides of a contiguous tensor', () => {
  expect(stridesOf([2, 3, 4])).toEqual([12, 4, 1])
  expect(stridesOf([])).toEqual([])
})

test('axes count from both ends', () => {
  expect([0, 2, -1, -3].map((axis) => axisOf('op', axis, 3))).toEqual([0, 2, 2, 0])
  for (const axis of [3, -4, 0.5]) expect(() => axisOf('op', axis, 3)).toThrow(ShapeError)
})

test('equal shapes', () => {
  expect(sameShape([2, 3], [2, 3])).toBe(true)
  expect(sameShape([2, 3], [3, 2])).toBe(false)
  expect(sameShape([2], [2, 1])).toBe(false)
})

describe('the common shape', () => {
  test.each([
    [[[2, 3], [2, 3]], [2, 3]],
    [[[2, 1, 4], [3, 1]], [2, 3, 4]],
    [[[], [5]], [5]],
    [[[1, 1], [1]], [1, 1]],
    [[[4, 1], [1, 3], [2, 1, 1]], [2, 4, 3]],
  ])('of %j is %j', (shapes, expected) => {
    expect(broadcastShape('op', ...shapes)).toEqual(expected)
  })

  test('does not exist where sizes differ, and the axis is named', () => {
    expect(() => broadcastShape('add', [2, 3], [2, 4])).toThrow(
      'add: [2,3] and [2,4] do not broadcast: axis -1 has sizes 3 and 4',
    )
  })
})

/** The elements that strides visit, in order. */
const walk = (sizes: readonly number[], strides: readonly number[]): number[] =>
  sizes.reduce<number[]>(
    (places, size, axis) => places.flatMap((at) => Array.from({ length: size }, (_, i) => at + i * strides[axis])),
    [0],
  )

test('strides of a repeated tensor visit what NumPy repeats', () => {
  expect(walk([2, 3, 2], broadcastStrides([3, 1], [2, 3, 2]))).toEqual([0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2])
})

describe('merged axes', () => {
  test.each<[string, number[], number[][], number]>([
    ['all of contiguous operands', [2, 3, 4], [[12, 4, 1], [12, 4, 1]], 1],
    ['none of a transposed one', [2, 3], [[1, 2]], 2],
    ['axes of size 1 go', [2, 1, 3], [[3, 7, 1]], 1],
    ['as far as every operand allows', [2, 3, 4], [[12, 4, 1], [0, 4, 1]], 2],
    ['repeated ones together', [2, 3, 4], [[0, 0, 1]], 2],
  ])('%s', (_, shape, strides, axes) => {
    const merged = collapse(shape, strides)
    expect(merged.sizes).toHaveLength(axes)
    strides.forEach((own, k) => expect(walk(merged.sizes, merged.strides[k])).toEqual(walk(shape, own)))
  })

  test('leave one of a scalar', () => expect(collapse([1, 1], [[5, 5]])).toEqual({ sizes: [1], strides: [[1]] }))
})

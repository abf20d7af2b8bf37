import { expect, test } from 'vitest'
import { ShapeError } from '../../../src/base/errors.ts'
import { pair, windowsAlong } from '../../../src/ops/shared/windows.ts'

test('pairs', () => {
  expect(pair('pool', 'stride', 2, 1)).toEqual([2, 2])
  expect(pair('pool', 'padding', [0, 3], 0)).toEqual([0, 3])
  for (const wrong of [0, 1.5, [1], [1, 2, 3], [2, 0]]) {
    expect(() => pair('pool', 'stride', wrong as never, 1)).toThrow(ShapeError)
  }
})

test('as many windows as fit, counted one by one', () => {
  for (const size of [1, 5, 8]) {
    for (const kernel of [1, 2, 3]) {
      for (const stride of [1, 2, 3]) {
        for (const padding of [0, 1]) {
          for (const dilation of [1, 2]) {
            const reach = dilation * (kernel - 1) + 1
            let count = 0
            for (let at = -padding; at + reach <= size + padding; at += stride) count++
            const found = () => windowsAlong('conv2d', 'height', size, kernel, stride, padding, dilation)
            if (count) expect(found()).toBe(count)
            else {expect(found).toThrow(
                `conv2d: a window of ${reach} does not fit height ${size} with padding ${padding}`,
              )}
          }
        }
      }
    }
  }
})

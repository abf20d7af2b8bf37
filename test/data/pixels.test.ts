import { describe, expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { checkSize, MAX_PIXELS, MAX_SIDE, pixelsOf, planes } from '../../src/data/pixels.ts'

describe('interleaved samples become planes', () => {
  test('RGB and RGBA, without alpha', () => {
    const expected = [1, 4, 2, 5, 3, 6]
    expect([...planes([1, 2, 3, 4, 5, 6], 2, 1, 3).data]).toEqual(expected)
    expect([...planes([1, 2, 3, 9, 4, 5, 6, 9], 1, 2, 4).data]).toEqual(expected)
  })
  test('grey, with alpha or without, three times', () => {
    expect([...planes([7, 8], 2, 1, 1).data]).toEqual([7, 8, 7, 8, 7, 8])
    expect([...planes([7, 0, 8, 0], 2, 1, 2).data]).toEqual([7, 8, 7, 8, 7, 8])
  })
})

test('sizes: at least a pixel, at most so many, no side too long', () => {
  checkSize(1, 1, 'p')
  checkSize(8192, MAX_PIXELS / 8192, 'p')
  checkSize(MAX_SIDE, 1, 'p')
  for (const [width, height] of [[0, 1], [8192, MAX_PIXELS / 8192 + 1], [MAX_SIDE + 1, 1], [NaN, 1]]) {
    expect(() => checkSize(width, height, 'p')).toThrow(InputError)
  }
  expect(() => checkSize(3, 3, 'p', 8)).toThrow('p: its header says 3x3 pixels, expected 1 to 8')
})

test('RGBA of a canvas, and too few values', () => {
  expect(pixelsOf({ width: 1, height: 1, data: [5, 6, 7, 0] })).toEqual({
    width: 1,
    height: 1,
    channels: 3,
    data: Uint8Array.of(5, 6, 7),
  })
  expect(() => pixelsOf({ width: 2, height: 1, data: [5, 6, 7, 0] }, 'drawn')).toThrow(
    'drawn: 4 values, expected 4 for each of 2 x 1',
  )
})

import { expect, test } from 'vitest'
import { relativeError } from '../../src/base/relative-error.ts'

test('the largest error over the largest value', () => {
  expect(relativeError([1, 2], [1, 4])).toBe(0.5)
  expect(relativeError([0, 0], [0, 0])).toBe(0)
  expect(relativeError([3, -1], [0, 0])).toBe(3)
})

test.each([0, 1, 2])('a NaN at place %i of three is told, whichever side it is on', (at) => {
  const sound = [1, 2, 3], broken = sound.with(at, NaN)
  expect(relativeError(broken, sound)).toBeNaN()
  expect(relativeError(sound, broken)).toBeNaN()
  expect(relativeError(sound.with(at, Infinity), sound)).toBe(Infinity)
})

test('another count is no match', () => {
  expect(relativeError([1], [1, 2])).toBeNaN()
  expect(relativeError([1, 2], [1])).toBeNaN()
})

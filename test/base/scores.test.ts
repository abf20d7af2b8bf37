// Scores as a criterion of a user's own may answer: a Map by the wrong key, too short, with a NaN.
import { expect, test } from 'vitest'
import { InputError, NumericError, ShapeError } from '../../src/base/errors.ts'
import { scoresOf } from '../../src/base/scores.ts'

const of = (scores: unknown, size = 3) => () => scoresOf(scores as Map<string, number[]>, 'blocks.0.hidden', size)

test('typed arrays and lists of finite numbers pass', () => {
  expect(of(new Map([['blocks.0.hidden', [1, -2, 0]]]))()).toEqual([1, -2, 0])
  const typed = new Float32Array([1, 2, 3])
  expect(of(new Map([['blocks.0.hidden', typed]]))()).toBe(typed)
})

test.each([
  [
    'by the unit itself',
    new Map([[{ name: 'blocks.0.hidden' }, [1, 2, 3]]]),
    ShapeError,
    'got 1 scores, the first under',
  ],
  ['none', new Map(), ShapeError, 'expected 3 of them under that name, got none'],
  ['too few', new Map([['blocks.0.hidden', [1, 2]]]), ShapeError, 'has 2 scores, expected 3'],
  ['null', new Map([['blocks.0.hidden', null]]), ShapeError, 'has 0 scores, expected 3'],
  ['NaN', new Map([['blocks.0.hidden', [1, NaN, 3]]]), NumericError, 'element 1, is NaN'],
  ['Infinity', new Map([['blocks.0.hidden', Float32Array.of(1, 2, Infinity)]]), NumericError, 'element 2, is Infinity'],
  ['text', new Map([['blocks.0.hidden', ['1', 2, 3]]]), NumericError, 'element 0, is "1"'],
  ['an object', { 'blocks.0.hidden': [1, 2, 3] }, InputError, 'expected a Map'],
  ['nothing', undefined, InputError, 'the scores are nothing'],
])('%s', (_, scores, error, text) => {
  expect(of(scores)).toThrow(error)
  expect(of(scores)).toThrow(text)
})

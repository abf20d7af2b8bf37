// Tokens, numbers and template lists of WGSL, and where mistakes are said to be.
import { describe, expect, test } from 'vitest'
import { failAt, tokenize } from '../../../src/cpu/compiler/lexer.ts'
import { templateLists } from '../../../src/cpu/compiler/templates.ts'

const texts = (source: string) => tokenize(source).filter(({ kind }) => kind !== 'end').map(({ text }) => text)

test('names, numbers and symbols, without comments', () => {
  expect(texts('let a_1 = 0x1Fu; // end\n/* a /* nested */ comment */ a<<=2')).toEqual([
    'let',
    'a_1',
    '=',
    '0x1F',
    ';',
    'a',
    '<<=',
    '2',
  ])
})

test('lines and columns count from one', () => {
  const [first, second] = tokenize('\n  ab\n\tc')
  expect([first.line, first.column, first.length]).toEqual([2, 3, 2])
  expect([second.line, second.column]).toEqual([3, 2])
  expect(failAt(first, 'wrong')).toMatchObject({
    line: 2,
    column: 3,
    message: expect.stringContaining('wrong') as string,
  })
})

test('what is no WGSL is refused where it stands', () => {
  expect(() => tokenize('a\n $')).toThrow(expect.objectContaining({ line: 2, column: 2 }) as Error)
  expect(() => tokenize('/* never closed')).toThrow()
})

describe('template lists', () => {
  const pairs = (source: string) => {
    const tokens = tokenize(source)
    return [...templateLists(tokens)].map(([open, close]) =>
      tokens.slice(open - 1, close + 1).map(({ text }) => text).join('')
    ).sort()
  }
  test.each([
    ['array<f32, 4>', ['array<f32,4>']],
    ['array<vec2<f32>, 4>', ['array<vec2<f32>,4>', 'vec2<f32>']],
    ['pick(a < b, c > d)', ['a<b,c>']],
    ['a < b && c > d', []],
    ['a < (b > c)', []],
    ['if (a < b) { c > d; }', []],
    ['a << b >> c', []],
    ['a < b; c > d', []],
  ])('of %s', (source, expected) => expect(pairs(source)).toEqual(expected))
})

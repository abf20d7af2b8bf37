// Ranges of integers against all values of small operands: an answer that leaves one out would let an index escape.
import { expect, test } from 'vitest'
import { op } from '../../../src/cpu/compiler/instructions.ts'
import { anyRange, get, i32, newLocal, type Range } from '../../../src/cpu/compiler/ir.ts'
import { rangeOf } from '../../../src/cpu/compiler/ranges.ts'

const compute: Record<string, (a: number, b: number) => number> = {
  'i32.add': (a, b) => a + b,
  'i32.sub': (a, b) => a - b,
  'i32.mul': Math.imul,
  'i32.shl': (a, b) => a << b,
  'i32.shr_u': (a, b) => a >>> b,
  'i32.shr_s': (a, b) => a >> b,
  'i32.div_u': (a, b) => (a >>> 0) / (b >>> 0),
  'i32.div_s': (a, b) => a / b,
  'i32.rem_u': (a, b) => (a >>> 0) % (b >>> 0),
  'i32.rem_s': (a, b) => a % b,
  'i32.and': (a, b) => a & b,
  'i32.or': (a, b) => a | b,
  'i32.xor': (a, b) => a ^ b,
  'i32.min_u': (a, b) => Math.min(a >>> 0, b >>> 0),
  'i32.max_u': (a, b) => Math.max(a >>> 0, b >>> 0),
  'i32.min_s': Math.min,
  'i32.max_s': Math.max,
}
const ranges: Range[] = [[0, 0], [0, 7], [3, 5], [8, 8], [1, 31], [2 ** 31 - 3, 2 ** 31 - 1], [2 ** 31, 2 ** 31 + 2], [
  2 ** 32 - 4,
  2 ** 32 - 1,
]]
const valuesOf = ([low, high]: Range) => Array.from({ length: high - low + 1 }, (_, i) => low + i)

test.each(Object.keys(compute))('%s: every value lies inside', (name) => {
  for (const a of ranges) {
    for (const b of ranges) {
      const [low, high] = rangeOf(op(name, get(newLocal('a', 'i32', false, a)), get(newLocal('b', 'i32', false, b))))
      for (const x of valuesOf(a)) {
        for (const y of valuesOf(b)) {
          if (/div|rem/.test(name) && (y === 0 || (name.endsWith('_s') && (x | 0) === -(2 ** 31) && (y | 0) === -1))) {
            continue
          }
          const value = Math.trunc(compute[name](x | 0, y | 0)) >>> 0
          expect(
            value >= low && value <= high,
            `${name} of ${x} in [${a}] and ${y} in [${b}] is ${value}, said [${low}, ${high}]`,
          ).toBe(true)
        }
      }
    }
  }
})

test('what is known is narrow where it can be', () => {
  const lane = get(newLocal('lane', 'i32', false, [0, 63]))
  expect(rangeOf(op('i32.add', op('i32.mul', lane, i32(3)), i32(1)))).toEqual([1, 190])
  expect(rangeOf(op('i32.rem_u', get(newLocal('x', 'i32', false)), i32(5)))).toEqual([0, 4])
  expect(rangeOf(op('i32.and', get(newLocal('x', 'i32', false)), i32(15)))).toEqual([0, 15])
  expect(rangeOf(op('i32.sub', lane, i32(1)))).toEqual(anyRange)
})

import { expect, test } from 'vitest'
import { extract, op, shuffle } from '../../../src/cpu/compiler/instructions.ts'
import { f32, get, i32, newLocal } from '../../../src/cpu/compiler/ir.ts'
import { keyOf } from '../../../src/cpu/compiler/key.ts'

const x = newLocal('x', 'i32', true), y = newLocal('x', 'i32', true), v = get(newLocal('v', 'v128', false))

test('equal expressions have equal names, however they were made', () => {
  expect(keyOf(op('i32.mul', get(x), get(y)))).toBe(keyOf(op('i32.mul', get(x), get(y))))
})

test('other types, signs, locals of one name, lanes, shuffles and orders have others', () => {
  const keys = [
    i32(1),
    f32(1),
    f32(0),
    f32(-0),
    get(x),
    get(y),
    op('i32.mul', get(x), get(y)),
    op('i32.mul', get(y), get(x)),
    extract('i32', v, 0),
    extract('i32', v, 1),
    extract('f32', v, 0),
    shuffle(v, v, [1, 0, 2, 3]),
    shuffle(v, v, [0, 0, 2, 3]),
  ].map((e) => keyOf(e))
  expect(new Set(keys).size).toBe(keys.length)
})

test('a local that was set in between has another name', () => {
  const e = op('i32.add', get(x), i32(4))
  expect(keyOf(e, new Map([[x, 1]]))).not.toBe(keyOf(e))
  expect(keyOf(e, new Map([[x, 0]]))).toBe(keyOf(e))
})

// Makers of instructions: what they fold computes the same, and what cannot be known stays.
import { describe, expect, test } from 'vitest'
import { build, extract, op, replace, shuffle } from '../../../src/cpu/compiler/instructions.ts'
import { f32, get, i32, newLocal, vector } from '../../../src/cpu/compiler/ir.ts'

const x = get(newLocal('x', 'i32', false)), v = get(newLocal('v', 'v128', false))
const name = (e: unknown) => (e as { name: string }).name

describe('constants', () => {
  test('are folded with 32 bits', () => {
    expect(op('i32.add', i32(0x7fffffff), i32(1))).toEqual(i32(-(2 ** 31)))
    expect(op('i32.mul', i32(65537), i32(65537))).toEqual(i32(131073))
    expect(op('i32.lt_u', i32(-1), i32(1))).toEqual(i32(0))
    expect(op('i32.lt_s', i32(-1), i32(1))).toEqual(i32(1))
    expect(op('i32.div_s', i32(-7), i32(2))).toEqual(i32(-3))
    expect(op('i32.div_u', i32(-2), i32(3))).toEqual(i32(Math.trunc(4294967294 / 3)))
    expect(op('f32.add', f32(16777216), f32(1))).toEqual(f32(16777216))
  })

  test('of a division by zero stay, since they trap', () => {
    expect(name(op('i32.div_u', i32(1), i32(0)))).toBe('i32.div_u')
    expect(name(op('i32.rem_s', i32(1), i32(0)))).toBe('i32.rem_s')
  })

  test('keep their bits', () => {
    expect(op('i32.reinterpret_f32', f32(1))).toEqual(i32(0x3f800000))
    expect(op('f32.reinterpret_i32', i32(0x40490fdb))).toEqual(f32(Math.PI))
    expect(name(op('f32.reinterpret_i32', i32(0x7fc00001)))).toBe('f32.reinterpret_i32') // a NaN's bits
    expect(op('f32x4.splat', f32(1))).toEqual(vector(Array(4).fill(0x3f800000)))
  })
})

describe('identities', () => {
  test.each([
    ['x + 0', op('i32.add', x, i32(0)), x],
    ['0 + x', op('i32.add', i32(0), x), x],
    ['x * 0', op('i32.mul', x, i32(0)), i32(0)],
    ['x & -1', op('i32.and', x, i32(-1)), x],
    ['x & 0', op('i32.and', x, i32(0)), i32(0)],
    ['0 | x', op('i32.or', i32(0), x), x],
    ['x << 0', op('i32.shl', x, i32(0)), x],
    ['x - 3', op('i32.sub', x, i32(3)), op('i32.add', x, i32(-3))],
    ['x + 2 + 3', op('i32.add', op('i32.add', x, i32(2)), i32(3)), op('i32.add', x, i32(5))],
    ['x * 8', op('i32.mul', x, i32(8)), op('i32.shl', x, i32(3))],
    ['x / 8u', op('i32.div_u', x, i32(8)), op('i32.shr_u', x, i32(3))],
    ['x % 8u', op('i32.rem_u', x, i32(8)), op('i32.and', x, i32(7))],
    ['select of a known condition', op('select', x, i32(1), i32(0)), i32(1)],
    ['!(a < b)', op('i32.eqz', op('i32.lt_s', x, i32(5))), op('i32.ge_s', x, i32(5))],
  ])('%s', (_, made, expected) => expect(made).toEqual(expected))

  test('signed division and remainder do not become shifts', () => {
    expect(name(op('i32.div_s', x, i32(8)))).toBe('i32.div_s')
    expect(name(op('i32.rem_s', x, i32(8)))).toBe('i32.rem_s')
  })

  test('a negated float comparison stays: NaN makes both false', () => {
    const y = get(newLocal('y', 'f32', false)), less = op('f32.lt', y, f32(0))
    expect(op('i32.eqz', less)).toMatchObject({ name: 'i32.eqz', args: [less] })
  })
})

describe('lanes', () => {
  test('shuffling into the same places is nothing, into others bytes', () => {
    expect(shuffle(v, v, [0, 1, 2, 3])).toBe(v)
    expect(shuffle(v, v, [1, 1, 2, 7])).toMatchObject({ bytes: [4, 5, 6, 7, 4, 5, 6, 7, 8, 9, 10, 11, 28, 29, 30, 31] })
  })

  test('of a built vector are its parts', () => {
    const parts = [f32(1), get(newLocal('y', 'f32', false)), f32(3), f32(4)]
    expect(extract('f32', build(parts), 1)).toEqual(parts[1])
  })

  test('one replaced leaves the others', () => {
    expect(replace(vector([1, 2, 3, 4]), 2, i32(9))).toMatchObject({ name: 'i32x4.replace_lane', lane: 2 })
    expect(replace(vector([1, 2, 3, 4]), 0, f32(9))).toMatchObject({ name: 'f32x4.replace_lane', lane: 0 })
  })
})

// Constants: operators with the wrap-arounds and the mistakes that WGSL names, bits and geometry by plain arithmetic.
import { describe, expect, test } from 'vitest'
import { bitsValue } from '../../../src/cpu/compiler/const-bits.ts'
import { builtinValue } from '../../../src/cpu/compiler/const-builtins.ts'
import { geometryValue } from '../../../src/cpu/compiler/const-geometry.ts'
import { binaryValue, scalarBinary, unaryValue } from '../../../src/cpu/compiler/const-operators.ts'
import { abstractInt, f32, i32, type Scalar, type Type, u32, vec } from '../../../src/cpu/compiler/types.ts'
import { ConstError, makeScalar, type Value } from '../../../src/cpu/compiler/values.ts'

const one = (type: Scalar, scalar: number | bigint) => makeScalar(type, scalar)
const many = (of: Scalar, ...numbers: number[]): Value => ({
  type: vec(numbers.length, of),
  parts: numbers.map((x) => makeScalar(of, x)),
})
const numbers = (value: Value | null) => value!.parts!.map(({ scalar }) => Number(scalar))

describe('operators', () => {
  test.each<[string, Scalar, number, number, number | boolean]>([
    ['+', i32, 2 ** 31 - 1, 1, -(2 ** 31)],
    ['*', u32, 65537, 65537, 131073],
    ['-', u32, 0, 1, 2 ** 32 - 1],
    ['/', i32, -7, 2, -3],
    ['%', i32, -7, 2, -1],
    ['&', u32, 2 ** 32 - 1, 2 ** 31, 2 ** 31],
    ['<', i32, -1, 0, true],
    ['<', u32, 2 ** 32 - 1, 0, false],
    ['/', f32, 1, 3, Math.fround(1 / 3)],
  ])('%s of %o: %d and %d', (op, type, a, b, expected) => {
    expect(scalarBinary(op, one(type, a), one(type, b)).scalar).toBe(expected)
  })

  test('abstract integers do not wrap, they end at 64 bits', () => {
    expect(scalarBinary('+', one(abstractInt, 2n ** 40n), one(abstractInt, 1n)).scalar).toBe(2n ** 40n + 1n)
    expect(() => scalarBinary('*', one(abstractInt, 2n ** 40n), one(abstractInt, 2n ** 40n))).toThrow(ConstError)
  })

  test('division by zero and overflow are mistakes', () => {
    for (const op of ['/', '%']) expect(() => scalarBinary(op, one(i32, 1), one(i32, 0))).toThrow('division by zero')
    expect(() => scalarBinary('*', one(f32, 3e38), one(f32, 2))).toThrow(ConstError)
  })

  test('vectors go component by component', () => {
    expect(numbers(binaryValue('-', many(i32, 1, 2), many(i32, 5, 7), vec(2, i32)))).toEqual([-4, -5])
    expect(numbers(unaryValue('~', many(u32, 0, 1)))).toEqual([2 ** 32 - 1, 2 ** 32 - 2])
    expect(unaryValue('-', one(i32, -(2 ** 31))).scalar).toBe(-(2 ** 31))
  })
})

describe('bits', () => {
  const of = (name: string, type: Type, ...args: Value[]) => bitsValue(name, args, type)
  test.each<[string, Scalar, number, number]>([
    ['countLeadingZeros', u32, 1, 31],
    ['countLeadingZeros', u32, 0, 32],
    ['countOneBits', i32, -1, 32],
    ['countTrailingZeros', u32, 8, 3],
    ['countTrailingZeros', u32, 0, 32],
    ['firstLeadingBit', i32, -1, -1],
    ['firstLeadingBit', i32, -2, 0],
    ['firstLeadingBit', u32, 0, 2 ** 32 - 1],
    ['firstTrailingBit', u32, 12, 2],
    ['reverseBits', u32, 1, 2 ** 31],
  ])('%s of %o %d', (name, type, x, expected) => expect(of(name, type, one(type, x))!.scalar).toBe(expected))

  test('extracted and inserted', () => {
    expect(of('extractBits', i32, one(i32, 0b1110_0000), one(u32, 5), one(u32, 3))!.scalar).toBe(-1)
    expect(of('extractBits', u32, one(u32, 0b1110_0000), one(u32, 4), one(u32, 4))!.scalar).toBe(14)
    expect(of('insertBits', u32, one(u32, 0xffff), one(u32, 0), one(u32, 4), one(u32, 8))!.scalar).toBe(0xf00f)
  })

  test('packed and unpacked', () => {
    expect(of('pack4x8unorm', u32, many(f32, 0, 1, 0.5, 2))!.scalar).toBe(0xff80ff00)
    expect(numbers(of('unpack4xI8', vec(4, i32), one(u32, 0x80ff017f)))).toEqual([127, 1, -1, -128])
    expect(of('pack2x16float', u32, many(f32, 1, -2))!.scalar).toBe(0xc0003c00)
  })

  test('names of others are left alone', () => expect(of('dot', f32, one(f32, 1))).toBeNull())
})

describe('geometry', () => {
  const of = (name: string, type: Type, ...args: Value[]) => geometryValue(name, args, type)
  test('products and lengths', () => {
    expect(of('dot', i32, many(i32, 1, 2, 3), many(i32, 4, 5, 6))!.scalar).toBe(32)
    expect(of('length', f32, many(f32, 3, 4))!.scalar).toBe(5)
    expect(of('distance', f32, many(f32, 1, 1), many(f32, 4, 5))!.scalar).toBe(5)
    expect(numbers(of('cross', vec(3, f32), many(f32, 1, 0, 0), many(f32, 0, 1, 0)))).toEqual([0, 0, 1])
    expect(numbers(of('normalize', vec(2, f32), many(f32, 0, 2)))).toEqual([0, 1])
  })
  test('a zero vector has no direction', () => {
    expect(() => of('normalize', vec(2, f32), many(f32, 0, 0))).toThrow(ConstError)
  })
})

describe('functions', () => {
  const of = (name: string, type: Type, ...args: Value[]) => builtinValue(name, args, type)
  test('of numbers', () => {
    expect(of('abs', i32, one(i32, -(2 ** 31)))!.scalar).toBe(-(2 ** 31))
    expect(of('clamp', i32, one(i32, 9), one(i32, 0), one(i32, 5))!.scalar).toBe(5)
    expect(of('mix', f32, one(f32, 2), one(f32, 4), one(f32, 0.25))!.scalar).toBe(2.5)
    expect(of('smoothstep', f32, one(f32, 0), one(f32, 2), one(f32, 0.5))!.scalar).toBe(0.15625)
    expect(of('step', f32, one(f32, 1), one(f32, 1))!.scalar).toBe(1)
  })
  test('outside their domain are mistakes', () => {
    expect(() => of('sqrt', f32, one(f32, -1))).toThrow(ConstError)
    expect(() => of('clamp', i32, one(i32, 0), one(i32, 2), one(i32, 1))).toThrow('low 2 is greater than high 1')
  })
})

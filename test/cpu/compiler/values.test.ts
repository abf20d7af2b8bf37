// f16 and f32 as constants have them, against the definition of the format for every f16 and what lies between.
import { expect, test } from 'vitest'
import { bitsF32, f16Bits, f16FromBits, f32Bits, roundF16 } from '../../../src/cpu/compiler/values.ts'

/** The f16 of 16 bits, by the definition of the format. */
function defined(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * fraction / 1024)
}

test('all 65536 patterns are what the format says, and come back', () => {
  for (let bits = 0; bits < 65536; bits++) {
    const value = f16FromBits(bits), expected = defined(bits)
    if (Number.isNaN(expected)) {
      expect(Number.isNaN(value)).toBe(true)
      continue
    }
    if (!Object.is(value, expected)) throw new Error(`${bits.toString(16)}: ${value}, expected ${expected}`)
    if (Number.isFinite(value) && f16Bits(value) !== bits) {
      throw new Error(`${value} has bits ${f16Bits(value)}, expected ${bits}`)
    }
  }
})

test('what lies between two is rounded to the nearer, in the middle to the even one', () => {
  for (let bits = 0; bits < 0x7bff; bits += 7) {
    const low = defined(bits), high = defined(bits + 1), middle = (low + high) / 2
    expect(roundF16(low + 0.49 * (high - low))).toBe(low)
    expect(roundF16(low + 0.51 * (high - low))).toBe(high)
    expect(roundF16(middle)).toBe(bits % 2 === 0 ? low : high)
  }
})

test('the largest, and beyond', () => {
  expect(roundF16(65519)).toBe(65504)
  expect(roundF16(65520)).toBe(Infinity)
})

test('bits of f32 and back', () => {
  for (const value of [0, -0, 1, -2.5, Infinity, 2 ** -149]) {
    expect(Object.is(bitsF32(f32Bits(value)), value)).toBe(true)
  }
  expect(f32Bits(1)).toBe(0x3f800000)
})

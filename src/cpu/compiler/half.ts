// f16 in f32 lanes: widened on load, rounded to nearest even on store. Works on a scalar or on four lanes alike.
import type { Expr } from './ir.ts'
import { shape } from './shape.ts'
import { f32Bits } from './values.ts'

/** Keeps a value that is used more than once. */
type Keep = (value: Expr) => Expr

/** The f32 of f16 bits. */
export function fromHalf(value: Expr, keep: Keep): Expr {
  const s = shape(value), bits = keep(value)
  const magnitude = keep(s.and(bits, s.int(0x7fff)))
  // Shifted into place the exponent is 112 too small; a product puts it right and widens f16 denormals as well.
  const scaled = s.f('mul', s.asFloat(s.shl(magnitude, 13)), s.float(2 ** 112))
  const special = s.or(s.shl(magnitude, 13), s.int(0x7f800000))
  const whole = s.choose(special, s.asInt(scaled), s.i('ge_s', magnitude, s.int(0x7c00)))
  return s.asFloat(s.or(whole, s.shl(s.and(bits, s.int(0x8000)), 16)))
}

/** The nearest f16 as f32; overflow gives infinity. */
export function roundHalf(input: Expr, keep: Keep): Expr {
  const s = shape(input), value = keep(input)
  const bits = keep(s.asInt(value)), sign = s.and(bits, s.int(0x80000000))
  const size = keep(s.asFloat(s.and(bits, s.int(0x7fffffff))))
  // Adding 1.5 * 2^(exponent + 13) leaves exactly ten bits of fraction, rounded to nearest even.
  const power = s.asFloat(s.i('max_s', s.and(bits, s.int(0x7f800000)), s.int(f32Bits(2 ** -14))))
  const magic = keep(s.f('mul', power, s.float(1.5 * 2 ** 13)))
  const rounded = s.f('sub', s.f('add', size, magic), magic)
  const finite = s.choose(s.asInt(rounded), s.int(0x7f800000), s.f('lt', size, s.float(65520)))
  const kept = s.choose(s.asInt(size), finite, s.f('ne', value, value))
  return s.asFloat(s.or(kept, sign))
}

/** The 16 bits of the nearest f16, in the low half of an i32 each. */
export function toHalf(value: Expr, keep: Keep): Expr {
  const s = shape(value)
  const bits = keep(s.asInt(roundHalf(value, keep)))
  const size = keep(s.and(bits, s.int(0x7fffffff)))
  const small = s.shr(s.asInt(s.f('mul', s.asFloat(size), s.float(2 ** -112))), 13)
  const special = s.choose(s.int(0x7e00), s.int(0x7c00), s.i('gt_s', size, s.int(0x7f800000)))
  const whole = s.choose(special, small, s.i('ge_s', size, s.int(0x7f800000)))
  return s.or(whole, s.and(s.shr(bits, 16), s.int(0x8000)))
}

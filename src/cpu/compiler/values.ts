// Constant values: their numbers as the types hold them, and conversions, with the errors WGSL demands.
import { abstractFloat, abstractInt, bool, elementScalar, f16, f32, i32, typeName, u32, vec,
  withScalar } from './types.ts'
import type { Scalar, Type } from './types.ts'

/** A constant: a scalar (abstract integers as bigint), or the parts of a vector, matrix, array or struct. */
export interface Value {
  type: Type
  scalar?: number | boolean | bigint
  parts?: Value[]
}

/** What a const-expression does wrong; the checker adds the position. */
export class ConstError extends Error {}

const view = new DataView(new ArrayBuffer(4))
/** The bits of an f32 as i32, and back. */
export const f32Bits = (value: number): number => {
  view.setFloat32(0, value)
  return view.getInt32(0)
}
/** The f32 with the given bits. */
export const bitsF32 = (bits: number): number => {
  view.setInt32(0, bits)
  return view.getFloat32(0)
}

/** Rounds a double to the nearest f16, ties to even; overflow gives infinity. */
export function roundF16(value: number): number {
  const size = Math.abs(value)
  if (!(size < 65520)) return Number.isNaN(value) ? value : Math.sign(value) * Infinity
  const step = 2 ** (Math.max(Math.floor(Math.log2(size || 2 ** -14)), -14) - 10)
  const scaled = value / step, low = Math.floor(scaled), rest = scaled - low
  const up = rest > 0.5 || (rest === 0.5 && low % 2 !== 0)
  const rounded = (up ? low + 1 : low) * step
  return rounded === 0 ? value * 0 : rounded
}
/** The 16 bits of an f16. */
export function f16Bits(value: number): number {
  const rounded = roundF16(value)
  const sign = Object.is(rounded, -0) || rounded < 0 ? 0x8000 : 0
  const size = Math.abs(rounded)
  if (Number.isNaN(rounded)) return 0x7e00
  if (size === Infinity) return sign | 0x7c00
  if (size < 2 ** -14) return sign | Math.round(size * 2 ** 24)
  const exponent = Math.floor(Math.log2(size))
  return sign | ((exponent + 15) << 10) | Math.round((size / 2 ** exponent - 1) * 1024)
}
/** The value of 16 bits read as f16. */
export function f16FromBits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** A scalar value of the type; throws ConstError if the number does not fit. */
export function makeScalar(type: Scalar, scalar: number | boolean | bigint): Value {
  if (type === bool) return { type, scalar: Boolean(scalar) }
  if (type === abstractInt) {
    const big = BigInt(scalar)
    if (big !== BigInt.asIntN(64, big)) throw new ConstError(`${big} overflows an abstract integer (64 bits)`)
    return { type, scalar: big }
  }
  const value = Number(scalar)
  if (type === i32 || type === u32) {
    const wrapped = type === i32 ? value | 0 : value >>> 0
    if (wrapped !== value) throw new ConstError(`${scalar} cannot be represented as '${type.name}'`)
    return { type, scalar: wrapped + 0 }
  }
  const rounded = type === f32 ? Math.fround(value) : type === f16 ? roundF16(value) : value
  if (!Number.isFinite(rounded)) {
    throw new ConstError(`${Number.isNaN(value) ? 'NaN' : scalar} cannot be represented as '${typeName(type)}'`)
  }
  return { type, scalar: rounded }
}

/** The zero of a constructible type. */
export function zeroValue(type: Type, count: (c: object) => number = () => 0): Value {
  switch (type.kind) {
    case 'scalar':
      return { type, scalar: type === bool ? false : type === abstractInt ? 0n : 0 }
    case 'vec':
      return { type, parts: Array.from({ length: type.size }, () => zeroValue(type.of)) }
    case 'mat':
      return { type, parts: Array.from({ length: type.columns }, () => zeroValue(vec(type.rows, type.of))) }
    case 'array':
      return {
        type,
        parts: Array.from(
          { length: typeof type.count === 'number' ? type.count : count(type.count!) },
          () => zeroValue(type.of, count),
        ),
      }
    case 'struct':
      return { type, parts: type.members.map((m) => zeroValue(m.type, count)) }
    default:
      throw new ConstError(`${typeName(type)} has no zero value`)
  }
}

/** Implicit conversion (abstract to concrete); throws if the number does not fit. */
export function convertValue(value: Value, to: Type): Value {
  if (value.type === to) return value
  if (to.kind === 'scalar') return makeScalar(to, value.scalar as number)
  const part = (i: number): Type =>
    to.kind === 'vec' ? to.of : to.kind === 'mat' ? vec(to.rows, to.of) : to.kind === 'array'
      ? to.of
      : to.kind === 'struct'
      ? to.members[i].type
      : to
  return { type: to, parts: value.parts!.map((p, i) => convertValue(p, part(i))) }
}

/** The largest f32 that an i32, a u32 holds: where conversions from f32 end. */
export const largestAsI32 = 2147483520, largestAsU32 = 4294967040

/** Explicit conversion such as `i32(x)`: wraps between integers, truncates and clamps from floats. */
export function castScalar(value: Value, to: Scalar): Value {
  const from = value.type as Scalar, x = value.scalar!
  if (from === to) return value
  if (to === bool) return { type: bool, scalar: from === abstractInt ? x !== 0n : Boolean(x) }
  if (typeof x === 'boolean') return makeScalar(to, x ? 1 : 0)
  if (to === i32 || to === u32) {
    if (from === abstractInt || from === abstractFloat) {
      if (from === abstractFloat) {
        return makeScalar(
          to,
          Math.min(
            Math.max(Math.trunc(Number(x)), to === i32 ? -(2 ** 31) : 0),
            to === i32 ? 2 ** 31 - 1 : 2 ** 32 - 1,
          ),
        )
      }
      return makeScalar(to, x)
    }
    if (from === i32 || from === u32) return { type: to, scalar: to === i32 ? Number(x) | 0 : Number(x) >>> 0 }
    const whole = Math.trunc(Number(x))
    return {
      type: to,
      scalar: to === i32
        ? Math.min(Math.max(whole, -(2 ** 31)), largestAsI32)
        : Math.min(Math.max(whole, 0), largestAsU32),
    }
  }
  return makeScalar(to, x)
}

/** Applies a scalar function to every component; scalars are spread over vectors. */
export function componentwise(type: Type, args: Value[], apply: (...parts: Value[]) => Value): Value {
  const size = Math.max(...args.map((a) => a.parts?.length ?? 0))
  if (size <= 0) return apply(...args)
  return {
    type,
    parts: Array.from({ length: size }, (_, i) => {
      const parts = args.map((a) => a.parts ? a.parts[i] : a)
      return parts.some((p) => p.parts)
        ? componentwise(parts.find((p) => p.parts)!.type, parts, apply)
        : apply(...parts)
    }),
  }
}

/** The same value with its abstract numbers made i32 and f32. */
export function concreteValue(value: Value): Value {
  const scalar = elementScalar(value.type)
  return scalar === abstractInt
    ? convertValue(value, withScalar(value.type, i32))
    : scalar === abstractFloat
    ? convertValue(value, withScalar(value.type, f32))
    : value
}

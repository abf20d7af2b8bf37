// Bits of integers, packing and reinterpretation in const-expressions.
import { abstractFloat, elementScalar, f16, f32, i32 } from './types.ts'
import type { Type } from './types.ts'
import { componentwise, ConstError, f16Bits, f16FromBits, makeScalar } from './values.ts'
import type { Value } from './values.ts'

const ones = (x: number): number => {
  let n = 0
  for (let y = x >>> 0; y; y >>>= 1) n += y & 1
  return n
}
const reversed = (x: number): number => {
  let y = 0
  for (let i = 0; i < 32; i++) y |= ((x >>> i) & 1) << (31 - i)
  return y
}
/** Of one integer: its bits, and whether they are an i32's. */
const single: Record<string, (x: number, signed: boolean) => number> = {
  countLeadingZeros: Math.clz32,
  countOneBits: ones,
  countTrailingZeros: (x) => x === 0 ? 32 : 31 - Math.clz32(x & -x),
  firstLeadingBit: (x, signed) => 31 - Math.clz32(signed && x < 0 ? ~x : x), // -1 where there is none
  firstTrailingBit: (x) => x === 0 ? -1 : 31 - Math.clz32(x & -x),
  reverseBits: reversed,
}

function extracted(x: number, offset: number, count: number, signed: boolean): number {
  const at = Math.min(offset, 32), width = Math.min(count, 32 - at)
  if (width === 0) return 0
  const top = x << (32 - width - at)
  return signed ? top >> (32 - width) : top >>> (32 - width)
}
function inserted(x: number, bits: number, offset: number, count: number): number {
  const at = Math.min(offset, 32), width = Math.min(count, 32 - at)
  if (width === 0) return x
  const mask = (width === 32 ? -1 : (1 << width) - 1) << at
  return (x & ~mask) | ((bits << at) & mask)
}

const lanes = (word: number, size: 8 | 16, signed: boolean): number[] =>
  Array.from({ length: 32 / size }, (_, i) => {
    const top = word << (32 - size - size * i)
    return signed ? top >> (32 - size) : top >>> (32 - size)
  })
const joined = (parts: number[], size: 8 | 16): number =>
  parts.reduce((word, part, i) => word | (part & (2 ** size - 1)) << (size * i), 0)
const clamped = (x: number, low: number, high: number) => Math.min(Math.max(x, low), high)
const quantised = (x: number, low: number, scale: number) =>
  Math.floor(Math.fround(0.5 + Math.fround(scale * clamped(x, low, 1))))

/** Of the numbers of a vector, to one word. */
const packing: Record<string, (x: number[]) => number> = {
  pack4x8snorm: (x) => joined(x.map((part) => quantised(part, -1, 127)), 8),
  pack4x8unorm: (x) => joined(x.map((part) => quantised(part, 0, 255)), 8),
  pack4xI8: (x) => joined(x, 8),
  pack4xU8: (x) => joined(x, 8),
  pack4xI8Clamp: (x) => joined(x.map((part) => clamped(part, -128, 127)), 8),
  pack4xU8Clamp: (x) => joined(x.map((part) => clamped(part, 0, 255)), 8),
  pack2x16snorm: (x) => joined(x.map((part) => quantised(part, -1, 32767)), 16),
  pack2x16unorm: (x) => joined(x.map((part) => quantised(part, 0, 65535)), 16),
  pack2x16float: (x) => joined(x.map(f16Bits), 16),
}
const unpacking: Record<string, (word: number) => number[]> = {
  unpack4x8snorm: (word) => lanes(word, 8, true).map((x) => Math.max(x / 127, -1)),
  unpack4x8unorm: (word) => lanes(word, 8, false).map((x) => x / 255),
  unpack4xI8: (word) => lanes(word, 8, true),
  unpack4xU8: (word) => lanes(word, 8, false),
  unpack2x16snorm: (word) => lanes(word, 16, true).map((x) => Math.max(x / 32767, -1)),
  unpack2x16unorm: (word) => lanes(word, 16, false).map((x) => x / 65535),
  unpack2x16float: (word) => lanes(word, 16, false).map(f16FromBits),
}

const integer = (type: Type, bits: number): Value => ({ type, scalar: type === i32 ? bits | 0 : bits >>> 0 })

/** Evaluates a builtin on the bits of constants; null if the name is another's. */
export function bitsValue(name: string, args: Value[], type: Type): Value | null {
  const numbers = (value: Value) => value.parts!.map((part) => Number(part.scalar))
  if (name in single) {
    return componentwise(type, args, (x) => integer(x.type, single[name](Number(x.scalar), x.type === i32)))
  }
  if (name in packing) return integer(type, packing[name](numbers(args[0])))
  if (name in unpacking) {
    const of = elementScalar(type)!, parts = unpacking[name](Number(args[0].scalar))
    if (!parts.every(Number.isFinite)) throw new ConstError(`${name}: a component is infinite or NaN`)
    return { type, parts: parts.map((x) => makeScalar(of, x)) }
  }
  switch (name) {
    case 'extractBits':
      return componentwise(
        type,
        args,
        (x, offset, count) =>
          integer(x.type, extracted(Number(x.scalar), Number(offset.scalar), Number(count.scalar), x.type === i32)),
      )
    case 'insertBits':
      return componentwise(
        type,
        args,
        (x, bits, offset, count) =>
          integer(x.type, inserted(Number(x.scalar), Number(bits.scalar), Number(offset.scalar), Number(count.scalar))),
      )
    case 'dot4U8Packed':
    case 'dot4I8Packed': {
      const [a, b] = args.map((word) => lanes(Number(word.scalar), 8, name === 'dot4I8Packed'))
      return integer(type, a.reduce((sum, x, i) => sum + x * b[i], 0))
    }
  }
  return null
}

/** Reinterprets the bits of scalars and vectors; null for a number that has no bits yet. */
export function bitcastValue(value: Value, to: Type): Value | null {
  if (elementScalar(value.type) === abstractFloat) return null
  const view = new DataView(new ArrayBuffer(16)), parts = value.parts ?? [value], from = elementScalar(value.type)!
  parts.forEach(({ scalar }, i) => {
    if (from === f16) view.setUint16(2 * i, f16Bits(Number(scalar)), true)
    else if (from === f32) view.setFloat32(4 * i, Number(scalar), true)
    else view.setUint32(4 * i, Number(scalar) >>> 0, true)
  })
  const of = elementScalar(to)!
  const read = (i: number): Value =>
    of === f16
      ? makeScalar(f16, f16FromBits(view.getUint16(2 * i, true)))
      : of === f32
      ? makeScalar(f32, view.getFloat32(4 * i, true))
      : integer(of, view.getInt32(4 * i, true))
  return to.kind === 'vec' ? { type: to, parts: Array.from({ length: to.size }, (_, i) => read(i)) } : read(0)
}

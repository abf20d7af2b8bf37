// Builtins on integers and bits: counts, fields, packed bytes and halves.
import { fromHalf, toHalf } from './half.ts'
import { build, extract, op } from './instructions.ts'
import { f32, i32, vector } from './ir.ts'
import type { Expr } from './ir.ts'
import { perLane } from './lower-operators.ts'
import { temp } from './lower.ts'
import type { State } from './lower.ts'
import { shape } from './shape.ts'
import type { CallExpr } from './tree.ts'
import { elementScalar, i32 as int } from './types.ts'

/** The value of a bit builtin, or null if `name` is none. */
export function bitBuiltin(state: State, e: CallExpr, name: string, args: Expr[]): Expr | null {
  const keep = (x: Expr) => temp(state, x)
  const [a, b, c, d] = args, size = e.type.kind === 'vec' ? e.type.size : 1, signed = elementScalar(e.type) === int
  const each = (apply: (x: Expr) => Expr): Expr => size === 1 ? apply(keep(a)) : perLane(state, [a], size, apply)
  const s = a && shape(a)
  switch (name) {
    case 'countLeadingZeros':
      return each((x) => op('i32.clz', x))
    case 'countTrailingZeros':
      return each((x) => op('i32.ctz', x))
    case 'countOneBits':
      return size === 1
        ? op('i32.popcnt', a)
        : op('i32x4.extadd_pairwise_i16x8_u', op('i16x8.extadd_pairwise_i8x16_u', op('i8x16.popcnt', a)))
    case 'firstTrailingBit':
      return each((x) => op('select', i32(-1), op('i32.ctz', x), op('i32.eqz', x)))
    case 'firstLeadingBit':
      return each((x) => {
        const y = signed ? op('i32.xor', x, op('i32.shr_s', x, i32(31))) : x // of negative numbers the highest 0
        return op('i32.sub', i32(31), op('i32.clz', y))
      })
    case 'reverseBits': {
      const swap = (x: Expr, by: number, mask: number) => {
        const y = keep(x)
        return s.or(s.and(s.shr(y, by), s.int(mask)), s.shl(s.and(y, s.int(mask)), by))
      }
      const halves = keep(swap(swap(swap(swap(a, 1, 0x55555555), 2, 0x33333333), 4, 0x0f0f0f0f), 8, 0x00ff00ff))
      return s.or(s.shr(halves, 16), s.shl(halves, 16))
    }
    case 'extractBits': {
      const offset = keep(op('i32.min_u', b, i32(32))), count = keep(op('i32.min_u', c, op('i32.sub', i32(32), offset)))
      // left against the sign bit, then right; a count of 0 gives 0, and shifts are taken modulo 32
      const left = op('i32.sub', op('i32.sub', i32(32), count), offset), right = op('i32.sub', i32(32), count)
      const moved = op(`${s.wide ? 'i32x4' : 'i32'}.${signed ? 'shr_s' : 'shr_u'}`, s.i('shl', a, left), right)
      return op('select', moved, s.int(0), count)
    }
    case 'insertBits': {
      const offset = keep(op('i32.min_u', c, i32(32))), count = keep(op('i32.min_u', d, op('i32.sub', i32(32), offset)))
      const ones = op(
        'select',
        i32(-1),
        op('i32.sub', op('i32.shl', i32(1), count), i32(1)),
        op('i32.eq', count, i32(32)),
      )
      const mask = keep(op('select', op('i32.shl', ones, offset), i32(0), count)),
        wideMask = s.wide ? op('i32x4.splat', mask) : mask
      const old = keep(a)
      return s.xor(old, s.and(s.xor(old, s.i('shl', b, offset)), wideMask))
    }
    case 'dot4U8Packed':
    case 'dot4I8Packed':
      return packedDot(keep(a), keep(b), name === 'dot4I8Packed')
    case 'pack4x8snorm':
      return packBytes(state, a, -1, 127)
    case 'pack4x8unorm':
      return packBytes(state, a, 0, 255)
    case 'pack4xI8':
    case 'pack4xU8':
      return joinBytes(state, op('v128.and', a, splat(255)))
    case 'pack4xI8Clamp':
      return joinBytes(
        state,
        op('v128.and', op('i32x4.max_s', op('i32x4.min_s', a, splat(127)), splat(-128)), splat(255)),
      )
    case 'pack4xU8Clamp':
      return joinBytes(state, op('i32x4.min_u', a, splat(255)))
    case 'unpack4xU8':
      return bytesOf(a, false)
    case 'unpack4xI8':
      return bytesOf(a, true)
    case 'unpack4x8unorm':
      return op('f32x4.div', op('f32x4.convert_i32x4_s', bytesOf(a, false)), floats(255))
    case 'unpack4x8snorm':
      return op('f32x4.max', op('f32x4.div', op('f32x4.convert_i32x4_s', bytesOf(a, true)), floats(127)), floats(-1))
    case 'pack2x16float': {
      const bits = keep(toHalf(a, keep))
      return op('i32.or', extract('i32', bits, 0), op('i32.shl', extract('i32', bits, 1), i32(16)))
    }
    case 'unpack2x16float': {
      const x = keep(a)
      return fromHalf(build([op('i32.and', x, i32(0xffff)), op('i32.shr_u', x, i32(16))]), keep)
    }
    case 'pack2x16snorm':
    case 'pack2x16unorm': {
      const low = name === 'pack2x16snorm' ? -1 : 0, scale = name === 'pack2x16snorm' ? 32767 : 65535
      const q = keep(op('v128.and', quantised(a, low, scale), splat(0xffff)))
      return op('i32.or', extract('i32', q, 0), op('i32.shl', extract('i32', q, 1), i32(16)))
    }
    case 'unpack2x16unorm': {
      const x = keep(a)
      return op(
        'f32x4.div',
        op('f32x4.convert_i32x4_s', build([op('i32.and', x, i32(0xffff)), op('i32.shr_u', x, i32(16))])),
        floats(65535),
      )
    }
    case 'unpack2x16snorm': {
      const x = keep(a)
      const lanes = build([op('i32.shr_s', op('i32.shl', x, i32(16)), i32(16)), op('i32.shr_s', x, i32(16))])
      return op('f32x4.max', op('f32x4.div', op('f32x4.convert_i32x4_s', lanes), floats(32767)), floats(-1))
    }
  }
  return null
}

const splat = (value: number): Expr => vector([value, value, value, value])
const floats = (value: number): Expr => op('f32x4.splat', f32(value))
/** round(scale clamp(x, low, 1)) as integers. */
const quantised = (x: Expr, low: number, scale: number): Expr =>
  op(
    'i32x4.trunc_sat_f32x4_s',
    op('f32x4.nearest', op('f32x4.mul', op('f32x4.pmin', op('f32x4.pmax', x, floats(low)), floats(1)), floats(scale))),
  )
const packBytes = (state: State, x: Expr, low: number, scale: number): Expr =>
  joinBytes(state, op('v128.and', quantised(x, low, scale), splat(255)))

/** Four lanes of a byte each to one word. */
function joinBytes(state: State, lanes: Expr): Expr {
  const kept = temp(state, lanes)
  return [1, 2, 3].reduce<Expr>(
    (sum, i) => op('i32.or', sum, op('i32.shl', extract('i32', kept, i), i32(8 * i))),
    extract('i32', kept, 0),
  )
}
/** The bytes of a word in four lanes, signed or not. */
function bytesOf(word: Expr, signed: boolean): Expr {
  // each lane gets its byte at the top, then moves down
  const lanes = op(
    'i8x16.swizzle',
    op('i32x4.splat', word),
    vector([0x00ffffff, 0x01ffffff, 0x02ffffff, 0x03ffffff].map((w) => w | 0)),
  )
  return op(`i32x4.shr_${signed ? 's' : 'u'}`, lanes, i32(24))
}
function packedDot(a: Expr, b: Expr, signed: boolean): Expr {
  const byte = (x: Expr, i: number) =>
    signed
      ? op('i32.shr_s', op('i32.shl', x, i32(24 - 8 * i)), i32(24))
      : op('i32.and', op('i32.shr_u', x, i32(8 * i)), i32(255))
  return [0, 1, 2, 3].map((i) => op('i32.mul', byte(a, i), byte(b, i))).reduce((sum, p) => op('i32.add', sum, p))
}

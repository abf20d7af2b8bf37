// Lowering of constructors, conversions and bitcasts.
import { failAt } from './lexer.ts'
import type { Span } from './lexer.ts'
import { build, extract, op } from './instructions.ts'
import { f32, i32, vector } from './ir.ts'
import type { Expr } from './ir.ts'
import { temp } from './lower.ts'
import type { State } from './lower.ts'
import { roundHalf } from './half.ts'
import { partType, zero } from './place.ts'
import type { Val } from './place.ts'
import type { CallExpr } from './tree.ts'
import { bool, elementScalar, f16, f32 as float, i32 as int, isBool } from './types.ts'
import type { Scalar, Type } from './types.ts'
import { f32Bits, largestAsI32, largestAsU32 } from './values.ts'
import { leaf } from './lower-expr.ts'

/** A value of `type` from its arguments, which are converted where WGSL converts. */
export function lowerConstruct(state: State, type: Type, args: Val[], types: Type[], span: Span): Val {
  if (args.length === 0) return zero(state, type)
  if (type.kind === 'scalar') return convert(state, leaf(args[0]), types[0], type)
  if (type.kind === 'vec') {
    if (args.length === 1 && types[0].kind === 'vec') return convert(state, leaf(args[0]), types[0], type)
    const mask = (x: Expr) => type.of === bool ? op('i32.sub', i32(0), x) : x
    if (args.length === 1) return op(`${wide(type)}.splat`, mask(leaf(args[0])))
    const parts = args.flatMap((arg, i) => {
      const t = types[i]
      if (t.kind !== 'vec') return [mask(leaf(arg))]
      const kept = leaf(arg).op === 'build' ? leaf(arg) : temp(state, leaf(arg))
      return Array.from(
        { length: t.size },
        (_, l) => extract(type.of === float || type.of === f16 ? 'f32' : 'i32', kept, l),
      )
    })
    return build(parts)
  }
  if (type.kind === 'mat') {
    if (args.length === 1 && args[0].op === 'parts') {
      return {
        op: 'parts',
        parts: args[0].parts.map((c) => convert(state, leaf(c), partType(types[0], 0), partType(type, 0))),
      }
    }
    if (args.length === type.columns) return { op: 'parts', parts: args }
    return {
      op: 'parts',
      parts: Array.from(
        { length: type.columns },
        (_, c) => build(args.slice(c * type.rows, (c + 1) * type.rows).map(leaf)),
      ),
    }
  }
  if (type.kind !== 'array' && type.kind !== 'struct') {
    throw failAt(span, 'this constructor is not supported on the embedded device')
  }
  return { op: 'parts', parts: args }
}
const wide = (type: Extract<Type, { kind: 'vec' }>) => type.of === float || type.of === f16 ? 'f32x4' : 'i32x4'

/** Explicit conversion of a scalar or vector. */
export function convert(state: State, x: Expr, fromType: Type, toType: Type): Expr {
  const from = elementScalar(fromType)!, to = elementScalar(toType)!, vectors = toType.kind === 'vec'
  if (from === to) return x
  const floats = (t: Scalar) => t === float || t === f16
  const round = (y: Expr) => to === f16 ? roundHalf(y, (z) => temp(state, z)) : y
  if (from === bool) {
    if (!vectors) return floats(to) ? op('f32.convert_i32_u', x) : x
    return op('v128.and', x, vector(Array<number>(4).fill(floats(to) ? f32Bits(1) : 1)))
  }
  if (to === bool) {
    if (!vectors) return floats(from) ? op('f32.ne', x, f32(0)) : op('i32.ne', x, i32(0))
    return op(floats(from) ? 'f32x4.ne' : 'i32x4.ne', x, vector([0, 0, 0, 0]))
  }
  if (floats(from) && floats(to)) return round(x)
  if (floats(from)) {
    // no further than the largest f32 that the type holds, as WGSL converts; NaN becomes 0
    const most = f32(to === int ? largestAsI32 : largestAsU32)
    const name = `${vectors ? 'i32x4.trunc_sat_f32x4' : 'i32.trunc_sat_f32'}_${to === int ? 's' : 'u'}`
    return op(name, op(vectors ? 'f32x4.min' : 'f32.min', x, vectors ? op('f32x4.splat', most) : most))
  }
  if (floats(to)) {
    return round(op(`${vectors ? 'f32x4.convert_i32x4' : 'f32.convert_i32'}_${from === int ? 's' : 'u'}`, x))
  }
  return x
}

/** The same bits as another type. */
export function lowerBitcast(state: State, e: CallExpr, x: Expr): Val {
  const from = e.args[0].type, to = e.type
  const half = (t: Type) => elementScalar(t) === f16
  if (half(from) || half(to)) {
    if (half(from) && half(to)) return x
    throw failAt(
      e,
      'bitcast from and to f16 is not supported on the embedded device: use pack2x16float and unpack2x16float',
    )
  }
  if (to.kind === 'vec' || isBool(to)) return x
  const isF = (t: Type) => elementScalar(t) === float
  if (isF(from) === isF(to)) return x
  return op(isF(to) ? 'f32.reinterpret_i32' : 'i32.reinterpret_f32', temp(state, x))
}

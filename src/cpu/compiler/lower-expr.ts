// Lowering of expressions: operators on scalars and vectors become instructions, `&&` and `||` stay lazy.
import { lowerBuiltin } from './lower-builtins.ts'
import { failAt } from './lexer.ts'
import type { Span } from './lexer.ts'
import { build, extract, op, shuffle } from './instructions.ts'
import { f32, get, i32, newLocal, vector } from './ir.ts'
import type { Expr, Stmt } from './ir.ts'
import { emit, rangeNow, temp } from './lower.ts'
import type { State } from './lower.ts'
import { roundHalf } from './half.ts'
import { inlineCall } from './lower-call.ts'
import { elementPlace, extractLane, freeze, lanePlace, loadPlace, partCount, partPlace, partType, refuseOverrideIndex,
  reportMiss, requestUnroll, storeValue, zero } from './place.ts'
import type { Place, Val } from './place.ts'
import type { BinaryExpr, CallExpr, Expr as Ast, IndexExpr, VarDecl } from './tree.ts'
import { bool, elementScalar, f16, f32 as float, i32 as int, isBool, isFloat, sizeOf } from './types.ts'
import type { Scalar, Type } from './types.ts'
import { concreteValue, f32Bits, largestAsI32, largestAsU32 } from './values.ts'
import type { Value } from './values.ts'

/** A value known to be a scalar or vector. */
export const leaf = (value: Val): Expr => {
  if (value.op === 'parts') throw new Error('a composite value where a scalar or vector belongs')
  return value
}

/** A constant as an expression. */
export function constant(value: Value): Val {
  const fixed = concreteValue(value), { type, scalar, parts } = fixed
  if (!parts) return type === bool ? i32(scalar ? 1 : 0) : isFloat(type) ? f32(Number(scalar)) : i32(Number(scalar))
  if (type.kind !== 'vec') return { op: 'parts', parts: parts.map(constant) }
  const words = parts.map((p) =>
    type.of === bool ? p.scalar ? -1 : 0 : isFloat(type.of) ? f32Bits(Number(p.scalar)) : Number(p.scalar) | 0
  )
  return vector([...words, 0, 0, 0].slice(0, 4))
}

/** Lowers the operands of one expression from left to right; if a later one has effects, the earlier are kept first. */
export function lowerAll(state: State, list: Ast[]): Val[] {
  return list.map((e, i) => {
    const value = lowerExpr(state, e)
    return list.slice(i + 1).some((later) => later.effects) ? keep(state, value) : value
  })
}
/** Puts a value into temporaries, so that later effects cannot change it. */
export function keep(state: State, value: Val): Val {
  return value.op === 'parts' ? { op: 'parts', parts: value.parts.map((p) => keep(state, p)) } : temp(state, value)
}

/** Lowers an expression to its value. */
export function lowerExpr(state: State, e: Ast): Val {
  if (e.value) return constant(e.value)
  if (e.ref) return loadPlace(state, lowerPlace(state, e), e)
  switch (e.kind) {
    case 'name': {
      const decl = e.decl!
      if (decl.kind === 'override') {
        const value = state.constants.get(decl)
        if (!value) throw failAt(e, `override '${e.name}' has no default and was given no value`)
        return constant(value)
      }
      const binding = 'kind' in decl ? state.env.get(decl as never) : undefined
      if (!binding || !('value' in binding)) {
        throw failAt(e, `'${e.name}' cannot be used as a value on the embedded device`)
      }
      return binding.value
    }
    case 'unary':
      return lowerUnary(state, e.op, leaf(lowerExpr(state, e.operand)), e.type)
    case 'binary':
      return e.op === '&&' || e.op === '||' ? lowerLazy(state, e) : lowerBinaryExpr(state, e)
    case 'member': {
      const base = lowerExpr(state, e.base), type = e.base.type
      if (type.kind !== 'vec') return (base as { parts: Val[] }).parts[e.member]
      return swizzle(state, type, leaf(base), e.swizzle!, e)
    }
    case 'index':
      return lowerIndex(state, e)
    case 'call':
      return lowerCall(state, e)
    default:
      throw failAt(e, 'this expression is not supported on the embedded device')
  }
}

function swizzle(state: State, type: Extract<Type, { kind: 'vec' }>, base: Expr, lanes: number[], span: Span): Expr {
  if (lanes.length === 1) return extractLane(state, type, base, i32(lanes[0]), span)
  if (base.op === 'build') return build(lanes.map((l) => base.parts[l]))
  const kept = temp(state, base)
  return shuffle(kept, kept, [...lanes, 3, 3, 3].slice(0, 4))
}

/** Stands for the variable a value is spilled to. */
const spilled = { name: 'a value', space: 'private' } as VarDecl
/** Indexing of a value that is no variable. */
function lowerIndex(state: State, e: IndexExpr): Val {
  const [base, index] = lowerAll(state, [e.base, e.index]), type = e.base.type
  const at = leaf(index)
  refuseOverrideIndex(at, e.index, type, type.kind === 'vec' ? type.size : partCount(state, type))
  if (type.kind === 'vec') return extractLane(state, type, temp(state, leaf(base)), at, e)
  const parts = (base as { parts: Val[] }).parts
  if (at.op === 'const') reportMiss(state, at, parts.length, e.index)
  if (at.op === 'const') return parts[Math.min(at.value >>> 0, parts.length - 1)]
  requestUnroll(state, at)
  // Spilled to private memory, where an index may vary.
  const offset = Math.ceil(state.privateBytes / 16) * 16
  state.privateBytes = offset + Math.ceil(sizeOf(type) / 16) * 16
  const place: Place = {
    kind: 'memory',
    type,
    addr: get(state.inputs.privateBase),
    offset,
    space: 'private',
    id: -1,
    decl: spilled,
  }
  storeValue(state, place, base, e)
  return keep(state, loadPlace(state, elementPlace(state, place, at, e), e))
}

/** Lowers an expression that denotes memory to its place. */
export function lowerPlace(state: State, e: Ast): Place {
  switch (e.kind) {
    case 'name': {
      const binding = state.env.get(e.decl as never)
      if (!binding || !('place' in binding)) throw failAt(e, `'${e.name}' has no place in memory`)
      return binding.place
    }
    case 'unary':
      return lowerPointer(state, e.operand)
    case 'member': {
      const base = lowerPlace(state, e.base)
      return e.base.type.kind === 'vec'
        ? lanePlace(state, base, i32(e.swizzle![0]), e)
        : partPlace(state, base, e.member)
    }
    case 'index': {
      const base = lowerPlace(state, e.base), fixed = e.index.effects ? freeze(state, base) : base
      const index = leaf(lowerExpr(state, e.index)), type = e.base.type
      if (type.kind !== 'array' || type.count !== null) {
        refuseOverrideIndex(index, e.index, type, type.kind === 'vec' ? type.size : partCount(state, type))
      }
      return e.base.type.kind === 'vec' ? lanePlace(state, fixed, index, e) : elementPlace(state, fixed, index, e.index)
    }
    default:
      throw failAt(e, 'this has no place in memory')
  }
}
/** The place a pointer expression points at. */
export function lowerPointer(state: State, e: Ast): Place {
  if (e.kind === 'unary' && e.op === '&') return lowerPlace(state, e.operand)
  const binding = e.kind === 'name' ? state.env.get(e.decl as never) : undefined
  if (!binding || !('pointer' in binding)) {
    throw failAt(e, 'this pointer is not supported on the embedded device: use &variable or a let')
  }
  return binding.pointer
}

/** -x, !x, ~x on a scalar or vector. */
function lowerUnary(_state: State, symbol: string, x: Expr, type: Type): Expr {
  const wide = type.kind === 'vec'
  if (symbol === '!') return wide ? op('v128.not', x) : op('i32.eqz', x)
  if (symbol === '~') return wide ? op('v128.not', x) : op('i32.xor', x, i32(-1))
  if (isFloat(type)) return op(wide ? 'f32x4.neg' : 'f32.neg', x)
  return wide ? op('i32x4.neg', x) : op('i32.sub', i32(0), x)
}

function lowerLazy(state: State, e: BinaryExpr): Val {
  const cond = leaf(lowerExpr(state, e.left))
  const outer = state.out, inner: Stmt[] = []
  if (cond.op === 'const' && (cond.value !== 0) === (e.op === '||')) return cond
  state.out = inner
  const right = leaf(lowerExpr(state, e.right))
  state.out = outer
  const reads = (x: Expr): boolean =>
    x.op === 'load' || x.op === 'lazy' || (x.op === 'wasm' && x.args.some(reads))
    || (x.op === 'build' && x.parts.some(reads))
  if (inner.every((s) => s.op === 'set' && !s.local.mutable && !reads(s.value))) {
    for (const s of inner) emit(state, s) // harmless to compute always
    if (!reads(right)) return op(e.op === '&&' ? 'i32.and' : 'i32.or', cond, right)
    return {
      op: 'lazy',
      type: 'i32',
      cond,
      then: e.op === '&&' ? right : i32(1),
      otherwise: e.op === '&&' ? i32(0) : right,
    }
  }
  const result = newLocal('lazy', 'i32', true, [0, 1])
  emit(state, { op: 'set', local: result, value: cond })
  inner.push({ op: 'set', local: result, value: right })
  emit(
    state,
    e.op === '&&'
      ? { op: 'if', cond: get(result), then: inner, otherwise: [] }
      : { op: 'if', cond: op('i32.eqz', get(result)), then: inner, otherwise: [] },
  )
  return get(result)
}

function lowerBinaryExpr(state: State, e: BinaryExpr): Val {
  const [left, right] = lowerAll(state, [e.left, e.right])
  if (
    e.right.stage === 'override' && (e.op === '/' || e.op === '%') && right.op === 'const' && right.value === 0
    && right.type === 'i32'
  ) throw failAt(e, 'integer division by zero')
  if (
    e.right.stage === 'override' && (e.op === '<<' || e.op === '>>') && right.op === 'const' && right.value >>> 0 >= 32
  ) throw failAt(e.right, `shift by ${right.value >>> 0}: must be less than 32`)
  return lowerBinary(state, e.op, left, right, e.left.type, e.right.type)
}

/** A binary operator on lowered operands of the given WGSL types. */
export function lowerBinary(state: State, symbol: string, left: Val, right: Val, leftType: Type, rightType: Type): Val {
  if (leftType.kind === 'mat' || rightType.kind === 'mat') {
    return lowerMatrix(state, symbol, left, right, leftType, rightType)
  }
  const type = leftType.kind === 'vec'
    ? leftType
    : rightType.kind === 'vec' && symbol !== '<<' && symbol !== '>>'
    ? rightType
    : leftType
  const spread = (x: Val, of: Type) =>
    type.kind === 'vec' && of.kind === 'scalar' ? op(`${leaf(x).type}x4.splat`, leaf(x)) : leaf(x)
  const scalar = elementScalar(type)!, a = spread(left, leftType), b = spread(right, rightType)
  const result = arithmetic(state, symbol, a, b, scalar, type)
  return scalar === f16 && ['+', '-', '*', '/', '%'].includes(symbol)
    ? roundHalf(result, (x) => temp(state, x))
    : result
}

const floatOps: Record<string, string> = {
  '+': 'add',
  '-': 'sub',
  '*': 'mul',
  '/': 'div',
  '==': 'eq',
  '!=': 'ne',
  '<': 'lt',
  '<=': 'le',
  '>': 'gt',
  '>=': 'ge',
}
const intOps: Record<string, string> = {
  '+': 'add',
  '-': 'sub',
  '*': 'mul',
  '==': 'eq',
  '!=': 'ne',
  '<': 'lt_',
  '<=': 'le_',
  '>': 'gt_',
  '>=': 'ge_',
}
const bitOps: Record<string, string> = { '&': 'and', '|': 'or', '^': 'xor', '&&': 'and', '||': 'or' }

function arithmetic(state: State, symbol: string, a: Expr, b: Expr, scalar: Scalar, type: Type): Expr {
  const wide = type.kind === 'vec'
  if (symbol in bitOps) return op(`${wide ? 'v128' : 'i32'}.${bitOps[symbol]}`, a, b)
  if (scalar === float || scalar === f16) {
    const prefix = wide ? 'f32x4' : 'f32'
    if (symbol !== '%') return op(`${prefix}.${floatOps[symbol]}`, a, b)
    const x = temp(state, a), y = temp(state, b) // x - y trunc(x / y), as WGSL defines it
    return op(`${prefix}.sub`, x, op(`${prefix}.mul`, y, op(`${prefix}.trunc`, op(`${prefix}.div`, x, y))))
  }
  const signed = scalar === int || scalar === bool
  const prefix = wide ? 'i32x4' : 'i32'
  if (symbol in intOps) {
    return op(`${prefix}.${intOps[symbol]}${intOps[symbol].endsWith('_') ? signed ? 's' : 'u' : ''}`, a, b)
  }
  if (symbol === '<<' || symbol === '>>') {
    const name = symbol === '<<' ? 'shl' : signed ? 'shr_s' : 'shr_u'
    if (!wide) return op(`i32.${name}`, a, b)
    if (b.op === 'vector' && b.words.every((w) => w === b.words[0])) return op(`i32x4.${name}`, a, i32(b.words[0]))
    if (b.op === 'wasm' && b.name === 'i32x4.splat') return op(`i32x4.${name}`, a, b.args[0])
    return perLane(state, [a, b], type.size, (x, y) => op(`i32.${name}`, x, y))
  }
  const divide = (x: Expr, y: Expr) => integerDivide(state, symbol === '/', signed, x, y)
  return wide ? perLane(state, [a, b], type.size, divide) : divide(a, b)
}

/** Integer work that SIMD has no instruction for: lane by lane. */
export function perLane(state: State, args: Expr[], size: number, apply: (...lanes: Expr[]) => Expr): Expr {
  const kept = args.map((a) => temp(state, a))
  return build(Array.from({ length: size }, (_, i) => apply(...kept.map((a) => extract('i32', a, i)))))
}

/**
 * x / y and x % y with WGSL's answers where the machine would trap: x / 0 = x, x % 0 = 0, and the same for overflow.
 */
function integerDivide(state: State, quotient: boolean, signed: boolean, x: Expr, y: Expr): Expr {
  const name = `i32.${quotient ? 'div' : 'rem'}_${signed ? 's' : 'u'}`
  if (y.op === 'const' && y.value !== 0 && !(signed && y.value === -1)) {
    if (signed && rangeNow(state, x)[1] < 2 ** 31 && y.value > 0) return op(name.replace('_s', '_u'), x, y)
    return op(name, x, y)
  }
  const [low, high] = rangeNow(state, y)
  // Not by what conditions around tell: a value that is the same for all may be computed before them, and must not trap
  // there.
  if (low > 0 && (!signed || high < 2 ** 31) && state.refining === 0) {
    return op(signed && rangeNow(state, x)[1] < 2 ** 31 ? name.replace('_s', '_u') : name, x, y)
  }
  const divisor = temp(state, y)
  if (!signed || !quotient) return op(name, x, op('i32.add', divisor, op('i32.eqz', divisor))) // 1 in place of 0
  const dividend = temp(state, x)
  const overflow = op('i32.and', op('i32.eq', dividend, i32(-(2 ** 31))), op('i32.eq', divisor, i32(-1)))
  return op(name, dividend, op('select', i32(1), divisor, op('i32.or', op('i32.eqz', divisor), overflow)))
}

/** Sum of the products of columns and scalars: the product of a matrix and a vector. */
function lowerMatrix(state: State, symbol: string, left: Val, right: Val, leftType: Type, rightType: Type): Val {
  const columns = (value: Val) => (value as { parts: Val[] }).parts.map(leaf)
  const round = (x: Expr) => elementScalar(leftType) === f16 ? roundHalf(x, (y) => temp(state, y)) : x
  const times = (matrix: Expr[], type: Extract<Type, { kind: 'mat' }>, v: Expr) => {
    const kept = temp(state, v)
    return matrix.slice(0, type.columns).map((c, i) =>
      round(op('f32x4.mul', c, op('f32x4.splat', extract('f32', kept, i))))
    )
      .reduce((sum, p) => round(op('f32x4.add', sum, p)))
  }
  if (symbol !== '*') {
    return {
      op: 'parts',
      parts: columns(left).map((c, i) => round(op(`f32x4.${floatOps[symbol]}`, c, columns(right)[i]))),
    }
  }
  if (leftType.kind === 'scalar' || rightType.kind === 'scalar') {
    const [matrix, by] = leftType.kind === 'scalar' ? [right, left] : [left, right],
      factor = op('f32x4.splat', leaf(by))
    return { op: 'parts', parts: columns(matrix).map((c) => round(op('f32x4.mul', c, factor))) }
  }
  if (leftType.kind === 'mat' && rightType.kind === 'vec') {
    return times(columns(keep(state, left)), leftType, leaf(right))
  }
  if (leftType.kind === 'vec' && rightType.kind === 'mat') {
    const row = temp(state, leaf(left))
    return build(columns(right).map((c) => round(dot(state, row, c, leftType.size))))
  }
  const matrix = columns(keep(state, left))
  return {
    op: 'parts',
    parts: columns(keep(state, right)).map((c) => times(matrix, leftType as Extract<Type, { kind: 'mat' }>, c)),
  }
}

/** Sum of the products of the first `size` lanes. */
export function dot(state: State, a: Expr, b: Expr, size: number): Expr {
  const product = temp(state, op('f32x4.mul', a, b)), lane = (i: number) => extract('f32', product, i)
  if (size === 4) {
    const pair = temp(state, op('f32x4.add', product, shuffle(product, product, [2, 3, 2, 3])))
    return op('f32.add', extract('f32', pair, 0), extract('f32', pair, 1))
  }
  return size === 2 ? op('f32.add', lane(0), lane(1)) : op('f32.add', op('f32.add', lane(0), lane(1)), lane(2))
}

function lowerCall(state: State, e: CallExpr): Val {
  const target = e.target!
  if (target.kind === 'function') return inlineCall(state, e, target.decl)
  if (target.kind === 'builtin') return lowerBuiltin(state, e, target.name)
  const args = lowerAll(state, e.args)
  if (target.kind === 'bitcast') return lowerBitcast(state, e, leaf(args[0]))
  return lowerConstruct(state, target.type, args, e.args.map((a) => a.type), e)
}

function lowerConstruct(state: State, type: Type, args: Val[], types: Type[], span: Span): Val {
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

function lowerBitcast(state: State, e: CallExpr, x: Expr): Val {
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

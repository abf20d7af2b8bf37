// Lowering of operators: on scalars and vectors they become instructions, on matrices sums of products of columns;
// `&&` and `||` stay lazy.
import { failAt } from './lexer.ts'
import { build, extract, op, shuffle } from './instructions.ts'
import { get, i32, newLocal } from './ir.ts'
import type { Expr, Stmt } from './ir.ts'
import { emit, rangeNow, temp } from './lower.ts'
import type { State } from './lower.ts'
import { roundHalf } from './half.ts'
import type { Val } from './place.ts'
import type { BinaryExpr } from './tree.ts'
import { bool, elementScalar, f16, f32 as float, i32 as int, isFloat } from './types.ts'
import type { Scalar, Type } from './types.ts'
import { keep, leaf, lowerAll, lowerExpr } from './lower-expr.ts'

/** -x, !x, ~x on a scalar or vector. */
export function lowerUnary(_state: State, symbol: string, x: Expr, type: Type): Expr {
  const wide = type.kind === 'vec'
  if (symbol === '!') return wide ? op('v128.not', x) : op('i32.eqz', x)
  if (symbol === '~') return wide ? op('v128.not', x) : op('i32.xor', x, i32(-1))
  if (isFloat(type)) return op(wide ? 'f32x4.neg' : 'f32.neg', x)
  return wide ? op('i32x4.neg', x) : op('i32.sub', i32(0), x)
}

/** `&&` and `||`: the right side runs only where it decides, unless it is harmless to compute always. */
export function lowerLazy(state: State, e: BinaryExpr): Val {
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

/** A binary operator whose operands have no value yet; what overrides make wrong is refused. */
export function lowerBinaryExpr(state: State, e: BinaryExpr): Val {
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
  const scalar = elementScalar(type)!
  const a = spread(left, leftType)
  const b = spread(right, rightType)
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

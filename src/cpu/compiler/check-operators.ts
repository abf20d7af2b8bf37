// Types of operators, and what they give for constants.
import { commonType } from './builtins.ts'
import { atSpan, checkExpr, checkValue, convertTo, isEvaluated, latest, settleStage,
  unevaluated } from './check-expr.ts'
import type { Context } from './check.ts'
import { binaryValue, unaryValue } from './const-operators.ts'
import { failAt } from './lexer.ts'
import type { Span } from './lexer.ts'
import type { BinaryExpr, Expr, UnaryExpr } from './tree.ts'
import { abstractInt, bool, concrete, conversionRank, elementScalar, f32, isAbstract, isBool, isFloat, isInteger,
  isNumeric, mat, pointer, typeName, u32, vec, withScalar } from './types.ts'
import type { Type } from './types.ts'
/** `-x`, `!x`, `~x`, `&x`, `*x`. */
export function checkUnary(context: Context, expr: UnaryExpr) {
  const inner = expr.operand
  if (expr.op === '&') {
    checkExpr(context, inner)
    if (!inner.ref) throw failAt(expr, "'&' needs a variable, not a value")
    if (inner.kind === 'member' && inner.swizzle || inner.kind === 'index' && (inner.base.type.kind === 'vec')) {
      throw failAt(expr, "'&' cannot point at a vector component")
    }
    expr.type = pointer(inner.ref.space, inner.type, inner.ref.access)
    expr.effects = inner.effects
    return
  }
  if (expr.op === '*') {
    checkValue(context, inner)
    if (inner.type.kind !== 'pointer') throw failAt(expr, `'*' needs a pointer, got ${typeName(inner.type)}`)
    expr.type = inner.type.to
    expr.ref = { space: inner.type.space, access: inner.type.access }
    expr.effects = inner.effects
    return
  }
  checkValue(context, inner)
  const ok = expr.op === '!' ? isBool(inner.type) : expr.op === '~'
    ? isInteger(inner.type)
    : inner.type.kind !== 'mat' && isNumeric(inner.type) && elementScalar(inner.type) !== u32
  if (!ok) throw failAt(expr, `'${expr.op}' does not apply to ${typeName(inner.type)}`)
  expr.type = inner.type
  expr.stage = inner.stage
  expr.effects = inner.effects
  if (inner.value) expr.value = atSpan(expr, () => unaryValue(expr.op, inner.value!))
}

/** Infix operators; `&&` and `||` leave out their right side. */
export function checkBinary(context: Context, expr: BinaryExpr) {
  const { left, right, op } = expr
  checkValue(context, left)
  const decided = (op === '&&' || op === '||') && left.value?.scalar === (op === '||')
  if (decided) unevaluated(() => checkValue(context, right))
  else checkValue(context, right)
  expr.effects = left.effects || right.effects
  expr.stage = latest(left.stage, right.stage)
  expr.type = binaryType(expr, op, left, right)
  const comparing = ['==', '!=', '<', '<=', '>', '>='].includes(op)
  const zero = right.value && [right.value, ...right.value.parts ?? []].some((v) => v.scalar === 0 || v.scalar === 0n)
  if ((op === '/' || op === '%') && zero && isEvaluated() && isInteger(right.type)) {
    throw failAt(expr, 'integer division by zero')
  }
  if ((op === '<<' || op === '>>') && right.value && elementScalar(left.type) !== abstractInt) {
    const width = [right.value, ...right.value.parts ?? []].find((v) => Number(v.scalar ?? 0) >= 32)
    if (width && isEvaluated()) throw failAt(right, `shift by ${width.scalar}: must be less than 32`)
  }
  if (decided) {
    expr.value = left.value // the other side is not evaluated, so its stage does not matter
    expr.stage = 'const'
    expr.effects = false
  } else if (
    left.value && right.value && expr.type.kind !== 'mat' && left.type.kind !== 'mat' && right.type.kind !== 'mat'
  ) {
    expr.value = atSpan(
      expr,
      () =>
        binaryValue(
          op,
          left.value!,
          right.value!,
          comparing && left.type.kind === 'vec' ? vec(left.type.size, bool) : expr.type,
        ),
    )
  }
  settleStage(expr)
}

/** Types an operator and converts its operands. */
export function binaryType(span: Span, op: string, left: Expr, right: Expr): Type {
  const refuse = () =>
    failAt(
      span,
      `'${op}' does not apply to ${typeName(left.type)} and ${typeName(right.type)}${hint(left.type, right.type)}`,
    )
  if (op === '&&' || op === '||') {
    if (left.type !== bool || right.type !== bool) throw refuse()
    return bool
  }
  if (op === '<<' || op === '>>') {
    const size = (t: Type) => t.kind === 'vec' ? t.size : 1
    if (!isInteger(left.type) || !isInteger(right.type) || size(left.type) !== size(right.type)) throw refuse()
    if (!right.value || !left.value) { if (isAbstract(left.type)) convertTo(left, concrete(left.type), 'a shift') }
    if (conversionRank(right.type, withScalar(right.type, u32)) === Infinity) {
      throw failAt(right, `the shift count must be u32, got ${typeName(right.type)}: write u32(...)`)
    }
    convertTo(right, withScalar(right.type, u32), 'the shift count')
    return left.type
  }
  const arithmetic = ['+', '-', '*', '/', '%'].includes(op)
  if (left.type.kind === 'mat' || right.type.kind === 'mat') return matrixType(op, left, right, refuse)
  let type: Type | null
  if (
    arithmetic && left.type.kind !== right.type.kind && left.type.kind !== 'pointer' && right.type.kind !== 'pointer'
  ) {
    const [vector, single] = left.type.kind === 'vec' ? [left.type, right.type] : [right.type, left.type]
    if (vector.kind !== 'vec' || single.kind !== 'scalar' || !isNumeric(single)) throw refuse()
    const of = commonType([vector.of, single])
    if (!of || of.kind !== 'scalar' || !isNumeric(of)) throw refuse()
    type = vec(vector.size, of)
    for (const operand of [left, right]) convertTo(operand, operand.type.kind === 'vec' ? type : of, `'${op}'`)
    return type
  }
  type = commonType([left.type, right.type])
  if (!type || (type.kind !== 'scalar' && type.kind !== 'vec')) throw refuse()
  // Of two operands only one of which is constant, an abstract one takes the other's type; two abstract non-constants
  // cannot meet.
  const ok = arithmetic ? isNumeric(type) : op === '&' || op === '|' ? isInteger(type) || isBool(type) : op === '^'
    ? isInteger(type)
    : op === '==' || op === '!='
    ? true
    : isNumeric(type)
  if (!ok) throw refuse()
  convertTo(left, type, `'${op}'`)
  convertTo(right, type, `'${op}'`)
  const comparing = ['==', '!=', '<', '<=', '>', '>='].includes(op)
  return comparing ? type.kind === 'vec' ? vec(type.size, bool) : bool : type
}

const hint = (a: Type, b: Type) =>
  elementScalar(a) && elementScalar(b) && a.kind === b.kind && a !== b
    ? ': convert one of them, WGSL never does it silently'
    : ''

function matrixType(op: string, left: Expr, right: Expr, refuse: () => Error): Type {
  const fix = (expr: Expr) =>
    isAbstract(expr.type) ? convertTo(expr, withScalar(expr.type, f32), `'${op}'`).type : expr.type
  const a = fix(left), b = fix(right)
  if (elementScalar(a) !== elementScalar(b) || !isFloat(elementScalar(a)!)) throw refuse()
  if ((op === '+' || op === '-') && a === b) return a
  if (op !== '*') throw refuse()
  if (a.kind === 'mat' && b.kind === 'mat' && a.columns === b.rows) return mat(b.columns, a.rows, a.of)
  if (a.kind === 'mat' && b.kind === 'vec' && a.columns === b.size) return vec(a.rows, a.of)
  if (a.kind === 'vec' && b.kind === 'mat' && a.size === b.rows) return vec(b.columns, b.of)
  if (a.kind === 'scalar' && b.kind === 'mat') return b
  if (a.kind === 'mat' && b.kind === 'scalar') return a
  throw refuse()
}

// Types of expressions, and the values of those that are constant.
import { builtins } from './builtins.ts'
import { checkCall } from './check-call.ts'
import { checkBinary, checkUnary } from './check-operators.ts'
import { namedType } from './check-types.ts'
import type { Context } from './check.ts'
import { resolveGlobal } from './check.ts'
import { failAt, numberValue } from './lexer.ts'
import type { Span } from './lexer.ts'
import { valueBytes } from './limits.ts'
import type { Expr, IndexExpr, MemberExpr, NameExpr } from './tree.ts'
import { abstractFloat, abstractInt, bool, concrete, conversionRank, elementScalar, f16, f32, i32, isAbstract,
  isConstructible, isInteger, sizeOf, typeName, u32, vec } from './types.ts'
import type { Type } from './types.ts'
import { ConstError, convertValue, makeScalar } from './values.ts'

const stages = ['const', 'override', 'runtime'] as const
/** The latest of the stages. */
export const latest = (...list: Expr['stage'][]): Expr['stage'] =>
  stages[Math.max(0, ...list.map((s) => stages.indexOf(s)))]

let skipped = 0
/**
 * Checks an operand that is never evaluated, the right side of `false &&` or `true ||`: its types must fit, but what
 * its values would do wrong is no mistake.
 */
export function unevaluated(check: () => void): void {
  skipped++
  try {
    check()
  } finally {
    skipped--
  }
}
/** Whether mistakes in constant values count here. */
export const isEvaluated = (): boolean => skipped === 0
/** An expression of constants whose value is not known while compiling counts as one of run time. */
export function settleStage(expr: Expr): void {
  if (!expr.value && expr.stage === 'const' && skipped === 0) expr.stage = 'runtime'
}

/** Runs constant arithmetic and gives its errors a position. */
export function atSpan<T>(span: Span, compute: () => T): T | undefined {
  try {
    return compute()
  } catch (error) {
    if (!(error instanceof ConstError)) throw error
    if (skipped > 0) return undefined
    throw failAt(span, error.message)
  }
}

/** Makes a reference a value (the load rule); throws if what is stored there cannot be loaded. */
export function toValue(expr: Expr): Expr {
  if (!expr.ref) return expr
  if (expr.ref.access === 'write') throw failAt(expr, 'this memory is write-only')
  if (expr.type.kind === 'atomic') throw failAt(expr, 'an atomic is read with atomicLoad(&...)')
  if (expr.type.kind === 'array' && expr.type.count === null) {
    throw failAt(expr, 'a runtime-sized array cannot be loaded as a whole: index it')
  }
  if (!isConstructible(expr.type)) throw failAt(expr, `${typeName(expr.type)} cannot be loaded as a whole`)
  refuseHuge(expr.type, expr, 'loaded as a whole')
  return expr
}

/** Refuses a type that is too large for what is to be done with a whole value of it. */
export function refuseHuge(type: Type, span: Span, what: string): void {
  if (type.kind !== 'array' && type.kind !== 'struct') return
  const size = sizeOf(type, () => 1)
  if (size > valueBytes) {
    throw failAt(span, `${typeName(type)} has ${size} bytes, too many to be ${what}: ${valueBytes} are allowed`)
  }
}

/** Converts a value to a type it may become without being asked; `what` names the place for the message. */
export function convertTo(expr: Expr, to: Type, what: string): Expr {
  toValue(expr)
  if (expr.type === to) return expr
  if (conversionRank(expr.type, to) === Infinity) {
    const wants = elementScalar(to),
      hint = wants && elementScalar(expr.type) && expr.type.kind === to.kind ? `: write ${typeName(to)}(...)` : ''
    throw failAt(expr, `${what} needs ${typeName(to)}, got ${typeName(expr.type)}${hint}`)
  }
  if (expr.value) expr.value = atSpan(expr, () => convertValue(expr.value!, to))
  expr.type = to
  return expr
}

/** A value that must be a constant integer, such as an array length. */
export function constInteger(context: Context, expr: Expr, what: string): number {
  checkExpr(context, expr)
  if (!expr.value || !isInteger(expr.type) || expr.type.kind !== 'scalar') {
    throw failAt(expr, `${what} must be a constant integer`)
  }
  return Number(expr.value.scalar)
}

/** Checks an expression whose value is wanted. */
export function checkValue(context: Context, expr: Expr): Expr {
  checkExpr(context, expr)
  if (expr.type.kind === 'void') throw failAt(expr, 'this call gives no value')
  return toValue(expr)
}

/** Fills type, reference, stage and constant value of an expression and all inside it. Throws WgslError. */
export function checkExpr(context: Context, expr: Expr): void {
  switch (expr.kind) {
    case 'number':
      return checkNumber(context, expr)
    case 'bool':
      expr.type = bool
      expr.stage = 'const'
      expr.value = { type: bool, scalar: expr.truth }
      return
    case 'name':
      return checkName(context, expr)
    case 'unary':
      return checkUnary(context, expr)
    case 'binary':
      return checkBinary(context, expr)
    case 'index':
      return checkIndex(context, expr)
    case 'member':
      return checkMember(context, expr)
    case 'call':
      return checkCall(context, expr)
  }
}

function checkNumber(context: Context, expr: Extract<Expr, { kind: 'number' }>) {
  const type = { '': expr.isFloat ? abstractFloat : abstractInt, i: i32, u: u32, f: f32, h: f16 }[expr.suffix]!
  if (type === f16 && !context.program.enables.has('f16')) {
    throw failAt(expr, "literals with 'h' need 'enable f16;' at the top of the shader")
  }
  expr.type = type
  expr.stage = 'const'
  expr.value = atSpan(expr, () => makeScalar(type, isInteger(type) ? BigInt(expr.text) : numberValue(expr.text)))
}

function checkName(context: Context, expr: NameExpr) {
  const decl = context.lookup(expr.name)
  if (!decl) {
    const type = builtins.has(expr.name)
      ? 'function'
      : namedType(context, expr.name, expr.template, expr)
      ? 'type'
      : null
    throw failAt(
      expr,
      type ? `'${expr.name}' is a ${type}: call it, or use a variable here` : `'${expr.name}' is not declared`,
    )
  }
  if (expr.template) throw failAt(expr, `'${expr.name}' takes no template arguments: write '(a < b)' to compare`)
  if (decl.kind === 'struct' || decl.kind === 'alias') throw failAt(expr, `'${expr.name}' is a type, not a value`)
  if (decl.kind === 'function') throw failAt(expr, `'${expr.name}' is a function: call it with (...)`)
  if (decl.global) {
    resolveGlobal(context, decl)
    if (context.fn) context.fn.globals.add(decl)
    else if (decl.kind === 'var') {
      throw failAt(expr, `'${expr.name}' is a variable: module-scope expressions use constants and overrides only`)
    }
  }
  expr.decl = decl
  expr.type = decl.type
  expr.stage = decl.stage
  expr.value = decl.value
  expr.ref = decl.kind === 'var' ? { space: decl.space, access: decl.access } : undefined
}

/** `p.x` and `p[i]` on a pointer mean `(*p).x` and `(*p)[i]`. */
function throughPointer(expr: IndexExpr | MemberExpr) {
  const base = expr.base
  if (base.type.kind !== 'pointer') return
  toValue(base)
  expr.base = {
    kind: 'unary',
    op: '*',
    operand: base,
    line: base.line,
    column: base.column,
    length: base.length,
    type: base.type.to,
    ref: { space: base.type.space, access: base.type.access },
    stage: 'runtime',
    effects: base.effects,
  }
}

function checkIndex(context: Context, expr: IndexExpr) {
  checkExpr(context, expr.base)
  throughPointer(expr)
  const { base, index } = expr
  checkValue(context, index)
  const type = base.type
  if (type.kind !== 'vec' && type.kind !== 'array' && type.kind !== 'mat') {
    throw failAt(expr, `${typeName(type)} cannot be indexed`)
  }
  if (index.type.kind !== 'scalar' || !isInteger(index.type)) {
    throw failAt(index, `an index is an integer, got ${typeName(index.type)}: write u32(...)`)
  }
  if (index.value && isEvaluated()) {
    const i = Number(index.value.scalar),
      count = type.kind === 'vec' ? type.size : type.kind === 'mat' ? type.columns : type.count
    if (i < 0) throw failAt(index, `index ${i} is negative`)
    if (typeof count === 'number' && i >= count) {
      throw failAt(index, `index ${i} is out of bounds: ${typeName(type)} has ${count}`)
    }
  }
  if (index.value && isAbstract(index.type)) convertTo(index, i32, 'an index')
  expr.type = type.kind === 'mat' ? vec(type.rows, type.of) : type.of
  expr.ref = base.ref
  expr.stage = latest(base.stage, index.stage)
  expr.effects = base.effects || index.effects
  const element = index.value && base.value?.parts![Number(index.value.scalar)]
  if (element) expr.value = element
  else if (isAbstract(expr.type)) {
    convertTo(base, concrete(base.type), 'indexing')
    expr.type = concrete(expr.type)
  }
  settleStage(expr)
}

function checkMember(context: Context, expr: MemberExpr) {
  checkExpr(context, expr.base)
  throughPointer(expr)
  const { base, name } = expr, type = base.type
  expr.stage = base.stage
  expr.effects = base.effects
  if (type.kind === 'vec') {
    const letters = ['xyzw', 'rgba'].find((set) => [...name].every((c) => set.includes(c)))
    const parts = letters && name.length <= 4 ? [...name].map((c) => letters.indexOf(c)) : null
    if (!parts || parts.some((p) => p >= type.size)) {
      throw failAt(expr, `'.${name}' does not name components of ${typeName(type)}`)
    }
    expr.swizzle = parts
    expr.type = parts.length === 1 ? type.of : vec(parts.length, type.of)
    if (parts.length === 1) expr.ref = base.ref
    else toValue(base)
    if (base.value) {
      expr.value = parts.length === 1
        ? base.value.parts![parts[0]]
        : { type: expr.type, parts: parts.map((p) => base.value!.parts![p]) }
    }
    return
  }
  if (type.kind !== 'struct') throw failAt(expr, `${typeName(type)} has no members`)
  expr.member = type.members.findIndex((m) => m.name === name)
  if (expr.member < 0) {
    throw failAt(
      expr,
      `${type.name} has no member '${name}': it has ${type.members.map((m) => m.name).join(', ')}`,
    )
  }
  expr.type = type.members[expr.member].type
  expr.ref = base.ref
  if (base.value) expr.value = base.value.parts![expr.member]
  else settleStage(expr)
}

// Types of expressions, and the values of those that are constant.
import { failAt, numberValue } from './lexer.ts'
import type { Span } from './lexer.ts'
import type { BinaryExpr, CallExpr, Expr, IndexExpr, MemberExpr, NameExpr, UnaryExpr, VarDecl } from './tree.ts'
import { builtins, commonType, unsupported } from './builtins.ts'
import { checkConstruct } from './check-construct.ts'
import { namedType, resolveType } from './check-types.ts'
import type { Context } from './check.ts'
import { resolveGlobal } from './check.ts'
import { abstractFloat, abstractInt, bool, concrete, conversionRank, elementScalar, f16, f32, i32, isAbstract, isBool,
  isConstructible, isFloat, isInteger, isNumeric, mat, pointer, typeName, u32, vec, voidType,
  withScalar } from './types.ts'
import type { Type } from './types.ts'
import { binaryValue, bitcastValue, builtinValue, ConstError, convertValue, makeScalar, unaryValue } from './values.ts'
import type { Value } from './values.ts'

const stages = ['const', 'override', 'runtime'] as const
/** The latest of the stages. */
export const latest = (...list: Expr['stage'][]): Expr['stage'] =>
  stages[Math.max(0, ...list.map((s) => stages.indexOf(s)))]

/** Runs constant arithmetic and gives its errors a position. */
export function atSpan<T>(span: Span, compute: () => T): T {
  try {
    return compute()
  } catch (error) {
    throw error instanceof ConstError ? failAt(span, error.message) : error
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
  return expr
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

function checkUnary(context: Context, expr: UnaryExpr) {
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

function checkBinary(context: Context, expr: BinaryExpr) {
  const { left, right, op } = expr
  checkValue(context, left)
  checkValue(context, right)
  expr.effects = left.effects || right.effects
  expr.stage = latest(left.stage, right.stage)
  expr.type = binaryType(expr, op, left, right)
  const comparing = ['==', '!=', '<', '<=', '>', '>='].includes(op)
  const zero = right.value && [right.value, ...right.value.parts ?? []].some((v) => v.scalar === 0 || v.scalar === 0n)
  if ((op === '/' || op === '%') && zero && isInteger(right.type)) throw failAt(expr, 'integer division by zero')
  if ((op === '<<' || op === '>>') && right.value && elementScalar(left.type) !== abstractInt) {
    const width = [right.value, ...right.value.parts ?? []].find((v) => Number(v.scalar ?? 0) >= 32)
    if (width) throw failAt(right, `shift by ${width.scalar}: must be less than 32`)
  }
  if ((op === '&&' || op === '||') && left.value && left.value.scalar === (op === '||')) {
    expr.value = left.value // the other side is not evaluated, so its stage does not matter
    if (expr.stage === 'const' || right.stage !== 'const') expr.value = right.stage === 'const' ? left.value : undefined
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
  if (!expr.value && expr.stage === 'const') expr.stage = 'runtime'
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
  if (index.value) {
    const i = Number(index.value.scalar),
      count = type.kind === 'vec' ? type.size : type.kind === 'mat' ? type.columns : type.count
    if (i < 0) throw failAt(index, `index ${i} is negative`)
    if (typeof count === 'number' && i >= count) {
      throw failAt(index, `index ${i} is out of bounds: ${typeName(type)} has ${count}`)
    }
    if (isAbstract(index.type)) convertTo(index, i32, 'an index')
  }
  expr.type = type.kind === 'mat' ? vec(type.rows, type.of) : type.of
  expr.ref = base.ref
  expr.stage = latest(base.stage, index.stage)
  expr.effects = base.effects || index.effects
  if (base.value && index.value) expr.value = base.value.parts![Number(index.value.scalar)]
  else if (isAbstract(expr.type)) {
    convertTo(base, concrete(base.type), 'indexing')
    expr.type = concrete(expr.type)
  }
  if (!expr.value && expr.stage === 'const') expr.stage = 'runtime'
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
  else if (expr.stage === 'const') expr.stage = 'runtime'
}

function checkCall(context: Context, expr: CallExpr) {
  const { callee, args } = expr
  const decl = context.lookup(callee)
  if (decl?.kind === 'function') {
    if (!context.fn) throw failAt(expr, `'${callee}' cannot be called at module scope`)
    resolveGlobal(context, decl)
    if (decl.attributes.some((a) => a.name === 'compute')) {
      throw failAt(expr, `'${callee}' is an entry point and cannot be called`)
    }
    if (args.length !== decl.params.length) {
      throw failAt(expr, `${callee} takes ${decl.params.length} arguments, got ${args.length}`)
    }
    for (const [i, arg] of args.entries()) {
      checkValue(context, arg)
      convertTo(arg, decl.params[i].type, `parameter '${decl.params[i].name}' of ${callee}`)
      markPointer(arg)
    }
    context.fn.calls.set(decl, expr)
    expr.target = { kind: 'function', decl }
    expr.type = decl.result
    expr.effects = true
    return
  }
  if (decl && decl.kind !== 'struct' && decl.kind !== 'alias') throw failAt(expr, `'${callee}' is not a function`)
  if (callee === 'bitcast' && !decl) return checkBitcast(context, expr)
  if (callee === 'array' && !decl && !expr.template) {
    expr.target = { kind: 'construct', type: voidType }
    return checkConstruct(context, expr, null)
  }
  const untyped = !decl && !expr.template && /^(vec[234]|mat[234]x[234])$/.test(callee)
  const type = untyped ? null : namedType(context, callee, expr.template, expr)
  if (type || untyped) {
    expr.target = { kind: 'construct', type: type ?? voidType }
    return checkConstruct(context, expr, type)
  }
  checkBuiltin(context, expr)
}

/** A variable whose address is handed on counts as assigned. */
export function markPointer(expr: Expr) {
  if (expr.kind === 'unary' && expr.op === '&') markAssigned(expr.operand)
}
/** Notes at the declaration that the variable this place belongs to is written. */
export function markAssigned(target: Expr) {
  let at = target
  while (at.kind === 'index' || at.kind === 'member') at = at.base
  if (at.kind === 'unary' && at.op === '*' && at.operand.kind === 'unary') markPointer(at.operand)
  if (at.kind === 'name' && at.decl && 'assigned' in at.decl) (at.decl as VarDecl).assigned = true
}

function checkBuiltin(context: Context, expr: CallExpr) {
  const { callee, args } = expr
  if (unsupported.test(callee)) throw failAt(expr, `${callee}: not supported on the embedded device`)
  const builtin = builtins.get(callee)
  if (!builtin) throw failAt(expr, `'${callee}' is not declared`)
  if (expr.template) throw failAt(expr, `${callee} takes no template arguments`)
  for (const arg of args) checkValue(context, arg)
  if (builtin.effects && !context.fn) throw failAt(expr, `${callee} cannot be called at module scope`)
  let found = builtin.match(args.map((a) => a.type))
  if (!found) {
    throw failAt(
      expr,
      `${callee} takes ${builtin.takes}; got (${args.map((a) => typeName(a.type)).join(', ')})`,
    )
  }
  const constant = args.every((a) => a.value) && !builtin.effects
  const compute = () => args.forEach((arg, i) => convertTo(arg, found!.params[i], `${callee}`))
  if (!constant && found.params.some(isAbstract)) {
    found = { params: found.params.map(concrete), result: concrete(found.result) }
  }
  let value: Value | null = null
  if (constant) {
    compute()
    value = atSpan(expr, () => builtinValue(callee, args.map((a) => a.value!), found!.result))
    if (!value && found.params.some(isAbstract)) {
      found = { params: found.params.map(concrete), result: concrete(found.result) }
    }
  }
  compute()
  checkPartial(expr)
  if (builtin.effects && builtin.pointer) {
    if (callee.startsWith('atomic') && args[0].type.kind === 'pointer' && args[0].type.access !== 'read_write') {
      throw failAt(args[0], `${callee} needs memory that is declared read_write`)
    }
    if (callee !== 'atomicLoad' && callee !== 'workgroupUniformLoad') markPointer(args[0])
  }
  expr.target = { kind: 'builtin', name: callee }
  expr.type = found.result
  expr.effects = builtin.effects || args.some((a) => a.effects)
  expr.stage = builtin.effects || callee === 'arrayLength' ? 'runtime' : latest(...args.map((a) => a.stage))
  if (value) expr.value = value
  else if (expr.stage === 'const') expr.stage = 'runtime'
}

/** Mistakes in arguments that are constant although the call is not. */
function checkPartial(expr: CallExpr) {
  const number = (i: number) => expr.args[i]?.value?.scalar === undefined ? null : Number(expr.args[i].value!.scalar)
  if (expr.callee === 'extractBits' || expr.callee === 'insertBits') {
    const at = expr.callee === 'extractBits' ? 1 : 2, offset = number(at) ?? 0, count = number(at + 1) ?? 0
    if (offset + count > 32) {
      throw failAt(expr, `${expr.callee}: offset ${offset} + count ${count} is more than 32 bits`)
    }
  }
  const parts = (i: number) => {
    const v = expr.args[i]?.value
    return v ? v.parts ?? [v] : null
  }
  if (expr.callee === 'clamp') {
    const low = parts(1), high = parts(2)
    if (low && high && low.some((l, i) => l.scalar! > high[i].scalar!)) {
      throw failAt(expr, 'clamp: low is greater than high')
    }
  }
  if (expr.callee === 'smoothstep') {
    const low = parts(0), high = parts(1)
    if (low && high && low.some((l, i) => l.scalar! === high[i].scalar!)) {
      throw failAt(expr, 'smoothstep: the two edges are equal')
    }
  }
  if (expr.callee === 'ldexp') {
    const power = parts(1), limit = elementScalar(expr.type) === f16 ? 16 : 128
    if (power?.some((p) => Number(p.scalar) > limit)) throw failAt(expr, `ldexp: the exponent is greater than ${limit}`)
  }
}

function checkBitcast(context: Context, expr: CallExpr) {
  if (expr.template?.length !== 1 || expr.args.length !== 1) {
    throw failAt(expr, 'bitcast takes one type and one value: bitcast<u32>(x)')
  }
  const to = resolveType(context, expr.template[0]), arg = checkValue(context, expr.args[0])
  if (isAbstract(arg.type)) {
    convertTo(
      arg,
      elementScalar(arg.type) === abstractInt && elementScalar(to) === u32
        ? withScalar(arg.type, u32)
        : concrete(arg.type),
      'bitcast',
    )
  }
  const bits = (type: Type) =>
    type.kind === 'scalar'
      ? type === bool ? 0 : type === f16 ? 16 : 32
      : type.kind === 'vec' && type.of !== bool
      ? type.size * (type.of === f16 ? 16 : 32)
      : 0
  if (!bits(to) || bits(to) !== bits(arg.type)) {
    throw failAt(expr, `bitcast from ${typeName(arg.type)} to ${typeName(to)}: sizes differ or bool`)
  }
  expr.target = { kind: 'bitcast' }
  expr.type = to
  expr.stage = arg.stage
  expr.effects = arg.effects
  const value = arg.value && atSpan(expr, () => bitcastValue(arg.value!, to))
  if (value) expr.value = value
  else if (expr.stage === 'const') expr.stage = 'runtime'
}

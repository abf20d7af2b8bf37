// Calls: declared functions, constructors, conversions and builtins.
import { builtins, unsupported } from './builtins.ts'
import { checkConstruct } from './check-construct.ts'
import { atSpan, checkValue, convertTo, isEvaluated, latest, settleStage } from './check-expr.ts'
import { namedType, resolveType } from './check-types.ts'
import { resolveGlobal } from './check.ts'
import type { Context } from './check.ts'
import { bitcastValue } from './const-bits.ts'
import { builtinValue } from './const-builtins.ts'
import { failAt } from './lexer.ts'
import type { CallExpr, Expr, VarDecl } from './tree.ts'
import { abstractInt, bool, concrete, elementScalar, f16, isAbstract, typeName, u32, voidType,
  withScalar } from './types.ts'
import type { Type } from './types.ts'
import { roundF16 } from './values.ts'
import type { Value } from './values.ts'
/** Functions, constructors, conversions, builtins. */
export function checkCall(context: Context, expr: CallExpr) {
  const { callee, args } = expr
  const decl = context.lookup(callee)
  if (decl?.kind === 'function') {
    if (expr.template) throw failAt(expr, `'${callee}' takes no template arguments`)
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
  if (decl && 'type' in decl && decl.kind !== 'alias' && decl.kind !== 'struct' && expr.template) {
    throw failAt(expr, `'${callee}' takes no template arguments: '<' after a name opens a list, write (a < b)`)
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
    value = atSpan(expr, () => builtinValue(callee, args.map((a) => a.value!), found!.result)) ?? null
    if (!value && found.params.some(isAbstract)) {
      found = { params: found.params.map(concrete), result: concrete(found.result) }
    }
  }
  compute()
  if (isEvaluated()) checkPartial(expr)
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
  else settleStage(expr)
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
  if (expr.callee === 'pack2x16float' && parts(0)?.some((p) => !Number.isFinite(roundF16(Number(p.scalar))))) {
    throw failAt(expr, 'pack2x16float: a component is greater than the largest f16')
  }
  if (expr.callee === 'unpack2x16float') {
    const bits = number(0) ?? 0
    if ([bits, bits >>> 16].some((half) => (half & 0x7c00) === 0x7c00)) {
      throw failAt(expr, 'unpack2x16float: a component is infinite or NaN')
    }
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
  else settleStage(expr)
}

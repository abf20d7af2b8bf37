// Constructors: `vec4f(...)`, `array(...)`, `Params(...)`, conversions such as `u32(x)`.
import { failAt } from './lexer.ts'
import type { CallExpr } from './tree.ts'
import { commonType } from './builtins.ts'
import { atSpan, checkValue, convertTo, latest, refuseHuge, settleStage } from './check-expr.ts'
import type { Context } from './check.ts'
import { array, concrete, elementScalar, f16, f32, isAbstract, isConstructible, isFloat, mat, typeName, vec,
  withScalar } from './types.ts'
import type { Scalar, Type } from './types.ts'
import { castScalar, componentwise, convertValue, zeroValue } from './values.ts'
import type { Value } from './values.ts'

/** Types a constructor call; `type` is null where it is left to the arguments (`vec4(1, 2, 3, 4)`). */
export function checkConstruct(context: Context, expr: CallExpr, named: Type | null): void {
  const { args, callee } = expr
  for (const arg of args) checkValue(context, arg)
  const types = args.map((a) => a.type)
  const type = named ?? inferred(expr, types)
  if (type.kind === 'array' && type.count === null) throw failAt(expr, 'a runtime-sized array cannot be constructed')
  if (!isConstructible(type)) throw failAt(expr, `${typeName(type)} cannot be constructed`)
  refuseHuge(type, expr, 'constructed')
  const refuse = () => failAt(expr, `${callee}(...) cannot be made from (${types.map(typeName).join(', ')})`)
  const want = (expected: Type[]) => {
    if (args.length !== expected.length) {
      throw failAt(expr, `${typeName(type)} takes ${expected.length} values, got ${args.length}`)
    }
    args.forEach((arg, i) => convertTo(arg, expected[i], `value ${i + 1} of ${typeName(type)}`))
  }
  if (args.length > 0) {
    if (type.kind === 'scalar') {
      if (args.length !== 1 || types[0].kind !== 'scalar') throw refuse()
    } else if (type.kind === 'vec') checkVector(expr, type.size, type.of, named !== null, refuse)
    else if (type.kind === 'mat') {
      const convert = args.length === 1 && types[0].kind === 'mat'
      if (
        convert && (types[0] as typeof type).columns === type.columns && (types[0] as typeof type).rows === type.rows
      ) { /* a conversion */ } else if (args.length === type.columns) want(args.map(() => vec(type.rows, type.of)))
      else if (args.length === type.columns * type.rows) want(args.map(() => type.of))
      else throw refuse()
    } else if (type.kind === 'array') {
      if (typeof type.count !== 'number') throw failAt(expr, 'an array sized by an override cannot be constructed')
      want(Array.from({ length: type.count }, () => type.of))
    } else if (type.kind === 'struct') want(type.members.map((m) => m.type))
    else throw refuse()
  }
  expr.type = type
  expr.target = { kind: 'construct', type }
  expr.stage = latest(...args.map((a) => a.stage))
  expr.effects = args.some((a) => a.effects)
  if (args.every((a) => a.value)) expr.value = atSpan(expr, () => construct(type, args.map((a) => a.value!)))
  else if (isAbstract(type)) { // one part is not constant, so all become concrete
    const settled = concrete(type)
    expr.type = settled
    expr.target = { kind: 'construct', type: settled }
    for (const arg of args) {
      if (isAbstract(arg.type)) convertTo(arg, withScalar(arg.type, elementScalar(settled)!), callee)
    }
  }
  settleStage(expr)
}

function checkVector(expr: CallExpr, size: number, of: Scalar, named: boolean, refuse: () => Error) {
  const { args } = expr, types = args.map((a) => a.type)
  const counts = types.map((t) => t.kind === 'vec' ? t.size : t.kind === 'scalar' ? 1 : 0)
  const total = counts.reduce((a, b) => a + b, 0)
  if (counts.includes(0)) throw refuse()
  if (args.length === 1 && types[0].kind === 'vec' && types[0].size === size && named) return // a conversion
  if (args.length === 1 && types[0].kind === 'scalar') {
    convertTo(args[0], of, typeName(vec(size, of)))
    return
  }
  if (total !== size) throw failAt(expr, `${typeName(vec(size, of))} needs ${size} components, got ${total}`)
  args.forEach((arg, i) => convertTo(arg, withScalar(types[i], of), typeName(vec(size, of))))
}

function inferred(expr: CallExpr, types: Type[]): Type {
  const { callee } = expr
  if (callee === 'array') {
    const of = types.length ? commonType(types) : null
    if (!of) throw failAt(expr, 'array(...) needs values of one type')
    return array(of, types.length)
  }
  if (types.length === 0 && callee.startsWith('vec')) {
    throw failAt(expr, `${callee}() needs a component type: ${callee}f() or ${callee}<f32>()`)
  }
  const of = commonType(types.map((t) => elementScalar(t)).filter((s) => s !== null))
  if (of?.kind !== 'scalar') throw failAt(expr, `${callee}(...) needs components of one type`)
  if (callee.startsWith('vec')) return vec(Number(callee[3]), of)
  const settled = isFloat(of) && (of === f16 || of === f32) ? of : f32
  return mat(Number(callee[3]), Number(callee[5]), settled)
}

/** The value of a constructor whose arguments are constants of fitting types. */
export function construct(type: Type, args: Value[], count?: (c: object) => number): Value {
  if (args.length === 0) return zeroValue(type, count)
  if (type.kind === 'scalar') return castScalar(args[0], type)
  if (type.kind === 'vec') {
    if (args.length === 1 && !args[0].parts) {
      return {
        type,
        parts: Array.from({ length: type.size }, () => convertValue(args[0], type.of)),
      }
    }
    const parts = args.flatMap((a) => a.parts ?? [a])
    return { type, parts: parts.map((p) => castScalar(p, type.of)) }
  }
  if (type.kind === 'mat') {
    if (args.length === 1) return componentwise(type, args, (x) => castScalar(x, type.of))
    if (args.length === type.columns) return { type, parts: args }
    return {
      type,
      parts: Array.from(
        { length: type.columns },
        (_, c) => ({ type: vec(type.rows, type.of), parts: args.slice(c * type.rows, (c + 1) * type.rows) }),
      ),
    }
  }
  return { type, parts: args }
}

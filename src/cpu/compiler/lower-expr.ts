// Lowering of expressions: names, members, indices and calls, as values or as places.
import { lowerBuiltin } from './lower-builtins.ts'
import { failAt } from './lexer.ts'
import type { Span } from './lexer.ts'
import { build, shuffle } from './instructions.ts'
import { f32, get, i32, vector } from './ir.ts'
import type { Expr } from './ir.ts'
import { temp } from './lower.ts'
import type { State } from './lower.ts'
import { inlineCall } from './lower-call.ts'
import { elementPlace, freeze, lanePlace, partCount, partPlace } from './place.ts'
import { extractLane, loadPlace, storeValue } from './access.ts'
import { refuseOverrideIndex, reportMiss, requestUnroll } from './bounds.ts'
import type { Place, Val } from './place.ts'
import type { CallExpr, Expr as Ast, IndexExpr, VarDecl } from './tree.ts'
import { bool, isFloat, sizeOf } from './types.ts'
import type { Type } from './types.ts'
import { concreteValue, f32Bits } from './values.ts'
import type { Value } from './values.ts'
import { lowerBinaryExpr, lowerLazy, lowerUnary } from './lower-operators.ts'
import { lowerBitcast, lowerConstruct } from './lower-construct.ts'

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

function lowerCall(state: State, e: CallExpr): Val {
  const target = e.target!
  if (target.kind === 'function') return inlineCall(state, e, target.decl)
  if (target.kind === 'builtin') return lowerBuiltin(state, e, target.name)
  const args = lowerAll(state, e.args)
  if (target.kind === 'bitcast') return lowerBitcast(state, e, leaf(args[0]))
  return lowerConstruct(state, target.type, args, e.args.map((a) => a.type), e)
}

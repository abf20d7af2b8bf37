// The index checks that keep every access inside its variable, and the requests to unroll that an index leads to.
import { reportKind } from '../abi.ts'
import { op } from './instructions.ts'
import { get, i32, newLocal } from './ir.ts'
import type { ConstExpr, Expr, Local } from './ir.ts'
import type { Span } from './lexer.ts'
import { failAt } from './lexer.ts'
import { emit, rangeNow, Restart, temp } from './lower.ts'
import type { State } from './lower.ts'
import type { Expr as Ast } from './tree.ts'
import { typeName } from './types.ts'
import type { Type } from './types.ts'
import type { Place } from './place.ts'

/**
 * An index as something that varies plus a constant that goes into the instruction; only where neither can wrap around.
 */
export function splitIndex(state: State, index: Expr): { rest: Expr | null, constant: number } {
  if (index.op === 'const') return { rest: null, constant: index.value >>> 0 }
  if (index.op === 'wasm' && index.name === 'i32.add' && index.args[1].op === 'const') {
    const by = index.args[1].value, [, high] = rangeNow(state, index.args[0])
    if (by > 0 && high + by <= 0xffffffff) return { rest: index.args[0], constant: by }
  }
  return { rest: index, constant: 0 }
}

/**
 * The index, clamped to the last element unless it is known to be inside. In bounds mode a miss is reported as well.
 */
export function boundIndex(state: State, index: Expr, count: Expr, atLeast: number, span: Span, last?: Expr): Expr {
  if (rangeNow(state, index)[1] < atLeast) return index
  if (index.op === 'const' && count.op === 'const') {
    reportMiss(state, index, count.value, span)
    return i32(Math.min(index.value >>> 0, atLeast - 1))
  }
  let at = index
  if (state.mode === 'bounds') {
    at = temp(state, index, 'index')
    emit(state, {
      op: 'if',
      cond: op('i32.ge_u', at, count),
      otherwise: [],
      then: [{ op: 'report', kind: reportKind.bounds, line: span.line, a: at, b: count }],
    })
  }
  return op('i32.min_u', at, last ?? i32(atLeast - 1))
}

/** Bounds mode: an index that became constant, by a `let` or an unrolled loop, and misses. */
export function reportMiss(state: State, index: ConstExpr, count: number, span: Span) {
  if (state.mode !== 'bounds' || index.value >>> 0 < count) return
  emit(state, { op: 'report', kind: reportKind.bounds, line: span.line, a: index, b: i32(count) })
}

/** An index that overrides decide must lie inside: that is a mistake of the pipeline, not of the run. */
export function refuseOverrideIndex(index: Expr, of: Ast, type: Type, count: number) {
  if (of.stage === 'runtime' || index.op !== 'const' || index.value >>> 0 < count) return
  throw failAt(of, `index ${index.value} is out of bounds: ${typeName(type)} has ${count}`)
}

/** Length of the runtime-sized array at a place, and its last index, computed once for each call of `run`. */
export function runtimeCount(
  state: State,
  place: Extract<Place, { kind: 'memory' }>,
  step: number,
): { count: Expr, last: Expr } {
  const slot = state.slots.get(place.decl)!, key = `length ${slot.index}`
  let count = state.uniforms.get(key), last = state.uniforms.get(`last ${slot.index}`)
  if (!count || !last) {
    count = prologueLocal(
      state,
      key,
      `${place.decl.name}.length`,
      op('i32.div_u', op('i32.sub', get(slot.bytes), i32(place.offset)), i32(step)),
    )
    last = prologueLocal(
      state,
      `last ${slot.index}`,
      `${place.decl.name}.last`,
      op('i32.sub', get(count), op('i32.ne', get(count), i32(0))),
    )
  }
  return { count: get(count), last: get(last) }
}
/** A local that the prologue computes once for each call of `run`, found again by `key`. */
export function prologueLocal(state: State, key: string, name: string, value: Expr): Local {
  const local = newLocal(name, value.type, false)
  local.def = value
  local.input = 'group'
  state.prologue.push({ op: 'set', local, value })
  state.uniforms.set(key, local)
  return local
}

/** Asks for the loops that an index depends on to be unrolled, if there are any left: lowering then starts again. */
export function requestUnroll(state: State, index: Expr) {
  let found = false
  const seen = new Set<Local>()
  const visit = (e: Expr) => {
    if (e.op === 'local') {
      if (seen.has(e.local)) return
      seen.add(e.local)
      if (e.local.loop && !state.unroll.has(e.local.loop)) {
        state.unroll.add(e.local.loop)
        found = true
      }
      if (e.local.def) visit(e.local.def)
    } else if (e.op === 'wasm') e.args.forEach(visit)
    else if (e.op === 'build') e.parts.forEach(visit)
  }
  visit(index)
  if (found) throw new Restart()
}

// Lowering of statements, loops and calls; what conditions tell about the ranges of indices.
import { op } from './instructions.ts'
import { br, i32, newLabel, newLocal } from './ir.ts'
import type { Expr, Label, Local, Range, Stmt } from './ir.ts'
import { emitBlock } from './lower-call.ts'
import { constant, keep, leaf, lowerExpr, lowerPlace, lowerPointer } from './lower-expr.ts'
import { lowerBinary } from './lower-operators.ts'
import { lowerFor, lowerLoop } from './lower-loops.ts'
import { emit, lowerVar, rangeNow } from './lower.ts'
import type { State } from './lower.ts'
import { freeze, zero } from './place.ts'
import { loadPlace, storeValue } from './access.ts'
import type { Place, Val } from './place.ts'
import type { AssignStmt, Block, IfStmt, Stmt as Tree, SwitchStmt, VarDecl } from './tree.ts'

/** Where jumps go. */
export interface Jumps {
  breaks: Label | null
  continues: Label | null
  returns: Label
  result: Place | null
}

/** Runs `fill` with an empty statement list and returns what it filled in. */
export function collect(state: State, fill: () => void): Stmt[] {
  const outer = state.out
  const inner: Stmt[] = state.out = []
  try {
    fill()
  } finally {
    state.out = outer
  }
  return inner
}

/** A block of statements, with a scope of its own. */
export function lowerBlock(state: State, block: Block, jumps: Jumps) {
  const undo: (() => void)[] = []
  for (const statement of block.body) {
    if (lowerStatement(state, statement, jumps, undo)) break // what follows a jump is never reached
  }
  for (const back of undo.reverse()) back()
}

/**
 * Lowers a statement; true if control never reaches what follows. `undo` ends what the rest of the block may assume.
 */
export function lowerStatement(state: State, s: Tree, jumps: Jumps, undo: (() => void)[]): boolean {
  switch (s.kind) {
    case 'block':
      lowerBlock(state, s, jumps)
      return false
    case 'decl':
      lowerLocal(state, s.decl)
      return false
    case 'const_assert':
      return false
    case 'assign':
      lowerAssign(state, s)
      return false
    case 'step': {
      const place = freeze(state, lowerPlace(state, s.target)), old = loadPlace(state, place, s)
      storeValue(state, place, op('i32.add', leaf(old), i32(s.by)), s)
      return false
    }
    case 'call':
      lowerExpr(state, s.call)
      return false
    case 'return':
      if (s.value) storeValue(state, jumps.result!, lowerExpr(state, s.value), s)
      emit(state, br(jumps.returns))
      return true
    case 'break':
      emit(state, br(jumps.breaks!))
      return true
    case 'continue':
      emit(state, br(jumps.continues!))
      return true
    case 'if':
      return lowerIf(state, s, jumps, undo)
    case 'switch':
      lowerSwitch(state, s, jumps)
      return false
    case 'loop':
      lowerLoop(state, s, jumps)
      return false
    case 'for':
      lowerFor(state, s, jumps)
      return false
  }
}

function lowerLocal(state: State, decl: VarDecl) {
  if (decl.kind === 'const') return
  if (decl.kind === 'let') {
    if (decl.type.kind === 'pointer') {
      state.env.set(decl, { pointer: freeze(state, lowerPointer(state, decl.init!)) })
      return
    }
    state.env.set(decl, { value: named(keep(state, lowerExpr(state, decl.init!)), decl.name) })
    return
  }
  const value = decl.init ? lowerExpr(state, decl.init) : zero(state, decl.type)
  // A variable nobody writes to again is a constant in disguise.
  if (!decl.assigned && value.op !== 'parts') {
    state.env.set(decl, { place: valueSlot(decl, keep(state, value) as Expr) })
  } else lowerVar(state, decl, value)
}
function named(value: Val, name: string): Val {
  if (value.op === 'local' && value.local.name === 't') value.local.name = name
  return value
}
/** A slot whose local is already set for good. */
export function valueSlot(decl: VarDecl, value: Expr): Place {
  const local: Local = value.op === 'local' ? value.local : { ...newLocal(decl.name, value.type, false), def: value }
  return { kind: 'slot', slot: value.op === 'local' ? { local } : { local, constant: value }, type: decl.type, decl }
}

function lowerAssign(state: State, s: AssignStmt) {
  if (!s.target) {
    if (s.value.type.kind !== 'pointer' && !(s.value.ref && s.value.type.kind === 'atomic')) {
      keep(state, lowerExpr(state, s.value))
    }
    return
  }
  const place = s.op || s.value.effects ? freeze(state, lowerPlace(state, s.target)) : lowerPlace(state, s.target)
  if (!s.op) {
    storeValue(state, place, lowerExpr(state, s.value), s)
    return
  }
  let old = loadPlace(state, place, s)
  if (s.value.effects) old = keep(state, old)
  storeValue(state, place, lowerBinary(state, s.op, old, lowerExpr(state, s.value), s.target.type, s.value.type), s)
}

function lowerIf(state: State, s: IfStmt, jumps: Jumps, after: (() => void)[]): boolean {
  const cond = leaf(lowerExpr(state, s.condition))
  if (cond.op === 'const') { // decided by an override or an unrolled loop
    const taken = cond.value ? s.then : s.otherwise
    if (!taken) return false
    if (taken.kind === 'if') return lowerIf(state, taken, jumps, after)
    const before = state.out.length
    lowerBlock(state, taken, jumps)
    return state.out.length > before && state.out.at(-1)!.op === 'br'
  }
  const branch = (truth: boolean, block: Block | IfStmt | null) =>
    collect(state, () => {
      const undo = narrow(state, cond, truth)
      if (block?.kind === 'if') { if (lowerIf(state, block, jumps, undo)) { /* its jump is its own */ } }
      else if (block) lowerBlock(state, block, jumps)
      for (const back of undo.reverse()) back()
    })
  const then = branch(true, s.then), otherwise = branch(false, s.otherwise)
  emit(state, { op: 'if', cond, then, otherwise })
  const left = (list: Stmt[]) => list.at(-1)?.op === 'br'
  if (left(then) && !left(otherwise)) after.push(...narrow(state, cond, false))
  return left(then) && left(otherwise)
}

/** Narrows the ranges of locals to what a condition says; returns how to widen them again. */
function narrow(state: State, cond: Expr, truth: boolean): (() => void)[] {
  if (cond.op !== 'wasm') return []
  if (cond.name === 'i32.and' && truth || cond.name === 'i32.or' && !truth) {
    return cond.args.flatMap((c) => narrow(state, c, truth))
  }
  if (cond.name === 'i32.eqz') return narrow(state, cond.args[0], !truth)
  const found = /^i32\.(lt|le|gt|ge|eq)_?([su]?)$/.exec(cond.name)
  if (!found || (found[1] === 'eq' && !truth)) return []
  const [a, b] = cond.args
  if (found[2] === 's' && [a, b].some((x) => rangeNow(state, x)[1] >= 2 ** 31)) return []
  let relation = found[1]
  if (!truth) relation = { lt: 'ge', le: 'gt', gt: 'le', ge: 'lt' }[relation]!
  const flipped = { lt: 'gt', le: 'ge', gt: 'lt', ge: 'le', eq: 'eq' }[relation]!
  return [...narrowLocal(state, a, relation, rangeNow(state, b)), ...narrowLocal(state, b, flipped, rangeNow(state, a))]
}
function narrowLocal(state: State, e: Expr, relation: string, [low, high]: Range): (() => void)[] {
  if (e.op !== 'local' || (e.local.mutable && !e.local.loop && !counters.has(e.local))) return []
  const local = e.local, old = local.range
  const next: Range = relation === 'lt' ? [old[0], Math.min(old[1], high - 1)] : relation === 'le'
    ? [old[0], Math.min(old[1], high)]
    : relation === 'gt'
    ? [Math.max(old[0], low + 1), old[1]]
    : relation === 'ge'
    ? [Math.max(old[0], low), old[1]]
    : [Math.max(old[0], low), Math.min(old[1], high)]
  if (next[0] > next[1]) return []
  local.range = next
  state.refining++
  return [() => {
    local.range = old
    state.refining--
  }]
}
/** Counters of loops whose bodies leave them alone: their ranges hold throughout the body. */
export const counters = new WeakSet<Local>()

function lowerSwitch(state: State, s: SwitchStmt, jumps: Jumps) {
  const value = keep(state, lowerExpr(state, s.value)) as Expr
  const end = newLabel('switch'), inner = { ...jumps, breaks: end }
  const body = collect(state, () => {
    const chain = (i: number): void => {
      const clause = s.clauses.filter((c) => !c.selectors.includes(null))[i]
      if (!clause) {
        lowerBlock(state, s.clauses.find((c) => c.selectors.includes(null))!.body, inner)
        return
      }
      const cond = clause.selectors.map((sel) => op('i32.eq', value, leaf(constant(sel!.value!)))).reduce((a, b) =>
        op('i32.or', a, b)
      )
      const then = collect(state, () => lowerBlock(state, clause.body, inner))
      if (cond.op === 'const' && cond.value) {
        state.out.push(...then)
        return
      }
      const otherwise = collect(state, () => chain(i + 1))
      if (cond.op === 'const') state.out.push(...otherwise)
      else emit(state, { op: 'if', cond, then, otherwise })
    }
    chain(0)
  })
  emitBlock(state, end, body)
}

// Lowering of statements, loops and calls; what conditions tell about the ranges of indices.
import { br, i32, newLabel, newLocal, op, visitStmts } from './ir.ts'
import type { BlockStmt, Expr, Label, Local, Range, Stmt } from './ir.ts'
import { constant, keep, leaf, lowerAll, lowerBinary, lowerExpr, lowerPlace, lowerPointer } from './lower-expr.ts'
import { emit, lowerVar, rangeNow } from './lower.ts'
import type { State } from './lower.ts'
import { freeze, loadPlace, makeSlot, storeValue, zero } from './place.ts'
import type { Place, Val } from './place.ts'
import { walk } from './tree.ts'
import type { AssignStmt, Block, CallExpr, Expr as Ast, ForStmt, FunctionDecl, IfStmt, LoopStmt, Stmt as Tree,
  SwitchStmt, VarDecl } from './tree.ts'
import { isInteger, u32, voidType } from './types.ts'

/** Where jumps go. */
interface Jumps {
  breaks: Label | null
  continues: Label | null
  returns: Label
  result: Place | null
}

/** Lowers a function body into the current list; `result` is where its value goes. */
export function lowerBody(state: State, fn: FunctionDecl, result: Place | null): void {
  emit(state, bodyOf(state, fn, result))
}

function bodyOf(state: State, fn: FunctionDecl, result: Place | null): BlockStmt {
  const label = newLabel(fn.name)
  return {
    op: 'block',
    label,
    body: collect(state, () => lowerBlock(state, fn.body, { breaks: null, continues: null, returns: label, result })),
  }
}

/** Replaces a call by the body of the function, its parameters bound to the arguments. */
export function inlineCall(state: State, e: CallExpr, fn: FunctionDecl): Val {
  const bindings = e.args.map((arg, i) =>
    fn.params[i].type.kind === 'pointer' ? { pointer: freeze(state, lowerPointer(state, arg)) } : null
  )
  const values = lowerAll(state, e.args.filter((_, i) => !bindings[i]))
  let next = 0
  for (const [i, param] of fn.params.entries()) {
    state.env.set(param, bindings[i] ?? { value: keep(state, values[next++]) })
  }
  if (fn.result === voidType) {
    inlineBody(state, fn, null)
    return i32(0)
  }
  const decl = { name: `${fn.name}()` } as VarDecl
  const only = fn.body.body.length === 1 && fn.body.body[0].kind === 'return' ? fn.body.body[0] : null
  if (only?.value) return keep(state, lowerExpr(state, only.value))
  const result: Place = { kind: 'slot', slot: makeSlot(state, fn.result, decl.name, decl), type: fn.result, decl }
  inlineBody(state, fn, result)
  return loadPlace(state, result, e)
}

/** A function's body in place of the call. */
function inlineBody(state: State, fn: FunctionDecl, result: Place | null) {
  const { label, body } = bodyOf(state, fn, result)
  emitBlock(state, label, body)
}

/**
 * A block; only what is in it if nothing leaves it before its end, so that it stays in one stretch with what is around
 * it.
 */
function emitBlock(state: State, label: Label, body: Stmt[]) {
  const last = body.at(-1)
  if (last?.op === 'br' && last.label === label) body.pop()
  let left = false
  visitStmts(body, (s) => {
    if (s.op === 'br' && s.label === label) left = true
  })
  if (left) emit(state, { op: 'block', label, body })
  else for (const s of body) emit(state, s)
}

/** Runs `fill` with an empty statement list and returns what it filled in. */
function collect(state: State, fill: () => void): Stmt[] {
  const outer = state.out
  const inner: Stmt[] = state.out = []
  try {
    fill()
  } finally {
    state.out = outer
  }
  return inner
}

function lowerBlock(state: State, block: Block, jumps: Jumps) {
  const undo: (() => void)[] = []
  for (const statement of block.body) {
    if (lowerStatement(state, statement, jumps, undo)) break // what follows a jump is never reached
  }
  for (const back of undo.reverse()) back()
}

/**
 * Lowers a statement; true if control never reaches what follows. `undo` ends what the rest of the block may assume.
 */
function lowerStatement(state: State, s: Tree, jumps: Jumps, undo: (() => void)[]): boolean {
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
    state.env.set(decl, { place: frozenSlot(decl, keep(state, value) as Expr) })
  } else lowerVar(state, decl, value)
}
function named(value: Val, name: string): Val {
  if (value.op === 'local' && value.local.name === 't') value.local.name = name
  return value
}
/** A slot whose local is already set for good. */
function frozenSlot(decl: VarDecl, value: Expr): Place {
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
const counters = new WeakSet<Local>()

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

function lowerLoop(state: State, s: LoopStmt, jumps: Jumps) {
  const end = newLabel('loop end'), top = newLabel('loop'), next = newLabel('continue')
  const undo: (() => void)[] = []
  const turn = collect(state, () => {
    // The continuing block sees the variables of the body, so both are lowered with the same bindings.
    const inner = collect(state, () => {
      for (const statement of s.body.body) {
        if (lowerStatement(state, statement, { ...jumps, breaks: end, continues: next }, undo)) break
      }
      for (const back of undo.reverse()) back()
    })
    emit(state, { op: 'block', label: next, body: inner })
    if (s.continuing) lowerBlockOpen(state, s.continuing, jumps)
    if (s.breakIf) emit(state, { op: 'if', cond: leaf(lowerExpr(state, s.breakIf)), then: [br(end)], otherwise: [] })
    emit(state, br(top))
  })
  emit(state, { op: 'block', label: end, body: [{ op: 'loop', label: top, body: turn }] })
}
function lowerBlockOpen(state: State, block: Block, jumps: Jumps) {
  lowerBlock(state, block, { ...jumps, breaks: null, continues: null })
}

function lowerFor(state: State, s: ForStmt, jumps: Jumps) {
  const counter = counterOf(s)
  if (counter && state.unroll.has(s)) { if (unrollFor(state, s, counter, jumps)) return }
  if (s.init) lowerStatement(state, s.init, jumps, [])
  const local = counter && counterLocal(state, counter)
  if (local && counter) {
    const trips = tripCount(state, s, counter)
    if (trips !== null && trips <= 64 && trips * state.copies <= 4096) local.loop = s
    const range = counterRange(state, s, counter, local)
    if (range) {
      local.range = range
      counters.add(local)
    }
  }
  const end = newLabel('for end'), top = newLabel('for'), next = newLabel('continue')
  const turn = collect(state, () => {
    const before = local?.range
    if (s.condition) {
      const cond = leaf(lowerExpr(state, s.condition))
      if (cond.op !== 'const' || !cond.value) {
        emit(state, { op: 'if', cond: op('i32.eqz', cond), then: [br(end)], otherwise: [] })
      }
    }
    const body = collect(state, () => lowerBlock(state, s.body, { ...jumps, breaks: end, continues: next }))
    emit(state, { op: 'block', label: next, body })
    if (local && before) local.range = [0, 0xffffffff] // the step may leave the range
    if (s.update) lowerStatement(state, s.update, jumps, [])
    if (local && before) local.range = before
    emit(state, br(top))
  })
  emit(state, { op: 'block', label: end, body: [{ op: 'loop', label: top, body: turn }] })
  if (local) {
    local.range = [0, 0xffffffff]
    local.loop = null
  }
}

const counterCache = new WeakMap<ForStmt, { decl: VarDecl | null }>()
/** The declared counter of a for loop that only the loop's own step changes. */
export function counterOf(s: ForStmt): VarDecl | null {
  let found = counterCache.get(s)
  if (!found) counterCache.set(s, found = { decl: findCounter(s) })
  return found.decl
}
function findCounter(s: ForStmt): VarDecl | null {
  if (
    s.init?.kind !== 'decl' || s.init.decl.kind !== 'var' || !isInteger(s.init.decl.type) || !s.condition || !s.update
  ) return null
  const decl = s.init.decl, names = (e: Ast | null) => e?.kind === 'name' && e.decl === decl
  const steps = s.update.kind === 'step' ? names(s.update.target) : s.update.kind === 'assign' && names(s.update.target)
  if (!steps) return null
  let changed = false
  const watch = (node: { kind: string }) => {
    const n = node as Tree | Ast
    if ((n.kind === 'assign' || n.kind === 'step') && n !== s.update) {
      let at: Ast | null = n.target
      while (at && (at.kind === 'member' || at.kind === 'index')) at = at.base
      if (names(at)) changed = true
    }
    if (n.kind === 'unary' && n.op === '&' && names(n.operand)) changed = true
  }
  walk(s.body, watch)
  walk(s.update, watch)
  return changed ? null : decl
}
function counterLocal(state: State, decl: VarDecl): Local | null {
  const binding = state.env.get(decl)
  return binding && 'place' in binding && binding.place.kind === 'slot' && 'local' in binding.place.slot
    ? binding.place.slot.local
    : null
}

/**
 * Runs the header of a loop on constants: calls `turn` for each value of the counter; false if it is not constant or
 * too long.
 */
function simulate(state: State, s: ForStmt, decl: VarDecl, limit: number, turn: (value: Expr) => void): boolean {
  const saved = state.env.get(decl), bind = (value: Expr) => state.env.set(decl, { place: frozenSlot(decl, value) })
  const dry = <T>(compute: () => T): T | null => {
    let result: T | null = null
    const spilled = collect(state, () => {
      result = compute()
    })
    return spilled.length ? null : result
  }
  try {
    const init = s.init!.kind === 'decl' ? s.init!.decl.init : null
    let value: Expr | null = init ? dry(() => leaf(lowerExpr(state, init))) : i32(0)
    for (let turns = 0;; turns++) {
      if (value?.op !== 'const' || turns > limit) return false
      bind(value)
      const cond: Expr | null = dry(() => leaf(lowerExpr(state, s.condition!)))
      if (cond?.op !== 'const') return false
      if (!cond.value) return true
      turn(value)
      bind(value)
      const update = s.update!, current: Expr = value
      if (update.kind === 'step') value = op('i32.add', current, i32(update.by))
      else if (update.kind === 'assign') {
        value = dry(() =>
          update.op
            ? leaf(lowerBinary(state, update.op, current, lowerExpr(state, update.value), decl.type, update.value.type))
            : leaf(lowerExpr(state, update.value))
        )
      } else return false
    }
  } finally {
    if (saved) state.env.set(decl, saved)
    else state.env.delete(decl)
  }
}

function tripCount(state: State, s: ForStmt, decl: VarDecl): number | null {
  let turns = 0
  return simulate(state, s, decl, 64, () => turns++) ? turns : null
}

function unrollFor(state: State, s: ForStmt, decl: VarDecl, jumps: Jumps): boolean {
  const trips = tripCount(state, s, decl)
  if (trips === null || trips * state.copies > 4096) return false
  const end = newLabel('for end')
  state.copies *= Math.max(trips, 1)
  const body = collect(state, () => {
    simulate(state, s, decl, 64, (value) => {
      const next = newLabel('continue')
      state.env.set(decl, { place: frozenSlot(decl, value) })
      const turn = collect(state, () => lowerBlock(state, s.body, { ...jumps, breaks: end, continues: next }))
      emitBlock(state, next, turn)
    })
  })
  state.copies /= Math.max(trips, 1)
  emitBlock(state, end, body)
  return true
}

/** The values a counter can have in the body, where the header tells. */
function counterRange(state: State, s: ForStmt, decl: VarDecl, local: Local): Range | null {
  const init = s.init!.kind === 'decl' ? s.init!.decl.init : null, cond = s.condition!, update = s.update!
  const start: Range | null = init ? rangeOfAst(state, init) : [0, 0]
  if (!start) return null
  const signed = decl.type !== u32, top = signed ? 2 ** 31 - 1 : 2 ** 32 - 1
  if (start[1] > top) return null
  if (update.kind === 'assign' && (update.op === '/' || update.op === '>>')) return [0, start[1]]
  if (
    cond.kind !== 'binary' || !(cond.left.kind === 'name' && cond.left.decl === decl)
    || (cond.op !== '<' && cond.op !== '<=')
  ) return null
  const by = update.kind === 'step'
    ? update.by
    : update.kind === 'assign' && update.op === '+'
    ? stepOf(state, update.value)
    : 0
  if (!by || by <= 0) return null
  const bound = rangeOfAst(state, cond.right) ?? [0, top]
  const last = Math.min(bound[1], top) - (cond.op === '<' ? 1 : 0)
  if (bound[1] > top && signed && bound[1] !== 0xffffffff) return null
  if (last + by > top && !(by === 1 && cond.op === '<')) return null
  void local
  return [start[0], Math.max(start[0], last)]
}
function stepOf(state: State, e: Ast): number {
  const range = rangeOfAst(state, e)
  return range && range[0] === range[1] && range[1] < 2 ** 30 ? range[0] : 0
}
function rangeOfAst(state: State, e: Ast): Range | null {
  if (e.effects) return null
  let range: Range | null = null
  collect(state, () => {
    range = rangeNow(state, leaf(lowerExpr(state, e)))
  })
  return range
}

// Lowering of loops: which can be unrolled, and which values their counters have.
import { op } from './instructions.ts'
import { br, i32, newLabel } from './ir.ts'
import type { Expr, Label, Local, Range } from './ir.ts'
import { leaf, lowerExpr } from './lower-expr.ts'
import { lowerBinary } from './lower-operators.ts'
import { emitBlock } from './lower-call.ts'
import { collect, counters, valueSlot, lowerBlock, lowerStatement } from './lower-stmt.ts'
import type { Jumps } from './lower-stmt.ts'
import { emit, rangeNow } from './lower.ts'
import type { State } from './lower.ts'
import { walk } from './tree.ts'
import type { Block, Expr as Ast, ForStmt, LoopStmt, Stmt as Tree, VarDecl } from './tree.ts'
import { isInteger, u32 } from './types.ts'
/** `loop` with its `continuing` and `break if`. */
export function lowerLoop(state: State, s: LoopStmt, jumps: Jumps) {
  const end = newLabel('loop end'), next = newLabel('continue')
  const top: Label = { ...newLabel('loop'), loop: { line: s.line, counted: false } }
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

/** `for`, unrolled where its counter indexes variables that are locals. */
export function lowerFor(state: State, s: ForStmt, jumps: Jumps) {
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
  const end = newLabel('for end'), next = newLabel('continue')
  const top: Label = { ...newLabel('for'), loop: { line: s.line, counted: counter !== null && isCounted(s, counter) } }
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

/**
 * Whether a loop ends because its counter goes one way and its condition stops that: all but those that step over the
 * end of the integers.
 */
function isCounted({ condition, update }: ForStmt, counter: VarDecl): boolean {
  if (condition?.kind !== 'binary' || condition.left.kind !== 'name' || condition.left.decl !== counter) return false
  const by = update?.kind === 'step'
    ? BigInt(update.by)
    : update?.kind === 'assign' && update.value.value?.scalar !== undefined
    ? BigInt(Number(update.value.value.scalar))
    : 0n
  const up = update?.kind === 'step' ? by : update?.kind === 'assign' && update.op === '+' ? by : 0n
  if (condition.op === '<' || condition.op === '<=') return up > 0n
  if (condition.op !== '>' || update === null) return false
  if (update.kind === 'step') return by < 0n
  return update.kind === 'assign' && (update.op === '/' ? by > 1n : update.op === '>>' && by > 0n)
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
  const saved = state.env.get(decl), bind = (value: Expr) => state.env.set(decl, { place: valueSlot(decl, value) })
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
      state.env.set(decl, { place: valueSlot(decl, value) })
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

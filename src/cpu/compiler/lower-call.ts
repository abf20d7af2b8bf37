// Function bodies and calls: WGSL has no recursion, so every call becomes the body of what it calls.
import { i32, newLabel, visitStmts } from './ir.ts'
import type { BlockStmt, Label, Stmt } from './ir.ts'
import { keep, lowerAll, lowerExpr, lowerPointer } from './lower-expr.ts'
import { collect, lowerBlock } from './lower-stmt.ts'
import { emit } from './lower.ts'
import type { State } from './lower.ts'
import { freeze, makeSlot } from './place.ts'
import { loadPlace } from './access.ts'
import type { Place, Val } from './place.ts'
import type { CallExpr, FunctionDecl, VarDecl } from './tree.ts'
import { voidType } from './types.ts'

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
  state.budget.spend(16)
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
export function emitBlock(state: State, label: Label, body: Stmt[]) {
  const last = body.at(-1)
  if (last?.op === 'br' && last.label === label) body.pop()
  let left = false
  visitStmts(body, (s) => {
    if (s.op === 'br' && s.label === label) left = true
  })
  if (left) emit(state, { op: 'block', label, body })
  else for (const s of body) emit(state, s)
}

// What is the same for a whole workgroup. A fixpoint over locals and control flow: ids of the workgroup, uniform
// buffers and read-only storage at uniform indices are uniform, everything that depends on the invocation or on memory
// others write is not.
import { failAt } from './lexer.ts'
import { children } from './ir.ts'
import type { BreakStmt, Expr, Label, Stmt } from './ir.ts'

/** Whether an expression may differ between the invocations of a workgroup. */
export function isVarying(e: Expr): boolean {
  if (e.op === 'local') return e.local.varying
  if (e.op === 'load') return !e.uniform && (e.space !== 'constant' || isVarying(e.addr))
  return children(e).some(isVarying)
}

/**
 * Marks every varying local and returns the jumps that only some invocations take.
 * Throws WgslError for a barrier that not all invocations reach.
 */
export function findUniformity(body: Stmt[]): Set<BreakStmt> {
  let changed = true
  let partial = new Set<BreakStmt>()
  const mark = (s: { local: { varying: boolean } | null }, varying: boolean) => {
    if (s.local && varying && !s.local.varying) s.local.varying = changed = true
  }
  /**
   * Visits a list; `divergent`: not all invocations are here. Gives the labels that a part of the invocations jumps to.
   */
  const visitList = (list: Stmt[], divergent: boolean): Set<Label> => {
    const escapes = new Set<Label>()
    let diverging = divergent
    for (const s of list) {
      for (const label of visit(s, diverging)) escapes.add(label)
      if (escapes.size) diverging = true
    }
    return escapes
  }
  const visit = (s: Stmt, divergent: boolean): Set<Label> => {
    switch (s.op) {
      // A local with one set has the same value for all who come here, divergent or not.
      case 'set':
        mark(s, isVarying(s.value) || (divergent && s.local.mutable))
        break
      case 'atomic':
        mark(s, true)
        break
      case 'br':
        if (divergent) {
          partial.add(s)
          return new Set([s.label])
        }
        break
      case 'if': {
        const diverging = divergent || isVarying(s.cond), escapes = visitList(s.then, diverging)
        for (const label of visitList(s.otherwise, diverging)) escapes.add(label)
        return escapes
      }
      case 'block':
      case 'loop': {
        let escapes = visitList(s.body, divergent)
        // Who leaves a loop early, or goes round early, is not with the others in the next turn.
        if (s.op === 'loop' && escapes.size && !divergent) escapes = visitList(s.body, true)
        escapes.delete(s.label)
        return escapes
      }
      case 'barrier':
        if (divergent) {
          throw failAt(
            { line: s.line, column: s.column, length: s.what.length },
            `${s.what} must be reached by all invocations of a workgroup, `
              + 'but control flow here depends on the invocation: move it out of the branch, loop or early return',
          )
        }
    }
    return new Set()
  }
  while (changed) {
    changed = false
    partial = new Set()
    visitList(body, false)
  }
  return partial
}

// Addresses and other integers that straight-line code computes more than once get a local. The engine that runs the
// WASM would find them equal as well, but only after it has looked for neighbouring accesses that one wider instruction
// can do.
import { assigned, bodies, get, mapChildren, mayTrap, newLocal, visit } from './ir.ts'
import type { Expr, Local, Stmt } from './ir.ts'
import { keyOf } from './key.ts'
import { forEachRegion } from './regions.ts'
import type { Group } from './regions.ts'

/**
 * Shares whole addresses and whole values of locals inside every statement list of all regions; every value stays the
 * same.
 */
export function shareIntegers(groups: Group[]): void {
  forEachRegion(groups, (region) => {
    region.body = shared(region.body)
  })
}

function shared(list: Stmt[]): Stmt[] {
  for (const s of list) for (const body of bodies(s)) body.splice(0, body.length, ...shared(body))
  const uses = new Map<string, number>()
  const locals = new Map<string, Local>()
  const before = new Map<Stmt, Stmt[]>()
  eachInteger(list, (value, key) => {
    uses.set(key, (uses.get(key) ?? 0) + 1)
    return value
  })
  eachInteger(list, (value, key, s) => {
    if (uses.get(key)! < 2) return value
    let local = locals.get(key)
    if (!local) {
      locals.set(key, local = newLocal('shared', 'i32', false))
      before.set(s, [...before.get(s) ?? [], { op: 'set', local, value }])
    }
    return get(local)
  })
  return list.flatMap((s) => [...before.get(s) ?? [], s])
}

/**
 * Replaces what the list itself computes for addresses and for locals. The key tells apart what a change of a local
 * lies between.
 */
function eachInteger(list: readonly Stmt[], action: (value: Expr, key: string, s: Stmt) => Expr): void {
  const versions = new Map<Local, number>()
  for (const s of list) {
    const changed = (e: Expr) => e.type === 'i32' && mayMove(e) ? action(e, keyOf(e, versions), s) : e
    const inside = (e: Expr): Expr => {
      const next = mapChildren(e, inside)
      if (next.op !== 'load') return next
      const addr = changed(next.addr)
      return addr === next.addr ? next : { ...next, addr }
    }
    if (s.op === 'set') s.value = changed(inside(s.value))
    else if (s.op === 'if') s.cond = inside(s.cond)
    else if (s.op === 'store') {
      s.value = inside(s.value)
      s.addr = changed(inside(s.addr))
    }
    for (const local of assigned([s])) versions.set(local, (versions.get(local) ?? 0) + 1)
  }
}

/**
 * Whether a value is worth a local and may be computed where it was perhaps not: from constants and locals, without
 * what may trap.
 */
function mayMove(value: Expr): boolean {
  if (value.op !== 'wasm') return false
  let free = true
  visit(value, (e) => {
    if (e.op === 'wasm' ? mayTrap(e.name) : e.op !== 'const' && e.op !== 'local') free = false
  })
  return free
}

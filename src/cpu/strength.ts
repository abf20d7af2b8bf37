// Strength reduction: an address that an innermost loop computes from its counter becomes a local that grows by a constant. The
// engine that runs the WASM does not do this itself, and in a matrix product it is a third of all instructions.
import { assigned, bodies, children, get, i32, mapChildren, newLocal, op, visit, visitStmts } from './ir.ts'
import type { Expr, Local, SetStmt, Stmt } from './ir.ts'
import { forEachRegion } from './regions.ts'
import type { Group } from './regions.ts'

/** More growing addresses than this would push each other out of the machine's registers. */
const POINTER_LIMIT = 6

/** Rewrites the addresses in the innermost loops of all regions; every value stays the same, modulo 2^32. */
export function reduceStrength(groups: Group[]): void {
  forEachRegion(groups, (region) => { reduceList(region.body) })
}

function reduceList(list: Stmt[]): void {
  for (let at = 0; at < list.length; at++) {
    const s = list[at]
    if (s.op === 'loop' && isInnermost(s.body)) {
      const before = reduceLoop(s.body)
      list.splice(at, 0, ...before)
      at += before.length
    } else for (const body of bodies(s)) reduceList(body)
  }
}

function isInnermost(body: Stmt[]): boolean {
  let inner = false
  visitStmts(body, (s) => { if (s.op === 'loop') inner = true })
  return !inner
}

/** A counter with its only assignment in the loop, which every turn reaches last of all. */
interface Counter { local: Local; step: Expr; set: SetStmt }

/** One address: its shape (the same for all that only differ in what the instruction adds), how often it is used, what a turn adds. */
interface Pointer { local: Local; address: Expr; factor: number; uses: number }

/** Changes the loop; returns what has to come before it. */
function reduceLoop(body: Stmt[]): Stmt[] {
  const counter = counterOf(body)
  if (!counter) return []
  const loop = new Affine(counter.local, assigned(body))
  const pointers = new Map<string, Pointer>()
  const each = (action: (address: Expr) => Expr) => {
    visitStmts(body, (s) => {
      const inside = (e: Expr): Expr => {
        const next = mapChildren(e, inside)
        return next.op === 'load' ? changed(next, action(next.addr)) : next
      }
      if (s.op === 'set') s.value = inside(s.value)
      else if (s.op === 'if') s.cond = inside(s.cond)
      else if (s.op === 'store') { s.value = inside(s.value); s.addr = action(inside(s.addr)) }
    })
  }
  each((address) => {
    const factor = loop.factor(address)
    if (factor === null || factor === 0 || address.op === 'local') return address
    const whole = loop.expand(address), key = keyOf(whole), known = pointers.get(key)
    if (known) known.uses++
    else pointers.set(key, { local: newLocal('pointer', 'i32', true), address: whole, factor, uses: 1 })
    return address
  })
  const worth = ({ uses, address }: Pointer) => uses * sizeOf(address)
  const chosen = [...pointers].sort(([, a], [, b]) => worth(b) - worth(a)).slice(0, POINTER_LIMIT)
  if (!chosen.length) return []
  const kept = new Map(chosen)
  each((address) => {
    const factor = loop.factor(address)
    const pointer = factor ? kept.get(keyOf(loop.expand(address))) : undefined
    return pointer ? get(pointer.local) : address
  })
  const before = chosen.map(([, { local, address }]): Stmt => ({ op: 'set', local, value: address }))
  const steps = chosen.map(([, { local, factor }]): Stmt => {
    const step = op('i32.mul', counter.step, i32(factor))
    return { op: 'set', local, value: op('i32.add', get(local), step) }
  })
  body.splice(body.indexOf(counter.set), 0, ...steps)
  return before
}

const changed = <L extends Extract<Expr, { op: 'load' }>>(load: L, addr: Expr): L => addr === load.addr ? load : { ...load, addr }

/** The local that the end of the loop's body steps on, if nothing else does and no jump leads around that. */
function counterOf(body: Stmt[]): Counter | null {
  const last = body.at(-1), set = body.at(-2)
  if (last?.op !== 'br' || set?.op !== 'set' || set.local.type !== 'i32') return null
  const { local, value } = set
  if (value.op !== 'wasm' || value.name !== 'i32.add' || value.args[0].op !== 'local' || value.args[0].local !== local) return null
  const step = value.args[1], changing = assigned(body)
  let fixed = true, sets = 0, turns = 0
  visit(step, (e) => { if (e.op === 'load' || e.op === 'lazy' || (e.op === 'local' && changing.has(e.local))) fixed = false })
  visitStmts(body, (s) => {
    if ((s.op === 'set' || s.op === 'atomic') && s.local === local) sets++
    if (s.op === 'br' && s.label === last.label) turns++
  })
  return fixed && sets === 1 && turns === 1 ? { local, step, set } : null
}

/** What of an expression grows with a counter, in a loop that changes the locals `changing`. */
class Affine {
  private readonly counter: Local
  private readonly changing: Set<Local>
  constructor(counter: Local, changing: Set<Local>) {
    this.counter = counter
    this.changing = changing
  }

  /** How much an i32 expression grows when the counter grows by one; null if that is not a constant. */
  factor(e: Expr): number | null {
    if (e.op === 'const') return 0
    if (e.op === 'local') {
      if (e.local === this.counter) return 1
      if (!this.changing.has(e.local)) return 0
      return !e.local.mutable && e.local.def ? this.factor(e.local.def) : null
    }
    if (e.op !== 'wasm' || e.type !== 'i32') return null
    const parts = e.args.map((a) => this.factor(a))
    if (parts.includes(null)) return null
    const [a, b] = parts as number[]
    if (parts.every((p) => p === 0)) return /div|rem|trunc/.test(e.name) ? null : 0
    const [, by] = e.args
    switch (e.name) {
      case 'i32.add': return (a + b) | 0
      case 'i32.sub': return (a - b) | 0
      case 'i32.mul': return by.op === 'const' ? Math.imul(a, by.value) : null
      case 'i32.shl': return by.op === 'const' ? a << by.value : null
      default: return null
    }
  }

  /** The expression with the locals that the loop sets written out, so that it can be computed before the loop. */
  expand(e: Expr): Expr {
    if (e.op !== 'local') return mapChildren(e, (part) => this.expand(part))
    return e.local !== this.counter && this.changing.has(e.local) ? this.expand(e.local.def!) : e
  }
}

/** Equal for expressions that compute the same. */
function keyOf(e: Expr): string {
  if (e.op === 'const') return `${e.type}${e.value}`
  if (e.op === 'local') return `l${idOf(e.local)}`
  return e.op === 'wasm' ? `${e.name} ${e.lane ?? ''} ${e.bytes?.join() ?? ''}(${e.args.map(keyOf).join(' ')})` : `x${idOf(e)}`
}
const ids = new WeakMap<object, number>()
let nextId = 0
function idOf(of: object): number {
  let id = ids.get(of)
  if (id === undefined) ids.set(of, id = nextId++)
  return id
}

const sizeOf = (e: Expr): number => 1 + children(e).reduce((sum, part) => sum + sizeOf(part), 0)

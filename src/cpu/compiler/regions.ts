// Regions: the stretches between barriers. Each becomes a loop over the invocations of a workgroup; what lies around
// them (uniform values, control flow with barriers inside) is done once for the workgroup.
import { op } from './instructions.ts'
import { assigned, bodies, br, children, get, i32, mapChildren, newLabel, newLocal, operands, visit,
  visitStmts } from './ir.ts'
import type { BreakStmt, Expr, Label, Local, Stmt } from './ir.ts'
import { findUniformity, isVarying } from './uniformity.ts'

/** A loop over invocations. `from` and `to` bound the first dimension's id where a condition allows fewer. */
export interface Region {
  op: 'region'
  body: Stmt[]
  end: Label
  /** Uniform locals that the body changes: every invocation starts from the same value. */
  restore: Local[]
  /** Varying locals that live in scratch memory between regions. */
  load: Local[]
  store: Local[]
  /** Values cheap enough to be computed again. */
  again: { local: Local, value: Expr }[]
  from: Expr | null
  to: Expr | null
  /** The body loops over the invocations itself. */
  looped?: boolean
}
/** A region between barriers, or the uniform control flow around regions. */
export type Group =
  | Region
  | { op: 'set', local: Local, value: Expr }
  | { op: 'if', cond: Expr, then: Group[], otherwise: Group[] }
  | { op: 'block' | 'loop', label: Label, body: Group[] }
  | { op: 'br', label: Label }
  | { op: 'barrier', what: string }

/** The kernel as the workgroup sees it, and the locals that need a place for each invocation. */
export interface RegionTree {
  groups: Group[]
  crossing: Local[]
}

/**
 * Splits a lowered kernel into regions. `lane` is the invocation's id if the workgroup has one dimension, else null.
 * Throws WgslError.
 */
export function splitRegions(body: Stmt[], lane: Expr | null, count: number): RegionTree {
  const partial = findUniformity(body)
  const groups = new Splitter(partial).list(body, new Set())
  resolveEscapes(groups)
  const crossing = placeLocals(groups)
  if (lane) forEachRegion(groups, (region) => shrink(region, lane, count))
  return { groups, crossing }
}

/** Visits every region, in order. */
export function forEachRegion(groups: Group[], action: (region: Region) => void): void {
  for (const g of groups) {
    if (g.op === 'region') action(g)
    else if (g.op === 'if') {
      forEachRegion(g.then, action)
      forEachRegion(g.otherwise, action)
    } else if (g.op === 'block' || g.op === 'loop') forEachRegion(g.body, action)
  }
}

class Splitter {
  private readonly partial: Set<BreakStmt>
  constructor(partial: Set<BreakStmt>) {
    this.partial = partial
  }

  /** `labels`: those of the workgroup's own blocks and loops around this list. */
  list(statements: Stmt[], labels: Set<Label>): Group[] {
    const out: Group[] = []
    let pending: Stmt[] = []
    const flush = () => {
      if (pending.length) {
        out.push({
          op: 'region',
          body: pending,
          end: newLabel('region'),
          restore: [],
          load: [],
          store: [],
          again: [],
          from: null,
          to: null,
        })
      }
      pending = []
    }
    for (const s of statements) {
      if (s.op === 'barrier') {
        flush()
        out.push({ op: 'barrier', what: s.what })
      } else if (s.op === 'set' && !s.local.varying && !isVarying(s.value)) {
        // Done once, before the statements that wait, unless one of them has to do with the local or with what it is
        // made from.
        if (this.conflicts(pending, s.local, s.value)) flush()
        out.push({ op: 'set', local: s.local, value: s.value })
      } else if (!this.needsGroup(s, labels)) pending.push(s)
      else {
        flush()
        if (s.op === 'br') out.push(s)
        else if (s.op === 'if') {
          out.push({
            op: 'if',
            cond: s.cond,
            then: this.list(s.then, labels),
            otherwise: this.list(s.otherwise, labels),
          })
        } else if (s.op === 'block' || s.op === 'loop') {
          out.push({ op: s.op, label: s.label, body: this.list(s.body, new Set([...labels, s.label])) })
        }
      }
    }
    flush()
    return out
  }

  private conflicts(pending: Stmt[], local: Local, value: Expr): boolean {
    const changed = assigned(pending)
    let found = changed.has(local)
    visit(value, (e) => {
      if (e.op === 'local' && changed.has(e.local)) found = true
    })
    if (!local.mutable) return found
    visitStmts(pending, (s) => {
      for (const e of operands(s)) {
        visit(e, (x) => {
          if (x.op === 'local' && x.local === local) found = true
        })
      }
    })
    return found
  }

  /** Holds a barrier, or a jump that all take together to a label of the workgroup; the body of the kernel always. */
  private needsGroup(s: Stmt, labels: Set<Label>): boolean {
    if (s.op === 'block' && labels.size === 0) return true
    if (s.op === 'barrier') return true
    if (s.op === 'br') return labels.has(s.label) && !this.partial.has(s)
    return bodies(s).some((list) => list.some((inner) => this.needsGroup(inner, labels)))
  }
}

/** Jumps out of a region: the invocation is finished with the region, and with all later ones up to the label. */
function resolveEscapes(groups: Group[]) {
  const flags = new Map<Label, Local>()
  /** `later`: for each label around, whether anything of it comes after this point. */
  const visitList = (list: Group[], around: Map<Label, boolean>) => {
    for (const [i, g] of list.entries()) {
      const rest = i < list.length - 1
      const here = new Map([...around].map(([label, later]) => [label, later || rest] as const))
      if (g.op === 'if') {
        visitList(g.then, here)
        visitList(g.otherwise, here)
      } else if (g.op === 'block') visitList(g.body, new Map([...here, [g.label, false] as const]))
      else if (g.op === 'loop') {
        visitList(
          g.body,
          new Map([...[...here].map(([label]) => [label, true] as const), [g.label, false] as const]),
        )
      } else if (g.op === 'region') redirect(g, g.body, here)
    }
  }
  const redirect = (region: Region, list: Stmt[], around: Map<Label, boolean>) => {
    for (const [i, s] of list.entries()) {
      if (s.op === 'br' && around.has(s.label)) {
        if (around.get(s.label)) {
          let flag = flags.get(s.label)
          if (!flag) flags.set(s.label, flag = { ...newLocal('left', 'i32', true), varying: true })
          list.splice(i, list.length - i, { op: 'set', local: flag, value: i32(1) }, br(region.end))
        } else list.splice(i, list.length - i, br(region.end))
        return
      }
      for (const inner of bodies(s)) redirect(region, inner, around)
    }
  }
  visitList(groups, new Map())
  const install = (list: Group[]) => {
    for (const g of list) {
      if (g.op === 'if') {
        install(g.then)
        install(g.otherwise)
      }
      if (g.op !== 'block' && g.op !== 'loop') continue
      install(g.body)
      const flag = flags.get(g.label)
      if (!flag) continue
      forEachRegion(
        g.body,
        (region) => region.body.unshift({ op: 'if', cond: get(flag), then: [br(region.end)], otherwise: [] }),
      )
      g.body.unshift({
        op: 'region',
        body: [{ op: 'set', local: flag, value: i32(0) }],
        end: newLabel('region'),
        restore: [],
        load: [],
        store: [],
        again: [],
        from: null,
        to: null,
      })
    }
  }
  install(groups)
}

/** Locals read before they are surely set, and locals set on every way to the end. */
function flow(region: Region): { exposed: Set<Local>, surely: Set<Local>, touched: Set<Local> } {
  const exposed = new Set<Local>(), touched = assigned(region.body)
  const jumps = new Map<Label, Set<Local>>()
  const meet = (a: Set<Local> | null, b: Set<Local> | null) => !a ? b : !b ? a : new Set([...a].filter((x) => b.has(x)))
  const read = (e: Expr, set: Set<Local> | null) =>
    visit(e, (x) => {
      if (x.op === 'local' && set && !set.has(x.local)) exposed.add(x.local)
    })
  /** null: this point is not reached. */
  const list = (statements: Stmt[], start: Set<Local> | null): Set<Local> | null => {
    let set = start && new Set(start)
    for (const s of statements) {
      for (const e of operands(s)) read(e, set)
      if ((s.op === 'set' || s.op === 'atomic') && s.local) set?.add(s.local)
      else if (s.op === 'br') {
        const before = jumps.get(s.label)
        if (set) jumps.set(s.label, before ? meet(before, set)! : new Set(set))
        set = null
      } else if (s.op === 'if') set = meet(list(s.then, set), list(s.otherwise, set))
      else if (s.op === 'block') {
        set = list(s.body, set)
        set = meet(set, jumps.get(s.label) ?? null)
      } else if (s.op === 'loop') set = list(s.body, set)
    }
    return set
  }
  const fallen = list(region.body, new Set())
  return { exposed, surely: meet(fallen, jumps.get(region.end) ?? null) ?? new Set(), touched }
}

/** Decides for every local of every region where it lives. Returns those that need memory for each invocation. */
function placeLocals(groups: Group[]): Local[] {
  const facts = new Map<Region, ReturnType<typeof flow>>()
  const crossing = new Set<Local>()
  const recomputed = new Map<Local, Expr | null>()
  const recompute = (local: Local) => {
    if (!recomputed.has(local)) recomputed.set(local, recipe(local))
    return recomputed.get(local)!
  }
  forEachRegion(groups, (region) => {
    const fact = flow(region)
    facts.set(region, fact)
    for (const local of fact.exposed) {
      if (!local.varying || local.input !== 'none') continue
      const again = recompute(local)
      if (again) region.again.push({ local, value: again })
      else crossing.add(local)
    }
  })
  forEachRegion(groups, (region) => {
    const { exposed, surely, touched } = facts.get(region)!
    for (const local of crossing) {
      const partly = touched.has(local) && !surely.has(local)
      if (exposed.has(local) || partly) region.load.push(local)
      if (touched.has(local)) region.store.push(local)
    }
    for (const local of touched) {
      if (!local.varying && (exposed.has(local) || !surely.has(local)) && local.mutable) region.restore.push(local)
    }
  })
  return [...crossing]
}

/**
 * The definition of a local in terms of ids and of uniform values that never change; null if that is long or
 * impossible.
 */
function recipe(local: Local): Expr | null {
  let size = 0
  const expand = (e: Expr): Expr | null => {
    if (++size > 24) return null
    if (e.op === 'local') {
      if (e.local.input !== 'none') return e
      if (e.local.mutable || !e.local.def) return null
      return e.local.varying ? expand(e.local.def) : e
    }
    if (e.op === 'load' || e.op === 'lazy') return null
    if (e.op === 'wasm' && /div|rem|sqrt/.test(e.name)) return null
    const parts = children(e).map(expand)
    if (parts.some((p) => p === null)) return null
    let i = 0
    return mapChildren(e, () => parts[i++]!)
  }
  return local.mutable || !local.def ? null : expand(local.def)
}

/** A region that is one `if (lane < uniform)` or `if (lane == uniform)` only visits those invocations. */
function shrink(region: Region, lane: Expr, count: number) {
  const only = region.body.length === 1 ? region.body[0] : null
  if (
    !only || only.op !== 'if' || only.otherwise.length || lane.op !== 'local'
    || region.again.some((a) => uses(only.cond, a.local))
  ) return
  const cond = only.cond, changed = assigned(region.body)
  const fixed = (e: Expr) => {
    let ok = !isVarying(e)
    visit(e, (x) => {
      if (x.op === 'local' && changed.has(x.local)) ok = false
    })
    return ok
  }
  const isLane = (e: Expr) => e.op === 'local' && e.local === lane.local
  if (cond.op !== 'wasm' || cond.args.length !== 2) return
  const [a, b] = cond.args
  const limit = (bound: Expr) => op('i32.min_u', bound, i32(count))
  if (cond.name === 'i32.lt_u' && isLane(a) && fixed(b)) region.to = limit(b)
  else if (cond.name === 'i32.gt_u' && isLane(b) && fixed(a)) region.to = limit(a)
  else if (cond.name === 'i32.eq' && (isLane(a) ? fixed(b) : isLane(b) && fixed(a))) {
    region.from = limit(isLane(a) ? b : a)
    region.to = limit(op('i32.add', region.from, i32(1)))
  } else return
  // The stores at the end run for visited invocations only; the others keep what scratch memory holds.
  if (region.store.some((local) => !region.load.includes(local))) {
    region.from = region.to = null
    return
  }
  region.body = only.then
}
const uses = (e: Expr, local: Local): boolean =>
  (e.op === 'local' && e.local === local) || children(e).some((c) => uses(c, local))

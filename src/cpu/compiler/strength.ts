// Strength reduction: an address that an innermost loop computes from its counter becomes a local that grows from turn
// to turn. The engine that runs the WASM does not do this itself, and in a matrix product it is a third of all
// instructions. Where indices are clamped, the loop is doubled: once without clamps, for when a test before it shows
// that all turns stay inside, once as it was.
import { Affine, amount } from './affine.ts'
import type { Clamp, Growth } from './affine.ts'
import { op } from './instructions.ts'
import { assigned, bodies, br, children, get, i32, mapChildren, newLabel, newLocal, operands,
  visitStmts } from './ir.ts'
import type { Expr, IfStmt, Local, SetStmt, Stmt } from './ir.ts'
import { keyOf } from './key.ts'
import { RESERVED } from '../runtime/memory.ts'
import { forEachRegion } from './regions.ts'
import type { Group, Region } from './regions.ts'

/** More growing addresses than this would push each other out of the machine's registers. */
const POINTER_LIMIT = 8
/**
 * Bytes between accesses that share a growing address. It starts at the first of them, which in a turn that skips it
 * may lie before its array; but not before address 0, as no array begins in the reserved bytes, so adding the distance
 * does not wrap around.
 */
const DISTANCE_LIMIT = RESERVED
/** What a doubled loop, or one over invocations, may weigh: clamps to test before it, and nodes of its expressions. */
const CLAMP_LIMIT = 12, SIZE_LIMIT = 800

/**
 * Rewrites the addresses in the innermost loops of all regions; every value stays the same, modulo 2^32. `lane` is the
 * invocation's id if the workgroup has one dimension, of `count` invocations; null otherwise, and where invocations
 * have memory of their own.
 */
export function reduceStrength(groups: Group[], lane: Expr | null, count: number): void {
  forEachRegion(groups, (region) => {
    if (lane?.op === 'local' && mayLoop(region)) region.body = overInvocations(region, lane.local, count)
    reduceList(region.body)
  })
}

/**
 * Whether all there is to an invocation is the region's body, without a loop: then the loop over invocations is the
 * innermost.
 */
function mayLoop({ body, restore, load, store, again, to }: Region): boolean {
  return !restore.length && !load.length && !store.length && !again.length && !to && isInnermost(body)
    && weight(body) <= SIZE_LIMIT
}

/** The loop over invocations as a statement of the region's body, where addresses can grow with the invocation. */
function overInvocations(region: Region, lane: Local, count: number): Stmt[] {
  const end = newLabel('invocations end'), top = newLabel('invocations')
  const body: Stmt[] = [
    { op: 'if', cond: op('i32.ge_u', get(lane), i32(count)), then: [br(end)], otherwise: [] },
    { op: 'block', label: region.end, body: region.body },
    { op: 'set', local: lane, value: op('i32.add', get(lane), i32(1)) },
    br(top),
  ]
  region.looped = true
  return [{ op: 'set', local: lane, value: i32(0) }, {
    op: 'block',
    label: end,
    body: [{ op: 'loop', label: top, body }],
  }]
}

function reduceList(list: Stmt[]): void {
  for (let at = 0; at < list.length; at++) {
    const s = list[at]
    if (s.op === 'loop' && isInnermost(s.body)) {
      const instead = reduceLoop(s)
      list.splice(at, 1, ...instead)
      at += instead.length - 1
    } else for (const body of bodies(s)) reduceList(body)
  }
}

function isInnermost(body: Stmt[]): boolean {
  let inner = false
  visitStmts(body, (s) => {
    if (s.op === 'loop') inner = true
  })
  return !inner
}

type Loop = Extract<Stmt, { op: 'block' | 'loop' }>

/** What stands for a loop: statements before it and itself, or a choice between two versions. */
function reduceLoop(loop: Loop): Stmt[] {
  const counter = counterOf(loop.body)
  if (!counter) return [loop]
  const limit = limitOf(loop.body, counter)
  const clamps = limit ? clampsOf(loop.body, counter) : []
  if (!limit || !clamps.length || clamps.length > CLAMP_LIMIT || weight(loop.body) > SIZE_LIMIT) {
    return withPointers(loop, counter, false)
  }
  const fast = copy(loop) as Loop
  const { before, inside } = allInside(counter, limit, clamps)
  return [...before, {
    op: 'if',
    cond: inside,
    then: withPointers(fast, counterOf(fast.body)!, true),
    otherwise: withPointers(loop, counter, false),
  }]
}

// ---- the counter ------------------------------------------------------------------------------------------------

/** A local with its only assignment in the loop, which adds a constant and which every turn reaches last of all. */
interface Counter {
  local: Local
  step: number
  set: SetStmt
  changing: Set<Local>
}

function counterOf(body: Stmt[]): Counter | null {
  const last = body.at(-1), set = body.at(-2)
  if (last?.op !== 'br' || set?.op !== 'set' || set.local.type !== 'i32') return null
  const { local, value } = set
  if (
    value.op !== 'wasm' || value.name !== 'i32.add' || value.args[0].op !== 'local' || value.args[0].local !== local
    || value.args[1].op !== 'const'
  ) return null
  let sets = 0, turns = 0
  visitStmts(body, (s) => {
    if ((s.op === 'set' || s.op === 'atomic') && s.local === local) sets++
    if (s.op === 'br' && s.label === last.label) turns++
  })
  return sets === 1 && turns === 1 ? { local, step: value.args[1].value, set, changing: assigned(body) } : null
}

/** What the counter stays below, if the loop begins with that test and leaves `limit` alone. */
function limitOf(body: Stmt[], { local, step, changing }: Counter): Expr | null {
  const test = body[0]
  if (test.op !== 'if' || test.then.length !== 1 || test.then[0].op !== 'br' || step <= 0) return null
  const { cond } = test
  if (cond.op !== 'wasm' || cond.name !== 'i32.ge_u' || cond.args[0].op !== 'local' || cond.args[0].local !== local) {
    return null
  }
  const loop = new Affine(local, step, changing, false)
  return loop.growth(cond.args[1])?.times === 0 ? loop.expand(cond.args[1]) : null
}

// ---- clamps -----------------------------------------------------------------------------------------------------

function clampsOf(body: Stmt[], { local, step, changing }: Counter): Clamp[] {
  const loop = new Affine(local, step, changing, true), found = new Map<string, Clamp>()
  eachAddress(body, (address) => {
    const clamps: Clamp[] = []
    if (loop.growth(address, clamps)) {
      for (const clamp of clamps) found.set(keyOf(loop.expand(clamp.value)) + keyOf(loop.expand(clamp.limit)), clamp)
    }
    return same(address)
  })
  return [...found.values()]
}

/** Whether no clamp acts in any turn: the first value is at most the limit, and so is what all further turns add. */
function allInside(
  { local, step, changing }: Counter,
  limit: Expr,
  clamps: readonly Clamp[],
): { before: Stmt[], inside: Expr } {
  const loop = new Affine(local, step, changing, true), further = newLocal('turns', 'i32', false)
  const turns = op('i32.div_u', op('i32.sub', op('i32.sub', limit, i32(1)), get(local)), i32(step))
  // The loop has a turn, and the counter does not wrap around in the last one.
  const tests = [op('i32.lt_u', get(local), limit), op('i32.le_u', limit, i32(-step))]
  for (const { value, limit: bound, growth, shift, even } of clamps) {
    const first = loop.expand(value), most = loop.expand(bound)
    const each = growth.by ? op('i32.max_u', amount(growth), i32(1)) : amount(growth)
    tests.push(
      op('i32.le_u', first, most),
      op('i32.le_u', get(further), op('i32.div_u', op('i32.sub', most, first), each)),
    )
    // Below this the value that is shifted does not wrap around either, so that the shift of the sum is the sum of the
    // shifts.
    if (shift) tests.push(op('i32.lt_u', most, i32(2 ** (32 - shift))))
    if (even) tests.push(op('i32.eqz', op('i32.and', even, i32(2 ** shift - 1))))
  }
  return { before: [{ op: 'set', local: further, value: turns }], inside: tests.reduce((a, b) => op('i32.and', a, b)) }
}

// ---- addresses --------------------------------------------------------------------------------------------------

/** Where a growing local points: at the first of the addresses that differ by constants only. */
interface Pointer {
  local: Local
  address: Expr
  least: number
  growth: Growth
  uses: number
}

/**
 * The loop with its addresses in locals that grow, after the statements that start them. Without clamps neighbours
 * share a local, and the instruction adds their distance, which cannot wrap around as long as it is small.
 */
function withPointers(loop: Loop, { local, step, set, changing }: Counter, unclamped: boolean): Stmt[] {
  const affine = new Affine(local, step, changing, unclamped), pointers = new Map<string, Pointer>()
  const ofAddress = new Map<Expr, { pointer: Pointer, constant: number }>()
  eachAddress(loop.body, (address) => {
    const growth = address.op === 'local' && address.local === local ? null : affine.growth(address)
    if (!growth || growth.times === 0) return same(address)
    const whole = affine.expand(address),
      { rest, constant } = unclamped ? withoutConstant(whole) : { rest: whole, constant: 0 }
    const key = keyOf(rest) + Math.floor(constant / DISTANCE_LIMIT)
    let pointer = pointers.get(key)
    if (!pointer) {
      pointers.set(
        key,
        pointer = { local: newLocal('pointer', 'i32', true), address: rest, least: constant, growth, uses: 0 },
      )
    }
    pointer.uses++
    pointer.least = Math.min(pointer.least, constant)
    ofAddress.set(address, { pointer, constant })
    return same(address)
  })
  const worth = ({ uses, address }: Pointer) => uses * sizeOf(address)
  const all = [...pointers.values()].sort((a, b) => worth(b) - worth(a)).slice(0, POINTER_LIMIT), chosen = new Set(all)
  eachAddress(loop.body, (address) => {
    const found = ofAddress.get(address)
    return found && chosen.has(found.pointer)
      ? { address: get(found.pointer.local), more: found.constant - found.pointer.least }
      : same(address)
  })
  loop.body.splice(
    loop.body.indexOf(set),
    0,
    ...all.map(({ local, growth }): Stmt => ({ op: 'set', local, value: op('i32.add', get(local), amount(growth)) })),
  )
  return [
    ...all.map(({ local, address, least }): Stmt => ({ op: 'set', local, value: op('i32.add', address, i32(least)) })),
    loop,
  ]
}

/** An integer as what is left of it without a constant, and the constant, which together are equal modulo 2^32. */
function withoutConstant(e: Expr): { rest: Expr, constant: number } {
  if (e.op === 'wasm' && e.args.length === 2) {
    const [a, b] = e.args
    if (e.name === 'i32.add') {
      const left = withoutConstant(a), right = withoutConstant(b)
      return { rest: op('i32.add', left.rest, right.rest), constant: (left.constant + right.constant) | 0 }
    }
    if (b.op === 'const' && (e.name === 'i32.shl' || e.name === 'i32.mul')) {
      const { rest, constant } = withoutConstant(a)
      return {
        rest: op(e.name, rest, b),
        constant: e.name === 'i32.shl' ? constant << b.value : Math.imul(constant, b.value),
      }
    }
  }
  return e.op === 'const' && e.type === 'i32' ? { rest: i32(0), constant: e.value } : { rest: e, constant: 0 }
}

/** An address and what the instruction adds to it beyond what it added before. */
interface Reach {
  address: Expr
  more: number
}
const same = (address: Expr): Reach => ({ address, more: 0 })

/** Replaces the address of every load and store by what `action` makes of it. */
function eachAddress(body: Stmt[], action: (address: Expr) => Reach): void {
  const inside = (e: Expr): Expr => {
    const next = mapChildren(e, inside)
    if (next.op !== 'load') return next
    const { address, more } = action(next.addr)
    return address === next.addr ? next : { ...next, addr: address, offset: next.offset + more }
  }
  visitStmts(body, (s) => {
    if (s.op === 'set') s.value = inside(s.value)
    else if (s.op === 'if') s.cond = inside(s.cond)
    else if (s.op === 'store') {
      s.value = inside(s.value)
      const { address, more } = action(inside(s.addr))
      s.addr = address
      s.offset += more
    }
  })
}

// ---- trees ------------------------------------------------------------------------------------------------------

/** Statements of their own over the same expressions, locals and labels; only one of the two versions runs. */
function copy(s: Stmt): Stmt {
  if (s.op === 'if') return { ...s, then: s.then.map(copy), otherwise: s.otherwise.map(copy) } satisfies IfStmt
  return s.op === 'block' || s.op === 'loop' ? { ...s, body: s.body.map(copy) } : { ...s }
}

const sizeOf = (e: Expr): number => 1 + children(e).reduce((sum, part) => sum + sizeOf(part), 0)
function weight(body: Stmt[]): number {
  let sum = 0
  visitStmts(body, (s) => {
    for (const e of operands(s)) sum += sizeOf(e)
  })
  return sum
}

// Lowering: the typed tree of one entry point, with overrides fixed, becomes WASM-level statements. Functions are
// inlined, structs and arrays are taken apart into locals, and loops that index private arrays are unrolled.
import type { Mode } from '../abi.ts'
import { globalsOf } from './check.ts'
import { failAt } from './lexer.ts'
import { op } from './instructions.ts'
import { get, i32, newLocal } from './ir.ts'
import { rangeOf } from './ranges.ts'
import type { Expr, Local, Range, Stmt } from './ir.ts'
import { lowerExpr, leaf } from './lower-expr.ts'
import { lowerBody } from './lower-call.ts'
import { counterOf } from './lower-loops.ts'
import { makeSlot, memoryPlace, zero } from './place.ts'
import { storeValue } from './access.ts'
import type { Place, Val } from './place.ts'
import { Budget } from './limits.ts'
import { walk } from './tree.ts'
import type { Expr as Ast, ForStmt, FunctionDecl, Program, VarDecl } from './tree.ts'
import { roundUp } from './types.ts'
import type { Value } from './values.ts'
import { bytesOf, overrideKey } from './overrides.ts'

/** What a name stands for while lowering. */
export type Binding = { value: Val } | { place: Place } | { pointer: Place }

/** Thrown when a decision (unroll this loop, keep that array in memory) changes, so that lowering starts again. */
export class Restart extends Error {}

/** The ids and addresses that the frame around the kernel provides. */
export interface Inputs {
  /** local_invocation_id, as constants where the workgroup is one wide. */
  local: Expr[]
  index: Expr
  group: Expr[]
  groups: Expr[]
  /** Address of this invocation's private memory, of the workgroup's memory. */
  privateBase: Local
  workgroupBase: Local
}
/** A resource's address and, for a runtime-sized array, its length. */
export interface Slot {
  decl: VarDecl
  address: Local
  bytes: Local
  index: number
}

/** Everything lowering carries along. */
export interface State {
  program: Program
  mode: Mode
  constants: Map<VarDecl, Value>
  env: Map<VarDecl, Binding>
  out: Stmt[]
  /** Executed once for each call of `run`: uniform values, array lengths. */
  prologue: Stmt[]
  uniforms: Map<string, Local>
  inputs: Inputs
  slots: Map<VarDecl, Slot>
  workgroupVars: { decl: VarDecl, offset: number, bytes: number }[]
  workgroupBytes: number
  privateBytes: number
  unroll: Set<ForStmt>
  inMemory: Set<VarDecl>
  /** How often nested unrolling multiplies the code at this point. */
  copies: number
  refining: number
  size: [number, number, number]
  budget: Budget
}

/** What lowering gives. */
export interface Lowered {
  state: State
  body: Stmt[]
  size: [number, number, number]
}

/** Appends a statement. */
export const emit = (state: State, statement: Stmt) => {
  state.budget.spend(1)
  state.out.push(statement)
}

/** Whether an expression is so cheap and fixed that it may be repeated. */
export const isTrivial = (e: Expr): boolean =>
  e.op === 'const' || e.op === 'vector' || (e.op === 'local' && !e.local.mutable)
  || (e.op === 'build' && e.parts.every(isTrivial))

/** Keeps a value in a local of its own unless it is trivial. */
export function temp(state: State, value: Expr, name = 't'): Expr {
  if (isTrivial(value)) return value
  const local = newLocal(name, value.type, false)
  local.def = value
  if (value.type === 'i32') local.range = rangeNow(state, value)
  emit(state, { op: 'set', local, value })
  return get(local)
}

/** The range of an expression; not remembered while conditions of branches narrow the ranges of locals. */
export function rangeNow(state: State, value: Expr): Range {
  if (state.refining === 0) return rangeOf(value)
  const forget = (e: Expr) => {
    if (e.op === 'wasm') {
      e.range = undefined
      e.args.forEach(forget)
    }
  }
  forget(value)
  const range = rangeOf(value)
  forget(value)
  return range
}

/** Lowers one entry point. Throws WgslError for what the embedded device does not know. */
export function lower(program: Program, entry: FunctionDecl, constants: Map<VarDecl, Value>, mode: Mode): Lowered {
  const unroll = indexingLoops(entry)
  const inMemory = new Set<VarDecl>()
  const budget = new Budget(`'${entry.name}'`)
  for (let attempt = 0; attempt < 500; attempt++) {
    try {
      return lowerOnce(program, entry, constants, mode, unroll, inMemory, budget)
    } catch (error) {
      if (!(error instanceof Restart)) throw error
    }
  }
  throw failAt(entry, `'${entry.name}': too many loops index private arrays; not supported on the embedded device`)
}

/**
 * Loops whose counter indexes a variable of the function, as far as one sees without lowering; a restart finds the
 * others.
 */
function indexingLoops(entry: FunctionDecl, found = new Set<ForStmt>(), seen = new Set<FunctionDecl>()): Set<ForStmt> {
  if (seen.has(entry)) return found
  seen.add(entry)
  const counters = new Map<VarDecl, ForStmt>()
  walk(entry.body, (node) => {
    if (node.kind === 'for') {
      const counter = counterOf(node)
      if (counter) counters.set(counter, node)
    }
    if (node.kind !== 'index') return
    let root: Ast = node.base
    while (root.kind === 'index' || root.kind === 'member') root = root.base
    const decl = root.kind === 'name' ? root.decl : undefined
    const local = decl?.kind === 'var' && (decl.space === 'function' || decl.space === 'private')
    if (!local && node.base.type.kind !== 'vec') return
    walk(node.index, (inner) => {
      const loop = inner.kind === 'name' ? counters.get(inner.decl as VarDecl) : undefined
      if (loop) found.add(loop)
    })
  })
  for (const callee of entry.calls.keys()) indexingLoops(callee, found, seen)
  return found
}

function lowerOnce(
  program: Program,
  entry: FunctionDecl,
  constants: Map<VarDecl, Value>,
  mode: Mode,
  unroll: Set<ForStmt>,
  inMemory: Set<VarDecl>,
  budget: Budget,
): Lowered {
  const state: State = {
    program,
    mode,
    constants,
    env: new Map(),
    out: [],
    prologue: [],
    uniforms: new Map(),
    inputs: null as unknown as Inputs,
    slots: new Map(),
    workgroupVars: [],
    workgroupBytes: 0,
    privateBytes: 0,
    unroll,
    inMemory,
    copies: 1,
    refining: 0,
    size: [1, 1, 1],
    budget,
  }
  const size = [0, 1, 2].map((i) =>
    entry.workgroupSize![i] ? fixedWorkgroupSize(state, entry.workgroupSize![i]) : 1
  ) as [number, number, number]
  const total = size[0] * size[1] * size[2]
  if (total > 1024) throw failAt(entry, `workgroup of ${total} invocations: the embedded device allows 1024`)
  state.size = size
  state.inputs = makeInputs(size)
  for (const decl of globalsOf(entry)) declareGlobal(state, decl, entry)
  for (const param of entry.params) state.env.set(param, { value: entryParameter(state, param) })
  const before = state.out.splice(0)
  lowerBody(state, entry, null)
  // First values of private variables belong to the region of the body: in one of their own, which runs before, one
  // invocation's copy would be the next one's.
  const last = state.out.at(-1)
  if (before.length && state.out.length === 1 && last?.op === 'block') last.body.unshift(...before)
  else state.out.unshift(...before)
  return { state, body: state.out, size }
}

function fixedWorkgroupSize(state: State, expr: Ast): number {
  const value = leaf(lowerExpr(state, expr))
  if (value.op !== 'const' || value.value < 1 || value.value > 1024) {
    throw failAt(expr, `workgroup size ${value.op === 'const' ? value.value : '?'} must be between 1 and 1024`)
  }
  return value.value
}

function makeInputs(size: [number, number, number]): Inputs {
  const input = (name: string, kind: Local['input'], range?: Range): Local => ({
    ...newLocal(name, 'i32', false, range),
    input: kind,
    varying: kind === 'invocation',
  })
  const count = size[0] * size[1] * size[2]
  const local = size.map((s, i) => s === 1 ? i32(0) : get(input(`lid.${'xyz'[i]}`, 'invocation', [0, s - 1])))
  const wide = size.findIndex((s) => s === count) // in one dimension the index is the id itself
  return {
    local,
    index: wide >= 0 ? local[wide] : get(input('lid.index', 'invocation', [0, count - 1])),
    group: ['x', 'y', 'z'].map((c) => get(input(`group.${c}`, 'group', [0, 65534]))),
    groups: ['x', 'y', 'z'].map((c) => get(input(`groups.${c}`, 'group', [1, 65535]))),
    privateBase: input('private', 'invocation'),
    workgroupBase: input('workgroup', 'group'),
  }
}

function builtinInput(state: State, name: string): Expr {
  const { local, group, groups, index } = state.inputs,
    list = (parts: Expr[]): Expr => ({ op: 'build', type: 'v128', parts: [...parts, i32(0)] })
  switch (name) {
    case 'local_invocation_id':
      return list(local)
    case 'local_invocation_index':
      return index
    case 'workgroup_id':
      return list(group)
    case 'num_workgroups':
      return list(groups)
    default:
      return list(
        local.map((l, i) =>
          temp(state, op('i32.add', op('i32.mul', group[i], i32(state.size[i])), l), `gid.${'xyz'[i]}`)
        ),
      )
  }
}
function entryParameter(state: State, param: VarDecl): Val {
  if (param.builtin) return builtinInput(state, param.builtin)
  const decl = state.program.decls.find((d) => d.kind === 'struct' && d.type === param.type)
  if (decl?.kind !== 'struct') throw failAt(param, `parameter '${param.name}' is not supported on the embedded device`)
  return {
    op: 'parts',
    parts: decl.members.map((m) => {
      const arg = m.attributes.find((a) => a.name === 'builtin')!.args[0]
      return builtinInput(state, arg.kind === 'name' ? arg.name : '')
    }),
  }
}

function declareGlobal(state: State, decl: VarDecl, entry: FunctionDecl) {
  if (decl.kind === 'const') return
  if (decl.kind === 'override') {
    if (!state.constants.has(decl)) {
      throw failAt(
        entry,
        `override '${decl.name}' has no default and was given no value: pass constants: { ${overrideKey(decl)}: ... }`,
      )
    }
    return
  }
  if (decl.space === 'workgroup') {
    const bytes = roundUp(bytesOf(state, decl.type), 4), offset = roundUp(state.workgroupBytes, 16)
    state.workgroupVars.push({ decl, offset, bytes })
    state.workgroupBytes = offset + bytes
    if (state.workgroupBytes > 2 ** 24) {
      throw failAt(decl, `'${decl.name}' brings workgroup memory to ${state.workgroupBytes} bytes, too much`)
    }
    state.env.set(decl, {
      place: memoryPlace(
        decl,
        decl.type,
        get(state.inputs.workgroupBase),
        offset,
        'workgroup',
        state.workgroupVars.length - 1,
      ),
    })
  } else if (decl.space === 'private') {
    lowerVar(state, decl, decl.init ? lowerExpr(state, decl.init) : zero(state, decl.type))
  } else {
    const input = (name: string): Local => ({ ...newLocal(`${decl.name}.${name}`, 'i32', false), input: 'group' })
    const slot: Slot = { decl, address: input('address'), bytes: input('bytes'), index: state.slots.size }
    state.slots.set(decl, slot)
    state.env.set(decl, {
      place: memoryPlace(
        decl,
        decl.type,
        get(slot.address),
        0,
        decl.access === 'read' ? 'constant' : 'storage',
        slot.index,
      ),
    })
  }
}

/**
 * Declares a function or private variable with its first value: as locals, or in private memory if its index varies.
 */
export function lowerVar(state: State, decl: VarDecl, value: Val) {
  let place: Place
  if (state.inMemory.has(decl)) {
    const offset = roundUp(state.privateBytes, 16)
    state.privateBytes = offset + roundUp(bytesOf(state, decl.type), 16)
    place = memoryPlace(decl, decl.type, get(state.inputs.privateBase), offset, 'private', -1)
  } else place = { kind: 'slot', slot: makeSlot(state, decl.type, decl.name, decl), type: decl.type, decl }
  storeValue(state, place, value, decl)
  state.env.set(decl, { place })
}

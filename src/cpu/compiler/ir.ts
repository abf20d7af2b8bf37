// The program after lowering: WASM instructions as trees, WASM locals, structured statements. No WGSL types are left.
import type { WasmType } from './opcodes.ts'
import type { ForStmt } from './tree.ts'

/** Smallest and largest value of an i32 read as unsigned. */
export type Range = readonly [number, number]
/** All 32-bit values. */
export const anyRange: Range = [0, 0xffffffff]

/** A variable of the compiled kernel; becomes a WASM local. */
export interface Local {
  name: string
  type: WasmType
  /** More than one `set`. */
  mutable: boolean
  /** The value of the one `set` of an immutable local. */
  def: Expr | null
  range: Range
  /** input: set by the frame around the kernel (ids, addresses), never by its statements. */
  input: 'none' | 'group' | 'invocation'
  /** Differs between the invocations of a workgroup; found by the uniformity analysis. */
  varying: boolean
  /** The for statement whose counter this is, if it could be unrolled. */
  loop: ForStmt | null
  /** Number of the WASM local, given when code is emitted. */
  index: number
}
/** What kind of memory an access touches; `constant` is memory that nobody writes while the kernel runs. */
export type MemorySpace = 'constant' | 'storage' | 'workgroup' | 'private'

/** A scalar constant. */
export interface ConstExpr {
  op: 'const'
  type: 'i32' | 'f32'
  value: number
}
/** A vector constant as four 32-bit patterns. */
export interface VectorConst {
  op: 'vector'
  type: 'v128'
  words: readonly number[]
}
/** The value of a local. */
export interface LocalExpr {
  op: 'local'
  type: WasmType
  local: Local
}
/** One instruction; `i32.min_u` and its like are made of several. `bytes` are those of a shuffle. */
export interface OpExpr {
  op: 'wasm'
  type: WasmType
  name: string
  args: Expr[]
  lane?: number
  bytes?: readonly number[]
  range?: Range
}
/**
 * `uniform`: the same for all invocations whatever the memory (workgroupUniformLoad). `into` is the vector of a lane
 * load.
 */
export interface LoadExpr {
  op: 'load'
  type: WasmType
  name: string
  addr: Expr
  offset: number
  space: MemorySpace
  uniform: boolean
  lane?: number
  into?: Expr
}
/** A vector of four scalars. */
export interface BuildExpr {
  op: 'build'
  type: 'v128'
  parts: Expr[]
}
/** `then` is evaluated only if `cond` is not 0. */
export interface LazyExpr {
  op: 'lazy'
  type: WasmType
  cond: Expr
  then: Expr
  otherwise: Expr
}
/** Anything that leaves a value on the stack. */
export type Expr = ConstExpr | VectorConst | LocalExpr | OpExpr | LoadExpr | BuildExpr | LazyExpr

/** A target of branches; `used` once something branches to it. */
export interface Label {
  name: string
  used: boolean
  /** Of a loop written in the source: its line, and whether a counter that only its own step changes ends it. */
  loop?: { line: number, counted: boolean }
}
/** Assigns a local. */
export interface SetStmt {
  op: 'set'
  local: Local
  value: Expr
}
/** Writes to memory at `addr + offset`; `lane` stores one lane of a vector. */
export interface StoreStmt {
  op: 'store'
  name: string
  addr: Expr
  offset: number
  value: Expr
  lane?: number
}
/** Takes `then` if `cond` is not 0. */
export interface IfStmt {
  op: 'if'
  cond: Expr
  then: Stmt[]
  otherwise: Stmt[]
}
/** `br` to a block's label leaves it; to a loop's label starts its next turn. */
export interface BlockStmt {
  op: 'block' | 'loop'
  label: Label
  body: Stmt[]
}
/** Jumps to a label. */
export interface BreakStmt {
  op: 'br'
  label: Label
}
/** All invocations of the workgroup meet; `what` names the builtin. */
export interface BarrierStmt {
  op: 'barrier'
  line: number
  column: number
  what: string
}
/** `local` receives what was in memory before. `args` are one operand, two for cmpxchg, none for load. */
export interface AtomicStmt {
  op: 'atomic'
  local: Local | null
  name: string
  addr: Expr
  offset: number
  args: Expr[]
  space: MemorySpace
}
/** Debug modes: tells the host about a finding; kinds are listed in abi.ts. */
export interface ReportStmt {
  op: 'report'
  kind: number
  line: number
  a: Expr
  b: Expr
}
/**
 * Race mode: notes an access of `words` words. `base` is where the variable begins, `where` its id, 65536 added for
 * storage.
 */
export interface TraceStmt {
  op: 'trace'
  addr: Expr
  offset: number
  base: Expr
  words: number
  write: boolean
  line: number
  where: number
}
/** One structured statement. */
export type Stmt =
  | SetStmt
  | StoreStmt
  | IfStmt
  | BlockStmt
  | BreakStmt
  | BarrierStmt
  | AtomicStmt
  | ReportStmt
  | TraceStmt

/** A new local; `range` only matters for i32. */
export function newLocal(name: string, type: WasmType, mutable: boolean, range: Range = anyRange): Local {
  return { name, type, mutable, def: null, range, input: 'none', varying: false, loop: null, index: -1 }
}
/** Reads a local. */
export const get = (local: Local): LocalExpr => ({ op: 'local', type: local.type, local })
/** An i32 constant. */
export const i32 = (value: number): ConstExpr => ({ op: 'const', type: 'i32', value: value | 0 })
/** An f32 constant, rounded to single precision. */
export const f32 = (value: number): ConstExpr => ({ op: 'const', type: 'f32', value: Math.fround(value) })
/** A label nobody has branched to yet. */
export const newLabel = (name: string): Label => ({ name, used: false })
/** A branch to a label, which is marked as used. */
export const br = (label: Label): BreakStmt => {
  label.used = true
  return { op: 'br', label }
}
/** A vector constant of four 32-bit patterns. */
export const vector = (words: readonly number[]): VectorConst => ({ op: 'vector', type: 'v128', words })

/** The expressions directly inside one. */
export function children(e: Expr): Expr[] {
  switch (e.op) {
    case 'wasm':
      return e.args
    case 'load':
      return e.into ? [e.addr, e.into] : [e.addr]
    case 'build':
      return e.parts
    case 'lazy':
      return [e.cond, e.then, e.otherwise]
    default:
      return []
  }
}
/** The same expression with its parts replaced; the original if none changed. */
export function mapChildren(e: Expr, change: (part: Expr) => Expr): Expr {
  const list = (parts: Expr[]): Expr[] => {
    const next = parts.map(change)
    return next.every((n, i) => n === parts[i]) ? parts : next
  }
  switch (e.op) {
    case 'wasm': {
      const args = list(e.args)
      return args === e.args ? e : { ...e, args, range: undefined }
    }
    case 'build': {
      const parts = list(e.parts)
      return parts === e.parts ? e : { ...e, parts }
    }
    case 'load': {
      const addr = change(e.addr), into = e.into && change(e.into)
      return addr === e.addr && into === e.into ? e : { ...e, addr, into }
    }
    case 'lazy': {
      const [cond, then, otherwise] = list([e.cond, e.then, e.otherwise])
      return cond === e.cond && then === e.then && otherwise === e.otherwise ? e : { ...e, cond, then, otherwise }
    }
    default:
      return e
  }
}
/** The expressions directly inside a statement. */
export function operands(s: Stmt): Expr[] {
  switch (s.op) {
    case 'set':
      return [s.value]
    case 'store':
      return [s.addr, s.value]
    case 'if':
      return [s.cond]
    case 'atomic':
      return [s.addr, ...s.args]
    case 'report':
      return [s.a, s.b]
    case 'trace':
      return [s.addr, s.base]
    default:
      return []
  }
}
/** The statement lists directly inside a statement. */
export const bodies = (s: Stmt): Stmt[][] =>
  s.op === 'if' ? [s.then, s.otherwise] : s.op === 'block' || s.op === 'loop' ? [s.body] : []

/** Whether an instruction may end the program, so that it must not be computed where it was not before. */
export const mayTrap = (name: string): boolean => /div|rem|trunc/.test(name)

/** Visits every expression, outside first. */
export function visit(e: Expr, action: (e: Expr) => void): void {
  action(e)
  for (const part of children(e)) visit(part, action)
}
/** Visits every statement, outside first. */
export function visitStmts(list: Stmt[], action: (s: Stmt) => void): void {
  for (const s of list) {
    action(s)
    for (const body of bodies(s)) visitStmts(body, action)
  }
}
/** Locals that a statement list sets. */
export function assigned(list: Stmt[], into = new Set<Local>()): Set<Local> {
  visitStmts(list, (s) => {
    if ((s.op === 'set' || s.op === 'atomic') && s.local) into.add(s.local)
  })
  return into
}

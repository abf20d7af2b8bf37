// The program after lowering: WASM instructions as trees, WASM locals, structured statements. No WGSL types are left.
import { opcodes } from './opcodes.ts'
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

const scratch = new DataView(new ArrayBuffer(4))
const bitsOf = (e: ConstExpr) => {
  if (e.type === 'i32') return e.value
  scratch.setFloat32(0, e.value)
  return scratch.getInt32(0)
}
const floatOf = (bits: number) => {
  scratch.setInt32(0, bits)
  return scratch.getFloat32(0)
}

/** The range of an i32 expression as far as it is known. */
export function rangeOf(e: Expr): Range {
  if (e.op === 'const') return e.type === 'i32' ? [e.value >>> 0, e.value >>> 0] : anyRange
  if (e.op === 'local') return e.local.range
  if (e.op === 'load') return e.name === 'i32.load16_u' ? [0, 0xffff] : anyRange
  if (e.op === 'lazy') {
    const a = rangeOf(e.then), b = rangeOf(e.otherwise)
    return [Math.min(a[0], b[0]), Math.max(a[1], b[1])]
  }
  if (e.op !== 'wasm') return anyRange
  return e.range ??= rangeOfOp(e.name, e.args)
}

function rangeOfOp(name: string, args: Expr[]): Range {
  const [a, b] = args.map(rangeOf)
  const fits = (low: number, high: number): Range => low >= 0 && high <= 0xffffffff ? [low, high] : anyRange
  switch (name) {
    case 'i32.add': {
      // both wrap, e.g. x + 0xffffffff for x >= 1
      if (a[0] + b[0] >= 2 ** 32) return [a[0] + b[0] - 2 ** 32, a[1] + b[1] - 2 ** 32]
      return fits(a[0] + b[0], a[1] + b[1])
    }
    case 'i32.sub':
      return fits(a[0] - b[1], a[1] - b[0])
    case 'i32.mul':
      return fits(a[0] * b[0], a[1] * b[1])
    case 'i32.shl':
      return b[0] === b[1] ? fits(a[0] * 2 ** (b[0] & 31), a[1] * 2 ** (b[0] & 31)) : anyRange
    case 'i32.shr_u':
      return b[0] === b[1] ? [Math.floor(a[0] / 2 ** (b[0] & 31)), Math.floor(a[1] / 2 ** (b[0] & 31))] : [0, a[1]]
    case 'i32.shr_s':
      return a[1] < 2 ** 31 ? rangeOfOp('i32.shr_u', args) : anyRange
    case 'i32.div_u':
      return b[0] > 0 ? [Math.floor(a[0] / b[1]), Math.floor(a[1] / b[0])] : anyRange
    case 'i32.div_s':
      return a[1] < 2 ** 31 && b[1] < 2 ** 31 && b[0] > 0
        ? [Math.floor(a[0] / b[1]), Math.floor(a[1] / b[0])]
        : anyRange
    case 'i32.rem_u':
      return b[0] > 0 ? a[1] < b[0] ? a : [0, Math.min(a[1], b[1] - 1)] : [0, a[1]]
    case 'i32.rem_s':
      return a[1] < 2 ** 31 && b[1] < 2 ** 31 ? [0, Math.max(0, Math.min(a[1], b[1] - 1))] : anyRange
    case 'i32.and':
      return [0, Math.min(a[1], b[1])]
    case 'i32.or':
    case 'i32.xor':
      return [0, 2 ** Math.ceil(Math.log2(Math.max(a[1], b[1]) + 1)) - 1]
    case 'i32.min_u':
      return [Math.min(a[0], b[0]), Math.min(a[1], b[1])]
    case 'i32.max_u':
      return [Math.max(a[0], b[0]), Math.max(a[1], b[1])]
    case 'i32.min_s':
      return a[1] < 2 ** 31 && b[1] < 2 ** 31 ? [Math.min(a[0], b[0]), Math.min(a[1], b[1])] : anyRange
    case 'i32.max_s':
      return b[1] < 2 ** 31
        ? a[1] < 2 ** 31 ? [Math.max(a[0], b[0]), Math.max(a[1], b[1])] : [b[0], 2 ** 31 - 1]
        : a[1] < 2 ** 31
        ? [a[0], 2 ** 31 - 1]
        : anyRange
    case 'select': {
      const [x, y] = args.map(rangeOf)
      return [Math.min(x[0], y[0]), Math.max(x[1], y[1])]
    }
    case 'i32.popcnt':
    case 'i32.clz':
    case 'i32.ctz':
      return [0, 32]
  }
  return /\.(eqz|eq|ne|[lg][te](_[su])?|any_true|all_true)$/.test(name) ? [0, 1] : anyRange
}

const foldI32: Record<string, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: Math.imul,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => a << b,
  shr_s: (a, b) => a >> b,
  shr_u: (a, b) => a >>> b,
  eqz: (a) => +(a === 0),
  eq: (a, b) => +(a === b),
  ne: (a, b) => +(a !== b),
  lt_s: (a, b) => +(a < b),
  lt_u: (a, b) => +(a >>> 0 < b >>> 0),
  gt_s: (a, b) => +(a > b),
  gt_u: (a, b) => +(a >>> 0 > b >>> 0),
  le_s: (a, b) => +(a <= b),
  le_u: (a, b) => +(a >>> 0 <= b >>> 0),
  ge_s: (a, b) => +(a >= b),
  ge_u: (a, b) => +(a >>> 0 >= b >>> 0),
  min_u: (a, b) => Math.min(a >>> 0, b >>> 0),
  max_u: (a, b) => Math.max(a >>> 0, b >>> 0),
  min_s: Math.min,
  max_s: Math.max,
  clz: Math.clz32,
  div_u: (a, b) => (a >>> 0) / (b >>> 0),
  rem_u: (a, b) => (a >>> 0) % (b >>> 0),
  div_s: (a, b) => a / b,
  rem_s: (a, b) => a % b,
}
const foldF32: Record<string, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  neg: (a) => -a,
  abs: Math.abs,
  sqrt: Math.sqrt,
  floor: Math.floor,
  ceil: Math.ceil,
  trunc: Math.trunc,
}
const foldCompare: Record<string, (a: number, b: number) => boolean> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  gt: (a, b) => a > b,
  le: (a, b) => a <= b,
  ge: (a, b) => a >= b,
}

function fold(name: string, args: ConstExpr[]): Expr | null {
  const [type, what] = name.split('.'), a = args[0].value, b = args[1]?.value
  if (type === 'i32' && what in foldI32 && args[0].type === 'i32') {
    if (b === 0 && /^(div|rem)/.test(what)) return null
    return i32(Math.trunc(foldI32[what](a, b)))
  }
  if (type === 'f32' && what in foldF32) return f32(foldF32[what](a, b))
  if (type === 'f32' && what in foldCompare) return i32(+foldCompare[what](a, b))
  if (name === 'f32.convert_i32_s') return f32(a)
  if (name === 'f32.convert_i32_u') return f32(a >>> 0)
  if (name === 'i32.reinterpret_f32') return i32(bitsOf(args[0]))
  if (name === 'f32.reinterpret_i32') {
    const value = floatOf(a)
    return Number.isNaN(value) ? null : f32(value)
  }
  if (name === 'f32x4.splat' || name === 'i32x4.splat') {
    const bits = bitsOf(args[0])
    return vector([bits, bits, bits, bits])
  }
  return null
}

const isConst = (e: Expr | undefined, value: number): boolean =>
  e?.op === 'const' && e.type === 'i32' && e.value === value
const powerOf2 = (e: Expr): number =>
  e.op === 'const' && e.value > 0 && (e.value & (e.value - 1)) === 0 ? 31 - Math.clz32(e.value) : -1

/** An instruction applied to operands; constants are folded and a few identities used. */
export function op(name: string, ...args: Expr[]): Expr {
  if (args.every((a) => a.op === 'const')) {
    const folded = fold(name, args as ConstExpr[])
    if (folded) return folded
  }
  const [a, b] = args
  switch (name) {
    case 'i32.add':
      if (a.op === 'const') return op(name, b, a)
      if (isConst(b, 0)) return a
      if (b.op === 'const' && a.op === 'wasm' && a.name === 'i32.add' && a.args[1].op === 'const') {
        return op(name, a.args[0], i32(a.args[1].value + b.value))
      }
      break
    case 'i32.sub':
      if (isConst(b, 0)) return a
      if (b.op === 'const') return op('i32.add', a, i32(-b.value))
      break
    case 'i32.mul':
      if (a.op === 'const') return op(name, b, a)
      if (isConst(b, 0)) return b
      if (powerOf2(b) >= 0) return op('i32.shl', a, i32(powerOf2(b)))
      break
    case 'i32.shl':
    case 'i32.shr_u':
    case 'i32.shr_s':
      if (isConst(b, 0)) return a
      break
    case 'i32.div_u':
      if (powerOf2(b) >= 0) return op('i32.shr_u', a, i32(powerOf2(b)))
      break
    case 'i32.rem_u':
      if (powerOf2(b) >= 0) return op('i32.and', a, i32((b as ConstExpr).value - 1))
      break
    case 'i32.and':
      if (isConst(b, 0) || isConst(b, -1)) return isConst(b, 0) ? b : a
      break
    case 'i32.or':
      if (isConst(b, 0)) return a
      if (isConst(a, 0)) return b
      break
    case 'i32.eqz':
      if (a.op === 'wasm' && a.name === 'i32.eqz' && rangeOf(a.args[0])[1] <= 1) return a.args[0]
      if (a.op === 'wasm' && inverse[a.name]) return { op: 'wasm', type: 'i32', name: inverse[a.name], args: a.args }
      break
    case 'f32x4.splat':
    case 'i32x4.splat':
      if (a.op === 'wasm' && a.name === `${name.slice(0, 5)}.extract_lane`) return spread(a.args[0], a.lane!)
      if (a.op === 'const') {
        const bits = bitsOf(a)
        return vector([bits, bits, bits, bits])
      }
      break
    case 'select': {
      const cond = args[2]
      if (cond.op === 'const') return cond.value ? a : b
      break
    }
    case 'f32.reinterpret_i32':
      if (a.op === 'wasm' && a.name === 'i32.reinterpret_f32') return a.args[0]
      break
    case 'i32.reinterpret_f32':
      if (a.op === 'wasm' && a.name === 'f32.reinterpret_i32') return a.args[0]
      break
  }
  const type = name === 'select' ? a.type : pseudo.test(name) ? 'i32' : opcodes.get(name)!.result
  return { op: 'wasm', type, name, args }
}
/** Instructions that WASM lacks for scalars; the emitter makes them from a comparison and a select. */
export const pseudo = /^i32\.(min|max)_[su]$/
const inverse: Record<string, string> = {
  'i32.eq': 'i32.ne',
  'i32.ne': 'i32.eq',
  'i32.lt_s': 'i32.ge_s',
  'i32.lt_u': 'i32.ge_u',
  'i32.gt_s': 'i32.le_s',
  'i32.gt_u': 'i32.le_u',
  'i32.le_s': 'i32.gt_s',
  'i32.le_u': 'i32.gt_u',
  'i32.ge_s': 'i32.lt_s',
  'i32.ge_u': 'i32.lt_u',
}

/** A vector whose four lanes are one lane of `from`. */
const spread = (from: Expr, lane: number): Expr => shuffle(from, from, [lane, lane, lane, lane])
/** Picks four 32-bit lanes out of the eight of two vectors. */
export function shuffle(a: Expr, b: Expr, lanes: readonly number[]): Expr {
  if (a === b && lanes.every((l, i) => l % 4 === i)) return a
  return {
    op: 'wasm',
    type: 'v128',
    name: 'i8x16.shuffle',
    args: [a, b],
    bytes: lanes.flatMap((l) => [4 * l, 4 * l + 1, 4 * l + 2, 4 * l + 3]),
  }
}

/** Lane `lane` of a vector as f32 or i32. */
export function extract(type: 'f32' | 'i32', from: Expr, lane: number): Expr {
  if (from.op === 'build') {
    return from.parts[lane].type === type
      ? from.parts[lane]
      : op(type === 'f32' ? 'f32.reinterpret_i32' : 'i32.reinterpret_f32', from.parts[lane])
  }
  if (from.op === 'vector') {
    const bits = from.words[lane]
    if (type === 'i32' || !Number.isNaN(floatOf(bits))) return type === 'i32' ? i32(bits) : f32(floatOf(bits))
  }
  if (
    from.op === 'wasm' && (from.name === 'f32x4.splat' || from.name === 'i32x4.splat') && from.args[0].type === type
  ) return from.args[0]
  if (from.op === 'wasm' && from.name === 'i8x16.shuffle') {
    const source = from.bytes![4 * lane] / 4
    return extract(type, from.args[source < 4 ? 0 : 1], source % 4)
  }
  return { op: 'wasm', type, name: `${type}x4.extract_lane`, args: [from], lane }
}
/** A vector with one lane replaced. */
export function replace(into: Expr, lane: number, value: Expr): Expr {
  return { op: 'wasm', type: 'v128', name: `${value.type}x4.replace_lane`, args: [into, value], lane }
}
/** A vector of up to four scalars of one type; missing lanes are zero. */
export function build(parts: Expr[]): Expr {
  const type = parts[0].type as 'i32' | 'f32'
  const all = [...parts]
  while (all.length < 4) all.push(type === 'i32' ? i32(0) : f32(0))
  if (all.every((p) => p.op === 'const')) return vector(all.map((p) => bitsOf(p as ConstExpr)))
  if (parts.length === 4 && parts.every((p) => p === parts[0])) return op(`${type}x4.splat`, parts[0])
  const sources: Expr[] = [], lanes: number[] = [] // parts of at most two vectors are a shuffle
  for (const p of all) {
    if (p.op !== 'wasm' || p.name !== `${type}x4.extract_lane`) break
    const same = (e: Expr) =>
      e === p.args[0] || (e.op === 'local' && p.args[0].op === 'local' && e.local === p.args[0].local)
    let at = sources.findIndex(same)
    if (at < 0) at = sources.push(p.args[0]) - 1
    lanes.push(4 * at + p.lane!)
  }
  if (lanes.length === 4 && sources.length <= 2) return shuffle(sources[0], sources[1] ?? sources[0], lanes)
  // One lane of each of four vectors, a column of a transposed block: the engine shares the inner shuffles between
  // columns.
  const lane = lanes[0] % 4
  if (lanes.length === 4 && sources.length === 4 && lanes.every((l) => l % 4 === lane)) {
    const from = lane & 2, pair = (a: Expr, b: Expr) => shuffle(a, b, [from, from + 4, from + 1, from + 5])
    return shuffle(pair(sources[0], sources[1]), pair(sources[2], sources[3]), lane % 2 ? [2, 3, 6, 7] : [0, 1, 4, 5])
  }
  return { op: 'build', type: 'v128', parts: all }
}

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

// Makers of instructions: constants are folded, a few identities used, lanes taken from where they come from.
import { f32, i32, vector } from './ir.ts'
import type { ConstExpr, Expr } from './ir.ts'
import { opcodes } from './opcodes.ts'
import { rangeOf } from './ranges.ts'

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

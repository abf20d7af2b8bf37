// Places: what a reference points at while lowering. Locals where every index is known, memory elsewhere; loads, stores
// and the index checks that keep every access inside its variable.
import { reportKind } from '../abi.ts'
import { fromHalf, toHalf } from './half.ts'
import { build, extract, op, replace } from './instructions.ts'
import { f32, get, i32, newLocal, vector } from './ir.ts'
import type { ConstExpr, Expr, Local, MemorySpace } from './ir.ts'
import type { Span } from './lexer.ts'
import { failAt } from './lexer.ts'
import { arrayCount, bytesOf, emit, isTrivial, rangeNow, Restart, temp } from './lower.ts'
import type { State } from './lower.ts'
import type { Expr as Ast, VarDecl } from './tree.ts'
import { alignOf, bool, f16, f32 as float, leafCount, roundUp, sizeOf, typeName, vec } from './types.ts'
import type { ArrayType, Scalar, Type } from './types.ts'

/** A value while lowering: one expression for a scalar or vector, parts for matrices, arrays and structs. */
export type Val = Expr | { op: 'parts', parts: Val[] }
/** Locals in the shape of a type. */
export type Slot = { local: Local, constant?: Expr } | { parts: Slot[] }
/** `id`: number of the binding or workgroup variable, for reports. A lane is a component of a vector in a local. */
export type Place =
  | { kind: 'slot', slot: Slot, type: Type, decl: VarDecl }
  | { kind: 'lane', base: Place, lane: Expr, type: Scalar }
  | { kind: 'memory', type: Type, addr: Expr, offset: number, space: MemorySpace, id: number, decl: VarDecl }

/** A place in memory at `addr + offset`. */
export const memoryPlace = (
  decl: VarDecl,
  type: Type,
  addr: Expr,
  offset: number,
  space: MemorySpace,
  id: number,
): Place => ({ kind: 'memory', type, addr, offset, space, id, decl })

/** Type of part `i` of a matrix, array or struct. */
export function partType(type: Type, i: number): Type {
  if (type.kind === 'array') return type.of
  if (type.kind === 'mat') return vec(type.rows, type.of)
  if (type.kind === 'struct') return type.members[i].type
  throw new Error(`${typeName(type)} has no parts`)
}
/** Number of parts; 0 for scalars and vectors. */
export function partCount(state: State, type: Type): number {
  return type.kind === 'array'
    ? arrayCount(state, type)
    : type.kind === 'mat'
    ? type.columns
    : type.kind === 'struct'
    ? type.members.length
    : 0
}
/** The WASM type of a scalar or vector. */
export const wasmType = (type: Type): Local['type'] =>
  type.kind === 'vec' ? 'v128' : type === float || type === f16 ? 'f32' : 'i32'

/** Fresh locals for a type; more than 512 of them are refused so that the array goes to memory. */
export function makeSlot(state: State, type: Type, name: string, decl: VarDecl): Slot {
  if (leafCount(type, (c) => arrayCount(state, { kind: 'array', of: type, count: c, arrays: new Map() })) > 512) {
    state.inMemory.add(decl)
    throw new Restart()
  }
  const parts = partCount(state, type)
  if (parts === 0) return { local: newLocal(name, wasmType(type), true) }
  return { parts: Array.from({ length: parts }, (_, i) => makeSlot(state, partType(type, i), `${name}.${i}`, decl)) }
}

/** The zero value of a type. */
export function zero(state: State, type: Type): Val {
  const parts = partCount(state, type)
  if (parts > 0) return { op: 'parts', parts: Array.from({ length: parts }, (_, i) => zero(state, partType(type, i))) }
  return type.kind === 'vec' ? vector([0, 0, 0, 0]) : wasmType(type) === 'f32' ? f32(0) : i32(0)
}

/** Distance and kind of the parts in memory. */
function partOffset(state: State, type: Type, i: number): number {
  if (type.kind === 'array') return i * stride(state, type)
  if (type.kind === 'mat') return i * alignOf(vec(type.rows, type.of))
  return (type as Extract<Type, { kind: 'struct' }>).members[i].offset
}
const stride = (state: State, type: ArrayType) => roundUp(bytesOf(state, type.of), alignOf(type.of))

/** The place of part `i`, known while compiling, of a matrix, array or struct. */
export function partPlace(state: State, place: Place, i: number): Place {
  const type = partType(place.type, i)
  if (place.kind === 'slot') return { ...place, slot: (place.slot as { parts: Slot[] }).parts[i], type }
  if (place.kind === 'memory') return { ...place, type, offset: place.offset + partOffset(state, place.type, i) }
  throw new Error('a lane has no parts')
}

/** The place of component `lane` of a vector. */
export function lanePlace(state: State, place: Place, lane: Expr, span: Span): Place {
  const type = place.type as Extract<Type, { kind: 'vec' }>
  if (place.kind !== 'memory') return { kind: 'lane', base: place, lane, type: type.of }
  const size = sizeOf(type.of)
  if (lane.op === 'const') {
    reportMiss(state, lane, type.size, span)
    return { ...place, type: type.of, offset: place.offset + Math.min(lane.value >>> 0, type.size - 1) * size }
  }
  const bounded = boundIndex(state, lane, i32(type.size), type.size, span)
  return { ...place, type: type.of, addr: op('i32.add', place.addr, op('i32.mul', bounded, i32(size))) }
}

/** The place of element `index` of an array or matrix; the index is kept inside. */
export function elementPlace(state: State, place: Place, index: Expr, span: Span): Place {
  const type = place.type as ArrayType | Extract<Type, { kind: 'mat' }>
  const runtime = type.kind === 'array' && type.count === null
  if (place.kind === 'slot') {
    const count = partCount(state, type)
    if (index.op === 'const') {
      reportMiss(state, index, count, span)
      return partPlace(state, place, Math.min(index.value >>> 0, count - 1))
    }
    requestUnroll(state, index)
    state.inMemory.add(place.decl)
    throw new Restart()
  }
  if (place.kind !== 'memory') throw new Error('a lane has no elements')
  const step = type.kind === 'array' ? stride(state, type) : alignOf(vec(type.rows, type.of))
  const of = type.kind === 'array' ? type.of : vec(type.rows, type.of)
  let bounded: Expr
  if (runtime) {
    const { count, last } = runtimeCount(state, place, step)
    bounded = index.op === 'const' && index.value === 0 ? index : boundIndex(state, index, count, 1, span, last)
  } else {
    const count = partCount(state, type)
    bounded = boundIndex(state, index, i32(count), count, span)
  }
  const { rest, constant } = splitIndex(state, bounded)
  if (constant * step + place.offset > 2 ** 30) {
    return { ...place, type: of, addr: op('i32.add', place.addr, op('i32.mul', bounded, i32(step))) }
  }
  const addr = rest ? op('i32.add', place.addr, op('i32.mul', rest, i32(step))) : place.addr
  return { ...place, type: of, addr, offset: place.offset + constant * step }
}

/**
 * An index as something that varies plus a constant that goes into the instruction; only where neither can wrap around.
 */
function splitIndex(state: State, index: Expr): { rest: Expr | null, constant: number } {
  if (index.op === 'const') return { rest: null, constant: index.value >>> 0 }
  if (index.op === 'wasm' && index.name === 'i32.add' && index.args[1].op === 'const') {
    const by = index.args[1].value, [, high] = rangeNow(state, index.args[0])
    if (by > 0 && high + by <= 0xffffffff) return { rest: index.args[0], constant: by }
  }
  return { rest: index, constant: 0 }
}

/**
 * The index, clamped to the last element unless it is known to be inside. In bounds mode a miss is reported as well.
 */
function boundIndex(state: State, index: Expr, count: Expr, atLeast: number, span: Span, last?: Expr): Expr {
  if (rangeNow(state, index)[1] < atLeast) return index
  if (index.op === 'const' && count.op === 'const') {
    reportMiss(state, index, count.value, span)
    return i32(Math.min(index.value >>> 0, atLeast - 1))
  }
  let at = index
  if (state.mode === 'bounds') {
    at = temp(state, index, 'index')
    emit(state, {
      op: 'if',
      cond: op('i32.ge_u', at, count),
      otherwise: [],
      then: [{ op: 'report', kind: reportKind.bounds, line: span.line, a: at, b: count }],
    })
  }
  return op('i32.min_u', at, last ?? i32(atLeast - 1))
}

/** Bounds mode: an index that became constant, by a `let` or an unrolled loop, and misses. */
export function reportMiss(state: State, index: ConstExpr, count: number, span: Span) {
  if (state.mode !== 'bounds' || index.value >>> 0 < count) return
  emit(state, { op: 'report', kind: reportKind.bounds, line: span.line, a: index, b: i32(count) })
}

/** An index that overrides decide must lie inside: that is a mistake of the pipeline, not of the run. */
export function refuseOverrideIndex(index: Expr, of: Ast, type: Type, count: number) {
  if (of.stage === 'runtime' || index.op !== 'const' || index.value >>> 0 < count) return
  throw failAt(of, `index ${index.value} is out of bounds: ${typeName(type)} has ${count}`)
}

/** Length of the runtime-sized array at a place, and its last index, computed once for each call of `run`. */
export function runtimeCount(
  state: State,
  place: Extract<Place, { kind: 'memory' }>,
  step: number,
): { count: Expr, last: Expr } {
  const slot = state.slots.get(place.decl)!, key = `length ${slot.index}`
  let count = state.uniforms.get(key), last = state.uniforms.get(`last ${slot.index}`)
  if (!count || !last) {
    count = prologueLocal(
      state,
      key,
      `${place.decl.name}.length`,
      op('i32.div_u', op('i32.sub', get(slot.bytes), i32(place.offset)), i32(step)),
    )
    last = prologueLocal(
      state,
      `last ${slot.index}`,
      `${place.decl.name}.last`,
      op('i32.sub', get(count), op('i32.ne', get(count), i32(0))),
    )
  }
  return { count: get(count), last: get(last) }
}
function prologueLocal(state: State, key: string, name: string, value: Expr): Local {
  const local = newLocal(name, value.type, false)
  local.def = value
  local.input = 'group'
  state.prologue.push({ op: 'set', local, value })
  state.uniforms.set(key, local)
  return local
}

/** Asks for the loops that an index depends on to be unrolled, if there are any left: lowering then starts again. */
export function requestUnroll(state: State, index: Expr) {
  let found = false
  const seen = new Set<Local>()
  const visit = (e: Expr) => {
    if (e.op === 'local') {
      if (seen.has(e.local)) return
      seen.add(e.local)
      if (e.local.loop && !state.unroll.has(e.local.loop)) {
        state.unroll.add(e.local.loop)
        found = true
      }
      if (e.local.def) visit(e.local.def)
    } else if (e.op === 'wasm') e.args.forEach(visit)
    else if (e.op === 'build') e.parts.forEach(visit)
  }
  visit(index)
  if (found) throw new Restart()
}

/** A place whose address is computed now and not again. */
export function freeze(state: State, place: Place): Place {
  if (place.kind === 'lane') return { ...place, base: freeze(state, place.base), lane: temp(state, place.lane) }
  return place.kind === 'memory' && !isTrivial(place.addr)
    ? { ...place, addr: temp(state, place.addr, 'address') }
    : place
}

/** Component `lane` of a vector value, which may vary. */
export function extractLane(
  state: State,
  type: Extract<Type, { kind: 'vec' }>,
  value: Expr,
  lane: Expr,
  span: Span,
): Expr {
  const kind = wasmType(type.of) as 'i32' | 'f32'
  const finish = (e: Expr) => type.of === bool ? op('i32.and', e, i32(1)) : e
  if (lane.op === 'const') {
    reportMiss(state, lane, type.size, span)
    return finish(extract(kind, value, Math.min(lane.value >>> 0, type.size - 1)))
  }
  requestUnroll(state, lane)
  const at = boundIndex(state, lane, i32(type.size), type.size, span)
  // byte offsets 4 lane + 0..3, the same in every lane
  const bytes = op('i32.add', op('i32.mul', at, i32(0x04040404)), i32(0x03020100))
  return finish(extract(kind, op('i8x16.swizzle', value, op('i32x4.splat', bytes)), 0))
}

/** Reads a place. */
export function loadPlace(state: State, place: Place, span: Span): Val {
  if (place.kind === 'lane') {
    return extractLane(
      state,
      place.base.type as Extract<Type, { kind: 'vec' }>,
      loadPlace(state, place.base, span) as Expr,
      place.lane,
      span,
    )
  }
  const parts = partCount(state, place.type)
  if (parts > 0) {
    const fixed = parts > 1 ? freeze(state, place) : place
    return {
      op: 'parts',
      parts: Array.from({ length: parts }, (_, i) => loadPlace(state, partPlace(state, fixed, i), span)),
    }
  }
  if (place.kind === 'slot') {
    const slot = place.slot as { local: Local, constant?: Expr }
    return slot.constant ?? get(slot.local)
  }
  trace(state, place, false, span)
  if (
    place.decl.space === 'uniform' && place.addr.op === 'local'
    && state.slots.get(place.decl)?.address === place.addr.local
  ) {
    const key = `${place.addr.local.name} ${place.offset} ${typeName(place.type)}`
    return get(
      state.uniforms.get(key)
        ?? prologueLocal(state, key, `${place.decl.name}+${place.offset}`, loadLeaf(state, place)),
    )
  }
  return loadLeaf(state, place)
}

function loadLeaf(state: State, place: Extract<Place, { kind: 'memory' }>): Expr {
  const { type, offset, space } = place, keep = (e: Expr) => temp(state, e)
  const addr = type.kind === 'vec' && type.size === 3 ? temp(state, place.addr, 'address') : place.addr
  const load = (name: string, result: Expr['type'], at = 0): Expr => ({
    op: 'load',
    type: result,
    name,
    addr,
    offset: offset + at,
    space,
    uniform: false,
  })
  if (type.kind === 'vec') {
    if (type.of === f16) {
      if (type.size === 2) return fromHalf(op('i32x4.extend_low_i16x8_u', load('v128.load32_zero', 'v128')), keep)
      if (type.size === 4) return fromHalf(load('v128.load16x4_u', 'v128'), keep)
      return fromHalf(build([0, 1, 2].map((i) => load('i32.load16_u', 'i32', 2 * i))), keep)
    }
    if (type.size === 4) return load('v128.load', 'v128')
    if (type.size === 2) return load('v128.load64_zero', 'v128')
    return {
      op: 'load',
      type: 'v128',
      name: 'v128.load32_lane',
      addr,
      offset: offset + 8,
      space,
      uniform: false,
      lane: 2,
      into: load('v128.load64_zero', 'v128'),
    }
  }
  if (type === f16) return fromHalf(load('i32.load16_u', 'i32'), keep)
  return type === float ? load('f32.load', 'f32') : load('i32.load', 'i32')
}

/** Writes a place. */
export function storeValue(state: State, place: Place, value: Val, span: Span): void {
  if (place.kind === 'lane') return storeLane(state, place, value as Expr, span)
  const parts = partCount(state, place.type)
  if (parts > 0) {
    const fixed = freeze(state, place)
    const kept = keepAll(state, value) // a struct may be assigned from parts of itself
    for (let i = 0; i < parts; i++) {
      storeValue(state, partPlace(state, fixed, i), (kept as { parts: Val[] }).parts[i], span)
    }
    return
  }
  const expr = value as Expr
  if (place.kind === 'slot') {
    emit(state, { op: 'set', local: (place.slot as { local: Local }).local, value: expr })
    return
  }
  trace(state, place, true, span)
  storeLeaf(state, place, expr, span)
}
function keepAll(state: State, value: Val): Val {
  return value.op === 'parts' ? { op: 'parts', parts: value.parts.map((p) => keepAll(state, p)) } : temp(state, value)
}

function storeLeaf(state: State, place: Extract<Place, { kind: 'memory' }>, value: Expr, span: Span) {
  const { type, offset, space } = place
  const several = type.kind === 'vec' && type.size === 3
  const addr = several ? temp(state, place.addr, 'address') : place.addr
  const store = (name: string, stored: Expr, at = 0, lane?: number) =>
    emit(state, { op: 'store', name, addr, offset: offset + at, value: stored, lane })
  const scalar = type.kind === 'vec' ? type.of : type
  const checked = state.mode === 'nan' && space === 'storage' && (scalar === float || scalar === f16)
  const fixed = several || checked ? temp(state, value) : value
  if (checked) checkNaN(state, { ...place, addr: temp(state, addr, 'address') }, fixed, span)
  if (type.kind === 'vec') {
    if (type.of === f16) {
      const bits = op('i16x8.narrow_i32x4_u', toHalf(fixed, (e) => temp(state, e)), vector([0, 0, 0, 0]))
      if (type.size === 4) return store('v128.store64_lane', bits, 0, 0)
      if (type.size === 2) return store('v128.store32_lane', bits, 0, 0)
      const kept = temp(state, bits)
      store('v128.store32_lane', kept, 0, 0)
      return store('v128.store16_lane', kept, 4, 2)
    }
    if (type.size === 4) return store('v128.store', fixed)
    store('v128.store64_lane', fixed, 0, 0)
    if (type.size === 3) store('v128.store32_lane', fixed, 8, 2)
    return
  }
  if (type === f16) return store('i32.store16', toHalf(fixed, (e) => temp(state, e)))
  return store(type === float ? 'f32.store' : 'i32.store', fixed)
}

function storeLane(state: State, place: Extract<Place, { kind: 'lane' }>, value: Expr, span: Span) {
  const type = place.base.type as Extract<Type, { kind: 'vec' }>
  const stored = type.of === bool ? op('i32.sub', i32(0), value) : value
  const whole = loadPlace(state, place.base, span) as Expr
  if (place.lane.op === 'const') {
    reportMiss(state, place.lane, type.size, span)
    return storeValue(state, place.base, replace(whole, Math.min(place.lane.value >>> 0, type.size - 1), stored), span)
  }
  requestUnroll(state, place.lane)
  const at = boundIndex(state, place.lane, i32(type.size), type.size, span)
  const mask = op('i32x4.eq', op('i32x4.splat', at), vector([0, 1, 2, 3]))
  storeValue(state, place.base, op('v128.bitselect', op(`${stored.type}x4.splat`, stored), whole, mask), span)
}

function checkNaN(state: State, place: Extract<Place, { kind: 'memory' }>, value: Expr, span: Span) {
  const slot = state.slots.get(place.decl)!, vector = place.type.kind === 'vec' ? place.type : null
  const wrong = vector
    ? op('i32.and', op('i32x4.bitmask', op('f32x4.ne', value, value)), i32((1 << vector.size) - 1))
    : op('f32.ne', value, value)
  const bits = temp(state, wrong)
  const bytes = op('i32.add', op('i32.sub', place.addr, get(slot.address)), i32(place.offset))
  const half = (vector?.of ?? place.type) === f16 // words of the element type: two bytes in f16
  emit(state, {
    op: 'if',
    cond: bits,
    otherwise: [],
    then: [{
      op: 'report',
      kind: reportKind.nan,
      line: span.line,
      a: i32(slot.index),
      b: op('i32.add', op('i32.shr_u', bytes, i32(half ? 1 : 2)), vector ? op('i32.ctz', bits) : i32(0)),
    }],
  })
}

/** Race mode: notes an access to workgroup or storage memory. */
export function trace(state: State, place: Extract<Place, { kind: 'memory' }>, write: boolean, span: Span) {
  if (state.mode !== 'race' || (place.space !== 'workgroup' && place.space !== 'storage')) return
  const words = Math.max(1, Math.ceil(sizeOf(place.type) / 4))
  const base = place.space === 'storage'
    ? get(state.slots.get(place.decl)!.address)
    : op('i32.add', get(state.inputs.workgroupBase), i32(state.workgroupVars[place.id].offset))
  emit(state, {
    op: 'trace',
    addr: temp(state, place.addr, 'address'),
    offset: place.offset,
    base,
    words,
    write,
    line: span.line,
    where: (place.space === 'workgroup' ? 0 : 0x10000) | place.id,
  })
}

// Loads and stores of places, with the reports of the nan and race modes.
import { reportKind } from '../abi.ts'
import { fromHalf, toHalf } from './half.ts'
import { build, extract, op, replace } from './instructions.ts'
import { get, i32, vector } from './ir.ts'
import type { Expr, Local } from './ir.ts'
import type { Span } from './lexer.ts'
import { emit, temp } from './lower.ts'
import type { State } from './lower.ts'
import { bool, f16, f32 as float, sizeOf, typeName } from './types.ts'
import type { Type } from './types.ts'
import { boundIndex, prologueLocal, reportMiss, requestUnroll } from './bounds.ts'
import { freeze, partCount, partPlace, wasmType } from './place.ts'
import type { Place, Val } from './place.ts'

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

// Places: what a reference points at while lowering. Locals where every index is known, memory elsewhere.
import { op } from './instructions.ts'
import { f32, i32, newLocal, vector } from './ir.ts'
import type { Expr, Local, MemorySpace } from './ir.ts'
import type { Span } from './lexer.ts'
import { isTrivial, Restart, temp } from './lower.ts'
import { arrayCount, bytesOf } from './overrides.ts'
import type { State } from './lower.ts'
import type { VarDecl } from './tree.ts'
import { alignOf, f16, f32 as float, leafCount, roundUp, sizeOf, typeName, vec } from './types.ts'
import type { ArrayType, Scalar, Type } from './types.ts'
import { boundIndex, reportMiss, requestUnroll, runtimeCount, splitIndex } from './bounds.ts'

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

/** A place whose address is computed now and not again. */
export function freeze(state: State, place: Place): Place {
  if (place.kind === 'lane') return { ...place, base: freeze(state, place.base), lane: temp(state, place.lane) }
  return place.kind === 'memory' && !isTrivial(place.addr)
    ? { ...place, addr: temp(state, place.addr, 'address') }
    : place
}

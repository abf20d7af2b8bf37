// WGSL types: one object per type, so that identity is equality; their sizes, alignments and names.

/** Scalars; `int` and `float` are WGSL's abstract numbers, which only constants have. */
export interface Scalar {
  kind: 'scalar'
  name: 'bool' | 'i32' | 'u32' | 'f32' | 'f16' | 'int' | 'float'
  arrays: ArrayCache
}
/** Two to four scalars. */
export interface Vec {
  kind: 'vec'
  size: number
  of: Scalar
  arrays: ArrayCache
}
/** `columns` vectors of `rows` floats. */
export interface Mat {
  kind: 'mat'
  columns: number
  rows: number
  of: Scalar
  arrays: ArrayCache
}
/** `count` is null for a runtime-sized array and an expression where an override decides. */
export interface ArrayType {
  kind: 'array'
  of: Type
  count: number | null | CountExpression
  arrays: ArrayCache
}
/**
 * An array length known once overrides have values; two of them are the same type only if they are the same expression.
 */
export interface CountExpression {
  text: string
  expr: object
}
/** `atomic<i32>` or `atomic<u32>`. */
export interface Atomic {
  kind: 'atomic'
  of: Scalar
  arrays: ArrayCache
}
/** A member with its place in memory, in bytes. */
export interface StructMember {
  name: string
  type: Type
  offset: number
  size: number
  align: number
}
/** Offsets are laid out once; a struct's last member may be runtime-sized. */
export interface Struct {
  kind: 'struct'
  name: string
  members: StructMember[]
  size: number
  align: number
  arrays: ArrayCache
}
/** Address spaces. */
export type Space = 'function' | 'private' | 'workgroup' | 'uniform' | 'storage'
/** `ptr<space, to, access>`. */
export interface Pointer {
  kind: 'pointer'
  space: Space
  to: Type
  access: 'read' | 'write' | 'read_write'
  arrays: ArrayCache
}
/** What a call of a function without result has. */
export interface Void {
  kind: 'void'
  arrays: ArrayCache
}
/** Any type. */
export type Type = Scalar | Vec | Mat | ArrayType | Atomic | Struct | Pointer | Void
type ArrayCache = Map<unknown, ArrayType | Pointer>

const scalar = (name: Scalar['name']): Scalar => ({ kind: 'scalar', name, arrays: new Map() })
/** The scalar types by name. */
export const bool = scalar('bool'), i32 = scalar('i32'), u32 = scalar('u32'), f32 = scalar('f32'), f16 = scalar('f16')
/** WGSL's AbstractInt and AbstractFloat. */
export const abstractInt = scalar('int'), abstractFloat = scalar('float')
/** The type of a call that returns nothing. */
export const voidType: Void = { kind: 'void', arrays: new Map() }
/** The scalar types a program can name. */
export const scalars: Record<string, Scalar> = { bool, i32, u32, f32, f16 }

const vecs = new Map<string, Vec>(), mats = new Map<string, Mat>(), atomics = new Map<Scalar, Atomic>()
const cached = <K, T>(map: Map<K, T>, key: K, make: () => T): T => {
  let found = map.get(key)
  if (!found) map.set(key, found = make())
  return found
}
/** The vector type of `size` components. */
export const vec = (size: number, of: Scalar): Vec =>
  cached(vecs, `${size}${of.name}`, () => ({ kind: 'vec', size, of, arrays: new Map() }))
/** The matrix type of `columns` columns with `rows` rows. */
export const mat = (columns: number, rows: number, of: Scalar): Mat =>
  cached(mats, `${columns}${rows}${of.name}`, () => ({ kind: 'mat', columns, rows, of, arrays: new Map() }))
/** The atomic type of a scalar. */
export const atomic = (of: Scalar): Atomic => cached(atomics, of, () => ({ kind: 'atomic', of, arrays: new Map() }))
/** An array type; count null makes it runtime-sized. */
export const array = (of: Type, count: ArrayType['count']): ArrayType =>
  cached(
    of.arrays as Map<unknown, ArrayType>,
    typeof count === 'object' && count ? count.expr : count,
    () => ({ kind: 'array', of, count, arrays: new Map() }),
  )
/** A pointer type. */
export const pointer = (space: Space, to: Type, access: Pointer['access']): Pointer =>
  cached(
    to.arrays as Map<unknown, Pointer>,
    `${space} ${access}`,
    () => ({ kind: 'pointer', space, to, access, arrays: new Map() }),
  )

/** The type as one writes it. */
export function typeName(type: Type): string {
  switch (type.kind) {
    case 'scalar':
      return type.name === 'int' ? 'abstract-int' : type.name === 'float' ? 'abstract-float' : type.name
    case 'vec':
      return `vec${type.size}<${typeName(type.of)}>`
    case 'mat':
      return `mat${type.columns}x${type.rows}<${typeName(type.of)}>`
    case 'atomic':
      return `atomic<${typeName(type.of)}>`
    case 'array': {
      const count = type.count === null ? '' : `, ${typeof type.count === 'number' ? type.count : type.count.text}`
      return `array<${typeName(type.of)}${count}>`
    }
    case 'struct':
      return type.name
    case 'pointer':
      return `ptr<${type.space}, ${typeName(type.to)}, ${type.access}>`
    case 'void':
      return 'no value'
  }
}

/** `value` rounded up to a multiple of `to`. */
export const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to

/** Alignment in bytes of a type in memory. */
export function alignOf(type: Type): number {
  switch (type.kind) {
    case 'scalar':
      return type === f16 ? 2 : 4
    case 'vec':
      return (type.size === 2 ? 2 : 4) * alignOf(type.of)
    case 'mat':
      return alignOf(vec(type.rows, type.of))
    case 'atomic':
      return 4
    case 'array':
      return alignOf(type.of)
    case 'struct':
      return type.align
    default:
      return 4
  }
}

/** Size in bytes; `count` resolves lengths that overrides decide, a runtime-sized array counts `runtime` elements. */
export function sizeOf(type: Type, count: (c: CountExpression) => number = unresolved, runtime = 1): number {
  switch (type.kind) {
    case 'scalar':
      return type === f16 ? 2 : 4
    case 'vec':
      return type.size * sizeOf(type.of)
    case 'mat':
      return type.columns * alignOf(vec(type.rows, type.of))
    case 'atomic':
      return 4
    case 'array': {
      const length = type.count === null ? runtime : typeof type.count === 'number' ? type.count : count(type.count)
      return length * strideOf(type, count)
    }
    case 'struct': {
      const last = type.members.at(-1)!
      if (last.type.kind !== 'array' || last.type.count !== null) return type.size
      return roundUp(last.offset + sizeOf(last.type, count, runtime), type.align)
    }
    default:
      return 4
  }
}
const unresolved = (c: CountExpression): number => {
  throw new Error(`array length ${c.text} is not known yet`)
}

/** Bytes from one array element to the next. */
export const strideOf = (type: ArrayType, count?: (c: CountExpression) => number): number =>
  roundUp(sizeOf(type.of, count), alignOf(type.of))

/** Whether the type is a literal's, still without a size. */
export const isAbstract = (type: Type): boolean =>
  elementScalar(type) === abstractInt || elementScalar(type) === abstractFloat
/** The scalar at the bottom of a scalar, vector, matrix or array; null for the rest. */
export function elementScalar(type: Type): Scalar | null {
  if (type.kind === 'scalar') return type
  if (type.kind === 'vec' || type.kind === 'mat' || type.kind === 'atomic') return type.of
  return type.kind === 'array' ? elementScalar(type.of) : null
}
/** Whether it is a float or a vector of floats. */
export const isFloat = (type: Type): boolean => {
  const s = scalarOrVec(type)
  return s === f32 || s === f16 || s === abstractFloat
}
/** Whether it is an integer or a vector of integers. */
export const isInteger = (type: Type): boolean => {
  const s = scalarOrVec(type)
  return s === i32 || s === u32 || s === abstractInt
}
/** Whether it is bool or a vector of bool. */
export const isBool = (type: Type): boolean => scalarOrVec(type) === bool
const scalarOrVec = (type: Type) => type.kind === 'scalar' ? type : type.kind === 'vec' ? type.of : null
/** Whether it is a number or a vector of numbers. */
export const isNumeric = (type: Type): boolean => scalarOrVec(type) !== null && scalarOrVec(type) !== bool
/** The same shape (scalar, vector or matrix) with another scalar. */
export const withScalar = (type: Type, of: Scalar): Type =>
  type.kind === 'vec' ? vec(type.size, of) : type.kind === 'mat'
    ? mat(type.columns, type.rows, of)
    : type.kind === 'array'
    ? array(withScalar(type.of, of), type.count)
    : of
/** Whether a value of the type can be kept in a variable, returned and passed. */
export const isConstructible = (type: Type): boolean =>
  type.kind === 'scalar' || type.kind === 'vec' || type.kind === 'mat'
  || (type.kind === 'array' && type.count !== null && isConstructible(type.of))
  || (type.kind === 'struct' && ofStruct(constructible, type, () => type.members.every((m) => isConstructible(m.type))))
const constructible = new WeakMap<Struct, boolean>(), atomicStructs = new WeakMap<Struct, boolean>()
/** What holds for a struct is found out once: structs of structs would be walked through again and again. */
function ofStruct(known: WeakMap<Struct, boolean>, struct: Struct, find: () => boolean): boolean {
  const found = known.get(struct) ?? find()
  known.set(struct, found)
  return found
}
/** Whether the type holds an atomic anywhere. */
export const hasAtomic = (type: Type): boolean =>
  type.kind === 'atomic' || (type.kind === 'array' && hasAtomic(type.of))
  || (type.kind === 'struct' && ofStruct(atomicStructs, type, () => type.members.some((m) => hasAtomic(m.type))))

/** How many scalars a fixed-size value has; a cheap measure of what lives in locals. */
export function leafCount(type: Type, count: (c: CountExpression) => number = unresolved): number {
  if (type.kind === 'array') {
    return (typeof type.count === 'object' && type.count ? count(type.count) : type.count ?? 1)
      * leafCount(type.of, count)
  }
  if (type.kind === 'struct') return type.members.reduce((sum, m) => sum + leafCount(m.type, count), 0)
  return type.kind === 'mat' ? type.columns : 1
}

/**
 * Cost of `from` becoming `to` without being asked: 0 the same, 1.. an abstract number that takes a type, Infinity if
 * it cannot. The ranks are WGSL's: int to float is dearer than int to i32, float to f16 dearer than float to f32.
 */
export function conversionRank(from: Type, to: Type): number {
  if (from === to) return 0
  if (from.kind === 'vec' && to.kind === 'vec') return from.size === to.size ? conversionRank(from.of, to.of) : Infinity
  if (from.kind === 'mat' && to.kind === 'mat') {
    return from.columns === to.columns && from.rows === to.rows
      ? conversionRank(from.of, to.of)
      : Infinity
  }
  if (from.kind === 'array' && to.kind === 'array') {
    return from.count === to.count
      ? conversionRank(from.of, to.of)
      : Infinity
  }
  if (from === abstractFloat) return to === f32 ? 1 : to === f16 ? 2 : Infinity
  if (from === abstractInt) {
    return to === i32
      ? 3
      : to === u32
      ? 4
      : to === abstractFloat
      ? 5
      : to === f32
      ? 6
      : to === f16
      ? 7
      : Infinity
  }
  return Infinity
}

/** What an abstract type becomes when nothing else decides: i32 and f32. */
export function concrete(type: Type): Type {
  const scalar = elementScalar(type)
  return scalar === abstractInt ? withScalar(type, i32) : scalar === abstractFloat ? withScalar(type, f32) : type
}

// The builtin functions of WGSL that compute kernels can use, and which argument types each takes.
import { abstractFloat, abstractInt, bool, concrete, conversionRank, f32, i32, isBool, isFloat, isInteger, isNumeric,
  mat, typeName, u32, vec, voidType, withScalar } from './types.ts'
import type { Scalar, Struct, Type } from './types.ts'

/** How a call is typed: what its arguments become and what it gives. */
export interface Signature {
  params: Type[]
  result: Type
}
type Match = (args: Type[]) => Signature | null
/**
 * `takes` is what error messages say; `effects` marks builtins that write or wait; `pointers`: the first argument is a
 * pointer.
 */
export interface Builtin {
  match: Match
  takes: string
  effects: boolean
  pointer: boolean
  mustUse: boolean
}

/** The one type all of them convert to, or null. */
export function commonType(types: Type[]): Type | null {
  let best: Type | null = null, bestRank = Infinity
  for (
    const to of types.some((t) => t === abstractInt) && types.some((t) => t === abstractFloat)
      ? [...types, abstractFloat]
      : types
  ) {
    const rank = types.reduce((sum, from) => sum + conversionRank(from, to), 0)
    if (rank < bestRank) {
      best = to
      bestRank = rank
    }
  }
  return best
}
const asFloat = (type: Type): Type => isFloat(type) ? type : withScalar(type, abstractFloat)
const isAbstractInt = (type: Type) => type === abstractInt || (type.kind === 'vec' && type.of === abstractInt)

/** All arguments of one type that `accepts`; abstract integers turn to floats where only floats will do. */
const same =
  (count: number, accepts: (t: Type) => boolean, result: (t: Type) => Type | null = (t) => t): Match => (args) => {
    if (args.length !== count) return null
    let type = commonType(args)
    if (!type) return null
    if (!accepts(type) && isAbstractInt(type)) type = asFloat(type)
    const gives = accepts(type) ? result(type) : null
    return gives ? { params: args.map(() => type), result: gives } : null
  }
const fixed = (params: Type[], result: Type): Match => (args) =>
  args.length === params.length && args.every((a, i) => conversionRank(a, params[i]) < Infinity)
    ? { params, result }
    : null
const isFloatVec = (t: Type) => t.kind === 'vec' && isFloat(t)
const scalarOf = (t: Type): Type => t.kind === 'vec' ? t.of : t
const concreteInt = (t: Type) => isInteger(t)
const withConcrete = (match: Match): Match => (args) => match(args.map(concrete))

const structs = new Map<string, Struct>()
/** The struct types that only builtins return, such as that of frexp. */
function resultStruct(name: string, members: [string, Type][]): Struct {
  const key = `${name}_${members.map(([, t]) => typeName(t)).join('_')}`
  let found = structs.get(key)
  if (!found) {
    found = {
      kind: 'struct',
      name: `__${name}_result`,
      size: 16 * members.length,
      align: 16,
      arrays: new Map(),
      members: members.map(([name, type], i) => ({ name, type, offset: 16 * i, size: 16, align: 16 })),
    }
    structs.set(key, found)
  }
  return found
}
/** Result of atomicCompareExchangeWeak. */
export const exchangeResult = (of: Scalar): Struct =>
  resultStruct('atomic_compare_exchange', [['old_value', of], ['exchanged', bool]])

const atomicOp = (extra: number, result: (of: Scalar) => Type): Match => (args) => {
  const [p, ...rest] = args
  if (p?.kind !== 'pointer' || p.to.kind !== 'atomic' || rest.length !== extra) return null
  const of = p.to.of
  return rest.every((a) => conversionRank(a, of) < Infinity)
    ? { params: [p, ...rest.map(() => of)], result: result(of) }
    : null
}
const mixSignature: Match = (args) => {
  const whole = same(3, isFloat)(args)
  if (whole || args.length !== 3 || args[0].kind !== 'vec') return whole
  const pair = same(2, isFloatVec)(args.slice(0, 2)) // vectors with one scalar weight
  if (!pair || pair.result.kind !== 'vec') return null
  const of = commonType([pair.result.of, args[2]])
  if (of?.kind !== 'scalar' || !isFloat(of)) return null
  const type = vec(pair.result.size, of)
  return { params: [type, type, of], result: type }
}
const selectSignature: Match = (args) => {
  if (args.length !== 3) return null
  const type = commonType(args.slice(0, 2))
  if (!type || (type.kind !== 'scalar' && type.kind !== 'vec')) return null
  return args[2] === bool
      || (args[2].kind === 'vec' && args[2].of === bool && type.kind === 'vec' && args[2].size === type.size)
    ? { params: [type, type, args[2]], result: type }
    : null
}
const ldexpSignature: Match = (args) => {
  if (args.length !== 2) return null
  const type = concrete(asFloat(args[0])), power = concrete(args[1])
  return isFloat(type) && (power === i32 || (power.kind === 'vec' && power.of === i32))
      && conversionRank(args[0], type) < Infinity
      && (type.kind === 'vec' ? type.size : 1) === (power.kind === 'vec' ? power.size : 1)
    ? { params: [type, power], result: type }
    : null
}
const bitsSignature = (values: number): Match => (args) => {
  const main = same(values, concreteInt)(args.slice(0, values).map(concrete))
  return main && args.length === values + 2 && args.slice(values).every((a) => conversionRank(a, u32) < Infinity)
    ? { params: [...main.params, u32, u32], result: main.result }
    : null
}
const refractSignature: Match = (args) => {
  const main = same(2, isFloatVec)(args.slice(0, 2).map(concrete))
  const of = main && scalarOf(main.result)
  return main && of && args.length === 3 && conversionRank(args[2], of) < Infinity
    ? { params: [...main.params, of], result: main.result }
    : null
}

/** All builtin functions by name. */
export const builtins = new Map<string, Builtin>()
const add = (names: string, takes: string, match: Match, more: Partial<Builtin> = {}) => {
  for (const name of names.split(' ')) {
    builtins.set(name, { match, takes, effects: false, pointer: false, mustUse: true, ...more })
  }
}
const floats = 'floats or vectors of floats'
add(
  'acos acosh asin asinh atan atanh ceil cos cosh degrees exp exp2 floor fract inverseSqrt log log2 '
    + 'radians round saturate sin sinh sqrt tan tanh trunc',
  floats,
  same(1, isFloat),
)
add('atan2 pow step', floats, same(2, isFloat))
add('fma smoothstep', floats, same(3, isFloat))
add('abs', 'numbers or vectors of numbers', same(1, isNumeric))
add('sign', 'signed numbers or vectors of them', same(1, (t) => isNumeric(t) && scalarOf(t) !== u32))
add('min max', 'numbers or vectors of numbers', same(2, isNumeric))
add('clamp', 'numbers or vectors of numbers', same(3, isNumeric))
add('mix', floats, mixSignature)
add('quantizeToF16', 'f32 or a vector of f32', withConcrete(same(1, (t) => scalarOf(t) === f32)))
add(
  'countLeadingZeros countOneBits countTrailingZeros firstLeadingBit firstTrailingBit reverseBits',
  'integers or vectors of integers',
  withConcrete(same(1, concreteInt)),
)
add('extractBits', 'an integer (or vector), offset: u32, count: u32', bitsSignature(1))
add('insertBits', 'two integers (or vectors), offset: u32, count: u32', bitsSignature(2))
add('dot', 'two vectors of numbers', same(2, (t) => t.kind === 'vec' && isNumeric(t), scalarOf))
add('cross', 'two vec3 of floats', same(2, (t) => isFloatVec(t) && t.kind === 'vec' && t.size === 3))
add('distance', 'two floats or vectors of floats', same(2, isFloat, scalarOf))
add('length', 'a float or vector of floats', same(1, isFloat, scalarOf))
add('normalize', 'a vector of floats', same(1, isFloatVec))
add('reflect', 'two vectors of floats', same(2, isFloatVec))
add('faceForward', 'three vectors of floats', same(3, isFloatVec))
add('refract', 'two vectors of floats and a float', refractSignature)
add('ldexp', 'floats and i32 of the same shape', ldexpSignature)
add(
  'frexp',
  floats,
  withConcrete(same(1, isFloat, (t) => resultStruct('frexp', [['fract', t], ['exp', withScalar(t, i32)]]))),
)
add('modf', floats, withConcrete(same(1, isFloat, (t) => resultStruct('modf', [['fract', t], ['whole', t]]))))
add('all any', 'a bool or vector of bool', same(1, isBool, () => bool))
add('select', 'two values of one type and a condition', selectSignature)
add('transpose', 'a matrix', (args) =>
  args.length === 1 && args[0].kind === 'mat'
    ? { params: [concrete(args[0])], result: mat(args[0].rows, args[0].columns, concrete(args[0].of) as Scalar) }
    : null)
add(
  'determinant',
  'a square matrix',
  (args) =>
    args.length === 1 && args[0].kind === 'mat' && args[0].rows === args[0].columns
      ? { params: [concrete(args[0])], result: concrete(args[0].of) }
      : null,
)
add('dot4U8Packed', 'two u32', fixed([u32, u32], u32))
add('dot4I8Packed', 'two u32', fixed([u32, u32], i32))
add('pack4x8snorm pack4x8unorm', 'vec4f', fixed([vec(4, f32)], u32))
add('pack4xI8 pack4xI8Clamp', 'vec4i', fixed([vec(4, i32)], u32))
add('pack4xU8 pack4xU8Clamp', 'vec4u', fixed([vec(4, u32)], u32))
add('pack2x16snorm pack2x16unorm pack2x16float', 'vec2f', fixed([vec(2, f32)], u32))
add('unpack4x8snorm unpack4x8unorm', 'u32', fixed([u32], vec(4, f32)))
add('unpack4xI8', 'u32', fixed([u32], vec(4, i32)))
add('unpack4xU8', 'u32', fixed([u32], vec(4, u32)))
add('unpack2x16snorm unpack2x16unorm unpack2x16float', 'u32', fixed([u32], vec(2, f32)))
add(
  'arrayLength',
  'a pointer to a runtime-sized array in storage',
  (args) =>
    args.length === 1 && args[0].kind === 'pointer'
      && args[0].to.kind === 'array' && args[0].to.count === null
      ? { params: args, result: u32 }
      : null,
  { pointer: true },
)
add('workgroupBarrier storageBarrier', 'nothing', fixed([], voidType), { effects: true, mustUse: false })
add(
  'workgroupUniformLoad',
  'a pointer to workgroup memory',
  (args) =>
    args.length === 1 && args[0].kind === 'pointer' && args[0].space === 'workgroup'
      ? { params: args, result: args[0].to.kind === 'atomic' ? args[0].to.of : args[0].to }
      : null,
  { effects: true, pointer: true },
)
const atomicTraits = { effects: true, pointer: true, mustUse: false }
add('atomicLoad', 'a pointer to an atomic', atomicOp(0, (of) => of), atomicTraits)
add('atomicStore', 'a pointer to an atomic and its value', atomicOp(1, () => voidType), atomicTraits)
add(
  'atomicAdd atomicSub atomicMax atomicMin atomicAnd atomicOr atomicXor atomicExchange',
  'a pointer to an atomic and a value',
  atomicOp(1, (of) => of),
  atomicTraits,
)
add('atomicCompareExchangeWeak', 'a pointer to an atomic and two values', atomicOp(2, exchangeResult), atomicTraits)

/** Builtins that exist in WGSL but have no meaning, or no implementation, here. */
export const unsupported = /^(texture[A-Z]\w*|dpdx\w*|dpdy\w*|fwidth\w*|subgroup\w+|quad\w+|inputAttachmentLoad)$/

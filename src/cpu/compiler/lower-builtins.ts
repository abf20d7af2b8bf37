// Lowering of WGSL's builtin functions.
import { roundHalf } from './half.ts'
import { build, extract, op, shuffle } from './instructions.ts'
import { f32, get, i32, newLocal, vector } from './ir.ts'
import type { Expr } from './ir.ts'
import { failAt } from './lexer.ts'
import { lowerAtomic } from './lower-atomics.ts'
import { leaf, lowerAll, lowerPointer } from './lower-expr.ts'
import { dot } from './lower-operators.ts'
import { emit, temp } from './lower.ts'
import type { State } from './lower.ts'
import { bitBuiltin } from './lower-bits.ts'
import { atan2, pow, unaryMath } from './math.ts'
import { loadPlace } from './access.ts'
import { runtimeCount } from './bounds.ts'
import type { Val } from './place.ts'
import { shape } from './shape.ts'
import type { CallExpr } from './tree.ts'
import { alignOf, elementScalar, f16, f32 as float, i32 as int, isFloat, isInteger, roundUp, sizeOf,
  u32 } from './types.ts'
import type { Type } from './types.ts'

/** Lowers a call of a builtin to its value. */
export function lowerBuiltin(state: State, e: CallExpr, name: string): Val {
  switch (name) {
    case 'workgroupBarrier':
    case 'storageBarrier':
      emit(state, { op: 'barrier', line: e.line, column: e.column, what: name })
      return i32(0)
    case 'workgroupUniformLoad':
      return uniformLoad(state, e)
    case 'arrayLength': {
      const place = lowerPointer(state, e.args[0])
      if (place.kind !== 'memory' || place.type.kind !== 'array') {
        throw failAt(e, 'arrayLength needs an array in storage')
      }
      return runtimeCount(state, place, roundUp(sizeOf(place.type.of), alignOf(place.type.of))).count
    }
  }
  if (name.startsWith('atomic')) return lowerAtomic(state, e, name)
  const args = lowerAll(state, e.args)
  const half = elementScalar(e.type) === f16
  const result = compute(state, e, name, args)
  if (!half || ['min', 'max', 'clamp', 'abs', 'select', 'sign', 'ceil', 'floor', 'trunc', 'round'].includes(name)) {
    return result
  }
  const round = (v: Val): Val =>
    v.op === 'parts'
      ? { op: 'parts', parts: v.parts.map(round) }
      : v.type === 'i32'
      ? v
      : roundHalf(v, (x) => temp(state, x))
  return round(result)
}

/** A barrier, a load that is the same for all, a barrier. */
function uniformLoad(state: State, e: CallExpr): Val {
  const place = lowerPointer(state, e.args[0])
  emit(state, { op: 'barrier', line: e.line, column: e.column, what: 'workgroupUniformLoad' })
  const uniform = (x: Expr): Expr => x.op === 'load' ? { ...x, uniform: true, into: x.into && uniform(x.into) } : x
  const target = place.type.kind === 'atomic' && place.kind === 'memory' ? { ...place, type: place.type.of } : place
  const value = loadPlace(state, target, e)
  const settle = (v: Val): Val => {
    if (v.op === 'parts') return { op: 'parts', parts: v.parts.map(settle) }
    const local = newLocal('uniformLoad', v.type, false)
    local.def = uniform(v)
    emit(state, { op: 'set', local, value: local.def })
    return get(local)
  }
  const settled = settle(value)
  emit(state, { op: 'barrier', line: e.line, column: e.column, what: 'workgroupUniformLoad' })
  return settled
}

function compute(state: State, e: CallExpr, name: string, args: Val[]): Val {
  const keep = (x: Expr) => temp(state, x), type = e.type
  const list = args.map((a) => a.op === 'parts' ? i32(0) : a)
  const [a, b, c] = list
  const floats = isFloat(e.args[0]?.type ?? type)
  if (floats && name in unaryMath) return unaryMath[name](a, keep, shape(a))
  const bits = bitBuiltin(state, e, name, list)
  if (bits) return bits
  const s = a && shape(a)
  switch (name) {
    case 'pow':
      return pow(a, b, keep)
    case 'atan2':
      return atan2(a, b, keep)
    case 'fma':
      return s.add(s.mul(a, b), c)
    case 'step': {
      const one = s.choose(s.float(1), s.float(0), s.f('le', a, b))
      return one
    }
    case 'mix': {
      const t = keep(c.type === a.type ? c : op('f32x4.splat', c))
      return s.add(s.mul(a, s.sub(s.float(1), t)), s.mul(b, t))
    }
    case 'smoothstep': {
      const low = keep(a), t = keep(unaryMath.saturate(s.div(s.sub(c, low), s.sub(b, low)), keep, s))
      return s.mul(s.mul(t, t), s.sub(s.float(3), s.mul(s.float(2), t)))
    }
    case 'min':
    case 'max':
      return extreme(state, name, type, a, b)
    case 'clamp':
      return extreme(state, 'min', type, extreme(state, 'max', type, a, b), c)
    case 'abs':
      return !isInteger(type)
        ? s.f('abs', a)
        : elementScalar(type) === u32
        ? a
        : s.wide
        ? op('i32x4.abs', a)
        : absolute(keep(a))
    case 'sign': { // of integers: floats are in unaryMath
      const x = keep(a)
      const above = s.i('gt_s', x, s.int(0)), below = s.i('lt_s', x, s.int(0))
      return s.wide ? op('i32x4.sub', below, above) : op('i32.sub', above, below)
    }
    case 'select':
      return s.wide && c.type === 'v128' ? op('v128.bitselect', b, a, c) : op('select', b, a, c)
    case 'all':
    case 'any': {
      if (!s.wide) return a
      const size = (e.args[0].type as { size: number }).size, mask = (1 << size) - 1
      const set = op('i32.and', op('i32x4.bitmask', a), i32(mask))
      return name === 'any' ? op('i32.ne', set, i32(0)) : op('i32.eq', set, i32(mask))
    }
    case 'ldexp':
      return ldexp(a, b, keep)
    case 'frexp':
      return frexp(state, a)
    case 'modf': {
      const x = keep(a), whole = keep(s.f('trunc', x))
      return { op: 'parts', parts: [keep(s.sub(x, whole)), whole] }
    }
    case 'quantizeToF16':
      return roundHalf(a, keep)
    case 'transpose':
    case 'determinant':
      return matrix(state, e, name, args[0])
  }
  const size = sizeOfVector(e.args[0].type)
  switch (name) {
    case 'dot':
      return isInteger(type) ? integerDot(state, a, b, size) : dot(state, a, b, size)
    case 'length': {
      const x = keep(a)
      return size === 1 ? op('f32.abs', x) : op('f32.sqrt', dot(state, x, x, size))
    }
    case 'distance': {
      const d = keep(s.sub(a, b))
      return size === 1 ? op('f32.abs', d) : op('f32.sqrt', dot(state, d, d, size))
    }
    case 'normalize': {
      const x = keep(a)
      return op('f32x4.div', x, op('f32x4.splat', op('f32.sqrt', dot(state, x, x, size))))
    }
    case 'cross': {
      const x = keep(a), y = keep(b), turn = (v: Expr, lanes: number[]) => shuffle(v, v, lanes)
      return op(
        'f32x4.sub',
        op('f32x4.mul', turn(x, [1, 2, 0, 3]), turn(y, [2, 0, 1, 3])),
        op('f32x4.mul', turn(x, [2, 0, 1, 3]), turn(y, [1, 2, 0, 3])),
      )
    }
    case 'reflect': {
      const x = keep(a), n = keep(b)
      return op('f32x4.sub', x, op('f32x4.mul', op('f32x4.splat', op('f32.mul', f32(2), dot(state, n, x, size))), n))
    }
    case 'faceForward': {
      const n = keep(a)
      return op('select', n, op('f32x4.neg', n), op('f32.lt', dot(state, b, c, size), f32(0)))
    }
    case 'refract': {
      const x = keep(a)
      const n = keep(b)
      const eta = keep(c)
      const d = keep(dot(state, n, x, size))
      const k = keep(
        op('f32.sub', f32(1), op('f32.mul', op('f32.mul', eta, eta), op('f32.sub', f32(1), op('f32.mul', d, d)))),
      )
      const along = op('f32.add', op('f32.mul', eta, d), op('f32.sqrt', k))
      const bent = op(
        'f32x4.sub',
        op('f32x4.mul', op('f32x4.splat', eta), x),
        op('f32x4.mul', op('f32x4.splat', along), n),
      )
      return op('select', vector([0, 0, 0, 0]), bent, op('f32.lt', k, f32(0)))
    }
  }
  throw failAt(e, `${name} is not supported on the embedded device`)
}
const sizeOfVector = (type: Type) => type.kind === 'vec' ? type.size : 1
const absolute = (x: Expr): Expr => op('select', op('i32.sub', i32(0), x), x, op('i32.lt_s', x, i32(0)))

/** min and max; floats give the first operand if one is NaN, which keeps a NaN of the first. */
function extreme(state: State, name: 'min' | 'max', type: Type, a: Expr, b: Expr): Expr {
  const scalar = elementScalar(type)!
  if (scalar === float || scalar === f16) {
    const s = shape(a)
    const x = s.wide ? a : temp(state, a)
    const y = s.wide ? b : temp(state, b)
    return s[name](x, y)
  }
  return op(`${type.kind === 'vec' ? 'i32x4' : 'i32'}.${name}_${scalar === int ? 's' : 'u'}`, a, b)
}

function integerDot(state: State, a: Expr, b: Expr, size: number): Expr {
  const product = temp(state, op('i32x4.mul', a, b))
  return Array.from({ length: size }, (_, i) => extract('i32', product, i)).reduce((sum, x) => op('i32.add', sum, x))
}

/** x 2^n in two steps, so that n may be as large as 255. */
function ldexp(x: Expr, n: Expr, keep: (e: Expr) => Expr): Expr {
  const s = shape(x)
  const clamped = keep(s.i('min_s', s.i('max_s', n, s.int(-280)), s.int(254)))
  // three factors because -280 needs more than two normal powers
  const third = keep(s.i('max_s', s.sar(clamped, 1), s.int(-126))), rest = keep(s.i('sub', clamped, third))
  const second = keep(s.i('max_s', rest, s.int(-126)))
  const power = (e: Expr) => s.asFloat(s.shl(s.i('add', e, s.int(127)), 23))
  const last = keep(s.i('sub', rest, second))
  return s.mul(s.mul(s.mul(x, power(third)), power(second)), power(last))
}

function frexp(state: State, value: Expr): Val {
  const s = shape(value), keep = (e: Expr) => temp(state, e), x = keep(value)
  const tiny = keep(s.f('lt', s.f('abs', x), s.float(2 ** -126)))
  const scaled = keep(s.choose(s.mul(x, s.float(2 ** 24)), x, tiny)), bits = keep(s.asInt(scaled))
  const raw = s.and(s.shr(bits, 23), s.int(255))
  const exponent = s.i('sub', s.i('sub', raw, s.int(126)), s.choose(s.int(24), s.int(0), tiny))
  const fraction = s.asFloat(s.or(s.and(bits, s.int(0x807fffff)), s.int(0x3f000000)))
  const special = keep(s.or(s.f('eq', x, s.float(0)), s.not(s.f('lt', s.f('abs', x), s.float(Infinity)))))
  return { op: 'parts', parts: [keep(s.choose(x, fraction, special)), keep(s.choose(s.int(0), exponent, special))] }
}

function matrix(state: State, e: CallExpr, name: string, value: Val): Val {
  const type = e.args[0].type as Extract<Type, { kind: 'mat' }>
  const columns = (value as { parts: Val[] }).parts.map((p) => temp(state, leaf(p)))
  const at = (column: number, row: number) => extract('f32', columns[column], row)
  if (name === 'transpose') {
    return {
      op: 'parts',
      parts: Array.from(
        { length: type.rows },
        (_, r) => build(Array.from({ length: type.columns }, (_, c) => at(c, r))),
      ),
    }
  }
  const expand = (rows: number[], column: number): Expr =>
    rows.length === 1
      ? at(column, rows[0])
      : rows.map((r, i) =>
        op(
          'f32.mul',
          i % 2 ? op('f32.neg', at(column, r)) : at(column, r),
          expand(rows.filter((x) => x !== r), column + 1),
        )
      )
        .reduce((sum, term) => op('f32.add', sum, term))
  return expand(Array.from({ length: type.rows }, (_, i) => i), 0)
}

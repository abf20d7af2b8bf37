// Operators of const-expressions, with the errors WGSL demands (overflow, NaN, division by zero).
import { abstractInt, bool, i32, u32 } from './types.ts'
import type { Scalar, Type } from './types.ts'
import { componentwise, ConstError, makeScalar } from './values.ts'
import type { Value } from './values.ts'

/** -x, !x, ~x. */
export function unaryValue(op: string, value: Value): Value {
  return componentwise(value.type, [value], (x) => {
    const type = x.type as Scalar
    if (op === '!') return { type, scalar: !x.scalar }
    if (type === abstractInt) return makeScalar(type, op === '-' ? -(x.scalar as bigint) : ~(x.scalar as bigint))
    const number = x.scalar as number
    if (op === '~') return { type, scalar: type === i32 ? ~number : ~number >>> 0 }
    return { type, scalar: type === i32 ? -number | 0 : -number }
  })
}

const comparisons: Record<string, (a: number | bigint | boolean, b: number | bigint | boolean) => boolean> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
}

/**
 * Binary operators on operands of one (converted) type, component by component; matrix products are not constant here.
 */
export function binaryValue(op: string, left: Value, right: Value, type: Type): Value {
  return componentwise(type, [left, right], (a, b) => scalarBinary(op, a, b))
}

/** A binary operator on two scalars of one type. */
export function scalarBinary(op: string, left: Value, right: Value): Value {
  const type = left.type as Scalar, a = left.scalar!, b = right.scalar!
  if (op in comparisons) return { type: bool, scalar: comparisons[op](a, b) }
  if (typeof a === 'boolean') return { type, scalar: op === '&' || op === '&&' ? a && Boolean(b) : a || Boolean(b) }
  if (op === '<<' || op === '>>') return shiftValue(op, left, Number(b))
  if (typeof a === 'bigint') {
    const c = b as bigint
    if ((op === '/' || op === '%') && c === 0n) throw new ConstError(`${a} ${op} 0: integer division by zero`)
    const result = op === '+' ? a + c : op === '-' ? a - c : op === '*' ? a * c : op === '/' ? a / c : op === '%'
      ? a % c
      : op === '&'
      ? a & c
      : op === '|'
      ? a | c
      : a ^ c
    return makeScalar(type, result)
  }
  const x = a, y = b as number
  if (type === i32 || type === u32) {
    if ((op === '/' || op === '%') && y === 0) throw new ConstError(`${x} ${op} 0: integer division by zero`)
    const wrap = (value: number): Value => ({ type, scalar: type === i32 ? value | 0 : value >>> 0 })
    if (op === '*') return wrap(Math.imul(x, y)) // integers of a concrete type wrap around even here
    if (op === '+' || op === '-') return wrap(op === '+' ? x + y : x - y)
    const bits = op === '&' ? x & y : op === '|' ? x | y : x ^ y
    const result = op === '/' ? Math.trunc(x / y) : op === '%' ? x % y : type === u32 ? bits >>> 0 : bits
    return makeScalar(type, result)
  }
  if (op === '%' && y === 0) throw new ConstError('remainder by zero is NaN')
  if (op === '/' && y === 0) throw new ConstError('division by zero is not finite')
  return makeScalar(type, op === '+' ? x + y : op === '-' ? x - y : op === '*' ? x * y : op === '/' ? x / y : x % y)
}

function shiftValue(op: string, left: Value, by: number): Value {
  const type = left.type as Scalar
  if (type === abstractInt) {
    const x = left.scalar as bigint
    if (op === '>>') return makeScalar(type, by > 63 ? (x < 0n ? -1n : 0n) : x >> BigInt(by))
    if (by > 63) throw new ConstError(`shift by ${by} leaves nothing of an abstract integer`)
    return makeScalar(type, x << BigInt(by))
  }
  if (by >= 32) throw new ConstError(`shift by ${by}: must be less than 32`)
  const x = left.scalar as number
  if (op === '>>') return { type, scalar: type === i32 ? x >> by : x >>> by }
  const shifted = BigInt(x) << BigInt(by)
  if (type === u32 && shifted !== BigInt.asUintN(32, shifted)) {
    throw new ConstError(`${x} << ${by} shifts out bits of a u32`)
  }
  if (type === i32 && shifted !== BigInt.asIntN(32, shifted)) throw new ConstError(`${x} << ${by} overflows i32`)
  return makeScalar(type, shifted)
}

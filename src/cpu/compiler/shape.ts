// Arithmetic that is written once and works on a scalar and on four lanes alike.
import { op } from './instructions.ts'
import { f32, i32, vector } from './ir.ts'
import type { Expr } from './ir.ts'
import { f32Bits } from './values.ts'

/** Instruction makers for the shape (one value or four) of an operand. Conditions are 0/1 or lane masks. */
export function shape(of: Expr) {
  const wide = of.type === 'v128'
  const f = (name: string, ...args: Expr[]) => op(`${wide ? 'f32x4' : 'f32'}.${name}`, ...args)
  const float = (value: number): Expr => wide ? vector(Array<number>(4).fill(f32Bits(value))) : f32(value)
  const choose = (a: Expr, b: Expr, cond: Expr) => wide ? op('v128.bitselect', a, b, cond) : op('select', a, b, cond)
  return {
    wide,
    f,
    float,
    choose,
    i: (name: string, ...args: Expr[]) => op(`${wide ? 'i32x4' : 'i32'}.${name}`, ...args),
    and: (a: Expr, b: Expr) => op(wide ? 'v128.and' : 'i32.and', a, b),
    or: (a: Expr, b: Expr) => op(wide ? 'v128.or' : 'i32.or', a, b),
    xor: (a: Expr, b: Expr) => op(wide ? 'v128.xor' : 'i32.xor', a, b),
    not: (a: Expr) => wide ? op('v128.not', a) : op('i32.eqz', a),
    int: (value: number): Expr => wide ? vector(Array<number>(4).fill(value | 0)) : i32(value),
    shl: (a: Expr, by: number) => op(wide ? 'i32x4.shl' : 'i32.shl', a, i32(by)),
    shr: (a: Expr, by: number) => op(wide ? 'i32x4.shr_u' : 'i32.shr_u', a, i32(by)),
    sar: (a: Expr, by: number) => op(wide ? 'i32x4.shr_s' : 'i32.shr_s', a, i32(by)),
    asFloat: (a: Expr) => wide ? a : op('f32.reinterpret_i32', a),
    asInt: (a: Expr) => wide ? a : op('i32.reinterpret_f32', a),
    add: (a: Expr, b: Expr) => f('add', a, b),
    sub: (a: Expr, b: Expr) => f('sub', a, b),
    mul: (a: Expr, b: Expr) => f('mul', a, b),
    div: (a: Expr, b: Expr) => f('div', a, b),
    toFloat: (a: Expr) => op(wide ? 'f32x4.convert_i32x4_s' : 'f32.convert_i32_s', a),
    toInt: (a: Expr) => op(wide ? 'i32x4.trunc_sat_f32x4_s' : 'i32.trunc_sat_f32_s', a),
    /** The smaller, the larger; a if either is NaN. `a` and `b` may be evaluated twice for scalars. */
    min: (a: Expr, b: Expr) => wide ? op('f32x4.pmin', a, b) : op('select', b, a, op('f32.lt', b, a)),
    max: (a: Expr, b: Expr) => wide ? op('f32x4.pmax', a, b) : op('select', b, a, op('f32.lt', a, b)),
    /** c[0] + x (c[1] + x (...)). */
    poly: (x: Expr, c: readonly number[]) =>
      c.slice(0, -1).reduceRight<Expr>((sum, k) => f('add', f('mul', sum, x), float(k)), float(c.at(-1)!)),
  }
}
/** The instructions for one shape of value: a scalar or a vector of four. */
export type Shape = ReturnType<typeof shape>

// Values of overrides, and what they decide: array lengths, sizes in bytes.
import { WgslError } from '../abi.ts'
import { failAt } from './lexer.ts'
import type { Span } from './lexer.ts'
import type { Stmt } from './ir.ts'
import { lowerExpr, leaf } from './lower-expr.ts'
import { Budget } from './limits.ts'
import { walk } from './tree.ts'
import type { Expr as Ast, Program, VarDecl } from './tree.ts'
import { bool, f16 as half, f32 as float, sizeOf, u32 } from './types.ts'
import type { Type } from './types.ts'
import { castScalar, makeScalar } from './values.ts'
import type { Value } from './values.ts'
import type { State } from './lower.ts'

/**
 * Values of all overrides: those given, else their defaults. Throws WgslError for names that do not exist or have no
 * value.
 */
export function fixOverrides(program: Program, given: Record<string, number>): Map<VarDecl, Value> {
  const values = new Map<VarDecl, Value>(), used = new Set<string>()
  const state = {
    program,
    constants: values,
    env: new Map(),
    out: [] as Stmt[],
    refining: 0,
    budget: new Budget('an override'),
  } as unknown as State
  const overrides = program.decls.filter((d): d is VarDecl => d.kind === 'override')
  const settle = (decl: VarDecl) => {
    if (values.has(decl)) return
    const key = overrideKey(decl)
    if (key in given) {
      used.add(key)
      const number = given[key]
      if (!Number.isFinite(number)) throw failAt(decl, `override '${decl.name}': ${number} is not a finite number`)
      try {
        values.set(
          decl,
          decl.type === bool
            ? { type: bool, scalar: number !== 0 && !Number.isNaN(number) }
            : decl.type === float || decl.type === half
            ? makeScalar(decl.type, number)
            : castScalar(makeScalar(decl.type as typeof u32, Math.trunc(number)), decl.type as typeof u32),
        )
      } catch {
        throw failAt(decl, `override '${decl.name}': ${number} does not fit its type`)
      }
      return
    }
    if (!decl.init) {
      throw failAt(
        decl,
        `override '${decl.name}' has no default and was given no value: pass constants: { ${key}: ... }`,
      )
    }
    for (const other of overrides) if (other !== decl && mentions(decl.init, other)) settle(other)
    values.set(decl, decl.init.value ?? foldedValue(state, decl.init))
  }
  for (const decl of overrides) {
    const key = overrideKey(decl)
    if (key in given) settle(decl)
  }
  for (const key of Object.keys(given)) {
    if (!used.has(key)) {
      throw new WgslError(
        `there is no override '${key}' in this shader; it has ${
          overrides.map((d) => d.id ?? d.name).join(', ') || 'none'
        }`,
        1,
        1,
        0,
      )
    }
  }
  for (const decl of overrides) if (decl.init || overrideKey(decl) in given) settle(decl)
  return values
}
/** The name by which a pipeline gives an override its value: its id where it has one. */
export const overrideKey = (decl: VarDecl): string => decl.id !== null ? String(decl.id) : decl.name
function mentions(expr: Ast, decl: VarDecl): boolean {
  let found = false
  walk(expr, (node) => {
    if (node.kind === 'name' && node.decl === decl) found = true
  })
  return found
}
/** An override-expression as a value. */
function foldedValue(state: State, expr: Ast): Value {
  const folded = leaf(lowerExpr(state, expr))
  if (folded.op !== 'const') throw failAt(expr, 'this override expression cannot be evaluated on the embedded device')
  const type = expr.type
  return type === bool
    ? { type, scalar: folded.value !== 0 }
    : { type, scalar: type === u32 ? folded.value >>> 0 : folded.value }
}

/** An integer that overrides decide, such as an array length. */
export function fixedInteger(state: State, expr: object, span?: Span): number {
  if ('kind' in expr && expr.kind === 'override') {
    const decl = expr as VarDecl, value = state.constants.get(decl)
    if (!value) {
      throw failAt(
        span ?? decl,
        `override '${decl.name}' has no default and was given no value: pass constants: { ${overrideKey(decl)}: ... }`,
      )
    }
    return Number(value.scalar)
  }
  const ast = expr as Ast
  return Number(foldedValue(state, ast).scalar)
}
/** Length of an array whose type is fixed or decided by overrides. */
export function arrayCount(state: State, type: Extract<Type, { kind: 'array' }>, span?: Span): number {
  if (typeof type.count === 'number') return type.count
  const count = fixedInteger(state, type.count!.expr, span)
  if (count < 1) {
    throw new WgslError(
      `array length ${type.count!.text} is ${count}: must be at least 1`,
      span?.line ?? 1,
      span?.column ?? 1,
      span?.length ?? 0,
    )
  }
  return count
}
/** Size in bytes with overrides fixed. */
export const bytesOf = (state: State, type: Type): number =>
  sizeOf(type, (c) => arrayCount(state, { kind: 'array', of: type, count: c, arrays: new Map() }))

// Atomics. A workgroup runs on one thread, so workgroup atomics are plain loads and stores; those on storage are WASM
// atomics.
import { op } from './instructions.ts'
import { get, i32, newLocal } from './ir.ts'
import type { Expr } from './ir.ts'
import { failAt } from './lexer.ts'
import { leaf, lowerAll, lowerPointer } from './lower-expr.ts'
import { emit, temp } from './lower.ts'
import type { State } from './lower.ts'
import { freeze } from './place.ts'
import type { Val } from './place.ts'
import type { CallExpr } from './tree.ts'
import { elementScalar, i32 as int } from './types.ts'

const machine: Record<string, string> = {
  atomicAdd: 'add',
  atomicSub: 'sub',
  atomicAnd: 'and',
  atomicOr: 'or',
  atomicXor: 'xor',
  atomicExchange: 'xchg',
}

/** Lowers an atomic builtin; gives what was in memory before. */
export function lowerAtomic(state: State, e: CallExpr, name: string): Val {
  const place = freeze(state, lowerPointer(state, e.args[0]))
  if (place.kind !== 'memory' || place.type.kind !== 'atomic') throw failAt(e, `${name} needs a pointer to an atomic`)
  const { addr, offset, space } = place
  const operands = lowerAll(state, e.args.slice(1)).map((v) => temp(state, leaf(v)))
  const [value, replacement] = operands
  const signed = elementScalar(place.type) === int ? 's' : 'u'
  const atomic = (instruction: string, args: Expr[], result = true): Expr => {
    const old = result ? newLocal('old', 'i32', false) : null
    emit(state, { op: 'atomic', local: old, name: instruction, addr, offset, args, space })
    return old ? get(old) : i32(0)
  }
  const plain = space === 'workgroup'
  const load = (): Expr => {
    if (!plain) return atomic('i32.atomic.load', [])
    const old = newLocal('old', 'i32', false)
    emit(state, { op: 'atomic', local: old, name: 'i32.load', addr, offset, args: [], space })
    return get(old)
  }
  const store = (x: Expr) => {
    if (plain) emit(state, { op: 'atomic', local: null, name: 'i32.store', addr, offset, args: [x], space })
    else atomic('i32.atomic.store', [x], false)
  }
  if (name === 'atomicLoad') return load()
  if (name === 'atomicStore') {
    store(value)
    return i32(0)
  }
  if (name === 'atomicCompareExchangeWeak') {
    if (!plain) {
      const old = atomic('i32.atomic.rmw.cmpxchg', [value, replacement])
      return { op: 'parts', parts: [old, op('i32.eq', old, value)] }
    }
    const old = load(), equal = temp(state, op('i32.eq', old, value))
    store(op('select', replacement, old, equal))
    return { op: 'parts', parts: [old, equal] }
  }
  const extreme = name === 'atomicMin' || name === 'atomicMax'
    ? `i32.${name === 'atomicMin' ? 'min' : 'max'}_${signed}`
    : null
  if (plain) {
    const old = load()
    store(
      extreme ? op(extreme, old, value) : name === 'atomicExchange' ? value : op(`i32.${machine[name]}`, old, value),
    )
    return old
  }
  if (!extreme) return atomic(`i32.atomic.rmw.${machine[name]}`, [value])
  // WASM has no atomic minimum: compare and exchange until nobody came in between.
  const result = newLocal('old', 'i32', true), label = { name: 'retry', used: true }
  const seen = newLocal('seen', 'i32', true)
  const end = { name: 'stored', used: true }
  emit(state, { op: 'atomic', local: result, name: 'i32.atomic.load', addr, offset, args: [], space })
  emit(state, {
    op: 'block',
    label: end,
    body: [{
      op: 'loop',
      label,
      body: [
        {
          op: 'atomic',
          local: seen,
          name: 'i32.atomic.rmw.cmpxchg',
          addr,
          offset,
          args: [get(result), op(extreme, get(result), value)],
          space,
        },
        { op: 'if', cond: op('i32.eq', get(seen), get(result)), then: [{ op: 'br', label: end }], otherwise: [] },
        { op: 'set', local: result, value: get(seen) },
        { op: 'br', label },
      ],
    }],
  })
  return get(result)
}

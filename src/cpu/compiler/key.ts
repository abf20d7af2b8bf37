// Names for expressions: equal ones have equal names.
import type { Expr, Local } from './ir.ts'

/** Equal for expressions that compute the same. `versions`: how often a local was set before, where it matters. */
export function keyOf(e: Expr, versions?: ReadonlyMap<Local, number>): string {
  if (e.op === 'const') return `${e.type}${Object.is(e.value, -0) ? '-0' : e.value}`
  if (e.op === 'local') return `l${idOf(e.local)}.${versions?.get(e.local) ?? 0}`
  if (e.op !== 'wasm') return `x${idOf(e)}`
  return `${e.name} ${e.lane ?? ''} ${e.bytes?.join() ?? ''}(${e.args.map((arg) => keyOf(arg, versions)).join(' ')})`
}

const ids = new WeakMap<object, number>()
let nextId = 0
function idOf(of: object): number {
  let id = ids.get(of)
  if (id === undefined) ids.set(of, id = nextId++)
  return id
}

// What an innermost loop's counter does to the integers computed from it: how much they grow from turn to turn, and
// which of the clamps that keep an index inside its array never act if the first and the last turn are inside.
import { op } from './instructions.ts'
import { children, i32, mapChildren, mayTrap } from './ir.ts'
import type { Expr, Local } from './ir.ts'

/** What a turn adds: `times`, or `times` times a value that the loop leaves alone. */
export interface Growth {
  times: number
  by: Expr | null
}
/**
 * `value`, which is itself a right shift by `shift`, before it is clamped to `limit`; all as they stand in the loop.
 * The growth holds only if `even`, where it is not null, is a multiple of 2^shift.
 */
export interface Clamp {
  value: Expr
  limit: Expr
  growth: Growth
  shift: number
  even: Expr | null
}

const still: Growth = { times: 0, by: null }
/** Nodes of an expression with the definitions of its locals written out, beyond which it is left alone. */
const SIZE_LIMIT = 64

/** A growth as an expression. */
export const amount = ({ times, by }: Growth): Expr => by ? op('i32.mul', by, i32(times)) : i32(times)

/** The integers of a loop that steps `counter` by `step` a turn and changes the locals `changing`. */
export class Affine {
  private readonly counter: Local
  private readonly step: number
  private readonly changing: ReadonlySet<Local>
  private readonly unclamped: boolean
  private readonly known = new Map<Local, { growth: Growth | null, clamps: Clamp[] }>()
  private readonly sizes = new Map<Local, number>()

  /** `unclamped`: read clamps as if they did nothing. */
  constructor(counter: Local, step: number, changing: ReadonlySet<Local>, unclamped: boolean) {
    this.counter = counter
    this.step = step
    this.changing = changing
    this.unclamped = unclamped
  }

  /**
   * What a turn adds to an i32, modulo 2^32; null if that is not the same in all turns. Notes the clamps that were
   * passed over.
   */
  growth(e: Expr, clamps: Clamp[] = []): Growth | null {
    if (e.op === 'const') return still
    if (e.op === 'local') {
      if (e.local === this.counter) return { times: this.step, by: null }
      if (!this.changing.has(e.local)) return still
      const { growth, clamps: passed } = this.ofLocal(e.local)
      clamps.push(...passed)
      return growth
    }
    if (e.op !== 'wasm' || e.type !== 'i32') return null
    if (e.name === 'i32.min_u' && this.unclamped) {
      return this.clamped(e.args[0], e.args[1], clamps) ?? this.clamped(e.args[1], e.args[0], clamps)
        ?? this.together(e.name, e.args, clamps)
    }
    return this.together(e.name, e.args, clamps)
  }

  /** The same for a local that the loop sets once, looked at once: definitions name one another many times over. */
  private ofLocal(local: Local): { growth: Growth | null, clamps: Clamp[] } {
    let found = this.known.get(local)
    if (!found) {
      const clamps: Clamp[] = []
      const growth = !local.mutable && local.def && this.sizeOf(local.def) <= SIZE_LIMIT
        ? this.growth(local.def, clamps)
        : null
      this.known.set(local, found = { growth, clamps })
    }
    return found
  }

  private sizeOf(e: Expr): number {
    if (e.op !== 'local' || e.local === this.counter || !this.changing.has(e.local) || !e.local.def) {
      return children(e).reduce((sum, part) => sum + this.sizeOf(part), 1)
    }
    let size = this.sizes.get(e.local)
    if (size === undefined) this.sizes.set(e.local, size = this.sizeOf(e.local.def))
    return size
  }

  private clamped(value: Expr, limit: Expr, clamps: Clamp[]): Growth | null {
    const inner: Clamp[] = [], around = this.growth(limit, inner)
    if (!around || around.times !== 0) return null
    const whole = this.written(value),
      shift = whole.op === 'wasm' && whole.name === 'i32.shr_u' && whole.args[1].op === 'const'
        ? whole.args[1].value & 31
        : 0
    const grown = this.growth(shift ? (whole as { args: Expr[] }).args[0] : whole, inner)
    if (!grown || grown.times === 0) return null
    const { times, by } = grown, always = (times >>> 0) % 2 ** shift === 0
    if (!always && !by) return null
    const growth = always ? { times: (times >>> shift) | 0, by } : { times, by: op('i32.shr_u', by!, i32(shift)) }
    clamps.push(...inner, { value, limit, growth, shift, even: always ? null : by })
    return growth
  }

  private together(name: string, args: readonly Expr[], clamps: Clamp[]): Growth | null {
    const parts: Growth[] = []
    for (const arg of args) {
      const part = this.growth(arg, clamps)
      if (!part) return null
      parts.push(part)
    }
    const [a, b] = parts
    if (parts.every((p) => p.times === 0)) return mayTrap(name) ? null : still
    switch (name) {
      case 'i32.add':
      case 'i32.sub': {
        if (a.times !== 0 && b.times !== 0 && a.by !== b.by) return null
        return {
          times: name === 'i32.add' ? (a.times + b.times) | 0 : (a.times - b.times) | 0,
          by: a.times !== 0 ? a.by : b.by,
        }
      }
      case 'i32.mul':
        return b.times === 0 ? this.product(a, args[1]) : a.times === 0 ? this.product(b, args[0]) : null
      case 'i32.shl':
        return args[1].op === 'const' ? { times: a.times << args[1].value, by: a.by } : null
      default:
        return null
    }
  }

  private product({ times, by }: Growth, factor: Expr): Growth | null {
    if (factor.op === 'const') return { times: Math.imul(times, factor.value), by }
    return by ? null : { times, by: this.expand(factor) }
  }

  /** The definition of a local that the loop sets once; anything else as it is. */
  private written(e: Expr): Expr {
    return e.op === 'local' && e.local !== this.counter && this.changing.has(e.local) && e.local.def
      ? this.written(e.local.def)
      : e
  }

  /**
   * An expression that has a growth, in terms of what is known before the loop, without the clamps that are passed
   * over.
   */
  expand(e: Expr): Expr {
    const whole = this.written(e)
    if (whole.op === 'wasm' && whole.name === 'i32.min_u' && this.unclamped) {
      for (const [value, limit] of [whole.args, whole.args.toReversed()]) {
        if (this.clamped(value, limit, [])) return this.expand(value)
      }
    }
    return mapChildren(whole, (part) => this.expand(part))
  }
}

// What is known about the size of integers: the range of values an expression can have.
import { anyRange } from './ir.ts'
import type { Expr, Range } from './ir.ts'

/** The range of an i32 expression as far as it is known. */
export function rangeOf(e: Expr): Range {
  if (e.op === 'const') return e.type === 'i32' ? [e.value >>> 0, e.value >>> 0] : anyRange
  if (e.op === 'local') return e.local.range
  if (e.op === 'load') return e.name === 'i32.load16_u' ? [0, 0xffff] : anyRange
  if (e.op === 'lazy') {
    const a = rangeOf(e.then), b = rangeOf(e.otherwise)
    return [Math.min(a[0], b[0]), Math.max(a[1], b[1])]
  }
  if (e.op !== 'wasm') return anyRange
  return e.range ??= rangeOfOp(e.name, e.args)
}

function rangeOfOp(name: string, args: Expr[]): Range {
  const [a, b] = args.map(rangeOf)
  const fits = (low: number, high: number): Range => low >= 0 && high <= 0xffffffff ? [low, high] : anyRange
  switch (name) {
    case 'i32.add': {
      // both wrap, e.g. x + 0xffffffff for x >= 1
      if (a[0] + b[0] >= 2 ** 32) return [a[0] + b[0] - 2 ** 32, a[1] + b[1] - 2 ** 32]
      return fits(a[0] + b[0], a[1] + b[1])
    }
    case 'i32.sub':
      return fits(a[0] - b[1], a[1] - b[0])
    case 'i32.mul':
      return fits(a[0] * b[0], a[1] * b[1])
    case 'i32.shl':
      return b[0] === b[1] ? fits(a[0] * 2 ** (b[0] & 31), a[1] * 2 ** (b[0] & 31)) : anyRange
    case 'i32.shr_u':
      return b[0] === b[1] ? [Math.floor(a[0] / 2 ** (b[0] & 31)), Math.floor(a[1] / 2 ** (b[0] & 31))] : [0, a[1]]
    case 'i32.shr_s':
      return a[1] < 2 ** 31 ? rangeOfOp('i32.shr_u', args) : anyRange
    case 'i32.div_u':
      return b[0] > 0 ? [Math.floor(a[0] / b[1]), Math.floor(a[1] / b[0])] : anyRange
    case 'i32.div_s':
      return a[1] < 2 ** 31 && b[1] < 2 ** 31 && b[0] > 0
        ? [Math.floor(a[0] / b[1]), Math.floor(a[1] / b[0])]
        : anyRange
    case 'i32.rem_u':
      return b[0] > 0 ? a[1] < b[0] ? a : [0, Math.min(a[1], b[1] - 1)] : [0, a[1]]
    case 'i32.rem_s':
      return a[1] < 2 ** 31 && b[1] < 2 ** 31 ? [0, Math.max(0, Math.min(a[1], b[1] - 1))] : anyRange
    case 'i32.and':
      return [0, Math.min(a[1], b[1])]
    case 'i32.or':
    case 'i32.xor':
      return [0, 2 ** Math.ceil(Math.log2(Math.max(a[1], b[1]) + 1)) - 1]
    case 'i32.min_u':
      return [Math.min(a[0], b[0]), Math.min(a[1], b[1])]
    case 'i32.max_u':
      return [Math.max(a[0], b[0]), Math.max(a[1], b[1])]
    case 'i32.min_s':
      return a[1] < 2 ** 31 && b[1] < 2 ** 31 ? [Math.min(a[0], b[0]), Math.min(a[1], b[1])] : anyRange
    case 'i32.max_s':
      return b[1] < 2 ** 31
        ? a[1] < 2 ** 31 ? [Math.max(a[0], b[0]), Math.max(a[1], b[1])] : [b[0], 2 ** 31 - 1]
        : a[1] < 2 ** 31
        ? [a[0], 2 ** 31 - 1]
        : anyRange
    case 'select': {
      const [x, y] = args.map(rangeOf)
      return [Math.min(x[0], y[0]), Math.max(x[1], y[1])]
    }
    case 'i32.popcnt':
    case 'i32.clz':
    case 'i32.ctz':
      return [0, 32]
  }
  return /\.(eqz|eq|ne|[lg][te](_[su])?|any_true|all_true)$/.test(name) ? [0, 1] : anyRange
}

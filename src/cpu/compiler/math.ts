// The functions WASM has no instruction for, as polynomials on one value or four lanes. Coefficients are minimax fits
// (Lawson iteration over Chebyshev nodes) made for this file. Errors in units of the last place, as
// test/cpu/math.test.ts holds them to: exp, exp2, log, log2 1; sin and cos (|x| < 1000), tanh 2; the others 3.
import { op } from './instructions.ts'
import type { Expr } from './ir.ts'
import { shape } from './shape.ts'
import type { Shape } from './shape.ts'

/** Keeps a value that is used more than once. */
export type Keep = (value: Expr) => Expr
type Unary = (x: Expr, keep: Keep, s: Shape) => Expr
const minNormal = 1.1754943508222875e-38

/**
 * 2^n for an integer n between -252 and 254, as two factors applied to x; no step is a denormal unless the result is.
 */
function scaleBy(s: Shape, x: Expr, n: Expr, keep: Keep): Expr {
  const half = keep(s.sar(n, 1)), rest = s.i('sub', n, half)
  const power = (e: Expr) => s.asFloat(s.shl(s.i('add', e, s.int(127)), 23))
  return s.mul(s.mul(x, power(half)), power(rest))
}
/** 0 where the result would be a denormal: one in a chain of products costs a hundred cycles. */
const flushBelow = (s: Shape, x: Expr, limit: number, result: Expr): Expr =>
  s.wide
    ? op('v128.andnot', result, s.f('lt', x, s.float(limit)))
    : s.choose(s.float(0), result, s.f('lt', x, s.float(limit)))

const exp: Unary = (value, keep, s) => expTimes(value, keep, s, 0)
/** exp(x) 2^power; sinh and cosh want half of it, which may be finite where exp is not. */
function expTimes(value: Expr, keep: Keep, s: Shape, power: number): Expr {
  const x = keep(value)
  // Added to a product of some hundreds, 1.5 * 2^23 leaves it rounded to an integer in the lowest bits.
  const shifted = keep(s.add(s.mul(x, s.float(Math.LOG2E)), s.float(12582912))),
    n = keep(s.sub(shifted, s.float(12582912)))
  // ln 2 in two parts, the first short enough that n times it is exact
  const r = keep(s.sub(s.sub(x, s.mul(n, s.float(0.693359375))), s.mul(n, s.float(-2.12194440e-4))))
  const p = s.poly(r, [
    0.4999999403953552,
    0.1666652113199234,
    0.04166838899254799,
    0.008368715643882751,
    0.0013814602280035615,
  ])
  const whole = s.add(s.add(s.mul(s.mul(r, r), p), r), s.float(1))
  // 2^n goes straight into the exponent; where that has no room for it the result is 0, infinity or NaN, whatever is
  // there now
  const scaled = s.asFloat(
    s.i('add', s.asInt(keep(whole)), s.shl(power ? s.i('add', s.asInt(shifted), s.int(power)) : s.asInt(shifted), 23)),
  )
  const finite = s.choose(
    keep(scaled),
    keep(s.add(x, s.float(Infinity))),
    s.f('le', x, s.float(88.722835 - power * Math.LN2)),
  )
  return flushBelow(s, x, -87.33654 - power * Math.LN2, finite)
}

const exp2Poly = [
  0.6931471824645996,
  0.24022650718688965,
  0.055504102259874344,
  0.009618034586310387,
  0.0013333950191736221,
  0.0001546802232041955,
  1.51950243889587e-05,
]
const exp2: Unary = (value, keep, s) => {
  const x = keep(s.max(keep(s.min(keep(value), s.float(129))), s.float(-150)))
  const n = keep(s.f('nearest', x)), r = keep(s.sub(x, n))
  return flushBelow(s, x, -126, scaleBy(s, s.add(s.mul(s.poly(r, exp2Poly), r), s.float(1)), keep(s.toInt(n)), keep))
}

const logPoly = [
  0.3333331048488617,
  -0.24999986588954926,
  0.20002226531505585,
  -0.16669251024723053,
  0.14218658208847046,
  -0.1238434836268425,
  0.11872976273298264,
  -0.11789807677268982,
  0.06915368139743805,
]
/** x = 2^e (1 + f) with 1 + f near 1; log(1 + f) = f + rest. */
function splitLog(s: Shape, value: Expr, keep: Keep) {
  const small = keep(s.f('lt', value, s.float(minNormal))) // denormals are scaled up first
  const x = s.choose(s.mul(value, s.float(2 ** 23)), value, small)
  const bits = keep(s.i('sub', s.asInt(keep(x)), s.int(0x3f3504f3)))
  const e = s.i('sub', s.sar(bits, 23), s.and(s.wide ? small : s.i('sub', s.int(0), small), s.int(23)))
  const f = keep(s.sub(s.asFloat(s.i('add', s.and(bits, s.int(0x7fffff)), s.int(0x3f3504f3))), s.float(1)))
  const square = keep(s.mul(f, f))
  const rest = s.sub(s.mul(s.mul(square, f), s.poly(f, logPoly)), s.mul(square, s.float(0.5)))
  return { e: keep(s.toFloat(e)), f, rest: keep(rest) }
}
/** log of 0 is -infinity, of negative numbers NaN, of infinity infinity. */
function logEdges(s: Shape, x: Expr, result: Expr): Expr {
  const big = s.choose(x, result, s.f('eq', x, s.float(Infinity)))
  const zero = s.choose(s.float(-Infinity), big, s.f('eq', x, s.float(0)))
  const nan = s.asFloat(s.int(0x7fc00000))
  return s.choose(zero, nan, s.f('ge', x, s.float(0)))
}
const log: Unary = (value, keep, s) => {
  const x = keep(value), { e, f, rest } = splitLog(s, x, keep)
  const low = s.add(rest, s.mul(e, s.float(-2.12194440e-4)))
  return logEdges(s, x, keep(s.add(s.add(low, f), s.mul(e, s.float(0.693359375)))))
}
/** log2 as a rounded sum and what rounding lost, so that pow can multiply it by large powers. */
function log2Parts(s: Shape, x: Expr, keep: Keep): { high: Expr, low: Expr } {
  const { e, f, rest } = splitLog(s, x, keep)
  const fHigh = keep(s.asFloat(s.and(s.asInt(f), s.int(-4096)))), fLow = s.sub(f, fHigh)
  const short = 1.4423828125 // log2(e) in 12 bits, and what is missing
  const exact = keep(s.mul(fHigh, s.float(short)))
  const low = s.add(s.mul(keep(s.add(rest, fLow)), s.float(Math.LOG2E)), s.mul(fHigh, s.float(Math.LOG2E - short)))
  const sum = keep(s.add(e, exact)), a = sum, b = keep(s.add(low, s.add(s.sub(e, sum), exact)))
  const high = keep(s.add(a, b)), part = keep(s.sub(high, a)) // what is left of b after rounding, whichever is larger
  return { high, low: keep(s.add(s.sub(a, s.sub(high, part)), s.sub(b, part))) }
}
const log2: Unary = (value, keep, s) => {
  const x = keep(value), { high, low } = log2Parts(s, x, keep)
  return logEdges(s, x, keep(s.add(high, low)))
}

/** x^y as exp2(y log2 x); x^0 is 1, 0^y is 0 for y > 0. NaN for negative x, which WGSL leaves open. */
export function pow(base: Expr, power: Expr, keep: Keep): Expr {
  const s = shape(base)
  const x = keep(base)
  const y = keep(power)
  const { high, low } = log2Parts(s, x, keep)
  // high * y exactly, as a rounded product and its error, from halves of 12 bits
  const cut = (v: Expr) => keep(s.asFloat(s.and(s.asInt(v), s.int(-4096))))
  const hh = cut(high)
  const hl = keep(s.sub(high, hh))
  const yh = cut(y)
  const yl = keep(s.sub(y, yh))
  const product = keep(s.mul(high, y))
  const error = s.add(s.add(s.sub(s.mul(hh, yh), product), s.add(s.mul(hh, yl), s.mul(hl, yh))), s.mul(hl, yl))
  const n = keep(s.f('nearest', s.max(keep(s.min(product, s.float(160))), s.float(-160))))
  const r = keep(s.add(s.sub(product, n), s.add(error, s.mul(low, y))))
  const clamped = keep(s.max(keep(s.min(r, s.float(0.75))), s.float(-0.75)))
  const result = keep(scaleBy(s, s.add(s.mul(s.poly(clamped, exp2Poly), clamped), s.float(1)), keep(s.toInt(n)), keep))
  const nan = s.asFloat(s.int(0x7fc00000)), inf = s.float(Infinity)
  const huge = s.f('gt', keep(s.f('abs', y)), s.float(1e30)) // the halves of y may overflow: x decides alone
  const large = keep(s.choose(s.f('gt', y, s.float(0)), s.f('lt', y, s.float(0)), s.f('gt', x, s.float(1))))
  const limit = s.choose(s.float(1), s.choose(inf, s.float(0), large), s.f('eq', x, s.float(1)))
  let edge: Expr = s.choose(limit, result, keep(s.or(huge, s.f('eq', x, inf))))
  edge = s.choose(s.choose(s.float(0), inf, s.f('gt', y, s.float(0))), edge, s.f('eq', x, s.float(0)))
  edge = s.choose(edge, nan, s.and(s.f('ge', x, s.float(0)), s.f('eq', y, y)))
  return s.choose(s.float(1), edge, s.f('eq', y, s.float(0)))
}

/** sin and cos by reduction to a quarter turn; `turn` is 0 for sin, 1 for cos. */
function sinOrCos(value: Expr, keep: Keep, s: Shape, turn: number): Expr {
  const x = keep(value), q = keep(s.f('nearest', s.mul(x, s.float(2 / Math.PI))))
  // pi/2 in three parts, the first two of few bits, so that their products are exact
  const r = keep(
    [1.5703125, 4.837512969970703e-4, 7.549789954891882e-8].reduce<Expr>(
      (sum, part) => s.sub(sum, s.mul(q, s.float(part))),
      x,
    ),
  )
  const square = keep(s.mul(r, r))
  const sine = s.add(
    s.mul(
      s.mul(
        s.poly(square, [-0.1666666716337204, 0.008333329111337662, -0.0001983917609322816, 2.716810058700503e-06]),
        square,
      ),
      r,
    ),
    r,
  )
  const cosine = s.add(
    s.sub(
      s.mul(
        s.mul(s.poly(square, [0.04166664555668831, -0.0013887243112549186, 2.4423887225566432e-05]), square),
        square,
      ),
      s.mul(square, s.float(0.5)),
    ),
    s.float(1),
  )
  const quadrant = keep(s.i('add', s.toInt(q), s.int(turn)))
  const odd = s.i('ne', s.and(quadrant, s.int(1)), s.int(0))
  const picked = s.choose(cosine, sine, odd)
  return s.asFloat(s.xor(s.asInt(picked), s.shl(s.and(quadrant, s.int(2)), 30)))
}

const withSign = (s: Shape, magnitude: Expr, sign: Expr): Expr =>
  s.asFloat(s.or(s.asInt(magnitude), s.and(s.asInt(sign), s.int(0x80000000))))
/** x + x^3 p(x^2). */
const odd = (s: Shape, x: Expr, keep: Keep, c: number[]): Expr => {
  const z = keep(s.mul(x, x))
  return s.add(s.mul(s.mul(s.poly(z, c), z), x), x)
}

const tanh: Unary = (value, keep, s) => {
  const x = keep(value), size = keep(s.f('abs', x))
  const small = odd(s, x, keep, [
    -0.3333333134651184,
    0.1333319991827011,
    -0.05394599214196205,
    0.021696070209145546,
    -0.008165032602846622,
    0.0021309019066393375,
  ])
  const e = exp(s.mul(s.float(2), keep(s.min(size, s.float(10)))), keep, s)
  const large = withSign(s, keep(s.sub(s.float(1), s.div(s.float(2), s.add(e, s.float(1))))), x)
  return s.choose(small, large, s.f('lt', size, s.float(0.625)))
}
const sinh: Unary = (value, keep, s) => {
  const x = keep(value), size = keep(s.f('abs', x))
  const small = odd(s, x, keep, [
    0.1666666716337204,
    0.008333351463079453,
    0.00019835853890981525,
    2.8186871077195974e-06,
  ])
  const e = keep(expTimes(size, keep, s, -1))
  return s.choose(small, withSign(s, keep(s.sub(e, s.div(s.float(0.25), e))), x), s.f('lt', size, s.float(1)))
}
const cosh: Unary = (value, keep, s) => {
  const e = keep(expTimes(s.f('abs', value), keep, s, -1))
  return s.add(e, s.div(s.float(0.25), e))
}
const asinPoly = [
  0.16666659712791443,
  0.0750054195523262,
  0.04450935870409012,
  0.03187369555234909,
  0.014180132187902927,
  0.03789113461971283,
]
const asin: Unary = (value, keep, s) => {
  const x = keep(value)
  const size = keep(s.f('abs', x))
  const high = keep(s.f('gt', size, s.float(0.5)))
  const reduced = keep(s.choose(s.f('sqrt', s.mul(s.sub(s.float(1), size), s.float(0.5))), size, high))
  const inner = keep(odd(s, reduced, keep, asinPoly))
  return withSign(s, keep(s.choose(s.sub(s.float(Math.PI / 2), s.mul(s.float(2), inner)), inner, high)), x)
}
const acos: Unary = (value, keep, s) => {
  const x = keep(value)
  const size = keep(s.f('abs', x))
  const high = keep(s.f('gt', size, s.float(0.5)))
  const root = keep(s.choose(s.f('sqrt', s.mul(s.sub(s.float(1), size), s.float(0.5))), x, high))
  const inner = keep(odd(s, root, keep, asinPoly)), twice = keep(s.mul(s.float(2), inner))
  const ends = s.choose(s.sub(s.float(Math.PI), twice), twice, s.f('lt', x, s.float(0)))
  return s.choose(ends, s.sub(s.float(Math.PI / 2), inner), high)
}
const atan: Unary = (value, keep, s) => {
  const x = keep(value), size = keep(s.f('abs', x))
  const outer = keep(s.f('gt', size, s.float(2.414213562373095))),
    middle = keep(s.f('gt', size, s.float(0.4142135623730950)))
  const r = keep(
    s.choose(
      s.div(s.float(-1), size),
      s.choose(s.div(s.sub(size, s.float(1)), s.add(size, s.float(1))), size, middle),
      outer,
    ),
  )
  const base = s.choose(s.float(Math.PI / 2), s.choose(s.float(Math.PI / 4), s.float(0), middle), outer)
  return withSign(
    s,
    keep(
      s.add(
        base,
        odd(s, r, keep, [
          -0.3333331346511841,
          0.19998377561569214,
          -0.1424160748720169,
          0.10578595101833344,
          -0.060374874621629715,
        ]),
      ),
    ),
    x,
  )
}
/** The angle of (x, y). */
export function atan2(ordinate: Expr, abscissa: Expr, keep: Keep): Expr {
  const s = shape(ordinate)
  const y = keep(ordinate)
  const x = keep(abscissa)
  const ay = keep(s.f('abs', y))
  const ax = keep(s.f('abs', x))
  const steep = keep(s.f('gt', ay, ax))
  const big = keep(s.choose(ay, ax, steep)), small = keep(s.choose(ax, ay, steep))
  const same = s.f('eq', big, small) // also where both are infinite; 0 / 0 counts as 0
  const ratio = s.choose(s.choose(s.float(0), s.float(1), s.f('eq', big, s.float(0))), s.div(small, big), same)
  const a = keep(atan(ratio, keep, s))
  const first = keep(s.choose(s.sub(s.float(Math.PI / 2), a), a, steep))
  const negative = s.wide ? s.sar(x, 31) : op('i32.lt_s', s.asInt(x), s.int(0))
  return withSign(s, keep(s.choose(s.sub(s.float(Math.PI), first), first, negative)), y)
}
const asinh: Unary = (value, keep, s) => {
  const x = keep(value), size = keep(s.f('abs', x))
  const small = odd(s, x, keep, [
    -0.1666666567325592,
    0.07499869912862778,
    -0.04460926353931427,
    0.029977712780237198,
    -0.019840197637677193,
    0.008963416330516338,
  ])
  const huge = keep(s.f('gt', size, s.float(1e9)))
  const arg = s.choose(size, s.add(size, s.f('sqrt', s.add(s.mul(size, size), s.float(1)))), huge)
  const large = s.add(log(arg, keep, s), s.choose(s.float(Math.LN2), s.float(0), huge))
  return s.choose(small, withSign(s, keep(large), x), s.f('lt', size, s.float(0.5)))
}
const acosh: Unary = (value, keep, s) => {
  const x = keep(value), huge = keep(s.f('gt', x, s.float(1e9)))
  const d = keep(s.sub(x, s.float(1))) // log1p keeps what is left near 1
  const near = s.add(d, s.f('sqrt', s.mul(d, s.add(x, s.float(1)))))
  return s.choose(s.add(log(x, keep, s), s.float(Math.LN2)), log1p(keep(near), keep, s), huge)
}
const log1p: Unary = (value, keep, s) => {
  const x = keep(value), u = keep(s.add(x, s.float(1)))
  const lost = s.div(s.sub(x, s.sub(u, s.float(1))), u) // what the sum rounded away
  return s.choose(x, s.add(log(u, keep, s), lost), s.f('eq', u, s.float(1)))
}
const atanh: Unary = (value, keep, s) => {
  const x = keep(value), size = keep(s.f('abs', x))
  const small = odd(s, x, keep, [
    0.3333333730697632,
    0.19999627768993378,
    0.14297622442483,
    0.10932103544473648,
    0.10505911707878113,
    0.017570819705724716,
    0.1843678057193756,
  ])
  const large = s.mul(s.float(0.5), log1p(keep(s.div(s.mul(s.float(2), size), s.sub(s.float(1), size))), keep, s))
  return s.choose(small, withSign(s, keep(large), x), s.f('lt', size, s.float(0.5)))
}
const sign: Unary = (value, keep, s) => {
  const x = keep(value), one = withSign(s, s.float(1), x)
  return s.choose(one, x, s.f('ne', x, s.float(0)))
}

/** Functions of one float, or of the lanes of a vector. */
export const unaryMath: Record<string, Unary> = {
  exp,
  exp2,
  log,
  log2,
  tanh,
  sinh,
  cosh,
  asin,
  acos,
  atan,
  asinh,
  acosh,
  atanh,
  sign,
  sin: (x, keep, s) => sinOrCos(x, keep, s, 0),
  cos: (x, keep, s) => sinOrCos(x, keep, s, 1),
  tan: (x, keep, s) => {
    const kept = keep(x)
    return s.div(sinOrCos(kept, keep, s, 0), sinOrCos(kept, keep, s, 1))
  },
  sqrt: (x, _keep, s) => s.f('sqrt', x),
  inverseSqrt: (x, _keep, s) => s.div(s.float(1), s.f('sqrt', x)),
  abs: (x, _keep, s) => s.f('abs', x),
  ceil: (x, _keep, s) => s.f('ceil', x),
  floor: (x, _keep, s) => s.f('floor', x),
  trunc: (x, _keep, s) => s.f('trunc', x),
  round: (x, _keep, s) => s.f('nearest', x),
  fract: (x, keep, s) => {
    const kept = keep(x)
    return s.sub(kept, s.f('floor', kept))
  },
  saturate: (x, keep, s) => s.min(keep(s.max(keep(x), s.float(0))), s.float(1)),
  degrees: (x, _keep, s) => s.mul(x, s.float(180 / Math.PI)),
  radians: (x, _keep, s) => s.mul(x, s.float(Math.PI / 180)),
}

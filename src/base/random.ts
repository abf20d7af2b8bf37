// Random numbers as pure functions of (seed, stream, index): no hidden state, so a weight, a shuffle or a crop is the
// same whatever was drawn before it, on every thread, engine and machine. The generator is Philox4x32-10 (Salmon,
// Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011): ten rounds of multiply and xor over a
// 128-bit counter.
//   key     = seed, 64 bits
//   counter = [block, attempt << 24 | block high, stream, stream high]; one block is four 32-bit words, so index i is
//   word i % 4
// Logarithm and sine are computed here from + - * / only, because Math.log and Math.cos may differ in the last bit by
// engine.

const TWO32 = 4294967296

/** Names a sequence: a small number, or a text such as a parameter's path (hashed to 64 bits). */
export type Stream = number | string

/** One Philox4x32-10 block: writes four 32-bit words to `out`, from a counter of four and a key of two words. */
export function philox(c0: number, c1: number, c2: number, c3: number, k0: number, k1: number, out: Uint32Array): void {
  for (let round = 0; round < 10; round++) {
    const hi0 = mulHigh(0xd2511f53, c0), lo0 = Math.imul(0xd2511f53, c0)
    const hi1 = mulHigh(0xcd9e8d57, c2), lo1 = Math.imul(0xcd9e8d57, c2)
    c0 = (hi1 ^ c1 ^ k0) >>> 0
    c1 = lo1 >>> 0
    c2 = (hi0 ^ c3 ^ k1) >>> 0
    c3 = lo0 >>> 0
    k0 = (k0 + 0x9e3779b9) >>> 0
    k1 = (k1 + 0xbb67ae85) >>> 0
  }
  out[0] = c0
  out[1] = c1
  out[2] = c2
  out[3] = c3
}

// Upper 32 bits of a 32 x 32 bit product, from 16-bit halves; no sum passes 2^32.
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff, aHigh = a >>> 16, bLow = b & 0xffff, bHigh = b >>> 16
  const low = (Math.imul(aHigh, bLow) >>> 0) + (Math.imul(aLow, bLow) >>> 16) >>> 0
  const middle = (Math.imul(aLow, bHigh) >>> 0) + (low & 0xffff) >>> 0
  return Math.imul(aHigh, bHigh) + (low >>> 16) + (middle >>> 16)
}

interface Key {
  seed0: number
  seed1: number
  stream0: number
  stream1: number
}

function keyOf(seed: number, stream: Stream): Key {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`random: seed must be an integer from 0 to 2^53 - 1, got ${seed}`)
  }
  const [stream0, stream1] = typeof stream === 'string'
    ? hashText(stream)
    : [stream >>> 0, Math.floor(stream / TWO32) >>> 0]
  return { seed0: seed >>> 0, seed1: Math.floor(seed / TWO32), stream0, stream1 }
}

// Two FNV-1a style hashes with different multipliers; the set top bit keeps texts apart from small numbers.
function hashText(text: string): [number, number] {
  let a = 0x811c9dc5, b = 0x9747b28c
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    a = Math.imul(a ^ unit, 0x01000193)
    b = Math.imul(b ^ unit, 0x85ebca6b)
    b ^= b >>> 13
  }
  return [a >>> 0, (b | 0x80000000) >>> 0]
}

function block(key: Key, number: number, attempt: number, out: Uint32Array): void {
  philox(
    number >>> 0,
    (attempt << 24 | Math.floor(number / TWO32)) >>> 0,
    key.stream0,
    key.stream1,
    key.seed0,
    key.seed1,
    out,
  )
}

const scratch = new Uint32Array(4)

/** A 32-bit word, 0 .. 2^32 - 1, for (seed, stream, index). */
export function word(seed: number, stream: Stream, index: number): number {
  block(keyOf(seed, stream), Math.floor(index / 4), 0, scratch)
  return scratch[index % 4]
}

/** Uniform in [0, 1), a multiple of 2^-32. */
export function uniform(seed: number, stream: Stream, index: number): number {
  return word(seed, stream, index) / TWO32
}

/** Standard normal deviate (Box-Muller on pairs of words; at most 6.8 standard deviations out). */
export function normal(seed: number, stream: Stream, index: number): number {
  block(keyOf(seed, stream), Math.floor(index / 4), 0, scratch)
  return normalOf(scratch, index % 4)
}

/** Fills with uniform values in [low, high): entry i is `low + (high - low) * uniform(seed, stream, i)`. */
export function fillUniform(out: Float32Array, seed: number, stream: Stream, low = 0, high = 1): Float32Array {
  const key = keyOf(seed, stream), words = new Uint32Array(4)
  for (let i = 0; i < out.length; i++) {
    if (i % 4 === 0) block(key, i / 4, 0, words)
    out[i] = low + (high - low) * (words[i % 4] / TWO32)
  }
  return out
}

/** Fills with normal values of standard deviation `std`: entry i is `mean + std * normal(seed, stream, i)`. */
export function fillNormal(out: Float32Array, seed: number, stream: Stream, std = 1, mean = 0): Float32Array {
  const key = keyOf(seed, stream), words = new Uint32Array(4)
  for (let i = 0; i < out.length; i++) {
    if (i % 4 === 0) block(key, i / 4, 0, words)
    out[i] = mean + std * normalOf(words, i % 4)
  }
  return out
}

/**
 * Fills with normal values no further than `cut` standard deviations from 0. An entry outside is drawn again from the
 * counter of its next attempt, so every entry is still a function of (seed, stream, index) alone.
 */
export function fillTruncatedNormal(out: Float32Array, seed: number, stream: Stream, std = 1, cut = 2): Float32Array {
  if (!(cut >= 0.1)) {
    throw new RangeError(`random: truncated normal needs a cut of at least 0.1 standard deviations, got ${cut}`)
  }
  const key = keyOf(seed, stream)
  const words = new Uint32Array(4)
  const again = new Uint32Array(4)
  for (let i = 0; i < out.length; i++) {
    if (i % 4 === 0) block(key, i / 4, 0, words)
    let z = normalOf(words, i % 4)
    // 255 attempts: with cut 0.1 one in 10^9 entries would still be outside, and is clamped
    for (let attempt = 1; Math.abs(z) > cut && attempt < 256; attempt++) {
      block(key, Math.floor(i / 4), attempt, again)
      z = normalOf(again, i % 4)
    }
    out[i] = std * Math.max(-cut, Math.min(cut, z))
  }
  return out
}

/** The numbers 0 .. n-1 in random order (Fisher-Yates; stream words in order of the swaps). */
export function permutation(n: number, seed: number, stream: Stream): Int32Array {
  const order = Int32Array.from({ length: n }, (_, i) => i), draw = random(seed, stream)
  for (let i = n - 1; i > 0; i--) {
    const j = draw.integer(i + 1), kept = order[i]
    order[i] = order[j]
    order[j] = kept
  }
  return order
}

/** Reads one stream from the start, for code that draws a varying number of values. */
export interface Draw {
  /** Next uniform value in [0, 1). */
  next(): number
  /** Next integer, 0 .. n-1 (bias at most n / 2^32). */
  integer(n: number): number
  /** Next standard normal deviate. */
  normal(): number
  /** Next value of a symmetric Beta(a, a) distribution, as mixup wants it. */
  beta(a: number): number
}

/** A cursor over the words of (seed, stream): the i-th `next()` equals `uniform(seed, stream, i)`. */
export function random(seed: number, stream: Stream): Draw {
  const key = keyOf(seed, stream)
  const words = new Uint32Array(4)
  const pair = new Uint32Array(4)
  let index = 0
  const nextWord = () => {
    if (index % 4 === 0) block(key, index / 4, 0, words)
    return words[index++ % 4]
  }
  const normalNext = () => {
    pair[0] = nextWord()
    pair[1] = nextWord()
    return normalOf(pair, 0)
  }
  // Marsaglia and Tsang 2000; below 1 by the usual boost, gamma(a) = gamma(a + 1) * u^(1/a)
  const gamma = (a: number): number => {
    if (a < 1) return gamma(a + 1) * Math.pow((nextWord() + 0.5) / TWO32, 1 / a)
    const d = a - 1 / 3, c = 1 / Math.sqrt(9 * d)
    for (;;) {
      const z = normalNext(), v = (1 + c * z) ** 3
      if (v > 0 && Math.log((nextWord() + 0.5) / TWO32) < z * z / 2 + d - d * v + d * Math.log(v)) return d * v
    }
  }
  return {
    next: () => nextWord() / TWO32,
    integer: (n) => Math.floor(nextWord() / TWO32 * n),
    normal: normalNext,
    beta: (a) => {
      if (!(a > 0)) throw new RangeError(`random: beta needs a positive parameter, got ${a}`)
      const x = gamma(a), y = gamma(a)
      return x + y > 0 ? x / (x + y) : 0.5
    },
  }
}

// Words 0, 1 give one pair of deviates, words 2, 3 another.
function normalOf(words: Uint32Array, lane: number): number {
  const pair = lane & 2
  const radius = Math.sqrt(-2 * logUnit((words[pair] + 0.5) / TWO32))
  return radius * turn(words[pair + 1] / TWO32, (lane & 1) === 1)
}

// log x for 0 < x < 1: x = m * 2^e with m near 1, log m = 2 atanh((m-1)/(m+1)); |s| <= 0.172, error about 1e-16
function logUnit(x: number): number {
  let e = 0
  while (x < 0.7071067811865476) {
    x *= 2
    e--
  }
  const s = (x - 1) / (x + 1), q = s * s
  return e * 0.6931471805599453 + 2 * s * horner(ATANH, q)
}

// cos(2 pi u), or sin: reduced to a quarter turn about the nearest axis, then Taylor
function turn(u: number, sine: boolean): number {
  const quarter = Math.floor(4 * u + 0.5), angle = (4 * u - quarter) * 1.5707963267948966, q = angle * angle
  const phase = (quarter + (sine ? 3 : 0)) & 3 // sin x = cos(x - a quarter)
  const value = phase & 1 ? angle * horner(SINE, q) : horner(COSINE, q)
  return phase === 1 || phase === 2 ? -value : value
}

function horner(coefficients: Float64Array, q: number): number {
  let sum = 0
  for (let i = coefficients.length - 1; i >= 0; i--) sum = sum * q + coefficients[i]
  return sum
}

// Powers of q = angle^2: 1/1, -1/3!, 1/5!, ... and 1, -1/2!, 1/4!, ...; of q = s^2: 1, 1/3, 1/5, ...
function taylor(first: number): Float64Array {
  let factorial = 1
  return Float64Array.from({ length: 9 }, (_, i) => {
    if (i) factorial *= -(2 * i - 1 + first) * (2 * i + first)
    return 1 / factorial
  })
}
const SINE = taylor(1)
const COSINE = taylor(0)
const ATANH = Float64Array.from({ length: 11 }, (_, i) => 1 / (2 * i + 1))

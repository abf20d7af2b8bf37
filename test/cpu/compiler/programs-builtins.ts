// Builtins and operators over edge values. Expected values are computed in doubles, or in integers as WGSL defines
// them.
import type { Numbers, Program } from '../../support/program.ts'

const edge = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  -1.5,
  2.5,
  -2.5,
  3.5,
  0.1,
  -0.1,
  1e-3,
  7.25,
  -7.75,
  100.125,
  -100.125,
  8388607.5,
  16777217,
  1e-30,
  -1e-30,
  1e30,
  -1e30,
  3.4028234663852886e38,
  1.1754943508222875e-38,
]
const infinite = [Infinity, -Infinity]
const ints = [
  0,
  1,
  -1,
  2,
  7,
  -7,
  31,
  32,
  255,
  256,
  65535,
  65536,
  0x55555555,
  2147483647,
  -2147483648,
  -2147483647,
  123456789,
  -987654321,
  0x00ff00ff,
  3,
]
const types = { f32: Float32Array, i32: Int32Array, u32: Uint32Array } as const
type Scalar = keyof typeof types

const pad = (list: number[], to: number) => [...list, ...Array<number>((to - list.length % to) % to).fill(list[0])]

/** A program that applies an expression in x (and y, z) to columns of numbers; `lanes` 4 does it on vectors. */
export function apply(
  name: string,
  expr: string,
  type: Scalar,
  columns: number[][],
  compute: (...x: number[]) => number,
  more: Partial<Program> & { out?: Scalar, lanes?: 1 | 4, column?: Scalar[] } = {},
): Program {
  const { out = type, lanes = 1, column, ...rest } = more
  const names = ['x', 'y', 'z'].slice(0, columns.length),
    padded = columns.map((c) => pad(c, 4)),
    count = padded[0].length
  const kind = (i: number) => column?.[i] ?? type, wgsl = (t: Scalar) => lanes === 4 ? `vec4<${t}>` : t
  const source = [
    ...names.map((n, i) => `@group(0) @binding(${i}) var<storage, read> ${n}s: array<${wgsl(kind(i))}>;`),
    `@group(0) @binding(3) var<storage, read_write> out: array<${wgsl(out)}>;`,
    '@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) {',
    `  let i = id.x; if (i >= arrayLength(&out)) { return; }`,
    ...names.map((n) => `  let ${n} = ${n}s[i];`),
    `  out[i] = ${expr};`,
    '}',
  ].join('\n')
  const inputs: Record<string, Numbers> = { out: new types[out](count) }
  names.forEach((n, i) => {
    inputs[`${n}s`] = new types[kind(i)](padded[i])
  })
  const values = Array.from({ length: count }, (_, i) => compute(...names.map((n) => inputs[`${n}s`][i])))
  return {
    name: lanes === 4 ? `${name} (vec4)` : name,
    source,
    inputs,
    expected: { out: new types[out](values) },
    groups: [Math.ceil(count / lanes / 4)],
    ...rest,
  }
}
/** The same on scalars and on vectors. */
const both = (
  ...args: Parameters<typeof apply>
): Program[] => [apply(...args), apply(args[0], args[1], args[2], args[3], args[4], { ...args[5], lanes: 4 })]

const f = Math.fround
const roundEven = (x: number) => {
  const low = Math.floor(x), rest = x - low
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1
}
const range = (from: number, to: number, count: number) =>
  Array.from({ length: count }, (_, i) => from + (to - from) * i / (count - 1))
const grid = (a: number[], b: number[]): [number[], number[]] => [a.flatMap((x) => b.map(() => x)), a.flatMap(() => b)]
const u = (x: number) => x >>> 0

const unary: Program[] = [
  ...both('abs', 'abs(x)', 'f32', [[...edge, ...infinite]], Math.abs),
  ...both('negate', '-x', 'f32', [[...edge, ...infinite]], (x) => -x),
  ...both('ceil', 'ceil(x)', 'f32', [edge], Math.ceil),
  ...both('floor', 'floor(x)', 'f32', [edge], Math.floor),
  ...both('trunc', 'trunc(x)', 'f32', [edge], Math.trunc),
  ...both('round to even', 'round(x)', 'f32', [edge], roundEven),
  ...both('fract', 'fract(x)', 'f32', [edge.filter((x) => Math.abs(x) < 1e6)], (x) => f(x - Math.floor(x)), { ulp: 1 }),
  ...both('sign', 'sign(x)', 'f32', [[...edge, ...infinite]], Math.sign),
  ...both('saturate', 'saturate(x)', 'f32', [edge], (x) => Math.min(Math.max(x, 0), 1)),
  ...both('sqrt', 'sqrt(x)', 'f32', [edge.filter((x) => x >= 0)], (x) => Math.sqrt(x), { ulp: 2 }),
  ...both('inverseSqrt', 'inverseSqrt(x)', 'f32', [edge.filter((x) => x > 0)], (x) => 1 / Math.sqrt(x), { ulp: 2 }),
  ...both('exp', 'exp(x)', 'f32', [[...range(-80, 80, 61), 0, 1, -1, 88.5, -87]], Math.exp, { ulp: 60, abs: 0 }),
  ...both('exp of extremes', 'exp(x)', 'f32', [[100, 1000, 3e38, -110, -1000, -3e38, 0]], Math.exp),
  ...both('exp2', 'exp2(x)', 'f32', [[...range(-120, 120, 49), 0.5, -0.5, 1e-5]], (x) => 2 ** x, { ulp: 40 }),
  ...both('exp2 of whole numbers', 'exp2(x)', 'f32', [[-126, -100, -3, -1, 0, 1, 2, 10, 100, 127]], (x) => 2 ** x, {
    ulp: 2,
  }),
  ...both('log', 'log(x)', 'f32', [[1e-30, 1e-3, 0.1, 0.4, 0.7, 1.5, 2, 2.7, 10, 1e3, 1e10, 1e30]], Math.log, {
    ulp: 4,
  }),
  ...both('log near one', 'log(x)', 'f32', [range(0.9, 1.1, 21)], Math.log, { ulp: 4, abs: 5e-7 }),
  ...both('log2', 'log2(x)', 'f32', [[1e-30, 1e-3, 0.1, 0.4, 0.7, 1.5, 3, 10, 1e3, 1e30]], Math.log2, { ulp: 4 }),
  ...both('log2 of powers', 'log2(x)', 'f32', [[0.125, 0.5, 1, 2, 4, 1024, 2 ** 100, 2 ** -100]], Math.log2, {
    ulp: 1,
    abs: 1e-6,
  }),
  ...both('sin', 'sin(x)', 'f32', [range(-3.14, 3.14, 41)], Math.sin, { abs: 0.0005 }),
  ...both('cos', 'cos(x)', 'f32', [range(-3.14, 3.14, 41)], Math.cos, { abs: 0.0005 }),
  ...both('tan', 'tan(x)', 'f32', [range(-1.4, 1.4, 29)], Math.tan, { abs: 0.01 }),
  ...both('tanh', 'tanh(x)', 'f32', [[...range(-9, 9, 37), 0.01, -0.01, 1e-6, 30, -30]], Math.tanh, { abs: 1e-5 }),
  ...both('sinh', 'sinh(x)', 'f32', [range(-5, 5, 21)], Math.sinh, { ulp: 200, abs: 1e-5 }),
  ...both('cosh', 'cosh(x)', 'f32', [range(-5, 5, 21)], Math.cosh, { ulp: 200 }),
  ...both('asin', 'asin(x)', 'f32', [range(-1, 1, 21)], Math.asin, { abs: 1e-3 }),
  ...both('acos', 'acos(x)', 'f32', [range(-1, 1, 21)], Math.acos, { abs: 1e-3 }),
  ...both('atan', 'atan(x)', 'f32', [[...range(-4, 4, 33), 100, -1e6]], Math.atan, { ulp: 4096, abs: 1e-3 }),
  ...both('asinh', 'asinh(x)', 'f32', [range(-10, 10, 21)], Math.asinh, { abs: 1e-5 }),
  ...both('acosh', 'acosh(x)', 'f32', [[1, 1.5, 2, 5, 10, 100]], Math.acosh, { abs: 1e-3 }),
  ...both('atanh', 'atanh(x)', 'f32', [range(-0.9, 0.9, 19)], Math.atanh, { abs: 1e-4 }),
  ...both('degrees', 'degrees(x)', 'f32', [range(-4, 4, 9)], (x) => x * 180 / Math.PI, { ulp: 2 }),
  ...both('radians', 'radians(x)', 'f32', [range(-360, 360, 9)], (x) => x * Math.PI / 180, { ulp: 2 }),
]

const [p0, p1] = grid([0, 0.5, 1, 2, 3, 10], [0.5, 1, 2, 3, -1, -2.5, 7])
const [e0, e1] = grid([0, 1, -1, 2.5, -2.5, 1e20, -1e-20, 3], [1, -1, 0.3, -7, 1e-10, 2])
const binary: Program[] = [
  ...both('add', 'x + y', 'f32', [e0, e1], (x, y) => f(x + y)),
  ...both('subtract', 'x - y', 'f32', [e0, e1], (x, y) => f(x - y)),
  ...both('multiply', 'x * y', 'f32', [e0, e1], (x, y) => f(x * y)),
  ...both('divide', 'x / y', 'f32', [e0, e1], (x, y) => f(x / y), { ulp: 3 }),
  ...both(
    'float remainder',
    'x % y',
    'f32',
    grid([5.5, -5.5, 3, 0.25, -8], [2, -2, 0.75, 3]),
    (x, y) => f(x - y * Math.trunc(f(x / y))),
    { ulp: 2, abs: 1e-6 },
  ),
  ...both('pow', 'pow(x, y)', 'f32', [p0.filter((x) => x > 0), p1.filter((_, i) => p0[i] > 0)], (x, y) => x ** y, {
    ulp: 64,
  }),
  ...both('pow of zero', 'pow(x, y)', 'f32', [[0, 0, 0, 0], [1, 2, 0.5, 3]], (x, y) => x ** y),
  ...both('atan2', 'atan2(x, y)', 'f32', grid([1, -1, 0.5, -3, 10], [1, -1, 2, -0.25]), Math.atan2, {
    ulp: 4096,
    abs: 1e-3,
  }),
  ...both('step', 'step(x, y)', 'f32', [e0, e1], (x, y) => +(x <= y)),
  ...both('min', 'min(x, y)', 'f32', [e0, e1], Math.min),
  ...both('max', 'max(x, y)', 'f32', [e0, e1], Math.max),
  ...both('fma', 'fma(x, y, z)', 'f32', [[1, 2, 3, 0.5], [4, 5, 6, 7], [0.25, -10, 0, 1]], (x, y, z) => x * y + z, {
    ulp: 1,
  }),
  ...both(
    'mix',
    'mix(x, y, z)',
    'f32',
    [[1, 2, 3, -4], [5, 2, -3, 8], [0, 0.5, 1, 0.25]],
    (x, y, z) => x * (1 - z) + y * z,
    { ulp: 2 },
  ),
  ...both(
    'clamp',
    'clamp(x, y, z)',
    'f32',
    [[-5, 0.5, 9, 1], [0, 0, 0, 1], [1, 1, 1, 1]],
    (x, y, z) => Math.min(Math.max(x, y), z),
  ),
  ...both('smoothstep', 'smoothstep(x, y, z)', 'f32', [[0, 0, 0, 1], [1, 2, 1, 3], [0.5, 0.5, 7, -1]], (a, b, x) => {
    const t = Math.min(Math.max((x - a) / (b - a), 0), 1)
    return t * t * (3 - 2 * t)
  }, { ulp: 4, abs: 1e-6 }),
  ...both('select', 'select(x, y, x < y)', 'f32', [e0, e1], (x, y) => x < y ? y : x),
  apply('ldexp', 'ldexp(x, y)', 'f32', [[1, 1.5, -2, 3, 1, 0.5], [0, 3, -4, 100, -126, 10]], (x, y) => x * 2 ** y, {
    column: ['f32', 'i32'],
  }),
  apply(
    'sign of zero survives',
    'bitcast<u32>(x * y)',
    'f32',
    [[-0, 0, 1, -1], [1, -1, -0, 0]],
    (x, y) => Object.is(x * y, -0) ? 0x80000000 : 0,
    { out: 'u32' },
  ),
]

const [i0, i1] = grid(ints, [1, -1, 2, 7, -7, 2147483647, -2147483648, 0])
const [s0, s1] = grid(ints, [0, 1, 5, 31, 32, 33, 63])
const div = (x: number, y: number) => y === 0 ? x : x === -2147483648 && y === -1 ? x : Math.trunc(x / y)
const rem = (x: number, y: number) => y === 0 || (x === -2147483648 && y === -1) ? 0 : x % y
const bitsOf = (n: number) => {
  let c = 0
  for (let v = u(n); v; v >>>= 1) c += v & 1
  return c
}
const reverse = (n: number) => {
  let r = 0
  for (let i = 0; i < 32; i++) r |= ((n >>> i) & 1) << (31 - i)
  return r
}
const integer: Program[] = [
  ...both('i32 add wraps', 'x + y', 'i32', [i0, i1], (x, y) => (x + y) | 0),
  ...both('i32 subtract wraps', 'x - y', 'i32', [i0, i1], (x, y) => (x - y) | 0),
  ...both('i32 multiply wraps', 'x * y', 'i32', [i0, i1], (x, y) => Math.imul(x, y)),
  ...both('i32 divide, by 0 too', 'x / y', 'i32', [i0, i1], div),
  ...both('i32 remainder, by 0 too', 'x % y', 'i32', [i0, i1], rem),
  ...both('u32 add wraps', 'x + y', 'u32', [i0, i1], (x, y) => u(x + y)),
  ...both('u32 subtract wraps', 'x - y', 'u32', [i0, i1], (x, y) => u(x - y)),
  ...both('u32 multiply wraps', 'x * y', 'u32', [i0, i1], (x, y) => u(Math.imul(x, y))),
  ...both('u32 divide, by 0 too', 'x / y', 'u32', [i0, i1], (x, y) => y === 0 ? x : Math.floor(x / y)),
  ...both('u32 remainder, by 0 too', 'x % y', 'u32', [i0, i1], (x, y) => y === 0 ? 0 : x % y),
  ...both('i32 shift left, modulo 32', 'x << y', 'i32', [s0, s1], (x, y) => x << y, { column: ['i32', 'u32'] }),
  ...both('i32 shift right keeps the sign', 'x >> y', 'i32', [s0, s1], (x, y) => x >> y, { column: ['i32', 'u32'] }),
  ...both('u32 shift right', 'x >> y', 'u32', [s0, s1], (x, y) => u(x >>> y)),
  ...both('bit operations', '(x & y) ^ (x | ~y)', 'u32', [i0, i1], (x, y) => u((x & y) ^ (x | ~y))),
  ...both('i32 abs', 'abs(x)', 'i32', [ints], (x) => Math.abs(x) | 0),
  ...both('i32 negate', '-x', 'i32', [ints], (x) => -x | 0),
  ...both('i32 sign', 'sign(x)', 'i32', [ints], Math.sign),
  ...both('i32 min', 'min(x, y)', 'i32', [i0, i1], Math.min),
  ...both('i32 max', 'max(x, y)', 'i32', [i0, i1], Math.max),
  ...both('u32 min', 'min(x, y)', 'u32', [i0, i1], Math.min),
  ...both('u32 max', 'max(x, y)', 'u32', [i0, i1], Math.max),
  ...both(
    'i32 clamp',
    'clamp(x, y, z)',
    'i32',
    [[-5, 5, 50, 0], [0, 0, 0, -1], [9, 9, 9, 1]],
    (x, y, z) => Math.min(Math.max(x, y), z),
  ),
  ...both('i32 comparison', 'select(x, y, x < y)', 'i32', [i0, i1], (x, y) => x < y ? y : x),
  ...both('u32 comparison', 'select(x, y, x > y)', 'u32', [i0, i1], (x, y) => x > y ? y : x),
  ...both('countOneBits', 'countOneBits(x)', 'u32', [ints], bitsOf),
  ...both('countLeadingZeros', 'countLeadingZeros(x)', 'u32', [ints], Math.clz32),
  ...both('countTrailingZeros', 'countTrailingZeros(x)', 'u32', [ints], (x) => x === 0 ? 32 : 31 - Math.clz32(x & -x)),
  ...both('firstLeadingBit u32', 'firstLeadingBit(x)', 'u32', [ints], (x) => u(31 - Math.clz32(x))),
  ...both('firstLeadingBit i32', 'firstLeadingBit(x)', 'i32', [ints], (x) => 31 - Math.clz32(x < 0 ? ~x : x)),
  ...both('firstTrailingBit', 'firstTrailingBit(x)', 'i32', [ints], (x) => x === 0 ? -1 : 31 - Math.clz32(x & -x)),
  ...both('reverseBits', 'reverseBits(x)', 'u32', [ints], (x) => u(reverse(x))),
  apply('extractBits u32', 'extractBits(x, y, z)', 'u32', [[0xdeadbeef, 0xdeadbeef, 0xdeadbeef, 5], [0, 8, 28, 0], [
    32,
    8,
    4,
    0,
  ]], (x, o, c) => c === 32 ? u(x) : u((x >>> o) & (2 ** c - 1))),
  apply(
    'extractBits i32 extends the sign',
    'extractBits(x, y, z)',
    'i32',
    [[-559038737, -559038737, 0x70, 0x80], [0, 8, 4, 4], [32, 8, 4, 4]],
    (x, o, c) => (x << (32 - c - o)) >> (32 - c),
    { column: ['i32', 'u32', 'u32'] },
  ),
  apply(
    'insertBits',
    'insertBits(x, y, 4u, z)',
    'u32',
    [[0, -1, 0x12345678, 5], [0xff, 0, 0xabc, 9], [8, 8, 12, 0]],
    (x, y, c) => {
      const m = c ? (2 ** c - 1) << 4 : 0
      return u((x & ~m) | ((y << 4) & m))
    },
  ),
  apply(
    'dot4I8Packed',
    'dot4I8Packed(x, y)',
    'u32',
    [[0x01020304, 0xff80017f], [0x01010101, 0x7f80ff02]],
    (x, y) => [0, 8, 16, 24].reduce((s, b) => s + ((x << (24 - b)) >> 24) * ((y << (24 - b)) >> 24), 0),
    { out: 'i32' },
  ),
  apply(
    'dot4U8Packed',
    'dot4U8Packed(x, y)',
    'u32',
    [[0x01020304, 0xff80017f], [0x01010101, 0x7f80ff02]],
    (x, y) => [0, 8, 16, 24].reduce((s, b) => s + ((x >>> b) & 255) * ((y >>> b) & 255), 0),
  ),
]

const floats = [
  0,
  0.5,
  -0.5,
  1.9,
  -1.9,
  2147483000,
  -2147483648,
  3e9,
  -3e9,
  4294967000,
  1e20,
  -1e20,
  255.99,
  Infinity,
  -Infinity,
]
const clampTo = (low: number, high: number) => (x: number) => Math.min(Math.max(Math.trunc(x), low), high)
const conversions: Program[] = [
  ...both('f32 to i32 saturates', 'X(x)', 'f32', [floats], clampTo(-2147483648, 2147483520), { out: 'i32' }),
  ...both('f32 to u32 saturates', 'X(x)', 'f32', [floats], clampTo(0, 4294967040), { out: 'u32' }),
  ...both('i32 to f32', 'X(x)', 'i32', [ints], f, { out: 'f32' }),
  ...both('u32 to f32', 'X(x)', 'u32', [ints], f, { out: 'f32' }),
  ...both('i32 to u32 keeps bits', 'X(x)', 'i32', [ints], u, { out: 'u32' }),
  ...both('u32 to i32 keeps bits', 'X(x)', 'u32', [ints], (x) => x | 0, { out: 'i32' }),
].map((p) => ({ ...p, source: p.source.replace('X(x)', `${/out: array<([^;]+)>;/.exec(p.source)![1]}(x)`) }))
conversions.push(
  apply('bool to numbers', 'f32(x > 0.0) + f32(i32(x > 1.0)) * 10.0 + f32(u32(x > 2.0)) * 100.0', 'f32', [[
    -1,
    0.5,
    1.5,
    2.5,
  ]], (x) => +(x > 0) + 10 * +(x > 1) + 100 * +(x > 2)),
  apply('numbers to bool', 'u32(bool(x))', 'f32', [[0, -0, 1, -3, 1e-20]], (x) => +(x !== 0), { out: 'u32' }),
  apply(
    'bitcast f32 to u32',
    'bitcast<u32>(x)',
    'f32',
    [[0, 1, -2, 0.1]],
    (x) => new Uint32Array(new Float32Array([x]).buffer)[0],
    { out: 'u32' },
  ),
  apply(
    'bitcast u32 to f32',
    'bitcast<f32>(x)',
    'u32',
    [[0, 0x3f800000, 0xc0000000, 0x7f7fffff]],
    (x) => new Float32Array(new Uint32Array([x]).buffer)[0],
    { out: 'f32' },
  ),
  apply(
    'bitcast of vectors',
    'bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu))',
    'f32',
    [[0, -1, -2.5, 3]],
    Math.abs,
    { lanes: 4 },
  ),
  apply('quantizeToF16', 'quantizeToF16(x)', 'f32', [[0, 1, 0.1, 3.14159, 65504, -0.333, 2048.5, 2049, 1e-4]], half, {
    lanes: 4,
  }),
)
/** Nearest f16 by exact arithmetic on doubles. */
export function half(x: number): number {
  const size = Math.abs(x)
  if (size === 0) return x
  const step = 2 ** (Math.max(Math.floor(Math.log2(size)), -14) - 10),
    scaled = size / step,
    low = Math.floor(scaled),
    rest = scaled - low
  return Math.sign(x) * step * (rest > 0.5 || (rest === 0.5 && low % 2) ? low + 1 : low)
}

/** One source, one input buffer of floats or words, one output buffer. */
const map = (name: string, body: string, input: Numbers, output: Numbers, more: Partial<Program> = {}): Program => {
  const kind = (n: Numbers) => n instanceof Float32Array ? 'f32' : n instanceof Int32Array ? 'i32' : 'u32'
  return {
    name,
    inputs: { input, output: new (output.constructor as typeof Float32Array)(output.length) as Numbers },
    expected: { output },
    source: `@group(0) @binding(0) var<storage, read> input: array<${kind(input)}>;
@group(0) @binding(1) var<storage, read_write> output: array<${kind(output)}>;
@compute @workgroup_size(1) fn main() {\n${body}\n}`,
    ...more,
  }
}
const v4 = 'let v = vec4f(input[0], input[1], input[2], input[3]);'
const put = (size: number) => Array.from({ length: size }, (_, i) => `output[${i}] = r[${i}];`).join(' ')
const packs: Program[] = [
  map(
    'pack4x8snorm',
    `${v4} output[0] = pack4x8snorm(v);`,
    new Float32Array([1, -1, 0.5, -2]),
    new Uint32Array([0x81408100 | 0x7f]),
  ),
  map(
    'pack4x8unorm',
    `${v4} output[0] = pack4x8unorm(v);`,
    new Float32Array([1, 0, 0.5, 2]),
    new Uint32Array([0xff8000ff]),
    { differs: '127.5 may round to 127 or 128' },
  ),
  map(
    'unpack4x8snorm',
    `let r = unpack4x8snorm(input[0]); ${put(4)}`,
    new Uint32Array([0x80817f00]),
    new Float32Array([0, 1, -1, -1]),
  ),
  map(
    'unpack4x8unorm',
    `let r = unpack4x8unorm(input[0]); ${put(4)}`,
    new Uint32Array([0xff003300]),
    new Float32Array([0, 0.2, 0, 1]),
    { ulp: 1 },
  ),
  map(
    'pack2x16snorm',
    'output[0] = pack2x16snorm(vec2f(input[0], input[1]));',
    new Float32Array([1, -1]),
    new Uint32Array([0x80017fff]),
  ),
  map(
    'pack2x16unorm',
    'output[0] = pack2x16unorm(vec2f(input[0], input[1]));',
    new Float32Array([1, 0.25]),
    new Uint32Array([0x4000ffff]),
  ),
  map(
    'unpack2x16snorm',
    `let r = unpack2x16snorm(input[0]); ${put(2)}`,
    new Uint32Array([0x80007fff]),
    new Float32Array([1, -1]),
  ),
  map(
    'unpack2x16unorm',
    `let r = unpack2x16unorm(input[0]); ${put(2)}`,
    new Uint32Array([0xffff0000]),
    new Float32Array([0, 1]),
  ),
  map(
    'pack2x16float',
    'output[0] = pack2x16float(vec2f(input[0], input[1])); output[1] = pack2x16float(vec2f(input[2], input[3]));',
    new Float32Array([1, -2, 65504, 0.1]),
    new Uint32Array([0xc0003c00, 0x2e667bff]),
  ),
  map(
    'pack2x16float of small numbers',
    'output[0] = pack2x16float(vec2f(input[0], input[1]));',
    new Float32Array([6.103515625e-5, 5.960464477539063e-8]),
    new Uint32Array([0x00010400]),
  ),
  map(
    'unpack2x16float',
    `let r = unpack2x16float(input[0]); let s = unpack2x16float(input[1]); ${put(2)} output[2] = s.x; output[3] = s.y;`,
    new Uint32Array([0xc0003c00, 0x04007bff]),
    new Float32Array([1, -2, 65504, 6.103515625e-5]),
  ),
  map(
    'pack4xI8',
    'output[0] = pack4xI8(vec4i(input[0], input[1], input[2], input[3]));',
    new Int32Array([1, -1, 127, -128]),
    new Uint32Array([0x807fff01]),
  ),
  map(
    'pack4xU8',
    'output[0] = pack4xU8(vec4u(input[0], input[1], input[2], input[3]));',
    new Uint32Array([1, 255, 256, 513]),
    new Uint32Array([0x0100ff01]),
  ),
  map(
    'pack4xI8Clamp',
    'output[0] = pack4xI8Clamp(vec4i(input[0], input[1], input[2], input[3]));',
    new Int32Array([1, -300, 300, -128]),
    new Uint32Array([0x807f8001]),
  ),
  map(
    'pack4xU8Clamp',
    'output[0] = pack4xU8Clamp(vec4u(input[0], input[1], input[2], input[3]));',
    new Uint32Array([1, 255, 256, 513]),
    new Uint32Array([0xffffff01]),
  ),
  map(
    'unpack4xI8',
    `let r = unpack4xI8(input[0]); ${put(4)}`,
    new Uint32Array([0x807fff01]),
    new Int32Array([1, -1, 127, -128]),
  ),
  map(
    'unpack4xU8',
    `let r = unpack4xU8(input[0]); ${put(4)}`,
    new Uint32Array([0x807fff01]),
    new Uint32Array([1, 255, 127, 128]),
  ),
]

const geometry: Program[] = [
  map(
    'dot',
    `${v4} output[0] = dot(v, v.wzyx); output[1] = dot(v.xyz, v.yzw); output[2] = dot(v.xy, v.zw);`,
    new Float32Array([1, 2, 3, 4]),
    new Float32Array([20, 20, 11]),
  ),
  map(
    'integer dot',
    `let v = vec4i(input[0], input[1], input[2], input[3]); output[0] = dot(v, v);
output[1] = dot(v.xyz, vec3i(1, 1, 1));`,
    new Int32Array([1, -2, 3, 100000]),
    new Int32Array([(14 + 10000000000) | 0, 2]),
  ),
  map(
    'cross',
    `${v4} let r = cross(v.xyz, v.yzw); ${put(3)}`,
    new Float32Array([1, 2, 4, 7]),
    new Float32Array([2 * 7 - 4 * 4, 4 * 2 - 1 * 7, 1 * 4 - 2 * 2]),
  ),
  map(
    'length',
    `${v4} output[0] = length(v.xy); output[1] = length(v); output[2] = length(-3.0 * v.x);`,
    new Float32Array([3, 4, 12, 84]),
    new Float32Array([5, 85, 9]),
    { ulp: 2 },
  ),
  map(
    'distance',
    `${v4} output[0] = distance(v.xy, v.zw); output[1] = distance(v.x, v.w);`,
    new Float32Array([1, 2, 4, 6]),
    new Float32Array([5, 5]),
    { ulp: 2 },
  ),
  map(
    'normalize',
    `${v4} let r = normalize(v.xy); ${put(2)}`,
    new Float32Array([3, 4, 0, 0]),
    new Float32Array([0.6, 0.8]),
    { ulp: 2 },
  ),
  map(
    'reflect',
    `${v4} let r = reflect(v.xy, v.zw); ${put(2)}`,
    new Float32Array([1, -1, 0, 1]),
    new Float32Array([1, 1]),
    { ulp: 2 },
  ),
  map(
    'refract',
    `${v4} let r = refract(v.xy, v.zw, 1.0); ${put(2)}`,
    new Float32Array([0.6, -0.8, 0, 1]),
    new Float32Array([0.6, -0.8]),
    { ulp: 8 },
  ),
  map(
    'refract, total reflection',
    `${v4} let r = refract(v.xy, v.zw, 2.0); ${put(2)}`,
    new Float32Array([0.8, -0.6, 0, 1]),
    new Float32Array([0, 0]),
  ),
  map(
    'faceForward',
    `${v4} let r = faceForward(v.xy, v.zw, v.xy); ${put(2)}`,
    new Float32Array([1, 2, 3, 4]),
    new Float32Array([-1, -2]),
  ),
  map(
    'frexp',
    'for (var i = 0; i < 4; i++) { let r = frexp(input[i]); output[2 * i] = r.fract; output[2 * i + 1] = f32(r.exp); }',
    new Float32Array([1, -10, 0.375, 0]),
    new Float32Array([0.5, 1, -0.625, 4, 0.75, -1, 0, 0]),
  ),
  map(
    'modf',
    'for (var i = 0; i < 4; i++) { let r = modf(input[i]); output[2 * i] = r.fract; output[2 * i + 1] = r.whole; }',
    new Float32Array([1.25, -2.5, 3, 0.75]),
    new Float32Array([0.25, 1, -0.5, -2, 0, 3, 0.75, 0]),
  ),
  map(
    'all and any',
    `let v = vec3f(input[0], input[1], input[2]); output[0] = u32(all(v > vec3f(0)));
output[1] = u32(any(v > vec3f(2))); output[2] = u32(all(v > vec3f(1)));
output[3] = u32(any(v > vec3f(3)));`,
    new Float32Array([1, 2, 3]),
    new Uint32Array([1, 1, 0, 0]),
  ),
  map(
    'matrix times vector',
    `let m = mat2x2f(input[0], input[1], input[2], input[3]); let v = m * vec2f(5, 7);
let w = vec2f(5, 7) * m; output[0] = v.x; output[1] = v.y; output[2] = w.x;
output[3] = w.y;`,
    new Float32Array([1, 2, 3, 4]),
    new Float32Array([26, 38, 19, 43]),
  ),
  map(
    'matrix product and transpose',
    `let m = mat2x2f(input[0], input[1], input[2], input[3]); let r = m * transpose(m);
output[0] = r[0][0]; output[1] = r[0][1]; output[2] = r[1][0]; output[3] = r[1][1];
output[4] = determinant(m);`,
    new Float32Array([1, 2, 3, 4]),
    new Float32Array([10, 14, 14, 20, -2]),
  ),
  map(
    'determinant of 3 x 3',
    `let m = mat3x3f(input[0], input[1], input[2], input[3], input[4], input[5], input[6], input[7], input[8]);
output[0] = determinant(m);`,
    new Float32Array([2, 0, 1, 1, 3, 2, 1, 1, 1]),
    new Float32Array([2 * (3 - 2) - 0 + 1 * (1 - 3)]),
  ),
]

/** Builtins and operators. */
export const builtinPrograms: Program[] = [...unary, ...binary, ...integer, ...conversions, ...packs, ...geometry]
export { map }

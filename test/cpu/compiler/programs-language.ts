// The language: control flow, types, memory, functions, barriers. Expected values are worked out by hand or by plain
// loops.
import type { Numbers, Program } from '../../support/program.ts'
import { half, map } from './programs-builtins.ts'

const F = (...x: number[]) => new Float32Array(x),
  U = (...x: number[]) => new Uint32Array(x),
  I = (...x: number[]) => new Int32Array(x)
const list = (count: number, value: (i: number) => number) => Array.from({ length: count }, (_, i) => value(i))
/** A program with its own declarations; `buffers` are storage variables in the order of their bindings. */
function whole(
  name: string,
  source: string,
  buffers: Record<string, Numbers>,
  expected: Record<string, Numbers>,
  more: Partial<Program> = {},
): Program {
  const kind = (n: Numbers) => n instanceof Float32Array ? 'f32' : n instanceof Int32Array ? 'i32' : 'u32'
  const declared = Object.entries(buffers).filter(([n]) => !new RegExp(`var<[^>]*> ${n}\\b`).test(source))
    .map(([n, b], i) => `@group(0) @binding(${i}) var<storage, read_write> ${n}: array<${kind(b)}>;`).join('\n')
  return {
    name,
    source: source.startsWith('enable') ? source : `${declared}\n${source}`,
    inputs: buffers,
    expected,
    ...more,
  }
}
const zeros = (n: number) => new Float32Array(n)
const none = U(0)

const control: Program[] = [
  map(
    'if, else if, else',
    `for (var i = 0u; i < 4u; i++) {
  if (input[i] < 0) { output[i] = 1; } else if (input[i] == 0) { output[i] = 2; } else {
    output[i] = 3;
  }
}`,
    I(-5, 0, 5, 9),
    U(1, 2, 3, 3),
  ),
  map(
    'switch with default in the middle',
    `for (var i = 0; i < 5; i++) {
  switch input[i] {
    case 1u: { output[i] = 10; }
    default: { output[i] = 99; }
    case 2u, 3u { output[i] = 23; }
  }
}`,
    U(1, 2, 3, 4, 0),
    U(10, 23, 23, 99, 99),
  ),
  map(
    'break in switch',
    `var r = 0u;
switch input[0] { case 5u: { if (input[1] > 0u) { break; } r = 1u; } default: { r = 2u; } }
output[0] = r;`,
    U(5, 1),
    U(0),
  ),
  map(
    'switch inside a loop: continue',
    `var s = 0u;
for (var i = 0u; i < 8u; i++) { switch i { case 2u, 5u: { continue; } default: {} } s += i; }
output[0] = s;`,
    none,
    U(21),
  ),
  map('loop with break', 'var i = 0u; loop { if (i >= input[0]) { break; } i += 3u; } output[0] = i;', U(10), U(12)),
  map(
    'loop with continuing and break if',
    `var i = 0u; var s = 0u;
loop { if (i % 2u == 0u) { continue; } s += i; continuing { i++; break if i == 10u; } }
output[0] = s;`,
    none,
    U(25),
  ),
  map(
    'continuing sees variables of the body',
    `var s = 0u; var i = 0u;
loop { let twice = i * 2u; i++; continuing { s += twice; break if i >= 4u; } }
output[0] = s;`,
    none,
    U(12),
  ),
  map(
    'while',
    `var x = input[0]; var n = 0u;
while (x != 1u) { if (x % 2u == 0u) { x /= 2u; } else { x = 3u * x + 1u; } n++; }
output[0] = n;`,
    U(27),
    U(111),
  ),
  map(
    'nested loops with continue and break',
    `var s = 0u;
for (var i = 0u; i < 5u; i++) {
  for (var j = 0u; j < 5u; j++) {
    if (j == 3u) { break; }
    if (i == j) { continue; }
    s += 10u * i + j;
  }
}
output[0] = s;`,
    none,
    U(list(5, (i) => list(3, (j) => i === j ? 0 : 10 * i + j).reduce((a, b) => a + b)).reduce((a, b) => a + b)),
  ),
  map('for without parts', 'var i = 0u; for (;;) { i++; if (i == 7u) { break; } } output[0] = i;', none, U(7)),
  map(
    'for counting down by halves',
    'var n = 0u; for (var h = input[0]; h > 0u; h >>= 1u) { n += h; } output[0] = n;',
    U(64),
    U(127),
  ),
  map(
    'i32 loop through negative numbers',
    'var s = 0; for (var i = -3; i <= 3; i++) { s = s * 2 + i; } output[0] = s;',
    none,
    I([-3, -2, -1, 0, 1, 2, 3].reduce((s, i) => s * 2 + i, 0)),
  ),
  map(
    'addresses that grow with a counter: by one, by a factor, backwards, past zero',
    `for (var i = 0u; i < 3u; i++) {
  output[2u * i + 1u] = input[i * 2u];
  output[(i << 1u) + 6u - 2u * i + i] = input[5u - i];
}`,
    U(1, 2, 3, 4, 5, 6),
    U(0, 1, 0, 3, 0, 5, 6, 5, 4),
  ),
  map(
    'addresses of a counter that steps by a variable',
    'let step = input[0]; for (var i = 1u; i < 9u; i += step) { output[i] = input[i / 4u] + input[i - 1u]; }',
    U(3, 10, 20, 30, 40, 50, 60, 70, 80),
    U(0, 6, 0, 0, 40, 0, 0, 70),
  ),
  map(
    'addresses in a loop that continues and breaks',
    `for (var i = 0u; i < 9u; i++) {
  if (i % 3u == 1u) { continue; }
  if (input[i] == 0u) { break; }
  output[i * 2u] = input[i];
}`,
    U(1, 2, 3, 4, 5, 6, 0, 7, 8),
    U(1, 0, 0, 0, 3, 0, 4, 0, 0, 0, 6, 0, 0),
  ),
  map(
    'addresses whose base changes in the loop',
    'var base = 0u; for (var i = 0u; i < 4u; i++) { output[base + i] = input[i]; if (i == 1u) { base = 3u; } }',
    U(1, 2, 3, 4),
    U(1, 2, 0, 0, 0, 3, 4),
  ),
  map('early return', 'if (input[0] > 1u) { output[0] = 1; return; } output[0] = 2;', U(5), U(1)),
  map(
    'short circuit: && and ||',
    `var n = 0u; let z = input[0];
if (z != 0u && 10u / z > 2u) { n = 1u; }
if (z == 0u || 10u / z > 2u) { n += 2u; }
output[0] = n;`,
    U(0),
    U(2),
  ),
  map(
    'bool operators without short circuit',
    `let a = input[0] > 1u; let b = input[1] > 1u;
output[0] = u32(a & b) + 2u * u32(a | b) + 4u * u32(a != b) + 8u * u32(!a);`,
    U(2, 1),
    U(6),
  ),
  map(
    'compound assignments',
    `var a = input[0]; a += 3; a -= 1; a *= 4; a /= 3; a %= 7; a <<= 3u; a >>= 1u; a |= 64;
a &= 127; a ^= 5; output[0] = a;`,
    I(10),
    I((((((((10 + 3 - 1) * 4 / 3) | 0) % 7) << 3) >> 1) | 64) & 127 ^ 5),
  ),
  map(
    'integer precedence',
    'output[0] = 2u + 3u * 4u - 10u / 3u % 2u; output[1] = (1u << 4u) + (256u >> 2u);',
    none,
    U(13, 80),
  ),
  map(
    'shadowed names',
    'let x = 1u; var s = 0u; { let x = 2u; s += x; { let x = 3u; s += x; } } s += x * 10u; output[0] = s;',
    none,
    U(15),
  ),
]

const values: Program[] = [
  map(
    'swizzles',
    `let v = vec4f(input[0], input[1], input[2], input[3]); let r = v.wzyx + v.xxyy;
output[0] = r.x; output[1] = r.y; output[2] = v.bgr.z; output[3] = v.zw.y;`,
    F(1, 2, 3, 4),
    F(5, 4, 1, 4),
  ),
  map(
    'component assignment',
    'var v = vec3f(input[0]); v.y = 5.0; v.z += 1.0; v[0] = 9.0; output[0] = v.x; output[1] = v.y; output[2] = v.z;',
    F(2),
    F(9, 5, 3),
  ),
  map(
    'vector index that varies',
    `var v = vec4f(1, 2, 3, 4); var s = 0.0;
for (var i = 0u; i < u32(input[0]); i++) { v[i] *= 10.0; s += v[3u - i]; }
output[0] = s; output[1] = v[u32(input[0])];`,
    F(3),
    F(4 + 3 + 20, 4),
  ),
  map(
    'vector constructors',
    `let a = vec2f(1, 2); let b = vec4f(a, 3.0, 4.0); let c = vec4f(0.5, b.yz, 9.0);
let d = vec3i(vec3f(1.9, -1.9, 2.5)); output[0] = b.w; output[1] = c.y; output[2] = c.z;
output[3] = f32(d.y);`,
    none,
    F(4, 2, 3, -1),
  ),
  map(
    'vec3 of u32 arithmetic',
    `let v = vec3u(input[0], input[1], input[2]);
let r = (v * 3u + vec3u(1, 2, 3)) / vec3u(2, input[3], 5); output[0] = r.x;
output[1] = r.y; output[2] = r.z;`,
    U(1, 2, 3, 0),
    U(2, 8, 2),
  ),
  map(
    'vector comparisons and select',
    `let v = vec4f(input[0], input[1], input[2], input[3]);
let r = select(-v, v * 2.0, v > vec4f(2.0)); output[0] = r.x; output[1] = r.y;
output[2] = r.z; output[3] = r.w;`,
    F(1, 2, 3, 4),
    F(-1, -2, 6, 8),
  ),
  map(
    'vector of bool',
    `var b = vec3<bool>(true, false, true); b.y = input[0] > 1u; let c = !b;
output[0] = u32(c.x) + 2u * u32(c.y) + 4u * u32(b.y) + 8u * u32(all(b));`,
    U(2),
    U(12),
  ),
  map(
    'private array indexed by a loop',
    `var a: array<f32, 5>;
for (var i = 0; i < 5; i++) { a[i] = f32(i * i); }
var s = 0.0;
for (var i = 4; i >= 0; i--) { s = s * 2.0 + a[i]; }
output[0] = s;`,
    none,
    F([16, 9, 4, 1, 0].reduce((s, x) => s * 2 + x, 0)),
  ),
  map(
    'private array indexed by data',
    `var a = array<u32, 4>(10, 20, 30, 40); a[input[0]] += 5u; a[input[1]] = a[input[0]] * 2u;
output[0] = a[0] + a[1] * 1000u + a[2] * 1000000u; output[1] = a[3];`,
    U(1, 3),
    U(30025010, 50),
  ),
  map(
    'array of arrays',
    `var a: array<array<u32, 3>, 2>;
for (var i = 0u; i < 2u; i++) { for (var j = 0u; j < 3u; j++) { a[i][j] = i * 10u + j; } }
let row = a[1]; output[0] = row[2] + a[input[0]][input[1]] * 100u;`,
    U(1, 1),
    U(1112),
  ),
  map(
    'constant table',
    `const table = array(3u, 1u, 4u, 1u, 5u); var s = 0u;
for (var i = 0u; i < 5u; i++) { s = s * 10u + table[i]; }
output[0] = s; output[1] = table[input[0]];`,
    U(2),
    U(31415, 4),
  ),
  map(
    'arrays are values',
    `var a = array<u32, 2>(1, 2); var b = a; b[0] = 9u; a[1] = 7u;
output[0] = a[0] * 1000u + a[1] * 100u + b[0] * 10u + b[1];`,
    none,
    U(1792),
  ),
  map(
    'abstract numbers',
    `const a = 7; const b = a / 2 * 1.5; const c = 1 << 5; output[0] = b;
output[1] = f32(c) + 0x1p-1; output[2] = 1e-2 + 2; output[3] = .5 + 1. + 0x10;`,
    none,
    F(4.5, 32.5, 2.01, 17.5),
  ),
  map(
    'matrix columns',
    `var m = mat3x2f(1, 2, 3, 4, 5, 6); m[1] = vec2f(7, 8); m[2].x = 9.0;
let r = m * vec3f(1, 10, 100); output[0] = r.x; output[1] = r.y;
output[2] = (m * 2.0)[0][1];`,
    none,
    F(971, 682, 4),
  ),
  map(
    'storage index that is out of bounds stays inside',
    'output[0] = input[min(input[0], 3u)]; output[1] = u32(input[input[1]] < 1001u);',
    U(2, 1000, 5, 7),
    U(5, 1),
  ),
  map(
    'negative zero and sign bit',
    'let x = -input[0]; output[0] = bitcast<u32>(x); output[1] = bitcast<u32>(abs(x));',
    F(0),
    U(0x80000000, 0),
  ),
]

const P = (n: number, s: number) =>
  new Float32Array(new Uint32Array([n, ...new Uint32Array(new Float32Array([s]).buffer), 7, 0]).buffer)
const functions: Program[] = [
  whole(
    'functions, return in the middle',
    `fn f(x: f32) -> f32 {
  if (x < 0.0) { return -1.0; }
  for (var i = 0; i < 10; i++) { if (f32(i * i) >= x) { return f32(i); } }
  return 99.0;
}
@compute @workgroup_size(1) fn main() {
  for (var i = 0; i < 4; i++) { o[i] = f(o[i]); }
}`,
    { o: F(-3, 10, 81, 1000) },
    { o: F(-1, 4, 9, 99) },
  ),
  whole(
    'nested calls',
    `fn sq(x: f32) -> f32 {
  return x * x;
}
fn hyp(a: f32, b: f32) -> f32 {
  return sqrt(sq(a) + sq(b));
}
@compute @workgroup_size(1) fn main() {
  o[0] = hyp(hyp(1.0, 2.0), sq(o[0]));
}`,
    { o: F(Math.sqrt(2)) },
    { o: F(3) },
    { ulp: 2 },
  ),
  whole(
    'pointer parameters',
    `fn bump(p: ptr<function, u32>, by: u32) -> u32 {
  let old = *p; *p += by; return old;
}
@compute @workgroup_size(1) fn main() {
  var x = 5u; let a = bump(&x, 2u); let b = bump(&x, 3u); o[0] = x * 100u + a * 10u + b;
}`,
    { o: U(0) },
    { o: U(1057) },
  ),
  whole(
    'pointers into structs and arrays',
    `struct S { a: u32, b: array<u32, 3> }
fn fill(p: ptr<function, array<u32, 3>>) {
  for (var i = 0u; i < 3u; i++) { p[i] = i + 1u; }
}
@compute @workgroup_size(1) fn main() {
  var s: S; fill(&s.b); let q = &s.b[1]; *q = 9u;
  o[0] = s.a + s.b[0] * 100u + s.b[1] * 10u + s.b[2];
}`,
    { o: U(0) },
    { o: U(193) },
  ),
  whole(
    'order of evaluation',
    `var<private> n: u32;
fn next() -> u32 {
  n += 1u; return n;
}
@compute @workgroup_size(1) fn main() {
  o[0] = next() * 100u + next() * 10u + next(); o[1] = n + next();
}`,
    { o: U(0, 0) },
    { o: U(123, 7) },
  ),
  whole(
    'structs as values',
    `struct V { x: f32, w: vec2f }
fn make(x: f32) -> V {
  return V(x, vec2f(x * 2.0, x * 3.0));
}
@compute @workgroup_size(1) fn main() {
  var v = make(1.0); let u = v; v.w.y = 10.0; v.x += u.w.y; o[0] = v.x; o[1] = v.w.y;
  o[2] = u.w.y;
}`,
    { o: zeros(3) },
    { o: F(4, 10, 3) },
  ),
  whole(
    'struct layout in storage',
    `struct S { a: f32, b: vec3f, c: f32, d: vec2f, e: array<f32, 2> }
@group(0) @binding(1) var<storage, read_write> s: array<S, 2>;
@compute @workgroup_size(1) fn main() {
  s[1].b = vec3f(7, 8, 9); o[0] = s[0].a; o[1] = s[0].b.z; o[2] = s[0].c; o[3] = s[0].d.y;
  o[4] = s[0].e[1]; o[5] = s[1].a;
}`,
    { o: zeros(6), s: F(...list(24, (i) => i)) },
    { o: F(0, 6, 7, 9, 11, 12), s: F(...list(24, (i) => i >= 16 && i < 19 ? i - 9 : i)) },
  ),
  whole(
    'uniform buffer',
    `struct P { n: u32, s: f32, t: u32 }
@group(1) @binding(0) var<uniform> p: P;
@compute @workgroup_size(1) fn main() {
  o[0] = f32(p.n) * p.s + f32(p.t);
}`,
    { o: zeros(1), p: P(3, 2.5) },
    { o: F(14.5) },
  ),
  whole(
    'uniform array of vectors',
    `@group(1) @binding(0) var<uniform> p: array<vec4f, 3>;
@compute @workgroup_size(1) fn main() {
  for (var i = 0u; i < 3u; i++) { o[i] = p[i].y + p[2u - i][i]; }
}`,
    { o: zeros(3), p: F(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12) },
    { o: F(2 + 9, 6 + 6, 10 + 3) },
  ),
  whole(
    'runtime array at the end of a struct',
    `struct S { n: u32, data: array<vec2u> }
@group(0) @binding(1) var<storage, read> s: S;
@compute @workgroup_size(1) fn main() {
  o[0] = arrayLength(&s.data); o[1] = s.data[s.n].y;
}`,
    { o: U(0, 0), s: U(1, 0, 10, 11, 12, 13) },
    { o: U(2, 13) },
  ),
  whole(
    'overrides with defaults',
    `override A: u32 = 3; override B = A * 2u; @id(7) override C: f32 = 0.5;
@compute @workgroup_size(1) fn main() {
  o[0] = f32(A) + f32(B) * 10.0 + C;
}`,
    { o: zeros(1) },
    { o: F(5 + 100 + 0.25) },
    { constants: { A: 5, 7: 0.25 } },
  ),
  whole(
    'override decides a branch and an array',
    `override N: u32 = 4; override USE: bool = false; var<workgroup> w: array<u32, N * 2u>;
@compute @workgroup_size(N) fn main(@builtin(local_invocation_index) i: u32) {
  w[i] = i; w[i + N] = 10u * i; workgroupBarrier();
  if (USE) { o[i] = w[2u * N - 1u - i]; } else { o[i] = 1u; }
}`,
    { o: U(0, 0, 0, 0, 0, 0, 0, 0) },
    { o: U(70, 60, 50, 40, 30, 20, 10, 0) },
    { constants: { N: 8, USE: 1 } },
  ),
  whole(
    'module constants, aliases, const_assert',
    `alias Row = array<vec2u, 2>; const SIZE = 2u; const_assert SIZE * 2u == 4u;
const START = Row(vec2u(1, 2), vec2u(3, 4));
@compute @workgroup_size(1) fn main() {
  var r: Row = START; r[SIZE - 1u].x = 7u; o[0] = r[0].y * 10u + r[1].x;
}`,
    { o: U(0) },
    { o: U(27) },
  ),
  whole(
    'private variables start anew in every invocation',
    `var<private> x: u32 = 5u;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
  x += i; o[i] = x;
}`,
    { o: U(0, 0, 0, 0) },
    { o: U(5, 6, 7, 8) },
  ),
  whole(
    'ids',
    `@compute @workgroup_size(2, 3, 2) fn main(
  @builtin(global_invocation_id) g: vec3u, @builtin(local_invocation_id) l: vec3u,
  @builtin(local_invocation_index) i: u32,
  @builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) n: vec3u,
) {
  let at = (w.z * n.y + w.y) * n.x + w.x;
  o[at * 12u + i] = g.x + 10u * g.y + 100u * g.z + 1000u * l.x + 10000u * l.y + 100000u * l.z;
}`,
    { o: new Uint32Array(96) },
    {
      o: U(...list(96, (k) => {
        const i = k % 12
        const at = Math.floor(k / 12)
        const w = [at % 2, Math.floor(at / 2) % 2, Math.floor(at / 4)]
        const l = [i % 2, Math.floor(i / 2) % 3, Math.floor(i / 6)]
        return w[0] * 2 + l[0] + 10 * (w[1] * 3 + l[1]) + 100 * (w[2] * 2 + l[2]) + 1000 * l[0] + 10000 * l[1]
          + 100000 * l[2]
      })),
    },
    { groups: [2, 2, 2] },
  ),
  whole(
    'builtins in a struct parameter',
    `struct In { @builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) i: u32 }
@compute @workgroup_size(4) fn main(in: In) {
  o[in.w.x * 4u + in.i] = in.w.x * 10u + in.i;
}`,
    { o: new Uint32Array(8) },
    { o: U(0, 1, 2, 3, 10, 11, 12, 13) },
    { groups: [2] },
  ),
]

const groupsOf64 = list(128, (i) => ((i * 37) % 101) - 50)
const barriers: Program[] = [
  whole(
    'reversal through workgroup memory',
    `var<workgroup> w: array<f32, 64>;
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32, @builtin(workgroup_id) g: vec3u) {
  w[i] = o[g.x * 64u + i]; workgroupBarrier(); o[g.x * 64u + i] = w[63u - i];
}`,
    { o: F(...groupsOf64) },
    { o: F(...groupsOf64.slice(0, 64).reverse(), ...groupsOf64.slice(64).reverse()) },
    { groups: [2] },
  ),
  whole(
    'a few invocations of a workgroup with two dimensions',
    `var<workgroup> w: array<u32, 16>;
@compute @workgroup_size(4, 4) fn main(@builtin(local_invocation_index) i: u32) {
  w[i] = i; workgroupBarrier();
  if (i < 3u) { o[i] = w[15u - i]; }
  workgroupBarrier();
  if (i == 6u) { o[i] = w[2]; }
}`,
    { o: new Uint32Array(8) },
    { o: U(15, 14, 13, 0, 0, 0, 2, 0) },
  ),
  whole(
    'tree reduction in a loop',
    `var<workgroup> w: array<f32, 64>;
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32, @builtin(workgroup_id) g: vec3u) {
  w[i] = x[g.x * 64u + i]; workgroupBarrier();
  for (var h = 32u; h > 0u; h /= 2u) { if (i < h) { w[i] += w[i + h]; } workgroupBarrier(); }
  if (i == 0u) { o[g.x] = w[0]; }
}`,
    { o: zeros(2), x: F(...groupsOf64) },
    { o: F(groupsOf64.slice(0, 64).reduce((a, b) => a + b), groupsOf64.slice(64).reduce((a, b) => a + b)) },
    { groups: [2] },
  ),
  whole(
    'barrier in a helper called twice',
    `var<workgroup> w: array<u32, 16>;
fn shift(i: u32, v: u32) -> u32 {
  workgroupBarrier(); w[i] = v; workgroupBarrier(); return w[(i + 1u) % 16u];
}
@compute @workgroup_size(16) fn main(@builtin(local_invocation_index) i: u32) {
  let a = shift(i, i); let b = shift(i, a * 10u + i); o[i] = b;
}`,
    { o: new Uint32Array(16) },
    {
      o: U(...list(16, (i) => {
        const j = (i + 1) % 16
        return ((j + 1) % 16) * 10 + j
      })),
    },
  ),
  whole(
    'variables live across barriers',
    `var<workgroup> w: array<vec4f, 8>;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) {
  var sum = vec4f(f32(i)); let mine = f32(i) * 0.5; var parts: array<f32, 2>;
  for (var t = 0u; t < 3u; t++) {
    w[i] = vec4f(f32(i * 10u + t)); workgroupBarrier(); sum += w[(i + t) % 8u];
    parts[t % 2u] += mine; workgroupBarrier();
  }
  o[i] = sum.y + parts[0] * 100.0 + parts[1];
}`,
    { o: zeros(8) },
    { o: F(...list(8, (i) => i + [0, 1, 2].reduce((s, t) => s + ((i + t) % 8) * 10 + t, 0) + i * 100 + i * 0.5)) },
  ),
  whole(
    'workgroupUniformLoad',
    `var<workgroup> n: u32;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) {
  if (i == 3u) { n = x[0]; }
  let m = workgroupUniformLoad(&n);
  for (var k = 0u; k < m; k++) { workgroupBarrier(); o[i] += k; }
}`,
    { o: new Uint32Array(8), x: U(4) },
    { o: U(6, 6, 6, 6, 6, 6, 6, 6) },
  ),
  whole(
    'break out of a loop with barriers',
    `var<workgroup> w: array<u32, 4>; @group(0) @binding(2) var<storage, read> p: array<u32>;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
  var s = 0u;
  for (var t = 0u; ; t++) {
    if (t >= p[0]) { break; }
    w[i] = t + i; workgroupBarrier(); s += w[3u - i]; workgroupBarrier();
  }
  o[i] = s;
}`,
    { o: new Uint32Array(4), q: U(0), p: U(3) },
    { o: U(12, 9, 6, 3) },
  ),
  whole(
    'return of some after the last barrier',
    `var<workgroup> w: array<u32, 8>;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) {
  w[i] = i * i; workgroupBarrier(); let v = w[7u - i];
  if (i > 3u) { return; }
  o[i] = v;
  if (i == 0u) { return; }
  o[i] += 100u;
}`,
    { o: new Uint32Array(8) },
    { o: U(49, 136, 125, 116, 0, 0, 0, 0) },
  ),
  whole(
    'helper with divergent return before a barrier',
    `var<workgroup> w: array<u32, 8>;
fn pick(i: u32) -> u32 {
  if (i % 2u == 0u) { return i * 10u; }
  return 1u;
}
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) {
  w[i] = pick(i); workgroupBarrier(); o[i] = w[(i + 1u) % 8u];
}`,
    { o: new Uint32Array(8) },
    {
      o: U(...list(8, (i) => {
        const j = (i + 1) % 8
        return j % 2 ? 1 : j * 10
      })),
    },
  ),
  whole(
    'barriers in a uniform branch, both ways',
    `override MODE: u32 = 1; var<workgroup> w: array<u32, 4>;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32, @builtin(workgroup_id) g: vec3u) {
  var r = i;
  if (g.x == MODE) { w[i] = i; workgroupBarrier(); r = w[3u - i]; } else { r += 10u; }
  o[g.x * 4u + i] = r;
}`,
    { o: new Uint32Array(8) },
    { o: U(10, 11, 12, 13, 3, 2, 1, 0) },
    { groups: [2] },
  ),
  whole(
    'workgroup memory starts at zero',
    `var<workgroup> w: array<u32, 4>;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32, @builtin(workgroup_id) g: vec3u) {
  o[g.x * 4u + i] = w[i]; workgroupBarrier(); w[i] = 5u;
}`,
    { o: U(1, 1, 1, 1, 1, 1, 1, 1) },
    { o: new Uint32Array(8) },
    { groups: [2] },
  ),
  whole(
    'loop counter that is uniform and changes between barriers',
    `var<workgroup> w: array<u32, 4>;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
  var k = 0u;
  loop {
    for (var j = 0u; j < 2u; j++) { k += 1u; w[i] += k; }
    workgroupBarrier();
    if (k >= 6u) { break; }
  }
  o[i] = w[3u - i] + k;
}`,
    { o: new Uint32Array(4) },
    { o: U(27, 27, 27, 27) },
  ),
  whole(
    'private array across barriers',
    `var<workgroup> w: array<u32, 4>;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
  var a: array<u32, 4>;
  for (var k = 0u; k < 4u; k++) { a[(k + i) % 4u] = k; }
  w[i] = a[i]; workgroupBarrier(); o[i] = a[w[i] + 1u] * 10u + a[(i + 3u) % 4u];
}`,
    { o: new Uint32Array(4) },
    {
      o: U(...list(4, (i) => {
        const a = Array<number>(4)
        for (let k = 0; k < 4; k++) a[(k + i) % 4] = k
        return a[1] * 10 + a[(i + 3) % 4]
      })),
    },
  ),
  whole(
    'private array indexed by data across barriers',
    `var<workgroup> w: array<u32, 4>;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
  var a = array<u32, 4>(1, 2, 3, 4); a[q[i]] = 50u + i; workgroupBarrier();
  a[q[3u - i]] += 100u; workgroupBarrier(); o[i] = a[q[i]] + a[q[3u - i]] * 1000u;
}`,
    { o: new Uint32Array(4), q: U(2, 0, 3, 1) },
    {
      o: U(...list(4, (i) => {
        const q = [2, 0, 3, 1], a = [1, 2, 3, 4]
        a[q[i]] = 50 + i
        a[q[3 - i]] += 100
        return a[q[i]] + a[q[3 - i]] * 1000
      })),
    },
  ),
  whole(
    'two-dimensional tile transposed',
    `var<workgroup> w: array<array<u32, 4>, 4>;
@compute @workgroup_size(4, 4) fn main(@builtin(local_invocation_id) l: vec3u) {
  w[l.y][l.x] = o[l.y * 4u + l.x]; workgroupBarrier(); o[l.y * 4u + l.x] = w[l.x][l.y];
}`,
    { o: U(...list(16, (i) => i)) },
    { o: U(...list(16, (i) => (i % 4) * 4 + Math.floor(i / 4))) },
  ),
  whole(
    'storageBarrier',
    `@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
  o[i] = i * 3u; storageBarrier(); let v = o[3u - i]; storageBarrier(); o[i] = v;
}`,
    { o: new Uint32Array(4) },
    { o: U(9, 6, 3, 0) },
  ),
]

const atomics: Program[] = [
  whole(
    'workgroup atomics',
    `var<workgroup> n: atomic<u32>; var<workgroup> m: atomic<i32>;
@compute @workgroup_size(16) fn main(@builtin(local_invocation_index) i: u32) {
  atomicAdd(&n, i); atomicMax(&m, i32(i) - 8); workgroupBarrier();
  if (i == 0u) { o[0] = atomicLoad(&n); o[1] = u32(atomicLoad(&m)); }
}`,
    { o: U(0, 0) },
    { o: U(120, 7) },
  ),
  whole(
    'storage atomics',
    `@group(0) @binding(1) var<storage, read_write> a: array<atomic<u32>, 8>;
@compute @workgroup_size(8) fn main(@builtin(global_invocation_id) g: vec3u) {
  atomicAdd(&a[0], 1u); atomicSub(&a[1], 1u); atomicMin(&a[2], 100u - g.x);
  atomicMax(&a[3], g.x); atomicAnd(&a[4], ~(1u << (g.x % 8u)));
  atomicOr(&a[5], 1u << (g.x % 8u)); atomicXor(&a[6], g.x);
  let r = atomicCompareExchangeWeak(&a[7], 0u, 1u + g.x);
  if (r.exchanged && r.old_value == 0u) { o[0] = 1u; }
}`,
    { o: U(0), a: U(0, 100, 1000, 0, 0xffff, 0, 0, 0) },
    { o: U(1) },
    { groups: [2] },
  ),
  whole(
    'signed storage atomics',
    `@group(0) @binding(1) var<storage, read_write> a: array<atomic<i32>, 5>;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
  atomicMin(&a[0], i32(i) - 2); atomicMax(&a[1], -i32(i));
  let old = atomicExchange(&a[2], 5); atomicAdd(&a[3], i32(i));
  if (i == 0u) { atomicStore(&a[4], 77); }
  if (old == 1) { o[0] = old; }
}`,
    { o: I(0), a: I(0, -10, 1, -6, 0) },
    { a: I(-2, 0, 5, 0, 77), o: I(1) },
  ),
  whole(
    'atomic struct member in workgroup memory',
    `struct C { total: atomic<u32>, list: array<atomic<u32>, 2> }
var<workgroup> c: C;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) {
  atomicAdd(&c.total, 2u); atomicOr(&c.list[i % 2u], 1u << i); workgroupBarrier();
  if (i < 2u) { o[i] = atomicLoad(&c.list[i]) + 1000u * atomicLoad(&c.total); }
}`,
    { o: U(0, 0) },
    { o: U(16085, 16170) },
  ),
]

const f16Bits = (x: number): number => {
  const h = half(x), size = Math.abs(h)
  if (size === 0) return 0
  const e = Math.floor(Math.log2(size))
  return (h < 0 ? 0x8000 : 0) + (e < -14 ? size * 2 ** 24 : (e + 15) * 1024 + (size / 2 ** e - 1) * 1024)
}
const packed = (...x: number[]) => U(...list(x.length / 2, (i) => f16Bits(x[2 * i]) + 65536 * f16Bits(x[2 * i + 1])))
const halves: Program[] = [
  whole(
    'f16 storage to f32',
    `enable f16; @group(0) @binding(0) var<storage, read_write> o: array<f32>;
@group(0) @binding(1) var<storage, read> h: array<f16>;
@compute @workgroup_size(1) fn main() {
  for (var i = 0; i < 8; i++) { o[i] = f32(h[i]) * 2.0; }
}`,
    { o: zeros(8), h: packed(1, -2, 0.5, 65504, 6.103515625e-5, 5.960464477539063e-8, 0, -0.333) },
    { o: F(2, -4, 1, 131008, 2 * 6.103515625e-5, 2 * 5.960464477539063e-8, 0, 2 * half(-0.333)) },
  ),
  whole(
    'f32 to f16 storage rounds to even',
    `enable f16; @group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> h: array<f16>;
@compute @workgroup_size(1) fn main() {
  for (var i = 0; i < 8; i++) { h[i] = f16(x[i]); }
}`,
    { x: F(1, 0.1, 2049, 2051, -3.14159, 1e-4, 1e-6, 65503), h: U(0, 0, 0, 0) },
    { h: packed(1, 0.1, 2049, 2051, -3.14159, 1e-4, 1e-6, 65503) },
  ),
  whole(
    'vectors of f16',
    `enable f16; @group(0) @binding(0) var<storage, read> x: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec2<f16>>;
@compute @workgroup_size(1) fn main() {
  let v = vec4f(x[0]) + vec4f(x[1]); y[0] = vec2h(v.xy); y[1] = vec2<f16>(v.zw);
}`,
    { x: packed(1, 2, 3, 4, 0.5, 0.25, -3, 100), y: U(0, 0) },
    { y: packed(1.5, 2.25, 0, 104) },
  ),
  whole(
    'f16 arithmetic rounds every step',
    `enable f16; @group(0) @binding(0) var<storage, read_write> y: array<f16>;
@compute @workgroup_size(1) fn main() {
  let a = y[0]; let b = y[1]; y[0] = a * b; y[1] = a + b;
}`,
    { y: packed(0.1, 3.3) },
    { y: packed(half(0.1) * half(3.3), half(0.1) + half(3.3)) },
  ),
]

// What the compiler shares, moves and joins must not show.
const far = list(40000, (i) => i), farSum = far.reduce((s, i) => s + i + (i >= 1100 ? i - 1100 : 0), 0)
const sharing: Program[] = [
  whole(
    'a skipped access far before the others of its array',
    `@group(0) @binding(0) var<storage, read_write> o: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<u32, 40000>; @group(0) @binding(2) var<storage, read> r: array<u32>;
@compute @workgroup_size(1) fn main() {
  var s = 0u;
  for (var i = 0u; i < 40000u; i++) { s += q[i] + r[i]; if (i >= 1100u) { s += q[i - 1100u]; } }
  o[0] = s;
}`,
    { o: U(0), q: U(...far), r: new Uint32Array(40000) },
    { o: U(farSum) },
  ),
  whole(
    'the same in workgroup memory',
    `var<workgroup> w: array<u32, 2048>;
@compute @workgroup_size(1) fn main() {
  var s = 0u;
  for (var i = 0u; i < 2048u; i++) { w[i] = q[i]; if (i >= 2000u) { s = s * 3u + w[i - 2000u]; } }
  o[0] = s;
}`,
    { o: U(0), q: U(...far.slice(0, 2048)) },
    { o: U(list(48, (i) => i).reduce((s, i) => (Math.imul(s, 3) + i) >>> 0, 0)) },
  ),
  whole(
    'a division by what is the same for all, after some have left',
    `@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) {
  let m = q[0]; if (m < 1u || i > 5u) { return; } let d = 100u / m; o[i] = d; }`,
    { o: U(1, 2, 3, 4, 5, 6, 7, 8), q: U(0) },
    { o: U(1, 2, 3, 4, 5, 6, 7, 8) },
  ),
  whole(
    'one index before and after it changes',
    `@compute @workgroup_size(1) fn main() {
  var k = q[0]; o[k] = 1u; k += 1u; o[k] = 2u; o[k - 1u] += o[k] * 10u; k = q[0];
  o[k + 2u] = o[k] + 5u;
}`,
    { o: U(0, 0, 0, 0), q: U(1) },
    { o: U(0, 21, 2, 26) },
  ),
  whole(
    'one index before and after a loop changes it',
    `@compute @workgroup_size(1) fn main() { var k = q[0]; o[k] += 1u;
  for (var i = 0u; i < 2u; i++) { o[k] += 10u; k += 1u; o[k] += 100u; } o[k] += 1000u; }`,
    { o: U(0, 0, 0, 0), q: U(1) },
    { o: U(0, 11, 110, 1100) },
  ),
  whole(
    'neighbours in a loop, read before and after they are written',
    `@compute @workgroup_size(1) fn main() {
  for (var i = 1u; i < 7u; i++) { let a = o[i - 1u]; o[i] = a + o[i + 1u]; o[i - 1u] += o[i]; } }`,
    { o: U(1, 2, 3, 4, 5, 6, 7, 8) },
    { o: neighbours(U(1, 2, 3, 4, 5, 6, 7, 8)) },
  ),
  whole(
    'returns in the middle of a function that is called in a loop',
    `fn first(n: u32) -> u32 { for (var i = 2u; i < n; i++) { if (n % i == 0u) { return i; } } return n; }
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
  for (var k = 0u; k < 3u; k++) { o[i * 3u + k] = first(2u + i * 3u + k) * 10u + first(9u); }
}`,
    { o: new Uint32Array(12) },
    { o: U(...list(12, (n) => 10 * list(n + 2, (i) => i + 2).find((i) => (n + 2) % i === 0)! + 3)) },
  ),
  whole(
    'a return at the end of each branch',
    `fn sign_of(x: i32) -> u32 { if (x < 0) { return 1u; } else if (x == 0) { return 2u; } else { return 3u; } }
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
  o[i] = sign_of(i32(i) - 1) + 10u * sign_of(i32(q[i]));
}`,
    { o: new Uint32Array(4), q: U(0, 5, 0xffffffff, 0) },
    { o: U(21, 32, 13, 23) },
  ),
]

/** What the loop over neighbours does, step by step. */
function neighbours(o: Uint32Array): Uint32Array {
  for (let i = 1; i < 7; i++) {
    const a = o[i - 1]
    o[i] = a + o[i + 1]
    o[i - 1] += o[i]
  }
  return o
}

/** The language itself. */
export const languagePrograms: Program[] = [
  ...control,
  ...values,
  ...functions,
  ...barriers,
  ...atomics,
  ...halves,
  ...sharing,
]

// What check-kernel must find, and must let pass. Whole commands, each in a fresh process, on kernels written here.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test, vi } from 'vitest'
import { bundleForNode, runNode } from '../support/cli.ts'
import { scratch } from '../support/model.ts'

const dir = scratch()
const head = `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
`
const ints = '@group(0) @binding(0) var<storage, read_write> out: array<i32, 8>;\n'
const single = (body: string, before = '') => `${ints}${before}\n@compute @workgroup_size(1) fn main() { ${body} }`
const group = (size: number, body: string, before = '') =>
  `${head}${before}@compute @workgroup_size(${size}) fn main(@builtin(global_invocation_id) g: vec3u, `
  + `@builtin(local_invocation_index) i: u32) { ${body} }`
const tile = 'var<workgroup> t: array<f32, 64>;\n'
let cli = '', count = 0

// Several processes each, on machines that do other work too.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 })

beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cases-kernels')
})

const check = async (source: string, setup: object | undefined, ...flags: string[]) => {
  const file = join(dir, `kernel${count++}.wgsl`)
  writeFileSync(file, source)
  if (setup) writeFileSync(file.replace('.wgsl', '.json'), JSON.stringify(setup))
  return runNode(cli, ['check-kernel', file, '--no-dawn', ...flags])
}

const three = { grid: [3], sizes: { x: 96, out: 400 } }, one = { grid: [1], sizes: { x: 64, out: 128 } }
const found: [string, string, object | undefined, RegExp][] = [
  [
    'a read of what the next workgroup writes',
    group(32, 'out[g.x] = x[g.x]; out[256u + g.x] = out[(g.x + 32u) % 96u];'),
    three,
    /race.*permuted/s,
  ],
  [
    'the same at the grid it starts by itself',
    group(32, 'out[g.x] = x[g.x]; out[256u + g.x] = out[(g.x + 32u) % 96u];'),
    { sizes: { out: 400 } },
    /race/,
  ],
  [
    'workgroups that write one word',
    group(16, 'out[i] = x[g.x];'),
    { grid: [4], sizes: { x: 64, out: 64 } },
    /race.*permuted/s,
  ],
  [
    'storage behind a workgroup barrier',
    group(64, 'out[i] = x[i]; workgroupBarrier(); out[64u + i] = out[63u - i];'),
    one,
    /race.*out/,
  ],
  [
    'workgroup memory behind a storage barrier',
    group(64, 't[i] = x[i]; storageBarrier(); out[i] = t[63u - i];', tile),
    one,
    /race.*word \d+ of t/,
  ],
  ['workgroup memory behind none', group(64, 't[i] = x[i]; out[i] = t[i ^ 1u];', tile), one, /race.*word \d+ of t/],
  ['an index in let', single('let i = 70; out[i] = 1;'), undefined, /bounds.*70/],
  ['an index in var', single('var i = 70; out[i] = 1;'), undefined, /bounds.*70/],
  ['an index in a parameter', single('put(70);', 'fn put(i: i32) { out[i] = 1; }'), undefined, /bounds.*70/],
  [
    'a pointer to the same variable twice',
    single(
      'var x = 1; f(&x, &x); out[0] = x;',
      'fn f(a: ptr<function, i32>, b: ptr<function, i32>) { *a = 1; *b = 2; }',
    ),
    undefined,
    /DOES NOT COMPILE.*'a' and 'b'/s,
  ],
  [
    'a pointer to a module variable that is written',
    single('out[0] = f(&p);', 'var<private> p: i32; fn f(a: ptr<private, i32>) -> i32 { p = 2; return *a; }'),
    undefined,
    /DOES NOT COMPILE.*'p'/s,
  ],
  [
    'the same one call further',
    single(
      'out[0] = f(&p);',
      'var<private> p: i32; fn s() { p = 2; } fn f(a: ptr<private, i32>) -> i32 { s(); return *a; }',
    ),
    undefined,
    /DOES NOT COMPILE/,
  ],
  [
    'a template list among arguments',
    single(
      'let a = 1; let b = 2; let c = 3; let d = 4; out[0] = i32(pick(a < b, c > d));',
      'fn pick(a: bool, b: bool) -> bool { return a != b; }',
    ),
    undefined,
    /DOES NOT COMPILE/,
  ],
  ['a byte order mark', `\ufeff${single('out[0] = 1;')}`, undefined, /byte order mark/],
]
test.each(found)('%s is found', async (_, source, setup, sentence) => {
  const { code, stdout } = await check(source, setup)
  expect(stdout).toMatch(sentence)
  expect(code).toBe(1)
})

const passing: [string, string, object | undefined][] = [
  ['&& guards its right side in constants', single('out[0] = i32(a);', 'const a = false && (123 / 0 > 0);'), {
    grid: [1],
  }],
  ['|| does too', single('out[0] = i32(a);', 'const a = true || (1 % 0 > 0);'), { grid: [1] }],
  [
    'a storage barrier orders storage in a workgroup',
    group(64, 'out[i] = x[i]; storageBarrier(); out[64u + i] = out[63u - i];'),
    one,
  ],
  [
    'a workgroup barrier orders workgroup memory',
    group(64, 't[i] = x[i]; workgroupBarrier(); out[i] = t[63u - i];', tile),
    one,
  ],
  [
    'floats beyond the range of integers',
    `@group(0) @binding(0) var<storage, read> f: array<f32>;
@group(0) @binding(1) var<storage, read> big: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32, 8>;
@compute @workgroup_size(1) fn main() { // an index of 1000 says that the comparison failed
  out[select(big[0], 0u, u32(f[0]) == 4294967040u)] = 1u;
  out[select(big[0], 1u, i32(f[0]) == 2147483520i)] = 1u;
  out[select(big[0], 2u, u32(-f[0]) == 0u)] = 1u;
  out[select(big[0], 3u, i32(-f[0]) == i32(-2147483648))] = 1u;
}`,
    { grid: [1], sizes: { f: 1, big: 1 }, values: { f: [1e20], big: [1000] } },
  ],
]
const floats = [
  -0.5,
  0.99,
  255.5,
  2147483520,
  2147483648,
  4294967040,
  4294967296,
  -1,
  -2147483648,
  -2147483904,
  3.4e38,
  -3.4e38,
]
const whole = (low: number, high: number) => floats.map((value) => Math.max(low, Math.min(high, Math.trunc(value))))
const words = (values: readonly number[]) => values.map((value) => value >>> 0)
/** A kernel that leaves its memory where a conversion gives something else than is expected. */
const converting = (out: 'u32' | 'i32', conversion: string): string =>
  `@group(0) @binding(0) var<storage, read> f: array<vec4f>;
@group(0) @binding(1) var<storage, read> expected: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> out: array<u32, 12>;
alias Whole = vec4<${out}>;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) g: vec3u) {
  let x = f[g.x];
  let found = bitcast<vec4u>(${conversion});
  for (var i = 0u; i < 4u; i++) { out[select(4u * g.x + i, 1000u, found[i] != expected[g.x][i])] = g.x; }
}`
const converted = (out: 'u32' | 'i32', conversion: string): [string, string, object] => [
  `${conversion} beyond the range of ${out}`,
  converting(out, conversion),
  {
    grid: [3],
    sizes: { f: 3, expected: 3 },
    values: { f: floats, expected: words(out === 'u32' ? whole(0, 4294967040) : whole(-2147483648, 2147483520)) },
  },
]
passing.push(
  converted('u32', 'Whole(x)'),
  converted('i32', 'Whole(x)'),
  converted('i32', 'vec4i(i32(x.x), vec2i(x.yz), i32(x.w))'),
  converted('u32', 'vec4<u32>(u32(x.x), u32(x.y), vec2<u32>(x.zw))'),
)

test.each(passing)('%s: no findings', async (_, source, setup) => {
  const { code, stdout } = await check(source, setup)
  expect(stdout).toMatch(/no findings/)
  expect(code).toBe(0)
})

test.each([
  ['loop { if x[0] > 1e30 { break; } i += 1; out[0] = f32(i); }'],
  ['while x[0] < 1e30 { i += 1; out[0] = f32(i); }'],
  ['for (; x[0] < 1e30;) { i += 1; out[0] = f32(i); }'],
])('%s ends and is named', async (loop) => {
  const source = `${head}\n@compute @workgroup_size(1) fn main() { var i = 0;\n  ${loop}\n}`
  const { code, stdout } = await check(source, undefined, '--time-limit', '1')
  expect(stdout).toMatch(/the loop at line 5 did not end within 1 s/)
  expect(code).toBe(1)
})

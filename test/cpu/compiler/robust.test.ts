// No index, however wrong, reaches memory outside its binding or variable; the runner's canaries would show it.
import { describe, expect, it } from 'vitest'
import { analyse, compile } from '../../../src/cpu/compiler/compile.ts'
import { runKernel } from '../../support/runner.ts'

const wild = new Uint32Array([
  0,
  7,
  8,
  9,
  63,
  64,
  1000,
  0x7fffffff,
  0x80000000,
  0xfffffff8,
  0xffffffff,
  0x3fffffff,
  0x40000001,
  0x10000000,
  12345678,
  5,
])
const kernel = (body: string) =>
  `struct S { a: f32, v: vec3f, m: array<u32, 5> }
@group(0) @binding(0) var<storage, read> wild: array<u32>;
@group(0) @binding(1) var<storage, read_write> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> vectors: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> fixed: array<S, 3>;
@group(0) @binding(4) var<uniform> table: array<vec4u, 4>;
var<workgroup> tile: array<array<f32, 3>, 5>;
@compute @workgroup_size(16) fn main(@builtin(local_invocation_index) i: u32) {
  let w = wild[i];
  ${body}
}`
const buffers = () => ({
  wild,
  words: new Uint32Array(9),
  vectors: new Float32Array(20),
  fixed: new Float32Array(48),
  table: new Uint32Array(16),
})

describe('wild indices stay inside', () => {
  it.each([
    'words[w] = 1u;',
    'words[w + i] = words[w - i];',
    'words[w * 3u] += 1u;',
    'vectors[w] = vec4f(1);',
    'vectors[w].y = 2.0;',
    'vectors[i][w] = 3.0;',
    'vectors[w][w] = 3.0;',
    'fixed[w].a = 1.0;',
    'fixed[w].v = vec3f(1);',
    'fixed[w].v[w] = 1.0;',
    'fixed[w].m[w] = 7u;',
    'fixed[w] = S(1, vec3f(2), array<u32, 5>(1, 2, 3, 4, 5));',
    'words[table[w].x] = table[w][w];',
    'tile[w][w] = 1.0; words[i] = u32(tile[w][i]);',
    'words[i32(w)] = 1u;',
    'words[w % 16u] = 1u;',
    'var a: array<u32, 7>; a[w] = 9u; words[0] = a[w + 1u];',
    'var v = vec3u(1, 2, 3); v[w] = 5u; words[w] = v[w ^ 1u];',
    'for (var k = 0u; k < 20u; k++) { words[k] = k; }',
    'for (var k = 0u; k < w % 50u; k += 7u) { words[k] = k; }',
    'for (var k = 20; k >= -3; k--) { vectors[k].x = 1.0; }',
  ])('%s', (body) => {
    for (const mode of ['fast', 'bounds'] as const) {
      expect(() => runKernel(kernel(body), buffers(), { mode })).not.toThrow()
    }
  })
})

describe('loops without index checks, where a test before them allows it', () => {
  // Modes that look for mistakes leave loops as they are, so both must do the same for every start, step and factor.
  it.each([
    'for (var k = 0u; k < 9u; k++) { words[k] = words[u + k] + 1u; }',
    'for (var k = 0u; k < 12u; k++) { words[u + k] = k; }',
    'for (var k = u; k < u + 5u; k++) { words[k] = k; }',
    'for (var k = u; k < 0xf0000000u; k += 0x10000000u) { words[k * 3u] = k; words[k >> 28u] += 1u; }',
    'for (var k = 0u; k < 20u; k += 4u) { vectors[(u + k) / 4u] = vec4f(f32(k)); }',
    'for (var k = 0u; k < 20u; k += 3u) { vectors[(u + k) / 4u] += vec4f(f32(k)); }',
    'for (var k = 0u; k < 9u; k++) { words[k * u] += k; words[(k << 30u) + u] += 2u; }',
    'for (var k = 0u; k < 40u; k += 4u) { vectors[min(u + k, 17u) / 4u].x += 1.0; }',
    'for (var k = 0u; k < 3u; k++) { words[8u - k] = words[u - k * 2u] + k; }',
    'for (var k = 0u; k < min(u, 30u); k++) { let at = min(k, u) * 2u; words[at] += k; vectors[at].y = 1.0; }',
    'for (var k = 0u; k < 500u; k++) { fixed[min(k, min(k + 1000u, 2u) - min(k, 1u))].a += 1.0; }',
    'for (var k = 0u; k < 20u; k++) { words[min(k + u, min(u, 30u - min(k, 2u)))] += 1u; vectors[k] *= 2.0; }',
    'for (var k = 0u; k < 3u; k++) { vectors[k * u / 4u] += vec4f(f32(k)); }',
    'for (var k = 0u; k < 4u; k++) { words[(k * u + 3u) / 8u] += k; }',
    `for (var k = 0u; k < 9u; k += 3u) {
  words[(k * (u & 12u) + u) / 16u] += k; vectors[(k * (u & 12u) + 2u) / 32u].z += 1.0;
}`,
    'for (var k = 1u; k < u % 13u; k += 2u) { words[k] = fixed[k].m[k]; fixed[k].m[k] = k; }',
  ])('%s', (body) => {
    for (const w of wild) {
      const [fast, careful] = (['fast', 'nan'] as const).map((mode) => {
        const memory = {
          ...buffers(),
          wild: Uint32Array.of(w, 1),
          words: Uint32Array.from({ length: 9 }, (_, i) => 3 * i + 1),
        }
        return runKernel(kernel(`if (i == 0u) { let u = wild[0]; ${body} }`), memory, { mode })
      })
      expect(fast.out, `u = ${w}`).toStrictEqual(careful.out) // toEqual takes all ArrayBuffers for equal
    }
  })
})

describe('code size', () => {
  it('three nested loops over private arrays do not explode', () => {
    const loops = `var a: array<f32, 64>;
for (var x = 0u; x < 64u; x++) {
  for (var y = 0u; y < 64u; y++) { for (var z = 0u; z < 64u; z++) { a[x] += f32(y) * a[z]; } }
}
words[0] = u32(a[3]);`
    expect(compile(analyse(kernel(loops)), { sharedMemory: false }).wasm.length).toBeLessThan(1_000_000)
  })
  it('definitions that name one another twice over and over do not explode', () => {
    const chain = (make: (a: string) => string) =>
      Array.from({ length: 40 }, (_, i) => `let a${i + 1} = ${make(`a${i}`)};`).join(' ')
    for (const make of [(a: string) => `(${a} ^ (${a} >> 15u)) * 747796405u`, (a: string) => `${a} + ${a} * 3u`]) {
      expect(
        compile(analyse(kernel(`let a0 = i; ${chain(make)} words[a40 % 64u] = 1u;`)), { sharedMemory: false }).wasm
          .length,
      ).toBeLessThan(10_000)
    }
  })
  it('what does not depend on the invocation needs no scratch memory', () => {
    expect(compile(analyse(kernel('words[i] = table[1].x * 4u;')), { sharedMemory: false }).scratchBytes)
      .toBeLessThanOrEqual(16)
  })
})

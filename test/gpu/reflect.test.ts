// What a kernel's text says about itself: bindings that are used, offsets, overrides, and what is refused.
import { describe, expect, test } from 'vitest'
import { KernelError } from '../../src/base/errors.ts'
import { reflect } from '../../src/gpu/reflect.ts'

const text = `
struct Params { rows: u32, eps: f32, by: i32, more: u32, last: f32 }
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> unused: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;
override LANES: u32 = 64;
override WIDE: u32 = 1;
fn helper(i: u32) -> f32 { return x[i]; }
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  out[id.x] = helper(id.x) + f32(p.rows);
}
@compute @workgroup_size(1) fn other() { let x = 3u; out[0] = f32(x); }
`
const of = (source: string, entry = 'main') => reflect('k.wgsl', source, entry, (line) => `line ${line}`)

test('bindings that an entry point uses, itself or through what it calls, in their order', () => {
  expect(of(text).storage).toEqual([{ name: 'x', binding: 1, write: false }, { name: 'out', binding: 4, write: true }])
  expect(of(text).uniform).toMatchObject({ binding: 5 })
  expect(of(text).overrides).toEqual(['LANES', 'WIDE'])
})

test('a name declared inside hides a binding', () => {
  expect(of(text, 'other')).toMatchObject({ storage: [{ name: 'out' }], uniform: null })
})

test('parameters lie one behind the other, and the struct ends at a multiple of sixteen', () => {
  const { uniform } = of(text)
  expect(uniform!.fields).toEqual([
    { name: 'rows', offset: 0, type: 'u32' },
    { name: 'eps', offset: 4, type: 'f32' },
    { name: 'by', offset: 8, type: 'i32' },
    { name: 'more', offset: 12, type: 'u32' },
    { name: 'last', offset: 16, type: 'f32' },
  ])
  expect(uniform!.size).toBe(32)
})

describe('refused', () => {
  test('an entry point that is not there, with those that are', () => {
    expect(() => of(text, 'nope')).toThrow("k.wgsl: no compute entry point 'nope'; the file has: main, other")
  })
  test('a parameter that no launcher can set', () => {
    expect(() => of(text.replace('by: i32', 'by: vec2f'))).toThrow(
      /parameter 'by' is .*; a launcher can set f32, i32 and u32/,
    )
  })
  test('text that does not parse, with its line', () => {
    expect(() => of('fn main( {')).toThrow(KernelError)
    expect(() => of('\n\nfn main( {')).toThrow(/does not parse as WGSL.*\n {2}line 3/)
  })
  test('a binding that is no plain number, and parameters that are no struct', () => {
    expect(() => of(text.replace('@binding(4)', '@binding(2 + 2)'))).toThrow(
      "the binding of 'out' must be a plain number",
    )
    expect(() => of(text.replace('var<uniform> p: Params', 'var<uniform> p: u32').replace('p.rows', 'p'))).toThrow(
      "parameters are a struct, and 'p' is none",
    )
  })
})

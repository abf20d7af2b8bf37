// Accuracy of the functions WASM lacks, against doubles, on scalars and vectors, with and without fused products.
import { describe, expect, it } from 'vitest'
import { runKernel } from '../../support/runner.ts'

const count = 2048
/** `count` numbers between the bounds, the same every time. */
function spread(from: number, to: number, seed = 1): Float32Array {
  let state = seed
  return new Float32Array(count).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return from + (to - from) * state / 2 ** 32
  })
}

/** The largest error in units of the last place of the exact result. */
function worst(
  expr: string,
  exact: (x: number, y: number) => number,
  xs: Float32Array,
  ys: Float32Array,
  wide: boolean,
  relaxed: boolean,
): number {
  const type = wide ? 'vec4f' : 'f32'
  const source = `@group(0) @binding(0) var<storage, read> xs: array<${type}>;
@group(0) @binding(1) var<storage, read> ys: array<${type}>;
@group(0) @binding(2) var<storage, read_write> o: array<${type}>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) g: vec3u) {
  if (g.x >= arrayLength(&o)) { return; }
  let x = xs[g.x]; let y = ys[g.x]; _ = y;
  o[g.x] = ${expr};
}`
  const out = new Float32Array(
    runKernel(source, { xs, ys, o: new Float32Array(count) }, { groups: [count / 64], relaxed }).out.o,
  )
  return out.reduce((most, got, i) => {
    const want = exact(xs[i], ys[i]), unit = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(want))), -126) - 23)
    return Math.max(most, Math.abs(got - want) / unit)
  }, 0)
}

describe('errors in units of the last place', () => {
  const y = spread(-3, 20, 7)
  it.each<[string, (x: number, y: number) => number, number, number, number]>([
    ['exp(x)', Math.exp, -87, 88, 1],
    ['exp2(x)', (x) => 2 ** x, -125, 127, 1],
    ['log(x)', Math.log, 1e-6, 10, 1],
    ['log(x)', Math.log, 0.8, 1.2, 1],
    ['log2(x)', Math.log2, 0.8, 1.2, 1],
    ['log2(x)', Math.log2, 1e-3, 1e5, 1],
    ['sin(x)', Math.sin, -3, 3, 2],
    ['sin(x)', Math.sin, -1000, 1000, 2],
    ['cos(x)', Math.cos, -3, 3, 2],
    ['cos(x)', Math.cos, -1000, 1000, 2],
    ['tan(x)', Math.tan, -1.5, 1.5, 3],
    ['tanh(x)', Math.tanh, -9, 9, 2],
    ['sinh(x)', Math.sinh, -9, 9, 2],
    ['cosh(x)', Math.cosh, -9, 9, 2],
    ['asin(x)', Math.asin, -1, 1, 3],
    ['acos(x)', Math.acos, -1, 1, 3],
    ['atan(x)', Math.atan, -9, 9, 3],
    ['atan2(x, y)', Math.atan2, -9, 9, 3],
    ['asinh(x)', Math.asinh, -9, 9, 3],
    ['acosh(x)', Math.acosh, 1, 9, 3],
    ['atanh(x)', Math.atanh, -0.99, 0.99, 3],
    ['pow(x, y)', (a, b) => a ** b, 0.2, 2, 3],
  ])('%s', (expr, exact, from, to, limit) => {
    const x = spread(from, to)
    for (const wide of [false, true]) {
      for (const relaxed of [false, true]) expect(worst(expr, exact, x, y, wide, relaxed)).toBeLessThanOrEqual(limit)
    }
  })
})

describe('edges', () => {
  const evaluate = (expr: string, x: number[], z: number[] = x) => {
    const source = `@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> z: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> o: array<vec4f>;
@compute @workgroup_size(1) fn main() { _ = &x; _ = &z; o[0] = ${expr}; }`
    return [
      ...new Float32Array(
        runKernel(source, { x: new Float32Array(x), z: new Float32Array(z), o: new Float32Array(4) }).out.o,
      ),
    ]
  }
  it('exp overflows to infinity, underflows to zero and keeps NaN', () => {
    expect(evaluate('exp(x[0])', [89, -Infinity, Infinity, NaN])).toEqual([Infinity, 0, Infinity, NaN])
  })
  it('exp is finite up to the largest number and no denormal', () => {
    const [most, over, least, under] = evaluate('exp(x[0])', [88.72283, 88.72284, -87.33654, -87.33655])
    expect(most).toBeGreaterThan(3.4e38)
    expect([over, under]).toEqual([Infinity, 0])
    expect(least).toBeGreaterThanOrEqual(2 ** -126)
    expect(evaluate('exp(x[0])', [-1e9, -3e38, 3e38, 0])).toEqual([0, 0, Infinity, 1])
    expect(evaluate('exp(x[0].xyzw.x) * vec4f(1)', [88.72283, 0, 0, 0])[0]).toBe(most)
  })
  it('log of 0, 1, infinity and negative numbers', () => {
    expect(evaluate('log(x[0])', [0, 1, Infinity, -1])).toEqual([-Infinity, 0, Infinity, NaN])
  })
  it('tanh at the ends', () => {
    expect(evaluate('tanh(x[0])', [100, -100, 0, NaN])).toEqual([1, -1, 0, NaN])
  })
  it('pow with 0, 1 and negative bases', () => {
    expect(evaluate('pow(x[0], z[0])', [0, 5, 1, -2], [2, 0, 1e30, 0.5])).toEqual([0, 1, 1, NaN])
    expect(evaluate('pow(x[0], z[0])', [2, 2, 10, 0], [200, -200, -30, -1])[0]).toBe(Infinity)
    expect(evaluate('pow(x[0], z[0])', [Infinity, Infinity, 0.5, 2], [2, -2, 1e35, 1e35])).toEqual([
      Infinity,
      0,
      0,
      Infinity,
    ])
  })
  it('max and min keep a NaN of their first argument', () => {
    expect(evaluate('max(x[0], vec4f(0)) + min(x[0], vec4f(1))', [NaN, 1, -1, 2])).toEqual([NaN, 2, -1, 3])
  })
})

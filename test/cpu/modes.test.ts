// Planted bugs are found, and correct programs raise no alarm.
import { describe, expect, it } from 'vitest'
import { reportKind } from '../../src/cpu/abi.ts'
import { builtinPrograms } from './compiler/programs-builtins.ts'
import { languagePrograms } from './compiler/programs-language.ts'
import { runKernel } from '../support/runner.ts'
import type { Report } from '../support/runner.ts'

const reduction = (barrier: string) =>
  `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> o: array<f32>;
var<workgroup> other: f32;
var<workgroup> w: array<f32, 64>;
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32, @builtin(workgroup_id) g: vec3u) {
  w[i] = x[g.x * 64u + i];
  workgroupBarrier();
  for (var h = 32u; h > 0u; h /= 2u) {
    if (i < h) { w[i] += w[i + h]; }
    ${barrier}
  }
  if (i == 0u) { o[g.x] = w[0] + other; }
}`
const kinds = (reports: Report[]) => [...new Set(reports.map((r) => r.kind))]
const race = (source: string, buffers: Parameters<typeof runKernel>[1], groups = 2) =>
  runKernel(source, buffers, { mode: 'race', groups: [groups] }).reports

describe('race mode', () => {
  const buffers = () => ({ x: new Float32Array(128).fill(1), o: new Float32Array(2) })
  it('finds a missing barrier in a reduction, with line and variable', () => {
    const reports = race(reduction(''), buffers())
    expect(kinds(reports)).toEqual([reportKind.raceWorkgroup])
    expect(reports[0].line).toBe(9)
    expect(reports[0].a >> 8).toBe(1) // the second workgroup variable
    expect(reports[0].a & 255).toBeLessThan(3)
    expect(reports[0].b >>> 16).toBeLessThan(64) // the word in that variable
  })
  it('is silent with the barrier', () => {
    expect(race(reduction('workgroupBarrier();'), buffers())).toEqual([])
  })
  it('finds two workgroups that write one word of storage', () => {
    const source = `@group(0) @binding(0) var<storage, read_write> o: array<u32>;
@compute @workgroup_size(4) fn main(@builtin(workgroup_id) g: vec3u, @builtin(local_invocation_index) i: u32) {
  o[i] = g.x;
}`
    expect(race(source, { o: new Uint32Array(4) })).toMatchObject(
      [0, 1, 2, 3].map((word) => ({ kind: reportKind.raceStorage, line: 3, a: 0, b: word })),
    )
    expect(race(source, { o: new Uint32Array(4) }, 1)).toEqual([])
  })
  it('finds a neighbour read while it is written', () => {
    const source = `@group(0) @binding(0) var<storage, read_write> o: array<vec4f>;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) {
  o[i] = o[(i + 1u) % 8u];
}`
    expect(kinds(race(source, { o: new Float32Array(32) }, 1))).toEqual([reportKind.raceStorage])
  })
  // by the barrier between the write and the read, by what was written
  const exchange = (barrier: string, from: string) =>
    `@group(0) @binding(0) var<storage, read_write> o: array<u32>;
var<workgroup> w: array<u32, 64>;
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
  ${from === 'o' ? 'o[i] = i;' : 'w[i] = i;'}
  ${barrier}
  o[64u + i] = ${from}[63u - i];
}`
  it.each([
    ['workgroupBarrier();', 'w', []],
    ['storageBarrier();', 'o', []],
    ['workgroupBarrier(); storageBarrier();', 'w', []],
    ['storageBarrier(); workgroupBarrier();', 'o', []],
    ['workgroupBarrier();', 'o', [reportKind.raceStorage]],
    ['storageBarrier();', 'w', [reportKind.raceWorkgroup]],
    ['_ = workgroupUniformLoad(&w[0]);', 'w', []],
    ['_ = workgroupUniformLoad(&w[0]);', 'o', [reportKind.raceStorage]],
  ])('knows what %s orders: %s', (barrier, from, expected) => {
    expect(kinds(race(exchange(barrier, from), { o: new Uint32Array(128) }, 1))).toEqual(expected)
  })
  it('remembers a hundred thousand words of storage', () => {
    const source = `@group(0) @binding(0) var<storage, read_write> o: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) g: vec3u) {
  o[g.x] = g.x;
  if (g.x == 99999u) { o[7] = 1u; }
}`
    const [first, ...rest] = race(source, { o: new Uint32Array(100032) }, 1563)
    expect(first).toMatchObject({ kind: reportKind.raceStorage, line: 4, b: 7 })
    expect(rest).toEqual([])
  })
  it('knows atomics', () => {
    const source = `@group(0) @binding(0) var<storage, read_write> o: array<atomic<u32>, 1>;
@compute @workgroup_size(8) fn main() {
  atomicAdd(&o[0], 1u);
}`
    expect(race(source, { o: new Uint32Array(1) })).toEqual([])
  })
})

describe('bounds mode', () => {
  const source = `@group(0) @binding(0) var<storage, read_write> o: array<f32>;
var<workgroup> w: array<f32, 8>;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) {
  w[i] = 1.0;
  o[i + 1u] = w[i];
}`
  it('finds an off-by-one store, with line, index and length', () => {
    const { reports, out } = runKernel(source, { o: new Float32Array(8) }, { mode: 'bounds' })
    expect(reports).toEqual([{ kind: reportKind.bounds, line: 5, a: 8, b: 8 }])
    expect([...new Float32Array(out.o)]).toEqual([0, 1, 1, 1, 1, 1, 1, 1])
  })
  it('finds an index that a let or an unrolled loop makes a constant', () => {
    const misses = (body: string) =>
      runKernel(
        `@group(0) @binding(0) var<storage, read_write> o: array<f32, 8>;
@compute @workgroup_size(1) fn main() { ${body} }`,
        { o: new Float32Array(8) },
        { mode: 'bounds' },
      ).reports.map(({ kind, a, b }) => [kind, a, b])
    expect(misses('let k = 70; o[k] = 1.0;')).toEqual([[reportKind.bounds, 70, 8]])
    expect(misses('let k = 5; var v = vec4f(); v[k] = 1.0; o[0] = vec3f(1.0)[k];')).toEqual([
      [reportKind.bounds, 5, 4],
      [reportKind.bounds, 5, 3],
    ])
    const unrolled = 'var a: array<f32, 4>; for (var k = 0; k < 6; k++) { a[k] = 1.0; } o[0] = a[1];'
    expect(misses(unrolled)).toEqual([[reportKind.bounds, 4, 4], [reportKind.bounds, 5, 4]])
    expect(misses('let k = 7; o[k] = 1.0;')).toEqual([])
  })
  it('finds a workgroup index that is too large, and a negative one', () => {
    const wrong = (index: string) =>
      runKernel(source.replace('w[i];', `w[${index}];`), { o: new Float32Array(16) }, { mode: 'bounds' }).reports.length
    expect(wrong('i + arrayLength(&o) - 12u')).toBe(4)
    expect(wrong('i32(i) - 3')).toBe(3)
  })
})

describe('nan mode', () => {
  it('reports the first NaN lane of each store, with binding and word', () => {
    const source = `@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> o: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> s: array<f32>;
@compute @workgroup_size(2) fn main(@builtin(local_invocation_index) i: u32) {
  o[i] = sqrt(x[i]);
  s[i] = 0.0 * x[i].y;
}`
    const { reports } = runKernel(source, {
      x: new Float32Array([1, 2, 3, 4, 4, 3, -1, -2]),
      o: new Float32Array(8),
      s: new Float32Array(2),
    }, { mode: 'nan' })
    expect(reports).toEqual([{ kind: reportKind.nan, line: 5, a: 1, b: 6 }])
  })
})

describe('no false alarms', () => {
  // These read behind the end on purpose, or compute NaN from their inputs, or race as their name says.
  const meant = /out of bounds|by 0 too|pow|log|infinit/
  for (const mode of ['race', 'bounds', 'nan'] as const) {
    it(`of ${mode} mode in the conformance programs`, () => {
      for (const p of [...languagePrograms, ...builtinPrograms.filter((_, i) => i % 9 === 0)]) {
        if (meant.test(p.name)) continue
        const { reports } = runKernel(p.source, p.inputs, { mode, groups: p.groups, constants: p.constants })
        expect({ name: p.name, reports: reports.slice(0, 2) }).toEqual({ name: p.name, reports: [] })
      }
    })
  }
})

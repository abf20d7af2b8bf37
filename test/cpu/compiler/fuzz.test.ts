// A short slice of the random kernels; `npm run test:long` runs 2,000. And what they have found so far.
import { beforeAll, describe, expect, it } from 'vitest'
import { describeDawn } from '../../support/dawn.ts'
import { difference, fuzzed, render, shrink, type Stmt } from '../../support/fuzz.ts'
import { hunt } from '../../support/fuzz-run.ts'
import { native } from '../../support/gpus.ts'
import { runKernel } from '../../support/runner.ts'

describe('random kernels on the embedded device', () => {
  it('agree in every mode and order', async () => {
    expect(await hunt(0, 31, null)).toEqual([])
  }, 240_000)

  it('are the same for the same seed', () => {
    expect(render(fuzzed(7))).toBe(render(fuzzed(7)))
  })

  it('shrink to what matters', async () => {
    // the fault is made up: whatever contains a chosen statement
    const program = fuzzed(3)
    const planted: Stmt = { parts: ['u0 = 77u;'], items: [] }
    program.main.splice(2, 0, { parts: ['if (u1 > 3u) ', ''], items: [[planted, { parts: ['u2 = 5u;'], items: [] }]] })
    const small = await shrink(program, async (candidate) => render(candidate).includes('u0 = 77u;'))
    expect(small.main).toEqual([planted])
    expect(program.main.length).toBeGreaterThan(1)
  })

  it('notice a difference', () => {
    const of = (values: number[]) => ({ ou: Uint32Array.from(values) })
    expect(difference(of([1, 2]), of([1, 2]))).toBeNull()
    expect(difference(of([1, 3]), of([1, 2]))).toMatch(/ou\[1\] is 3 here and 2 there/)
    expect(difference({ os: new Float32Array([1.001]) }, { os: new Float32Array([1]) })).toBeNull()
    expect(difference({ oe: new Float32Array([1.001]) }, { oe: new Float32Array([1]) })).not.toBeNull()
  })
})

describeDawn('random kernels on the embedded device and dawn', () => {
  let device: GPUDevice
  beforeAll(async () => {
    device = await native()
  })
  it('agree', async () => {
    expect(await hunt(32, 39, device)).toEqual([])
  }, 240_000)
})

// Found by random kernels: private memory of one invocation was seen by the next.
describe('private variables with a varying index', () => {
  const kernel = (before: string) =>
    `@group(0) @binding(0) var<storage, read_write> o: array<u32>;
@group(0) @binding(1) var<uniform> n: vec4u;
var<private> pa: array<u32, 4>;
@compute @workgroup_size(8) fn main(@builtin(global_invocation_id) g: vec3u) {
  var la: array<u32, 4>;
  pa[g.x & 3u] = g.x + 1u;
  la[g.x & 3u] = g.x + 1u;
  ${before}
  o[g.x] = pa[(g.x + 1u) & 3u] + 1000u * pa[g.x & 3u] + 1000000u * la[g.x & 3u] + 100000000u * la[(g.x + 1u) & 3u];
}`
  for (
    const [name, before] of [
      ['in one region', ''],
      ['across a return that all take together', 'if (n.x == 3u) { return; }'],
      ['around a barrier', 'workgroupBarrier();'],
      ['around a loop of the workgroup', 'for (var i = 0u; i < n.x; i++) { workgroupBarrier(); }'],
    ]
  ) {
    it(`are each invocation's own, ${name}`, () => {
      const { out } = runKernel(kernel(before), { o: new Uint32Array(16), n: new Uint32Array([2, 0, 0, 0]) }, {
        groups: [2],
      })
      expect([...new Uint32Array(out.o)]).toEqual(Array.from({ length: 16 }, (_, i) => (i + 1) * 1001000))
    })
  }
})

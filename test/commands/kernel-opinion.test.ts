// wgsl_reflect beside our own reflection: it must find the same in every entry point of the package, and its races are
// told from what it is known to get wrong.
import { afterAll, describe, expect, test } from 'vitest'
import { WgslReflect } from 'wgsl_reflect/wgsl_reflect.module.js'
import { differences, linesOf, reflectionOf, secondOpinion } from '../../src/commands/kernel-opinion.ts'
import { constantText } from '../../src/gpu/constant-text.ts'
import { makeInputs } from '../../src/commands/kernel-inputs.ts'
import { analyse, compile } from '../../src/cpu/compiler/compile.ts'
import type { Program } from '../../src/cpu/compiler/tree.ts'
import { declaredKernels, type Overrides } from '../../src/gpu/kernel.ts'
import { close, init } from '../../src/gpu/device.ts'
import { elementwiseKernels } from '../../src/ops/elementwise.ts'
import '../../src/index.ts'

afterAll(close)

function compared(source: string, entry: string, constants: Overrides): string[] {
  const module = analyse(source), compiled = compile(module, { entryPoint: entry, constants, sharedMemory: false })
  return differences(
    reflectionOf(WgslReflect, source, constantText(source, constants), entry),
    compiled,
    module.overrides,
  )
}

test('reflects every entry point of the package as we do, with two sets of constants', async () => {
  await init({ adapter: 'cpu' })
  elementwiseKernels()
  const wrong: string[] = []
  let entries = 0
  for (const { source, entry, label, reflection } of declaredKernels()) {
    if (source.includes('enable subgroups')) continue // no kernel of the embedded device's
    // the defaults, and a smaller workgroup where its size is an override
    const sets: Overrides[] = [{}, ...reflection.overrides.includes('THREADS') ? [{ THREADS: 16 }] : []]
    for (const constants of sets) wrong.push(...compared(source, entry, constants).map((line) => `${label}: ${line}`))
    entries++
  }
  expect(wrong).toEqual([])
  expect(entries).toBeGreaterThan(100)
}, 240_000)

// What a launcher chooses are values of overrides. The value of none may change what is bound where, and sizes of
// workgroups and arrays must follow it alike in both.
test('and with every override at other values than its own', async () => {
  await init({ adapter: 'cpu' })
  elementwiseKernels()
  const wrong: string[] = [], refused: string[] = [], tried = new Map<string, number>()
  for (const { source, entry, label } of declaredKernels()) {
    if (source.includes('enable subgroups')) continue
    const module = analyse(source)
    for (const { name } of module.overrides) {
      for (const value of [0, 1]) { // most are switches
        let lines: string[]
        try {
          lines = compared(source, entry, { [name]: value })
        } catch (error) {
          refused.push(`${label} ${name} = ${value}: ${String(error)}`)
          continue
        }
        tried.set(`${label} ${name}`, (tried.get(`${label} ${name}`) ?? 0) + 1)
        wrong.push(...lines.map((line) => `${label} with ${name} = ${value}: ${line}`))
      }
    }
  }
  expect(wrong).toEqual([])
  expect(tried.size).toBeGreaterThan(100)
  // What is refused is a size of nothing.
  expect(refused.filter((line) => !/division by zero|must be (at least|between) 1\b/.test(line))).toEqual([])
}, 600_000)

test('a difference is told', () => {
  const source = `struct P { a: f32, b: vec3f }
@group(0) @binding(3) var<uniform> p: P;
@group(1) @binding(0) var<storage, read_write> y: array<vec4f>;
override N: u32 = 8;
@compute @workgroup_size(N, 2) fn main() { y[0] = vec4f(p.b, p.a); }`
  expect(compared(source, 'main', { N: 4 })).toEqual([])
  const theirs = reflectionOf(WgslReflect, source, constantText(source, { N: 4 }), 'main')
  const ours = compile(analyse(source), { constants: {}, sharedMemory: false })
  const changed = { ...ours, bindings: ours.bindings.map((one) => ({ ...one, binding: 1, minSize: 8 })) }
  expect(differences(theirs, changed, [])).toEqual([
    'workgroup size: 8 x 2 x 1 here, 4 x 2 x 1 by wgsl_reflect',
    'overrides: none here, N by wgsl_reflect',
    expect.stringMatching(/^place of /),
    expect.stringMatching(/^bytes of /),
    expect.stringMatching(/^place of /),
    expect.stringMatching(/^bytes of /),
  ])
})

describe('races', () => {
  async function opinion(text: string, timeLimit = 60) {
    const module = analyse(text), compiled = compile(module, { sharedMemory: false })
    const inputs = makeInputs(module.program as Program, compiled.bindings, compiled.workgroupSize, {}, 'none.json')
    return secondOpinion(
      { text, entry: 'main', compiled, overrides: module.overrides, constants: {} },
      inputs,
      timeLimit,
    )
  }
  const exchange = (barrier: string) =>
    `@group(0) @binding(0) var<storage, read_write> y: array<f32>;
override N: u32 = 8;
var<workgroup> part: array<f32, N>;
@compute @workgroup_size(N) fn main(@builtin(local_invocation_index) i: u32, @builtin(global_invocation_id) g: vec3u) {
  part[i] = f32(i);
  ${barrier}
  y[g.x] = part[(i + 1u) % N];
}`

  test('none beside a barrier, one without, in arrays sized by an override', async () => {
    expect(await opinion(exchange('workgroupBarrier();'))).toEqual({ differences: [], races: [], notes: [] })
    const { races, notes } = await opinion(exchange(''))
    expect(notes).toEqual([])
    expect(races[0]).toMatchObject({ known: null, message: expect.stringMatching(/part/) })
  })

  test('what it is known to get wrong is marked', async () => {
    const found = await opinion(exchange('for (var k = 0u; k < 2u; k++) { workgroupBarrier(); }'))
    for (const { known } of found.races) expect(known).toMatch(/first statement of a loop/)
    expect(linesOf('main', { ...found, races: [{ line: 1, message: 'race', known: 'of a loop' }] }).at(-1)).toMatch(
      /false alarm, because of a loop/,
    )
  })

  test('is left where it takes too long', async () => {
    const { notes } = await opinion(exchange('loop { if y[0] > 1e30 { break; } }'), 3)
    expect(notes.join()).toMatch(/did not end within 3 s|race detector/)
  })
})

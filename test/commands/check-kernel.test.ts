// Planted bugs are found by the command, with kernel, line and index; a correct kernel passes.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { KernelFinding } from '../../src/commands/kernel-finding.ts'
import type { Opinion } from '../../src/commands/kernel-opinion.ts'
import { bundleForNode, runNode } from '../support/cli.ts'

let file = ''
const folder = mkdtempSync(join(tmpdir(), 'espalier-check-'))
beforeAll(async () => {
  file = await bundleForNode('src/cli.ts', 'check-kernel')
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

/**
 * Runs the command on a text; the null backend of dawn needs no driver, but asking dawn takes a while: most tests do
 * without.
 */
async function check(
  name: string,
  text: string,
  { setup, flags = ['--no-dawn'] }: { setup?: object, flags?: string[] } = {},
) {
  const path = join(folder, `${name}.wgsl`)
  writeFileSync(path, text)
  if (setup) writeFileSync(join(folder, `${name}.json`), JSON.stringify(setup))
  const ended = await runNode(file, ['check-kernel', path, '--json', ...flags])
  const answer = JSON.parse(ended.stdout) as {
    findings: KernelFinding[],
    opinions: ({ entry: string } & Opinion)[],
    backends: string[],
    runs: { grid: number[], buffers: { name: string, elements: number }[] }[],
    error?: string,
  }
  return { ...ended, ...answer }
}

const reduction = (barrier: string, last = 'y[g.x] = part[0];') =>
  `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
var<workgroup> part: array<f32, 64>;
@compute @workgroup_size(64) fn sum(@builtin(global_invocation_id) id: vec3u,
  @builtin(local_invocation_index) i: u32, @builtin(workgroup_id) g: vec3u) {
  part[i] = x[id.x];
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (i < half) { part[i] += part[i + half]; }
    ${barrier}
  }
  if (i == 0u) { ${last} }
}`

const shifted = (index: string, value = 'x[id.x]') =>
  `struct Params { n: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < p.n) { y[${index}] = ${value}; }
}`

describe('check-kernel', () => {
  test('a correct kernel compiles on every backend, the null one included, and gives no findings', async () => {
    const { code, findings, backends, runs, opinions } = await check('good', reduction('workgroupBarrier();'), {
      flags: [],
    })
    expect(findings).toEqual([])
    expect(code).toBe(0)
    expect(backends).toEqual(expect.arrayContaining(['embedded device', 'dawn, null backend']))
    expect(runs).toMatchObject([{ entry: 'sum', grid: [3, 1, 1], workgroup: [64, 1, 1] }])
    expect(opinions).toEqual([{ entry: 'sum', differences: [], races: [], notes: [] }])
  })

  test('a missing barrier is a race at its line, of a word of the variable', async () => {
    const { code, findings } = await check('race', reduction(''))
    expect(code).toBe(1)
    expect(findings[0]).toMatchObject({
      mode: 'race',
      kernel: 'sum',
      line: 9,
      variable: 'part',
      index: expect.any(Number),
      message: expect.stringMatching(/no barrier between/),
    })
    expect(findings.map(({ mode }) => mode)).not.toContain('bounds')
    expect(findings.map(({ backend }) => backend)).not.toContain('wgsl_reflect') // agreed, so not said twice
    // the same, as people read it
    const { stdout } = await runNode(file, ['check-kernel', join(folder, 'race.wgsl'), '--no-dawn'])
    expect(stdout).toMatch(/sum: second opinion, wgsl_reflect: the same reflection, \d+ reports of races/)
    expect(stdout).toMatch(/race\.wgsl:9: race, sum: word \d+ of part .*\n {4}if \(i < half\)/)
  })

  test('a race between workgroups, at the default number of them, and the order that results depend on', async () => {
    const neighbour = `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) g: vec3u) {
  y[g.x] = x[g.x];
  y[96u + g.x] = y[(g.x + 32u) % 96u];
}`
    const { findings, runs } = await check('groups', neighbour, { setup: { sizes: { x: 96, y: 192 } } })
    expect(runs).toMatchObject([{ grid: [3, 1, 1] }])
    expect(findings.map(({ mode }) => mode)).toEqual(['race', 'race', 'permuted'])
    const copied = await check('groups', neighbour.replace('y[(g.x + 32u) % 96u]', 'x[(g.x + 32u) % 96u]'))
    expect(copied.findings).toEqual([])
  })

  const endless = (loop: string) =>
    `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1) fn main() {
  ${loop}
}`
  test.each([
    ['loop', 'var i = 0; loop { if x[0] > 1e30 { break; } i += 1; y[0] = f32(i); }'],
    ['while', 'while (x[0] < 1e30) { y[0] += 1.0; }'],
    ['for', 'for (var i = 0u; i < 4u; i *= 2u) { y[0] += 1.0; }'],
    ['nest', 'for (var i = 0u; i < 4000000000u; i++) { for (var j = 0u; j < 1000u; j++) { y[j % 2u] += x[0]; } }'],
  ])('a %s that does not end is stopped, and its line is told', async (name, loop) => {
    const began = performance.now()
    const { code, findings } = await check(`endless-${name}`, endless(loop), {
      flags: ['--no-dawn', '--time-limit', '1'],
    })
    expect(code).toBe(1)
    expect(findings).toMatchObject([{ mode: 'run', line: 4, message: expect.stringMatching(/did not end within 1 s/) }])
    expect(performance.now() - began).toBeLessThan(30_000)
  })

  test('Ctrl-C ends a check that runs', async () => {
    const path = join(folder, 'endless.wgsl')
    writeFileSync(path, endless('while (x[0] < 1e30) { y[0] += 1.0; }'))
    const child = spawn(process.execPath, [file, 'check-kernel', path, '--no-dawn', '--time-limit', '600'])
    const ended = once(child, 'exit')
    await setTimeout(4000) // by then it is in the loop
    child.kill('SIGINT')
    expect(await ended).toEqual([null, 'SIGINT'])
  })

  test('what is no file, too large, or grows without end is refused with a sentence', async () => {
    const said = async (path: string) => {
      const { code, stderr } = await runNode(file, ['check-kernel', path, '--no-dawn'])
      expect(code).toBe(2)
      return stderr
    }
    expect(await said('/dev/zero')).toMatch(/not a regular file/)
    const pipe = join(folder, 'pipe.wgsl')
    execFileSync('mkfifo', [pipe])
    expect(await said(pipe)).toMatch(/not a regular file/)
    const large = join(folder, 'large.wgsl')
    writeFileSync(large, ' '.repeat(5_000_000))
    expect(await said(large)).toMatch(/5000000 bytes/)
    writeFileSync(large, 'fn f() { }\n'.repeat(20_000)) // minutes to compile five times
    expect(await said(large)).toMatch(/220000 bytes, expected at most 131072/)
    const parts = Array.from({ length: 3 }, (_, i) => join(folder, `part${i}.wgsl`))
    for (const part of parts) writeFileSync(part, `//${' '.repeat(60_000)}\n`)
    writeFileSync(large, parts.map((part) => `// #include ${basename(part)}\n`).join(''))
    expect(await said(large)).toMatch(/at most 131072 bytes.*with its includes/)
  })

  const levels = (count: number, text: (n: number) => string) =>
    Array.from({ length: count }, (_, i) => text(i)).join('\n')
  const calls = (body: (n: number) => string, first: string) =>
    `@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n${first}\n${
      levels(40, body)
    }\n@compute @workgroup_size(1) fn main() { y[0] = g39(1.0); }`
  test.each([
    [
      'calls that double',
      calls(
        (n) => `fn g${n}(x: f32) -> f32 { return g${n - 1}(x) + g${n - 1}(x + y[1]); }`,
        'fn g_(x: f32) -> f32 { return x; }',
      )
        .replaceAll('g-1', 'g_'),
      /becomes too large/,
    ],
    [
      'calls that double, with statements',
      calls(
        (n) => `fn g${n}(x: f32) -> f32 { var s = g${n - 1}(x); s += g${n - 1}(s); return s; }`,
        'fn g_(x: f32) -> f32 { return x + y[1]; }',
      )
        .replaceAll('g-1', 'g_'),
      /becomes too large/,
    ],
    [
      'structs that double',
      `struct S0 { a: vec4f, b: vec4f }\n${
        levels(40, (n) => `struct S${n + 1} { a: S${n}, b: S${n} }`)
      }\n@compute @workgroup_size(1) fn main() { var s: S40; _ = s.a.a.a; }`,
      /bytes, more than|nested 16 deep/,
    ],
    [
      'a local array of 64 MB',
      '@compute @workgroup_size(1) fn main() { var a: array<array<f32, 4096>, 4096>; a[1][2] = 1.0; }',
      /too many/,
    ],
    [
      'a constant array of 64 MB',
      'const a = array<array<f32, 4096>, 4096>();\n@compute @workgroup_size(1) fn main() { let b = a[1][2]; }',
      /too many/,
    ],
    [
      'a sum of 30,000 terms',
      `@compute @workgroup_size(1) fn main() { let a = 1${' + 1'.repeat(30_000)}; }`,
      /too long|nested/,
    ],
  ])('%s: refused in seconds', async (name, text, message) => {
    const began = performance.now()
    const { code, findings } = await check(name.replace(/\W+/g, '-'), text)
    expect(code).toBe(1)
    expect(findings[0]).toMatchObject({ mode: 'compile', message: expect.stringMatching(message) })
    expect(performance.now() - began).toBeLessThan(30_000)
  })

  test('an off-by-one store, with sizes made up from the one parameter', async () => {
    const { code, findings, runs } = await check('store', shifted('id.x + 1u'))
    expect(code).toBe(1)
    expect(runs[0].buffers[0]).toMatchObject({ name: 'x', elements: 187 })
    expect(findings).toMatchObject([{ mode: 'bounds', kernel: 'main', line: 7, index: 187, count: 1 }])
    expect((await check('store', shifted('id.x'))).findings).toEqual([])
  })

  test('an off-by-one guard by the length of an array, alone or of one of several', async () => {
    const guarded = (guard: string) => `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  ${guard} { y[id.x] = x[id.x]; }
}`
    for (const array of ['x', 'y']) {
      const wrong = await check('guard', guarded(`if (id.x <= arrayLength(&${array}))`))
      expect(wrong.code).toBe(1)
      expect(wrong.findings).toMatchObject([{ mode: 'bounds', kernel: 'main', line: 5, index: 187, count: 1 }])
      expect((await check('guard', guarded(`if (id.x < arrayLength(&${array}))`))).findings).toEqual([])
    }
    expect((await check('guard', guarded(''))).findings).toEqual([])
  })

  test('a source of NaN, with the word it was written to; ranges of the JSON make it go away', async () => {
    const { code, findings } = await check('nan', shifted('id.x', 'sqrt(x[id.x])'))
    expect(code).toBe(1)
    expect(findings).toMatchObject([{ mode: 'nan', kernel: 'main', line: 7, variable: 'y' }])
    const setup = { ranges: { x: [0, 2] }, values: { x: [4] }, sizes: { x: 10, y: 10 }, params: { n: 10 }, grid: [1] }
    const calm = await check('nan', shifted('id.x', 'sqrt(x[id.x])'), { setup })
    expect(calm).toMatchObject({ code: 0, findings: [], runs: [{ grid: [1, 1, 1] }] })
    // the fifth element is read as -1 now
    const planted = await check('nan', shifted('id.x', 'sqrt(x[id.x])'), {
      setup: { ...setup, values: { x: [4, 1, 1, 1, -1] } },
    })
    expect(planted.findings).toMatchObject([{ mode: 'nan', variable: 'y', index: 4 }])
  })

  test('a result that depends on the order of the invocations', async () => {
    const { findings } = await check(
      'order',
      `@group(0) @binding(0) var<storage, read_write> y: array<atomic<u32>, 2>;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) {
  if (atomicAdd(&y[0], 1u) == 7u) { atomicStore(&y[1], i); }
}`,
      { setup: { values: { y: [0, 0] } } },
    )
    expect(findings).toMatchObject([{
      mode: 'permuted',
      variable: 'y',
      index: 1,
      message: expect.stringMatching(/order of the invocations/),
    }])
  })

  test('a text that does not compile: file, line and column from each backend', async () => {
    const { code, findings } = await check('broken', shifted('id.x', 'x[id.x] + nothing'), { flags: [] })
    expect(code).toBe(1)
    expect(findings.length).toBeGreaterThanOrEqual(2)
    for (const finding of findings) {
      expect(finding).toMatchObject({
        mode: 'compile',
        line: 7,
        column: expect.any(Number),
        message: expect.stringMatching(/nothing/),
      })
    }
  })

  test('an included file is read, and its findings name it and its line', async () => {
    writeFileSync(join(folder, 'piece.wgsl'), '// a piece\nfn at(i: u32) -> u32 {\n  return x_index(i) + 1u;\n}')
    writeFileSync(join(folder, 'index.wgsl'), 'fn x_index(i: u32) -> u32 { return i; }')
    const including = `// #include ./index.wgsl\n// #include piece.wgsl\n${shifted('at(id.x)')}`
    const { code, findings } = await check('including', including, { setup: { params: { n: 64 } } })
    expect(code).toBe(1)
    expect(findings[0]).toMatchObject({ mode: 'bounds', file: join(folder, 'including.wgsl'), line: 9 })
    writeFileSync(join(folder, 'piece.wgsl'), '// a piece\nfn at(i: u32) -> u32 {\n  return nothing;\n}')
    expect((await check('including', including, { setup: { params: { n: 64 } } })).findings).toMatchObject([
      { mode: 'compile', file: join(folder, 'piece.wgsl'), line: 3 },
    ])
    rmSync(join(folder, 'piece.wgsl'))
    expect(await check('including', including)).toMatchObject({ code: 2, error: expect.stringMatching(/piece\.wgsl/) })
  })

  test('bad input ends with 2 and one sentence', async () => {
    expect(await runNode(file, ['check-kernel', join(folder, 'absent.wgsl')])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/absent\.wgsl/),
    })
    const wrong = async (setup: unknown) => (await check('bad', shifted('id.x'), { setup: setup as object })).error
    expect(await wrong({ size: { x: 4 } })).toMatch(/bad\.json: there is no field 'size'; expected entry, grid, sizes/)
    expect(await wrong({ params: { m: 4 } })).toMatch(/params names 'm'/)
    expect(await wrong({ grid: [0] })).toMatch(/grid is \[0\]/)
    expect(await check('none', 'fn f() -> f32 { return 1.0; }')).toMatchObject({
      code: 2,
      error: expect.stringMatching(/compute entry point/),
    })
  })
})

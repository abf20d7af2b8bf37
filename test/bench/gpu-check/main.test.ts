// gpu-check: arguments, parts in processes of their own whose results are on the disk, the page; on the embedded
// device.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { optionsOf } from '../../../bench/gpu-check/main.ts'
import { parts, type PartResult } from '../../../bench/gpu-check/parts.ts'
import { gpuCheckPage, summary } from '../../../bench/gpu-check/report.ts'
import { InputError } from '../../../src/base/errors.ts'
import { runNode } from '../../support/cli.ts'
import { reportOf, rowWith } from '../rows.ts'

describe('arguments', () => {
  test('what is left out has defaults: eight minutes, every part', () => {
    expect(optionsOf([])).toEqual({
      out: 'gpu-check',
      adapter: undefined,
      minutes: 8,
      small: false,
      only: undefined,
      threads: undefined,
    })
    expect(optionsOf(['--parts', 'ops, device', '--small', '--minutes', '0.5'])).toMatchObject({
      only: ['ops', 'device'],
      small: true,
      minutes: 0.5,
    })
  })

  test.each([
    [['--minutes', 'soon'], /--minutes 'soon': expected a number above 0/],
    [['--minutes', '0'], /--minutes '0'/],
    [['--threads', '1.5'], /--threads '1.5': expected a whole number/],
    [['--parts', 'everything'], /--parts 'everything': expected device, ops, /],
    [['--quick'], /it takes --out <folder>/],
  ])('%j is refused', (args, message) => {
    expect(() => optionsOf(args)).toThrow(InputError)
    expect(() => optionsOf(args)).toThrow(message)
  })
})

test('the parts have names of their own, and the first of them fit eight minutes', () => {
  expect(new Set(parts.map(({ name }) => name)).size).toBe(parts.length)
  const upToPatterns = parts.slice(0, parts.findIndex(({ name }) => name === 'deit-base') + 1)
  expect(upToPatterns.reduce((sum, { seconds }) => sum + seconds, 0)).toBeLessThan(480)
})

test('the page and the summary tell what was found, what failed and what was left out', () => {
  const one = { what: 'something', seconds: 3 }
  const results: PartResult[] = [
    { ...one, name: 'ops', state: 'done', result: { checks: 7, passed: 7, worst: 1e-6 } },
    { ...one, name: 'kernels-vit', state: 'done', result: reportOf([rowWith([1, 1])], { adapter: '<b>GPU</b>' }) },
    { ...one, name: 'deit-tiny', state: 'late', result: null, said: 'so far\nDeiT at batch 8' },
    { ...one, name: 'variants', state: 'left out', result: null },
  ]
  expect(summary(results)).toEqual([
    'ops: done, 7 of 7 checks passed, the worst error 0.000001',
    'kernels-vit: done, 1 rows; the most 2 GFLOP/s (matmul)',
    'deit-tiny: late, DeiT at batch 8',
    'variants: left out',
  ])
  const page = gpuCheckPage(results)
  expect(page).toContain('Espalier gpu-check, &lt;b&gt;GPU&lt;/b&gt;')
  expect(page).not.toMatch(/<script|src=|href=|<b>GPU/)
})

describe('the program', () => {
  const root = fileURLToPath(new URL('../../..', import.meta.url)), folder = `${root}.espalier/test/gpu-check`
  const out = mkdtempSync(join(tmpdir(), 'espalier-gpu-check-'))
  beforeAll(async () => {
    await build({
      absWorkingDir: root,
      entryPoints: { start: 'bench/gpu-check/start.ts', part: 'bench/gpu-check/part.ts' },
      outdir: folder,
      bundle: true,
      splitting: true,
      platform: 'node',
      format: 'esm',
      packages: 'external',
      logLevel: 'error',
    })
  })
  afterAll(() => {
    rmSync(out, { recursive: true })
  })

  test('leaves a file for each part, and one JSON and one HTML file of all', async () => {
    const args = [
      '--adapter',
      'cpu',
      '--small',
      '--out',
      out,
      '--parts',
      'device,patterns-forward,deit-tiny',
      '--threads',
      '2',
    ]
    const { stdout, code } = await runNode(join(folder, 'start.js'), args)
    expect(stdout).toMatch(/device: done, .*\(embedded\)/)
    expect(code).toBe(0)
    expect(readdirSync(out).sort()).toEqual([
      '01-device.json',
      '02-patterns-forward.json',
      '03-deit-tiny.json',
      'gpu-check.html',
      'gpu-check.json',
    ])
    const { schema, parts: found } = JSON.parse(readFileSync(join(out, 'gpu-check.json'), 'utf8')) as {
      schema: number,
      parts: (PartResult & { result: { rows?: { impl: string, maxRelError: number }[] } })[],
    }
    expect(schema).toBe(1)
    expect(found.map(({ state }) => state)).toEqual(['done', 'done', 'done'])
    expect(found[1].result.rows!.map(({ impl }) => impl)).toEqual(['dense', 'sliced', 'block:16x16'])
    expect(found[2].result.rows!.map(({ impl }) => impl)).toEqual(['dense', 'sliced', 'espalier'])
  }, 240_000)

  test('a part that fails is told with what it said, and the others go on', async () => {
    const args = ['--adapter', 'no such adapter', '--small', '--out', out, '--parts', 'device,patterns-forward']
    const { stdout, code } = await runNode(join(folder, 'start.js'), args)
    expect(code).toBe(1)
    expect(stdout).toMatch(/device: failed/)
    expect(stdout).toMatch(/patterns-forward: failed/)
    expect(readFileSync(join(out, 'gpu-check.html'), 'utf8')).toContain('no such adapter')
  }, 120_000)
})

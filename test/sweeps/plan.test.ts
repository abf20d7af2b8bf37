import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { findPlan, keyOf, makePlan, planFile, readPlan, writePlan } from '../../src/sweeps/plan.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plan-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const plan = () =>
  makePlan({
    command: 'espalier sweep',
    cwd: '/home/a "b"\n$c',
    model: 'net.safetensors',
    options: { methods: 'pxp,./mine.mjs', seed: undefined },
    settings: { source: 'abc' },
    rates: [0, 0.5],
    curves: [{ method: 'pxp', seed: 0, among: 10 }, { method: './mine.mjs', source: 'f00', seed: 0, among: 10 }],
  })

test('a plan comes back from its file as it was, and its digest says when anything differs', () => {
  const made = plan()
  writePlan(folder, made)
  expect(readPlan(folder)).toEqual(made)
  expect(plan().digest).toBe(made.digest)
  expect(made.digest).toMatch(/^[0-9a-f]{64}$/)
  const { digest: _, tasks, ...rest } = made
  const other = makePlan({ ...rest, rates: [0, 0.25], curves: tasks })
  expect(other.digest).not.toBe(made.digest)
  expect(made.tasks.map(({ key }) => key)).toEqual([keyOf({ method: 'pxp', seed: 0 }), keyOf(made.tasks[1])])
})

test('keys are names of files, and differ where curves do', () => {
  const curves = [
    { method: 'pxp:a/b', seed: 0 },
    { method: 'pxp:a_b', seed: 0 },
    { method: 'pxp:a/b', seed: 1 },
    { method: 'pxp:a/b', source: 'x', seed: 0 },
    { method: `./${'very/'.repeat(100)}long "$(name)"\n.mjs`, seed: 0 },
  ]
  const keys = curves.map(keyOf)
  expect(new Set(keys).size).toBe(curves.length)
  for (const key of keys) expect(key).toMatch(/^[\w-]{1,80}$/)
})

test('there is none, it is damaged, edited, of another format or of something else: one sentence each', () => {
  expect(findPlan(folder)).toBeNull()
  expect(() => readPlan(folder)).toThrow(
    /expected the folder of a sweep that was started with --on slurm, found no plan/,
  )
  expect(() => readPlan(join(folder, 'no'))).toThrow(/found no such folder/)
  const good = JSON.stringify(plan())
  const cases: [text: string, said: RegExp][] = [
    [good.slice(0, -20), /found no JSON/],
    [good.replace('0.5', '0.6'), /is not what its digest says/],
    [good.replace(/"digest":"\w+"/, '"digest":"0"'), /is not what its digest says/],
    ['{"format":2}', /expected the plan of a sweep \(format 1\), found 2/],
    ['{"name":"mine"}', /found \{"name":"mine"\}/],
    ['null', /found null/],
    ['[1]', /found \[1\]/],
  ]
  for (const [text, said] of cases) {
    writeFileSync(planFile(folder), text)
    expect(() => readPlan(folder), text).toThrow(said)
    expect(() => readPlan(folder), text).toThrow(InputError)
    expect(readFileSync(planFile(folder), 'utf8')).toBe(text)
  }
})

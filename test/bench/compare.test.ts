// A run beside an earlier one, through the file that --json prints.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { compareReports, comparisonText, jsonReport } from '../../bench/compare.ts'
import { type BenchReport, readReport, SCHEMA } from '../../bench/schema.ts'
import { InputError } from '../../src/base/errors.ts'
import { reportOf, rowWith } from './rows.ts'

const folder = mkdtempSync(join(tmpdir(), 'espalier-compare-'))
afterAll(() => {
  rmSync(folder, { recursive: true })
})
const saved = (name: string, content: unknown): string => {
  const file = join(folder, name)
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  return file
}
const near = (ms: number) => [0.99, 1, 1.01, 1, 0.995, 1.005, 1, 1, 1].map((factor) => ms * factor)

describe('what changed', () => {
  const old = readReport(
    saved(
      'old.json',
      jsonReport(
        reportOf([rowWith(near(10)), rowWith(near(3), { name: 'softmax' }), rowWith(near(1), { name: 'gone' })]),
      ),
    ),
  )

  test('a row that takes half as long again is told, one that takes 2 % more is not', () => {
    const now = reportOf([
      rowWith(near(15)),
      rowWith(near(3.06), { name: 'softmax' }),
      rowWith(near(1), { name: 'new' }),
    ])
    const { changes, onlyNow, onlyBefore, warnings } = compareReports(old, now)
    expect(changes.map(({ beyondNoise }) => beyondNoise)).toEqual([true, false])
    expect(changes[0].value).toBeCloseTo(1.5, 10)
    expect(onlyNow).toEqual(['new 8x8x8 espalier'])
    expect(onlyBefore).toEqual(['gone 8x8x8 espalier'])
    expect(warnings).toEqual([])
    const text = comparisonText(compareReports(old, now), 'old.json')
    expect(text).toContain('1 of 2 rows changed beyond noise')
    expect(text).toMatch(/matmul 8x8x8 espalier: 1\.50 times the time .*SLOWER/)
  })

  test('another machine is said', () => {
    const now = reportOf([rowWith(near(10))], { adapter: 'another' })
    expect(compareReports(old, now).warnings).toEqual(['adapter: test adapter before, another now'])
  })

  test('what the file says of its machine and rows reaches a terminal as text alone', () => {
    const before = readReport(saved('odd.json', {
      ...jsonReport(reportOf([rowWith(near(1), { name: 'gone\u001b[2J\nfake line' })])),
      profile: { toString: 1 },
      machine: { cpu: 'a\nb', cores: { valueOf: 1 } },
    }))
    const text = comparisonText(compareReports(before, reportOf([rowWith(near(1))])), 'odd.json')
    expect(text).toContain('gone\\e[2J\\nfake line')
    expect(text).toContain('profile: {"toString":1} before')
    expect(text).toContain('cores: {"valueOf":1} before')
    expect(text).toContain('cpu: a\\nb before')
  })

  test('a machine that is twice as busy leaves what took turns with a baseline as it was', () => {
    const at = (busy: number) =>
      reportOf([
        rowWith(near(10 * busy), { impl: 'dense', density: 0.5 }),
        rowWith(near(5 * busy), {
          impl: 'block',
          density: 0.5,
          speedUps: [{ over: 'dense', value: 2, low: 2, high: 2 }],
        }),
      ])
    const [dense, block] = compareReports(at(1), at(2)).changes
    expect(dense).toMatchObject({ by: 'time', beyondNoise: true })
    expect(block).toMatchObject({ by: 'time beside dense', beyondNoise: false })
  })
})

describe('files that are none of ours', () => {
  const good = jsonReport(reportOf([rowWith(near(1))])) as BenchReport & { schema: number }
  test.each([
    ['no JSON', '{', /it is no JSON/],
    ['a list', [], /it holds \[\]/],
    ['an older form', { ...good, schema: undefined }, /its schema is nothing/],
    ['a newer form', { ...good, schema: SCHEMA + 1 }, /its schema is 2/],
    ['rows that are none', { ...good, rows: 7 }, /its rows are 7/],
    ['a time that is none', { ...good, rows: [{ ...good.rows[0], msMedian: -1 }] }, /row 0 has the msMedian -1/],
    ['processes that cannot share its rounds', {
      ...good,
      rows: [{ ...good.rows[0], processes: 2, msRounds: [1, 2, 3] }],
    }, /row 0 has rounds that 2 processes cannot share alike/],
    [
      'no number of processes',
      { ...good, rows: [{ ...good.rows[0], processes: 0.5 }] },
      /row 0 has the processes 0\.5/,
    ],
    ['rounds that are none', { ...good, rows: [{ ...good.rows[0], msRounds: [1, 'x'] }] }, /row 0 has the msRounds/],
    ['a density that is none', { ...good, rows: [{ ...good.rows[0], density: { toString: 1 } }] }, /has the density/],
    ['a profile that is none', { ...good, rows: [{ ...good.rows[0], profile: {} }] }, /has the profile \{\}/],
    ['speed-ups that are a number', { ...good, rows: [{ ...good.rows[0], speedUps: 5 }] }, /has the speedUps 5/],
    ['a speed-up that is none', { ...good, rows: [{ ...good.rows[0], speedUps: [null] }] }, /the speedUps \[null\]/],
  ])('%s', (name, content, message) => {
    expect(() => readReport(saved(`${name}.json`, content))).toThrow(InputError)
    expect(() => readReport(saved(`${name}.json`, content))).toThrow(message)
  })

  test('no file, and a folder', () => {
    expect(() => readReport(join(folder, 'none.json'))).toThrow(/there is no such file/)
    expect(() => readReport(folder)).toThrow(/it is not a regular file/)
  })
})

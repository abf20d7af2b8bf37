import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { openJournal } from '../../src/files/journal.ts'

let folder = '', path = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'journal-'))
  path = join(folder, 'points.jsonl')
})
afterEach(() => rmSync(folder, { recursive: true }))

const isRate = (value: unknown) => typeof (value as { rate?: unknown } | null)?.rate === 'number'

test('lines come back; one that a crash cut short is left out and the next starts a line of its own', () => {
  const first = openJournal<{ rate: number }>(path)
  first.append({ rate: 0.1 })
  first.close()
  appendFileSync(path, '{"rate":0.')
  const second = openJournal<{ rate: number }>(path, isRate)
  expect(second.entries).toEqual([{ rate: 0.1 }])
  second.append({ rate: 0.2 })
  second.close()
  expect(readFileSync(path, 'utf8')).toBe('{"rate":0.1}\n{"rate":0.2}\n')
})

test.each([
  ['no JSON', 'rate\n', /points\.jsonl: line 1 is not valid JSON/],
  ['null', '{"rate":1}\nnull\n', /line 2 is null, no result/],
  ['another object', '{}\n', /line 1 is \{\}, no result/],
  ['controls', '"\\u001b[2J\\u202e"\n', /line 1 is "\\u001b\[2J\\u\{202e\}", no result/],
])('a damaged line is named: %s', (_, text, message) => {
  writeFileSync(path, text)
  expect(() => openJournal(path, isRate)).toThrow(InputError)
  expect(() => openJournal(path, isRate)).toThrow(message)
})

test('a folder in its place, a file above it', () => {
  mkdirSync(path)
  expect(() => openJournal(path)).toThrow(/points\.jsonl: cannot write here, there is a folder of that name/)
  writeFileSync(join(folder, 'file'), '')
  expect(() => openJournal(join(folder, 'file', 'points.jsonl'))).toThrow(InputError)
})

// Digests of files: what they take into account, by files that differ in one thing.
import { createHash } from 'node:crypto'
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { digestOfFiles } from '../../src/files/digest.ts'

const folder = mkdtempSync(join(tmpdir(), 'espalier-digest-'))
afterAll(() => rmSync(folder, { recursive: true }))
const file = (name: string, content: string | Uint8Array) => {
  mkdirSync(join(folder, name, '..'), { recursive: true })
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}

test('is SHA-256 of name, size and content, whatever the folder', () => {
  const expected = createHash('sha256').update('"a.bin" 3\nabc').digest('hex')
  expect(digestOfFiles([file('x/a.bin', 'abc')])).toBe(expected)
  expect(digestOfFiles([file('y/a.bin', 'abc')])).toBe(expected)
})

test('a byte, a name and the order count', () => {
  const [a, b, c, d] = [file('1/a', 'abc'), file('1/b', 'abc'), file('2/a', 'abd'), file('3/a', 'abc')]
  const all = [[a], [b], [c], [a, b], [b, a]].map(digestOfFiles)
  expect(new Set(all).size).toBe(5)
  expect(digestOfFiles([d])).toBe(all[0])
})

test('content beyond one chunk counts', () => {
  const large = new Uint8Array(2 ** 20 + 10)
  const before = digestOfFiles([file('large', large)])
  large[2 ** 20 + 5] = 1
  expect(digestOfFiles([file('large', large)])).not.toBe(before)
})

test('a file that is not there counts as such, and is not an empty one', () => {
  expect(digestOfFiles([join(folder, 'none')])).not.toBe(digestOfFiles([file('e/none', '')]))
})

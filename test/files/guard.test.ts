// Refusals of the file system, real ones where any user can cause them.
import { mkdtempSync, rmSync, writeFileSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { EspalierError, InputError } from '../../src/base/errors.ts'
import { guard } from '../../src/files/guard.ts'

const folder = mkdtempSync(join(tmpdir(), 'espalier-guard-'))
afterAll(() => rmSync(folder, { recursive: true }))
const caught = (path: string, action: () => unknown, opening = false): Error => {
  try {
    guard(path, action, opening)
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was refused')
}
const failing = (code: string) => () => {
  throw Object.assign(new Error('by the system'), { code })
}

test('what works gives its answer', () => expect(guard('x', () => 7)).toBe(7))

test('names that cannot be written are the input while they are opened, a failure later', () => {
  const missing = join(folder, 'none', 'a'), write = () => writeFileSync(missing, '')
  expect(caught(missing, write, true)).toBeInstanceOf(InputError)
  expect(caught(missing, write, true).message).toBe(
    `${missing}: cannot write here, there is no such folder; make the folder first`,
  )
  expect(caught(missing, write)).not.toBeInstanceOf(InputError)
  expect(caught(missing, write)).toBeInstanceOf(EspalierError)
})

test('a folder in place of a file, and a file in place of a folder', () => {
  mkdirSync(join(folder, 'sub'))
  writeFileSync(join(folder, 'plain'), '')
  expect(caught('f', () => writeFileSync(join(folder, 'sub'), '')).message).toContain('there is a folder of that name')
  expect(caught('f', () => writeFileSync(join(folder, 'plain', 'a'), '')).message).toContain(
    'a part of the path is a file',
  )
})

test('a full disk is no fault of the name', () => {
  expect(caught('f', failing('ENOSPC'), true)).not.toBeInstanceOf(InputError)
  expect(caught('f', failing('ENOSPC'), true).message).toBe('f: cannot write here, the disk is full; free some space')
})

test("codes nobody listed keep the system's words; errors without a code pass as they are", () => {
  expect(caught('f', failing('EWHAT')).message).toContain('by the system')
  const own = new RangeError('mine')
  expect(caught('f', () => {
    throw own
  })).toBe(own)
})

test('control characters of a name do not reach the terminal, and no name is shown as one', () => {
  expect(caught('a\u001b[2Jb', failing('EIO')).message).not.toContain('\u001b')
  expect(caught('', failing('EIO')).message).toMatch(/^'': /)
})

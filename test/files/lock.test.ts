import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs, { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { lockFile, lockFolder } from '../../src/files/lock.ts'
import { isAlive, thisOwner } from '../../src/files/owner.ts'
import { bundleForNode } from '../support/cli.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lock-'))
})
afterEach(() => rmSync(folder, { recursive: true }))
const file = () => join(folder, '.espalier.lock')

test('the second run is told who holds the folder; released, it is free', () => {
  const lock = lockFolder(folder, 'sweep net')
  expect(JSON.parse(readFileSync(file(), 'utf8'))).toMatchObject({ pid: process.pid, command: 'sweep net' })
  expect(() => lockFolder(folder)).toThrow(InputError)
  expect(() => lockFolder(folder)).toThrow(new RegExp(`process ${process.pid} on .* works in this folder`))
  lock.release()
  lock.release()
  expect(existsSync(file())).toBe(false)
  lockFolder(folder).release()
})

test('the lock of a process that was killed is taken over, one of a living process is not', async () => {
  writeFileSync(
    join(folder, 'main.ts'),
    `
    import { lockFolder } from ${JSON.stringify(new URL('../../src/files/lock.ts', import.meta.url).pathname)}
    lockFolder(process.argv[2])
    console.log('ready')
    setInterval(() => {}, 1000)
  `,
  )
  const child = spawn(process.execPath, [await bundleForNode(join(folder, 'main.ts'), 'lock'), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise((resolve) => child.on('close', resolve))
  await new Promise((resolve) => child.stdout.once('data', resolve))
  expect(() => lockFolder(folder)).toThrow(new RegExp(`process ${child.pid} on`))
  child.kill('SIGKILL')
  await ended
  expect(existsSync(file())).toBe(true)
  lockFolder(folder).release()
})

test('a process number that was given out again does not keep a lock', () => {
  const { start, ...rest } = thisOwner()
  writeFileSync(file(), JSON.stringify({ ...rest, start: start === '' ? '' : '1', host: 'h', since: '', command: '' }))
  if (start === '') expect(() => lockFolder(folder)).toThrow()
  else lockFolder(folder).release()
})

test('of another machine the age decides, and a damaged lock is no crash', () => {
  const foreign = { place: 'elsewhere', pid: 1, start: '1', host: 'node\u001b[31m7', since: 'today', command: '' }
  const damaged = ['null', '', '{"pid":', '{}', '[]', '7', '{"pid":{"toString":{}},"host":{"toString":{}}}']
  for (const text of [JSON.stringify(foreign), ...damaged]) {
    writeFileSync(file(), text)
    expect(() => lockFolder(folder)).toThrow(
      damaged.includes(text)
        ? /: a run that does not say who it is works in this folder/
        : /process 1 on .* works in this folder/,
    )
    const old = new Date(Date.now() - 3600_000)
    utimesSync(file(), old, old)
    lockFolder(folder).release()
  }
  expect(isAlive({ place: 'elsewhere', pid: 1, start: '1' })).toBe(null)
})

/** Runs `work` while links are made by `linkSync` instead. */
function linkingBy(linkSync: typeof fs.linkSync, work: () => void): void {
  const usual = fs.linkSync
  fs.linkSync = linkSync
  syncBuiltinESMExports()
  try {
    work()
  } finally {
    fs.linkSync = usual
    syncBuiltinESMExports()
  }
}
const { linkSync } = fs

test('a lock is whole when it appears, and nothing is left beside it', () => {
  const seen: string[] = []
  linkingBy((from, to) => {
    if (!existsSync(file())) seen.push(readFileSync(from, 'utf8'))
    linkSync(from, to)
  }, () => {
    const lock = lockFolder(folder, 'prune net')
    expect(seen).toEqual([readFileSync(file(), 'utf8')])
    expect(readdirSync(folder)).toEqual(['.espalier.lock'])
    expect(() => lockFolder(folder)).toThrow(InputError)
    expect(readdirSync(folder)).toEqual(['.espalier.lock'])
    lock.release()
  })
})

test('where a file system has no links there are locks all the same', () => {
  const none = () => {
    throw Object.assign(new Error('no links'), { code: 'EPERM' })
  }
  linkingBy(none, () => {
    const lock = lockFolder(folder)
    expect(() => lockFolder(folder)).toThrow(InputError)
    lock.release()
    expect(readdirSync(folder)).toEqual([])
  })
})

describe('a stale lock', () => {
  const stale = () =>
    JSON.stringify({ ...thisOwner(), pid: 2 ** 22 + 1, start: '1', host: 'h', since: '', command: '' })
  const living = () => JSON.stringify({ ...thisOwner(), host: 'h', since: 'now', command: 'the faster one' })

  test('is not removed once another run has put its own there', () => {
    writeFileSync(file(), stale())
    linkingBy((from, to) => {
      linkSync(from, to)
      writeFileSync(file(), living()) // between the look at the lock and the turn to remove it
    }, () => {
      expect(() => lockFolder(folder)).toThrow(/since now/)
    })
    expect(readFileSync(file(), 'utf8')).toBe(living())
    expect(readdirSync(folder)).toEqual(['.espalier.lock'])
  })

  test('is removed by one run at a time; a turn that was left behind is taken over', () => {
    const turn = join(folder, `.lock-${createHash('sha256').update('.espalier.lock').digest('hex').slice(0, 16)}`)
    writeFileSync(file(), stale())
    writeFileSync(turn, living())
    expect(() => lockFolder(folder)).toThrow(/takes it over just now/)
    expect(readFileSync(file(), 'utf8')).toBe(stale())
    writeFileSync(turn, stale())
    lockFolder(folder).release()
    expect(readdirSync(folder)).toEqual([])
  })
})

test('a file of a long name can be locked', () => {
  lockFile(join(folder, 'n'.repeat(240))).release()
  expect(readdirSync(folder)).toEqual([])
})

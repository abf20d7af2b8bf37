import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync,
  writeFileSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { openOutput, writeOutput } from '../../src/files/output.ts'
import { bundleForNode } from '../support/cli.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'output-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test('a file appears only when it is whole, and the old one stays until then', () => {
  const path = join(folder, 'a.txt')
  writeFileSync(path, 'old')
  const output = openOutput(path)
  output.write('new ')
  output.write(new Uint8Array([33, 10]))
  expect(readFileSync(path, 'utf8')).toBe('old')
  output.commit()
  expect(readFileSync(path, 'utf8')).toBe('new !\n')
  output.abandon()
  expect(readdirSync(folder)).toEqual(['a.txt'])
})

test('an abandoned file leaves nothing', () => {
  const output = openOutput(join(folder, 'a.txt'))
  output.write('half')
  output.abandon()
  expect(readdirSync(folder)).toEqual([])
  expect(process.listeners('SIGINT').filter(({ name }) => name === 'interrupted')).toEqual([])
})

test.skipIf(process.platform === 'win32')('links and permissions survive', () => {
  const file = join(folder, 'real.txt'), link = join(folder, 'link.txt')
  writeFileSync(file, 'old')
  chmodSync(file, 0o600)
  symlinkSync(file, link)
  writeOutput(link, 'new')
  expect(lstatSync(link).isSymbolicLink()).toBe(true)
  expect(readFileSync(file, 'utf8')).toBe('new')
  expect(statSync(file).mode & 0o777).toBe(0o600)
})

test.each<[string, string, RegExp]>([
  ['no such folder', 'missing/a.txt', /missing\/a\.txt: cannot write here, there is no such folder/],
  ['a folder', 'folder', /expected a file to write, found a folder/],
  ['a file as a folder', 'file/a.txt', /a part of the path is a file/],
])('%s is bad input', (_, name, message) => {
  mkdirSync(join(folder, 'folder'))
  writeFileSync(join(folder, 'file'), '')
  const attempt = () => writeOutput(join(folder, name), 'x')
  expect(attempt).toThrow(InputError)
  expect(attempt).toThrow(message)
})

test.runIf(process.platform === 'linux')('a full disk fails the run and is no bad input', () => {
  let caught: unknown
  try {
    writeOutput('/dev/full', 'x')
  } catch (error) {
    caught = error
  }
  expect(caught).toMatchObject({ exitCode: 1, message: expect.stringMatching(/\/dev\/full: .*disk is full/) })
  expect(lstatSync('/dev/full').isCharacterDevice()).toBe(true)
})

test.skipIf(process.platform === 'win32').each(['SIGINT', 'SIGTERM'] as const)(
  '%s in the middle leaves the old file and no half one',
  async (signal) => {
    writeFileSync(
      join(folder, 'main.ts'),
      `
    import { openOutput } from ${JSON.stringify(new URL('../../src/files/output.ts', import.meta.url).pathname)}
    const output = openOutput(process.argv[2])
    output.write('half of it')
    console.log('ready')
    setInterval(() => {}, 1000)
  `,
    )
    const path = join(folder, 'a.txt')
    writeFileSync(path, 'old')
    const child = spawn(process.execPath, [await bundleForNode(join(folder, 'main.ts'), `output-${signal}`), path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = new Promise((resolve) => child.on('close', (_, by) => resolve(by)))
    child.stdout.once('data', () => {
      expect(readdirSync(folder).some((name) => name.endsWith('.partial'))).toBe(true)
      child.kill(signal)
    })
    expect(await ended).toBe(signal)
    expect(readdirSync(folder).sort()).toEqual(['a.txt', 'main.ts'])
    expect(readFileSync(path, 'utf8')).toBe('old')
  },
)

test.runIf(process.platform === 'linux')('what a killed process left half-written goes with the next run', () => {
  const path = join(folder, 'net.safetensors')
  const output = openOutput(path), mine = readdirSync(folder)[0]
  const [, place] = /\.net\.safetensors\.(\w+)-/.exec(mine)!
  const left = ['99999999-1-0', `${process.pid}-1-0`, '99999999-1-7'].map((owner) =>
    `.net.safetensors.${place}-${owner}.partial`
  )
  const kept = [
    `.other.safetensors.${place}-99999999-1-0.partial`,
    '.net.safetensors.elsewhere-99999999-1-0.partial',
    '.net.safetensors.notes',
  ]
  for (const name of [...left, ...kept]) writeFileSync(join(folder, name), 'half')
  writeOutput(path, 'new')
  expect(readdirSync(folder).sort()).toEqual([...kept, mine, 'net.safetensors'].sort())
  output.abandon()
})

test('names that no file can have', () => {
  expect(() => openOutput('')).toThrow(/expected the name of a file to write, found ''/)
  const long = join(folder, 'x'.repeat(240))
  writeOutput(long, 'a long name leaves room for the partial')
  expect(readdirSync(folder)).toEqual(['x'.repeat(240)])
  expect(() => writeOutput(join(folder, 'x'.repeat(300)), '')).toThrow(/the name is too long/)
  expect(() => writeOutput(join(folder, 'a\u001b[31m', 'b'), '')).toThrow(/a\\e\[31m.* there is no such folder/)
})

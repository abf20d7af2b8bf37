import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { claimOutputs } from '../../src/files/claim.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'claim-'))
  writeFileSync(join(folder, 'val.json'), '[]')
  mkdirSync(join(folder, 'pics'))
  writeFileSync(join(folder, 'pics', '0.png'), '')
  symlinkSync('val.json', join(folder, 'link.html'))
  linkSync(join(folder, 'val.json'), join(folder, 'hard.json'))
  symlinkSync('.', join(folder, 'here'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const at = (name: string) => join(folder, name)
const claim = (out: string, { input = 'val.json', overwrite = true } = {}) => () =>
  claimOutputs([{ flag: '--out', path: at(out) }], [{ flag: '--data', path: at(input) }], overwrite)

test.each([
  ['the same name', 'val.json'],
  ['another spelling', 'pics/../val.json'],
  ['a symbolic link', 'link.html'],
  ['a hard link', 'hard.json'],
  ['by way of a linked folder', 'here/val.json'],
])('an output that is an input is refused even with --overwrite: %s', (_, out) => {
  expect(claim(out)).toThrow(InputError)
  expect(claim(out)).toThrow(/--out .*would write over what is read, --data .*val\.json; give another name/)
})

test('files below a folder that is read are refused; new ones beside them are fine', () => {
  expect(claim('pics/0.png', { input: 'pics' })).toThrow(/would write over what is read/)
  expect(claim('pics/new.png', { input: 'pics' })).not.toThrow()
})

test('what exists is replaced only where asked', () => {
  writeFileSync(at('old.html'), '')
  expect(claim('old.html', { overwrite: false })).toThrow(/old\.html: there already; give another name, or --overwrite/)
  expect(claim('old.html')).not.toThrow()
  expect(claim('new.html', { overwrite: false })).not.toThrow()
  expect(() => claimOutputs([{ flag: '--out', path: '/dev/null' }], [], false)).not.toThrow()
})

test('two outputs of one name are refused, also where the file or its folder is not there yet', () => {
  const two = (a: string, b: string) => () =>
    claimOutputs([{ flag: '--out', path: at(a) }, { flag: '--report', path: at(b), derived: 'the numbers' }], [], false)
  expect(two('a.json', 'here/a.json')).toThrow(/--report .*\(the numbers\): is --out .*a\.json as well/)
  expect(two('new/a.json', 'new/../new/a.json')).toThrow(/as well/)
  expect(two('a.json', 'b.json')).not.toThrow()
})

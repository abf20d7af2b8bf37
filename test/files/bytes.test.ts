// The same bytes however they come: a path, addresses, a buffer, a part of one, a Blob, a File.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { bytesOf, isByteSource } from '../../src/files/bytes.ts'
import { nodeFiles as files } from '../../src/files/files.ts'

const folder = mkdtempSync(join(tmpdir(), 'espalier bytes-'))
afterAll(() => rmSync(folder, { recursive: true }))
const path = join(folder, 'ä b.bin'), content = Uint8Array.of(1, 2, 3, 255)
writeFileSync(path, content)

const sources: [string, Parameters<typeof bytesOf>[0], string][] = [
  ['a path', path, path],
  ['a file: address with a space and an umlaut', pathToFileURL(path), path],
  ['bytes', content, 'it'],
  ['a part of a buffer', new Uint8Array([0, 1, 2, 3, 255, 0]).subarray(1, 5), 'it'],
  ['an ArrayBuffer', content.slice().buffer, 'it'],
  ['a Blob', new Blob([content]), 'it'],
  ['a File', new File([content], 'picked.bin'), 'picked.bin'],
]

test.each(sources)('%s', async (_, source, called) => {
  expect(isByteSource(source)).toBe(true)
  const { bytes, name } = await bytesOf(source, files, 'it')
  expect([...bytes]).toEqual([...content])
  expect(name).toBe(called)
})

test('anything else is refused', async () => {
  for (const wrong of [null, 3, [1, 2], {}]) {
    expect(isByteSource(wrong)).toBe(false)
    await expect(bytesOf(wrong as never, files, 'it')).rejects.toThrow(/^it: expected a path, an address, bytes/)
  }
})

test('a path that is not there and a Blob that cannot be read are the input', async () => {
  await expect(bytesOf(join(folder, 'none'), files, 'it')).rejects.toBeInstanceOf(InputError)
  const gone = new Blob([content])
  gone.arrayBuffer = () => Promise.reject(new Error('it was moved'))
  await expect(bytesOf(gone, files, 'it')).rejects.toThrow('it: the file cannot be read (it was moved); pick it again')
})

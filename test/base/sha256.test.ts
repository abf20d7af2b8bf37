import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/base/sha256.ts'

test('is that of node:crypto, of a view only what it shows', async () => {
  const bytes = Buffer.from('before, abc, after'), part = bytes.subarray(8, 11)
  expect(await sha256(part)).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  const floats = Float32Array.of(1, 2, 3, 4).subarray(1, 3)
  expect(await sha256(floats)).toBe(
    createHash('sha256').update(new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength)).digest('hex'),
  )
})

// Weights in a file beside an ONNX file, on a disk: the network is the one it would be in one file, and what leads out
// of the folder or does not fit is refused.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { parseCheckpoint, readCheckpoint } from '../../../src/checkpoint/checkpoint.ts'
import { openOnnx } from '../../../src/onnx/decode.ts'
import { whole } from '../../../src/onnx/tensors.ts'
import { externalBytes, isExternal } from '../../../src/onnx/external.ts'
import { small, splitOnnx } from '../../support/onnx-hostile.ts'

const folder = mkdtempSync(join(tmpdir(), 'external-'))
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** Writes a network whose weights lie at `location`; the path of its file. */
function written(name: string, location: string, change: (data: Buffer) => Uint8Array | null = (data) => data): string {
  const { net, data } = splitOnnx(small(), location), path = join(folder, name, 'net.onnx'), content = change(data)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, net)
  if (!content) return path
  const beside = join(folder, name, location)
  mkdirSync(dirname(beside), { recursive: true })
  writeFileSync(beside, content)
  return path
}

test.each(['net.onnx.data', 'weights/all of it.bin', './net.bin'])('weights in %s', async (location) => {
  const whole = await parseCheckpoint(small(), 'net.onnx')
  const read = await readCheckpoint(written(`in ${location.replace(/\W/g, '')}`, location))
  expect([...read.weights]).toEqual([...whole.weights])
  expect(read.architecture).toEqual(whole.architecture)
  expect(read.bytes).toBeGreaterThan(4 * 296)
})

test('without lengths a tensor has as many bytes as it takes', async () => {
  const { net, data } = splitOnnx(small(), 'w', false)
  const read = await parseCheckpoint(net, 'net.onnx', { part: () => Promise.resolve(data) })
  expect([...read.weights]).toEqual([...(await parseCheckpoint(small(), 'net.onnx')).weights])
})

test('other weights in the same file beside it are another network', async () => {
  const changed = (data: Buffer) => {
    data.writeFloatLE(3, 0)
    return data
  }
  const [a, b, again] = await Promise.all(
    [written('a', 'w'), written('b', 'w', changed), written('again', 'w')].map((path) => readCheckpoint(path)),
  )
  expect(b.digest).not.toBe(a.digest)
  expect(again.digest).toBe(a.digest)
})

test.each<[string, (data: Buffer) => Uint8Array | null, RegExp]>([
  ['is not there', () => null, /net\.onnx: its weights lie in 'w' beside it: .*w: there is no such file/],
  ['is cut', (data) => data.subarray(0, 1000), /takes 320 bytes and has 320 from byte 896 of 'w', which has 1000/],
  ['is empty', () => Buffer.alloc(0), /tensors take 1184 bytes of 'w', which has 0; it is truncated/],
])('a file beside it that %s', async (name, change, sentence) => {
  await expect(readCheckpoint(written(name, 'w', change))).rejects.toThrow(sentence)
})

test('a link is followed, as in the cache of a hub; a device is not read', async () => {
  const path = written('linked', 'w'), other = written('blob', 'w')
  rmSync(join(dirname(path), 'w'))
  symlinkSync(join(dirname(other), 'w'), join(dirname(path), 'w'))
  expect((await readCheckpoint(path)).weights.size).toBeGreaterThan(0)
  rmSync(join(dirname(path), 'w'))
  symlinkSync('/dev/zero', join(dirname(path), 'w'))
  await expect(readCheckpoint(path)).rejects.toThrow(/expected a regular file, it is a device or a pipe/)
})

test('the names of files beside it are known before they are read', () => {
  expect(openOnnx(splitOnnx(small(), './a/w').net).files).toEqual(['a/w'])
  expect(openOnnx(small()).files).toEqual([])
  const tensor = { dataLocation: 0, externalData: [] } as unknown as Parameters<typeof isExternal>[0]
  expect(isExternal(tensor)).toBe(false)
  expect(() => externalBytes(tensor, "tensor 'x'", 4, new Map())).toThrow(/lies in another file, ''/)
})

test('whole numbers: to the end is the largest, damaged ones are refused', () => {
  expect([whole(7n, 'x'), whole(2n ** 63n - 1n, 'x'), whole(-(2n ** 63n), 'x')]).toEqual([
    7,
    Number.MAX_SAFE_INTEGER,
    -Number.MAX_SAFE_INTEGER,
  ])
  expect(() => whole(2n ** 60n, 'x')).toThrow(/x holds 1152921504606846976, expected a whole number below 2\^53/)
})

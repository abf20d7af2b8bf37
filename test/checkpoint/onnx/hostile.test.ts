// ONNX files that are damaged or mean harm: one sentence each, in no time, from a Buffer as a disk gives it.
import { expect, test } from 'vitest'
import { InputError } from '../../../src/base/errors.ts'
import { parseCheckpoint } from '../../../src/checkpoint/checkpoint.ts'
import { hostileOnnx, small } from '../../support/onnx-hostile.ts'

test.each(hostileOnnx)('%s', async (_, bytes, sentence) => {
  const file = Buffer.from(bytes())
  const refusal = await parseCheckpoint(file, 'net.onnx').catch((error: unknown) => error)
  expect(refusal).toBeInstanceOf(InputError)
  const { message } = refusal as InputError
  expect(message).toMatch(sentence)
  expect(message).toMatch(/^net\.onnx: /)
  expect(message).not.toContain('\n')
}, 10_000)

test('the file that they are made from is read', async () => {
  expect(await parseCheckpoint(small(), 'net.onnx')).toMatchObject({ classCount: 10, notes: [] })
})

test('any number of entries of nothing is put nowhere', async () => {
  const none = { data: new Float32Array(0) }
  const file = small(
    [{ type: 'ScatterND', name: '/odd', inputs: ['x', 'at', 'x'], outputs: ['big'] }],
    [{ name: 'x', shape: [0], ...none }, {
      name: 'at',
      shape: [2147483647, 2147483647, 0],
      data: new BigInt64Array(0),
    }],
  )
  const end = await parseCheckpoint(file, 'net.onnx').catch((error: unknown) => error)
  if (end instanceof Error) expect(end, String(end.stack)).toBeInstanceOf(InputError)
}, 10_000)

test('every byte of a small file, cut off or changed, is read or refused in a sentence', async () => {
  const whole = small()
  for (let at = 0; at < whole.length; at += 7) {
    const changed = Buffer.from(whole)
    changed[at] ^= 1 + at % 255
    for (const file of [changed, whole.subarray(0, at)]) {
      const end = await parseCheckpoint(file, 'net.onnx').catch((error: unknown) => error)
      if (end instanceof Error) expect(end, String(end.stack)).toBeInstanceOf(InputError)
    }
  }
})

// Bytes from the device, after everything launched so far; copies do not change afterwards.
import { expect, test } from 'vitest'
import { add, tensor } from '../../src/index.ts'
import { gpu } from '../../src/gpu/device.ts'
import { Readback } from '../../src/gpu/readback.ts'
import { describeDevice } from '../support/device.ts'

describeDevice('read-back', () => {
  const made = () => {
    const { device, launches, pool, failures } = gpu() as unknown as {
      device: GPUDevice,
      launches: never,
      pool: never,
      failures: never,
    }
    return new Readback(device, launches, pool, failures, false)
  }

  test('of a part, of what was launched and not submitted, and of several at once', async () => {
    const back = made(), x = tensor(Float32Array.of(1, 2, 3, 4, 5)), y = add(x, x)
    const [part, whole] = await Promise.all([back.read(y.buffer, 8), back.read(y.buffer, 20)])
    expect([...new Float32Array(part)]).toEqual([2, 4])
    expect([...new Float32Array(whole)]).toEqual([2, 4, 6, 8, 10])
    back.trim()
  })

  test('bytes that are no whole word', async () => {
    const back = made(), x = tensor(Uint32Array.of(0x04030201, 0x08070605))
    expect([...new Uint8Array(await back.read(x.buffer, 5))]).toEqual([1, 2, 3, 4, 5])
    back.trim()
  })

  test('what was read stays, though the staging buffer is used again', async () => {
    const back = made(), x = tensor(Float32Array.of(1, 1)), first = await back.read(x.buffer, 8)
    x.write(Float32Array.of(9, 9))
    expect([...new Float32Array(await back.read(x.buffer, 8))]).toEqual([9, 9])
    expect([...new Float32Array(first)]).toEqual([1, 1])
    back.trim()
  })
})

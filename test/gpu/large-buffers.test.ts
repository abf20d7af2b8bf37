// The pool at its edges: reuse at the end of what a device allows, and giving back what launches still need.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { add, relu } from '../../src/ops/index.ts'
import { tensor } from '../../src/core/tensor.ts'
import { Pool, sizeClass } from '../../src/gpu/buffers.ts'
import { close, gpu, init } from '../../src/gpu/device.ts'
import { describeDevice } from '../support/device.ts'

describe('large buffers', () => {
  beforeEach(() => init({ adapter: 'cpu' })) // new memory costs nothing before it is written
  afterEach(close)

  // The greatest size need not be a size class: rounded up beyond it, no buffer would ever come back.
  test.each([[2 ** 31 - 4], [2.1e9], [2 ** 31 - 2 ** 20]])(
    '%i bytes are reused where the limit is 2 GiB - 4',
    (bytes) => {
      const { device } = gpu(), most = 2 ** 31 - 4
      const limited = new Proxy(device, {
        get(target, key) {
          if (key === 'limits') return { ...device.limits, maxBufferSize: most, maxStorageBufferBindingSize: most }
          const value = Reflect.get(target, key) as unknown
          return typeof value === 'function' ? value.bind(target) as unknown : value
        },
      })
      const pool = new Pool(limited)
      expect(sizeClass(bytes)).toBeGreaterThan(most)
      for (let i = 0; i < 3; i++) {
        const buffer = pool.acquire(bytes)
        expect(buffer.bytes).toBeLessThanOrEqual(most)
        pool.release(buffer)
      }
      expect(pool.memory).toMatchObject({ created: 1, live: 0 })
      expect(() => pool.acquire(most + 1)).toThrow(/at most 2147483644 bytes/)
      pool.close()
      expect(pool.memory.allocated).toBe(0)
    },
  )
})

describeDevice('trim before anything is submitted', () => {
  test.each([1, 3, 64])('what %i launches still read is there until they ran', async (count) => {
    const { pool } = gpu(), x = tensor(Float32Array.from({ length: 1000 }, (_, i) => i - 500))
    let y = relu(x)
    for (let i = 0; i < count; i++) {
      const next = add(y, x)
      y.dispose() // idle in the pool now, and still to be read
      y = next
    }
    expect(pool.trim()).toBeGreaterThan(0)
    const values = await y.data()
    expect(values[0]).toBe(-500 * count)
    expect(values[999]).toBe(499 * (count + 1))
    y.dispose()
    x.dispose()
  })
})

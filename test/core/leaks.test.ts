// What long-lived processes call again and again leaves nothing behind. `npm run test:long` makes 2,000 calls of each.
import { describe, expect, test } from 'vitest'
import { compile } from '../../src/core/compile.ts'
import { type Tensor, tensor } from '../../src/core/tensor.ts'
import { gpu } from '../../src/gpu/device.ts'
import { add, relu } from '../../src/ops/elementwise.ts'
import { describeDevice } from '../support/device.ts'
import { growth, sample } from '../support/leaks.ts'

describe('heap after forced collection', () => {
  test.each([
    ['resnet evaluate', 40, 1],
    ['vit evaluate', 60, 1],
    ['vit explain', 60, 1],
    // Networks of ever other widths: the pool and its bind groups come to know them by and by. What grew with every
    // call would double from half of the calls to all of them.
    ['vit prune', 90, 1.5],
    ['vit sweep', 80, 1.5],
    ['vit train', 40, 1],
  ])('%s, %i calls', async (kind, calls, most) => {
    const samples = await sample('cpu', kind, calls)
    expect(samples).toHaveLength(10)
    const last = samples.at(-1)!
    expect(last.live).toBe(samples[0].live)
    expect(last.bindGroups).toBeLessThanOrEqual(most * samples[4].bindGroups)
    expect(growth(samples, 'heap')).toBeLessThan(30) // KB a call; 130 when bind groups of freed captures stayed
  }, 240_000)
})

describeDevice('what a capture leaves behind', () => {
  test('bind groups and device memory of cleared captures are given back', async () => {
    const x = tensor([1, 2, 3])
    const once = async () => {
      const f = compile((y: Tensor) => add(relu(y), tensor([1, 1, 1])))
      const out = f(x)
      f.clear()
      expect([...await out.data()]).toEqual([2, 3, 4])
      out.dispose()
    }
    await once()
    const before = { ...gpu().pool.memory }, groups = gpu().launches.cachedBindGroups
    for (let i = 0; i < 20; i++) await once()
    expect(gpu().launches.cachedBindGroups).toBe(groups)
    expect(gpu().pool.memory.live).toBe(before.live)
    expect(gpu().pool.memory.allocated).toBe(before.allocated)
    x.dispose()
  })

  test('a capture that fails gives back what it allocated', () => {
    const x = tensor([1, 2, 3])
    const { live, allocated } = gpu().pool.memory
    const f = compile((y: Tensor) => {
      relu(y)
      throw new Error('halfway')
    })
    expect(() => f(x)).toThrow('halfway')
    expect(gpu().pool.memory).toMatchObject({ live, allocated })
    x.dispose()
  })

  test('buffers still in unsubmitted launches survive clear and trim', async () => {
    const x = tensor([1, -2, 3]), f = compile((y: Tensor) => relu(y))
    const out = f(x)
    f.clear()
    const copy = relu(x)
    const sum = add(copy, out)
    copy.dispose()
    gpu().pool.trim()
    expect([...await sum.data()]).toEqual([2, 0, 6])
    for (const each of [x, out, sum]) each.dispose()
  })

  test('sizes that nobody asks for any more go back to the device', () => {
    const { pool } = gpu(), before = pool.memory.allocated
    for (let i = 1; i <= 30_000; i++) pool.release(pool.acquire(16 * (i % 3000 + 1), true))
    expect(pool.memory.allocated - before).toBeLessThan(1.2e8) // 72 MB for 3,000 sizes, all asked for again
    for (let i = 1; i <= 30_000; i++) pool.release(pool.acquire(16 * (5000 + Math.floor(i / 10)), true))
    expect(pool.memory.allocated - before).toBeLessThan(1.5e8) // all sizes so far would take 460 MB
  })
})

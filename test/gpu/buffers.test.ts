// The pool on a device: sizes, what comes back in which order, what is given back, what is refused.
import { expect, test } from 'vitest'
import { DeviceError } from '../../src/base/errors.ts'
import { Pool, sizeClass } from '../../src/gpu/buffers.ts'
import { gpu } from '../../src/gpu/device.ts'
import { describeDevice } from '../support/device.ts'

test('size classes hold what was asked for and waste at most an eighth', () => {
  expect([0, 1, 256, 257, 4096].map(sizeClass)).toEqual([256, 256, 256, 512, 4096])
  for (let bytes = 4097; bytes < 2 ** 24; bytes = Math.ceil(bytes * 1.37)) {
    const size = sizeClass(bytes)
    expect(size).toBeGreaterThanOrEqual(bytes)
    expect(size).toBeLessThanOrEqual(bytes * 1.125 + 256)
    expect(size % 256).toBe(0)
    expect(sizeClass(size)).toBe(size)
  }
})

describeDevice('the pool', () => {
  test('hands out the oldest free buffer of a size first, whatever order they came back in', () => {
    const pool = new Pool(gpu().device), [a, b, c] = [1, 2, 3].map(() => pool.acquire(1000))
    for (const one of [c, a, b]) pool.release(one)
    expect([1, 2, 3].map(() => pool.acquire(900))).toEqual([a, b, c])
    expect(pool.memory.created).toBe(3)
    pool.close()
  })

  test('counts what is live, and gives idle buffers back after their launches', () => {
    const retired: number[] = []
    const pool = new Pool(gpu().device, { retire: (buffers) => retired.push(buffers.size) })
    const kept = pool.acquire(256), idle = pool.acquire(512)
    pool.release(idle)
    expect(pool.memory).toMatchObject({ live: 256, allocated: 768, peak: 768 })
    expect(pool.trim()).toBe(512)
    expect(retired).toEqual([1])
    expect(pool.memory).toMatchObject({ live: 256, allocated: 256, peak: 768 })
    pool.close()
    pool.release(kept)
    expect(pool.memory).toMatchObject({ live: 0, allocated: 0 })
  })

  test('exact buffers are rounded to sixteen bytes only', () => {
    const pool = new Pool(gpu().device)
    expect([pool.acquire(20, true).bytes, pool.acquire(20).bytes]).toEqual([32, 256])
    expect(new Pool(gpu().device, { exact: true }).acquire(20).bytes).toBe(32)
  })

  test('more than the device binds is refused', () => {
    expect(() => new Pool(gpu().device).acquire(2 ** 45)).toThrow(DeviceError)
  })
})

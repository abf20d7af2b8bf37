// The scheduler alone, with a hand-assembled kernel that is not idempotent: a workgroup run twice, or with the
// parameters of another job, shows in the result. Every job is shared, however small, so that claims race as often as
// they can.
import { describe, expect, test } from 'vitest'
import type { CompiledKernel } from '../../../src/cpu/abi.ts'
import { Kernel } from '../../../src/cpu/runtime/kernel.ts'
import { LinearMemory } from '../../../src/cpu/runtime/memory.ts'
import { Scheduler } from '../../../src/cpu/runtime/scheduler.ts'

/**
 * run(block, scratch, first, last): words[w] = words[w] * factor + 1 for w in first..last-1, words at the first
 * binding.
 */
function kernelCode(factor: number, trapAt = -1): Uint8Array<ArrayBuffer> {
  const leb = (value: number): number[] => value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]
  const signed = (value: number): number[] =>
    value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)]
  const section = (id: number, body: number[]): number[] => [id, ...leb(body.length), ...body]
  const name = (text: string): number[] => [text.length, ...new TextEncoder().encode(text)]
  const get = 0x20, constant = 0x41
  const element = [get, 0, 0x28, 2, 16, get, 2, constant, 2, 0x74, 0x6a] // address of words[first]
  const body = [
    0,
    0x02,
    0x40,
    0x03,
    0x40,
    get,
    2,
    get,
    3,
    0x4f,
    0x0d,
    1, // loop, out when first >= last
    get,
    2,
    constant,
    ...signed(trapAt),
    0x46,
    0x04,
    0x40,
    0x00,
    0x0b, // unreachable at the chosen workgroup
    ...element,
    ...element,
    0x28,
    2,
    0,
    constant,
    ...signed(factor),
    0x6c,
    constant,
    1,
    0x6a,
    0x36,
    2,
    0,
    get,
    2,
    constant,
    1,
    0x6a,
    0x21,
    2,
    0x0c,
    0,
    0x0b,
    0x0b,
    0x0b,
  ]
  return new Uint8Array([
    0,
    97,
    115,
    109,
    1,
    0,
    0,
    0,
    ...section(1, [1, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 0]),
    ...section(2, [1, ...name('env'), ...name('memory'), 2, 3, 1, ...leb(65536)]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name('run'), 0, 0]),
    ...section(10, [1, ...leb(body.length), ...body]),
  ])
}

const compiled = (wasm: Uint8Array): CompiledKernel => ({
  wasm,
  bindings: [],
  workgroupSize: [1, 1, 1],
  workgroupStorage: 0,
  scratchBytes: 64,
  workgroupVariables: [],
})

const idle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20))

describe.each([2, 4])('%i threads', (threads) => {
  test('every workgroup runs once per job, through thousands of small jobs of several kernels', async () => {
    const memory = new LinearMemory(16 << 20, true)
    const scheduler = new Scheduler(memory, threads)
    const factors = [3, 5, 7, 2741]
    const kernels = factors.map((factor) => new Kernel(compiled(kernelCode(factor)), memory))
    const words = 4096, address = memory.allocate(words * 4)!, expected = new Uint32Array(words)
    scheduler.resultRead()
    let seed = 5
    // on a busy machine the workers may begin only after all that: jobs go on until one has helped
    const patience = performance.now() + 90_000
    for (let job = 0; job < 6000 || scheduler.helped === 0 && performance.now() < patience; job++) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
      const which = (seed >>> 16) % kernels.length, count = 1 + (seed >>> 20) % (job % 10 === 0 ? words : 40)
      kernels[which].millisecondsPerGroup = 1 // said to be slow, so always shared
      scheduler.run(kernels[which], [address, words * 4], count, 1, 1)
      for (let i = 0; i < count; i++) expected[i] = Math.imul(expected[i], factors[which]) + 1
      // now and then the workers fall asleep between jobs
      if (job % 500 === 0) await idle()
    }
    expect(memory.words.slice(address / 4, address / 4 + words)).toEqual(expected)
    expect(scheduler.helped).toBeGreaterThan(0)
    scheduler.stop()
  }, 120_000)

  test('a trap ends the dispatch with an error, and the next one runs', async () => {
    const memory = new LinearMemory(16 << 20, true)
    const scheduler = new Scheduler(memory, threads)
    const good = new Kernel(compiled(kernelCode(3)), memory)
    const address = memory.allocate(4096)!
    scheduler.resultRead()
    for (let round = 0; round < 40; round++) {
      const bad = new Kernel(compiled(kernelCode(3, round * 13)), memory)
      bad.millisecondsPerGroup = good.millisecondsPerGroup = 1
      expect(() => scheduler.run(bad, [address, 4096], 1000, 1, 1)).toThrow(WebAssembly.RuntimeError)
      memory.fill(address, 0, 4096)
      scheduler.run(good, [address, 4096], 32, 32, 1)
      expect(memory.words.slice(address / 4, address / 4 + 1024).every((word) => word === 1)).toBe(true)
      if (round % 10 === 0) await idle()
    }
    scheduler.stop()
  })
})

test('scratch grows with the kernels, apart for each thread', () => {
  const memory = new LinearMemory(16 << 20, true)
  const scheduler = new Scheduler(memory, 2)
  const before = memory.used
  const small = new Kernel(compiled(kernelCode(3)), memory)
  const large = new Kernel({ ...compiled(kernelCode(3)), scratchBytes: 1 << 20 }, memory)
  const address = memory.allocate(64)!
  scheduler.run(small, [address, 64], 1, 1, 1)
  scheduler.run(large, [address, 64], 1, 1, 1)
  expect(memory.used - before).toBeGreaterThanOrEqual(2 << 20)
  expect(memory.used - before).toBeLessThan((2 << 20) + 4096)
  const huge = new Kernel({ ...compiled(kernelCode(3)), scratchBytes: 1 << 24 }, memory)
  expect(() => scheduler.run(huge, [address, 64], 1, 1, 1)).toThrow(/no memory for \d+ bytes of workgroup/)
})

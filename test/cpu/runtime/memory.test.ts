// The allocator over the linear memory, against a plain list of what is in use.
import { describe, expect, test } from 'vitest'
import { LinearMemory } from '../../../src/cpu/runtime/memory.ts'

/** A small deterministic generator: numbers from 0 to 1. */
function numbers(seed: number): () => number {
  return () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32
}

describe.each([false, true])('shared: %s', (shared) => {
  test('blocks are aligned, zero, disjoint and inside, through random use', () => {
    const memory = new LinearMemory(4 << 20, shared)
    const next = numbers(7)
    const held: { address: number, size: number, mark: number }[] = []
    let refused = 0
    for (let step = 0; step < 4000; step++) {
      if (next() < 0.53) {
        const size = Math.floor(2 ** (next() * 18))
        const address = memory.allocate(size)
        if (address === undefined) {
          refused++
          continue
        }
        expect(address % 64).toBe(0)
        expect(address).toBeGreaterThanOrEqual(4096)
        expect(address + size).toBeLessThanOrEqual(memory.bytes.length)
        const bytes = memory.bytes.subarray(address, address + size)
        expect(bytes.indexOf(1)).toBe(-1) // what freed blocks are filled with
        expect(bytes[0] | bytes[size - 1]).toBe(0)
        const mark = 2 + step % 254
        memory.fill(address, mark, size)
        held.push({ address, size, mark })
      } else if (held.length > 0) {
        const [block] = held.splice(Math.floor(next() * held.length), 1)
        const bytes = memory.bytes.subarray(block.address, block.address + block.size)
        expect(Buffer.compare(bytes, new Uint8Array(block.size).fill(block.mark))).toBe(0)
        memory.fill(block.address, 1, block.size)
        memory.free(block.address, block.size)
      }
    }
    expect(refused).toBeGreaterThan(0)
    for (const { address, size } of held) memory.free(address, size)
    expect(memory.used).toBe(0)
    // with everything free again the ranges have joined, so the largest block fits once more
    expect(memory.allocate((4 << 20) - 4096)).toBeDefined()
  })

  test('growth keeps contents, and the limit is kept exactly', () => {
    const memory = new LinearMemory(4 << 20, shared)
    const first = memory.allocate(1000)!
    memory.fill(first, 9, 1000)
    const second = memory.allocate(3 << 20)!
    expect(second).toBeDefined()
    expect(memory.bytes.length).toBeLessThanOrEqual(4 << 20)
    expect(memory.bytes[first + 999]).toBe(9)
    expect(memory.allocate(1 << 20)).toBeUndefined()
    expect(memory.allocate(2 ** 40)).toBeUndefined()
    expect(memory.peak).toBe((3 << 20) + 1024)
  })

  test('copies may overlap, and reading gives memory of its own', () => {
    const memory = new LinearMemory(1 << 20, shared)
    const at = memory.allocate(64)!
    for (let i = 0; i < 32; i++) memory.bytes[at + i] = i
    memory.copy(at + 8, at, 32)
    const copy = new Uint8Array(memory.read(at, 40))
    expect([...copy.subarray(8)]).toEqual(Array.from({ length: 32 }, (_, i) => i))
    memory.fill(at, 0xff, 64)
    expect(copy[39]).toBe(31)
    expect(copy.buffer).toBeInstanceOf(ArrayBuffer)
  })
})

test('addresses beyond 2 GiB are unsigned everywhere', () => {
  const memory = new LinearMemory(2 ** 32, false)
  const low = memory.allocate(2 ** 31)!, high = memory.allocate(2 ** 30)!
  expect(high).toBeGreaterThan(2 ** 31)
  memory.fill(high + 2 ** 30 - 4, 7, 4)
  memory.copy(high, high + 2 ** 30 - 4, 4)
  expect(memory.words[high / 4]).toBe(0x07070707)
  expect(memory.allocate(2 ** 30)).toBeUndefined()
  memory.free(low, 2 ** 31)
  expect(memory.allocate(2 ** 30)).toBe(low)
})

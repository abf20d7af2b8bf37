// Limits and features that a device may ask for.
import { expect, test } from 'vitest'
import { adapterLimits, deviceFeatures, deviceLimits } from '../../../src/cpu/runtime/limits.ts'

const adapter = adapterLimits(2 ** 30)

test('buffers end where the memory does, at a multiple of every alignment', () => {
  expect(adapter.maxBufferSize).toBeLessThan(2 ** 30)
  expect(adapter.maxBufferSize).toBeGreaterThan(2 ** 30 - 2 ** 18)
  expect(adapter.maxBufferSize % 256).toBe(0)
})

test('a device has the defaults unless it asks for more, and never more than the adapter', () => {
  expect(deviceLimits(adapter).maxStorageBuffersPerShaderStage).toBe(8)
  expect(deviceLimits(adapter, { maxStorageBuffersPerShaderStage: 12 }).maxStorageBuffersPerShaderStage).toBe(12)
  expect(deviceLimits(adapter, { maxStorageBuffersPerShaderStage: 2 }).maxStorageBuffersPerShaderStage).toBe(8)
  expect(() => deviceLimits(adapter, { maxStorageBuffersPerShaderStage: 17 })).toThrow(
    '17 asked for, the embedded device has 16',
  )
  expect(deviceLimits(adapterLimits(2 ** 20)).maxBufferSize).toBeLessThan(2 ** 20)
})

test('of alignments the smaller is the better, and a power of two', () => {
  expect(deviceLimits(adapter).minStorageBufferOffsetAlignment).toBe(256)
  expect(deviceLimits(adapter, { minStorageBufferOffsetAlignment: 32 }).minStorageBufferOffsetAlignment).toBe(32)
  expect(() => deviceLimits(adapter, { minStorageBufferOffsetAlignment: 16 })).toThrow(/16 asked for/)
  expect(() => deviceLimits(adapter, { minStorageBufferOffsetAlignment: 48 })).toThrow('48 is no power of two')
})

test('limits and features that do not exist are refused, undefined ones left out', () => {
  expect(() => deviceLimits(adapter, { maxNonsense: 1 })).toThrow('no limit is called maxNonsense')
  expect(deviceLimits(adapter, { maxNonsense: undefined }).maxBufferSize).toBeGreaterThan(0)
  expect([...deviceFeatures(['shader-f16'])]).toEqual(['core-features-and-limits', 'shader-f16'])
  expect(() => deviceFeatures(['subgroups'])).toThrow('the embedded device has no subgroups')
})

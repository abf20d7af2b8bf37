// The profile counts every launch of every kernel, and leaves values as they are.
import { expect, test } from 'vitest'
import { matmul, relu, tensor } from '../../src/index.ts'
import { gpu } from '../../src/gpu/device.ts'
import { Profiler } from '../../src/gpu/profiler.ts'
import { describeDevice } from '../support/device.ts'

describeDevice('the profiler', () => {
  test('sums up calls and time by kernel', async () => {
    const profiler = new Profiler(gpu()), x = tensor(Float32Array.of(-1, 2, 3, -4), [2, 2])
    const outs = [relu(x), relu(x), matmul(x, x)]
    const rows = await profiler.rows(), of = (part: string) => rows.filter(({ kernel }) => kernel.includes(part))
    expect(of('relu').reduce((sum, { calls }) => sum + calls, 0)).toBe(2)
    expect(of('matmul').reduce((sum, { calls }) => sum + calls, 0)).toBeGreaterThan(0)
    for (const { ms, gbps, gflops } of rows) expect(ms >= 0 && gbps >= 0 && gflops >= 0).toBe(true)
    expect(rows.map(({ ms }) => ms)).toEqual(rows.map(({ ms }) => ms).toSorted((a, b) => b - a))
    expect([...await outs[0].data()]).toEqual([0, 2, 3, 0])
    expect(await profiler.report()).toContain('GFLOP/s')
    profiler.stop()
    relu(x)
    expect((await profiler.rows()).reduce((sum, { calls }) => sum + calls, 0)).toBe(
      rows.reduce((sum, { calls }) => sum + calls, 0),
    )
  })
})

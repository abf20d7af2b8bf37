import { afterAll, beforeAll, expect, test } from 'vitest'
import { familyRows } from '../../bench/families.ts'
import { close, gpu, init } from '../../src/gpu/device.ts'

beforeAll(() => init({ adapter: 'cpu', threads: 1, fixedVariants: true }))
afterAll(close)

test('a network of random weights: dense and sliced against trusted logits, then a training step', async () => {
  const before = gpu().pool.memory.live
  const rows = await familyRows({
    wanted: (name) => name.startsWith('resnet20'),
    peers: [],
    threads: 1,
    batches: [2],
    rounds: 1,
    msPerRound: 1,
  })
  expect(rows.map(({ name, impl }) => `${name}: ${impl}`)).toEqual([
    'resnet20 forward: espalier',
    'resnet20 forward: sliced',
    'resnet20 training step: espalier',
  ])
  const [dense, sliced] = rows
  // 40.8 million multiply-adds a picture, two operations each (He et al. 2016: 0.041 billion).
  expect(dense.gflops! * dense.msMedian * 1e6 / 2 / 2 / 40.8e6).toBeCloseTo(1, 1)
  expect(sliced.note).toMatch(/^(49\.\d|50\.0) % of the multiply-adds/)
  expect(sliced.maxRelError).toBeLessThan(1e-5)
  expect(gpu().pool.memory.live).toBe(before)
})

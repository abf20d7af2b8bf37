import { afterEach, expect, test } from 'vitest'
import { zeros } from '../../src/core/fill.ts'
import { close, gpu, init } from '../../src/gpu/device.ts'
import { quickest, type Trial, tuned, tuning } from '../../src/gpu/tune.ts'
import { relu } from '../../src/ops/elementwise.ts'
import { matmul } from '../../src/ops/matmul/matmul.ts'
import { scope } from '../../src/core/transform.ts'

afterEach(close)

interface Candidate {
  name: string
  work: number
}

const slow = { name: 'slow', work: 40 }, quick = { name: 'quick', work: 1 }

function trialOf(seen: string[] = []): () => Trial<Candidate> {
  return () => {
    const x = zeros([1 << 16])
    return {
      run({ name, work }) {
        seen.push(name)
        scope(() => {
          for (let i = 0; i < work; i++) relu(x)
        })
      },
      dispose: () => {
        x.dispose()
      },
    }
  }
}

test('the default serves until the timing is done, then the faster one does; other classes are their own', async () => {
  await init({ adapter: 'cpu', fixedVariants: false })
  const live = gpu().pool.memory.live, trial = trialOf()
  expect(quickest(gpu(), 'a', [slow, quick], trial)).toBe(slow)
  expect(quickest(gpu(), 'a', [slow, quick], trial)).toBe(slow)
  expect(quickest(gpu(), 'b', [quick, slow], trial)).toBe(quick)
  await tuned()
  expect(quickest(gpu(), 'a', [slow, quick], trial)).toBe(quick)
  expect(quickest(gpu(), 'b', [quick, slow], trial)).toBe(quick)
  expect(tuning(gpu())).toEqual({ a: 'quick', b: 'quick' })
  expect(gpu().pool.memory.live, 'scratch tensors are given back').toBe(live)
})

test('nothing is timed with fixed variants, or without a choice', async () => {
  const seen: string[] = []
  await init({ adapter: 'cpu', fixedVariants: true })
  expect(quickest(gpu(), 'a', [slow, quick], trialOf(seen))).toBe(slow)
  await init({ adapter: 'cpu', fixedVariants: false })
  expect(quickest(gpu(), 'a', [quick], trialOf(seen))).toBe(quick)
  await tuned()
  expect(seen).toEqual([])
})

test('a device that is closed meanwhile ends the timing', async () => {
  await init({ adapter: 'cpu', fixedVariants: false })
  quickest(gpu(), 'a', [slow, quick], trialOf())
  await close()
  await tuned()
  await init({ adapter: 'cpu', fixedVariants: false })
  expect(quickest(gpu(), 'a', [slow, quick], trialOf())).toBe(slow)
  await tuned()
})

test('products of one class are timed once, and give the same bits before and after', async () => {
  await init({ adapter: 'cpu', fixedVariants: false })
  const a = zeros([40, 30]), b = zeros([30, 50])
  a.write(Float32Array.from({ length: a.size }, (_, i) => Math.sin(i)))
  b.write(Float32Array.from({ length: b.size }, (_, i) => Math.cos(i)))
  const before = await matmul(a, b).data()
  await tuned()
  expect(Object.keys(tuning(gpu()))).toEqual(['matmul NN unaligned 64x32x64 batch 1'])
  expect(await matmul(a, b).data()).toEqual(before)
})

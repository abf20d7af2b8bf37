// How far two lots of logits lie apart, and where the first number that is none comes from.
import { expect, test } from 'vitest'
import { log, type Tensor } from '../../src/index.ts'
import type { Model } from '../../src/nn/model.ts'
import { difference, logitsOf, notFinite, probesOf } from '../../src/pruning/check.ts'
import { describeDevice } from '../support/device.ts'

test('the difference is relative to the largest, and NaN where anything is', () => {
  const of = (a: number[], b: number[]) => difference(Float32Array.from(a), Float32Array.from(b))
  expect(of([1, 2], [1, 4])).toBe(0.5)
  expect(of([0, 0], [0, 0])).toBe(0)
  expect(of([3], [0])).toBe(3)
  expect(of([NaN, 1], [0, 1])).toBeNaN()
  expect(of([1], [NaN])).toBeNaN()
})

test('without pictures the probe is noise of the input, the same each time', async () => {
  const [probe] = await probesOf(null, [3, 4, 4], 8), [again] = await probesOf(null, [3, 4, 4], 8)
  expect(probe.shape).toEqual([4, 3, 4, 4])
  expect(probe).toEqual(again)
  expect(new Set(probe.images).size).toBeGreaterThan(100)
})

test('with pictures it is the first 32 at most, in batches', async () => {
  const asked: unknown[] = []
  const images = {
    length: 50,
    async *batches(options: unknown) {
      asked.push(options)
      yield { images: new Float32Array(1), shape: [1, 1, 1, 1] }
    },
  }
  await probesOf(images as never, [1, 1, 1], 64)
  expect(asked).toEqual([{ size: 32, only: Array.from({ length: 32 }, (_, i) => i) }])
})

describeDevice('a network', () => {
  const probe = (...values: number[]) => ({ images: Float32Array.from(values), shape: [values.length, 1, 1, 1] })
  const model: Model = { call: (x: Tensor) => log(x) } as unknown as Model

  test('gives the logits of all probes, one after the other', async () => {
    const logits = await logitsOf(model, [probe(1, Math.E), probe(1)])
    expect([...logits].map((value) => Math.round(value * 1e5) / 1e5)).toEqual([0, 1, 0])
  })

  test('is told the op that first gave no number', async () => {
    expect(await notFinite(model, [probe(1), probe(0)])).toMatch(/from 'log'/)
    expect(await notFinite(model, [probe(1)])).toBeNull()
  })
})

import { expect, test } from 'vitest'
import { areaUnder, flippingCurve, pairedBootstrap, patchOrder } from '../../src/attribution/flipping.ts'
import { linear, reshape, tensor, type Tensor } from '../../src/index.ts'
import { random } from '../../src/base/random.ts'
import { describeDevice } from '../support/device.ts'

test('patches come from the largest sum to the smallest', () => {
  const map = [1, 1, 0, 0, 1, 1, 0, 3, -1, 0, 5, 5, 0, 0, 5, 5]
  expect(patchOrder(map, 4, 4, 2)).toEqual([3, 0, 1, 2])
  expect(() => patchOrder(map, 4, 4, 3)).toThrow('do not fill')
})

test('area and bootstrap', () => {
  expect(areaUnder([1, 0.5, 0])).toBeCloseTo(0.5)
  expect(areaUnder([1, 1, 0])).toBeCloseTo(0.75)
  const differences = Array.from({ length: 40 }, (_, i) => -1 + 0.1 * Math.sin(i))
  const { mean, low, high } = pairedBootstrap(differences, random(1, 'test'), { resamples: 2000 })
  expect(low).toBeLessThan(mean)
  expect(high).toBeGreaterThan(mean)
  expect(high).toBeLessThan(-0.9)
  expect(pairedBootstrap([2, 2, 2], random(1, 'test'), { resamples: 10 })).toEqual({ mean: 2, low: 2, high: 2 })
})

describeDevice('flipping', () => {
  test('the curve of a network that sums one patch', async () => {
    // The logit of class 0 is four times the sum of patch 3; class 1 is 0.
    const weight = tensor(Float32Array.from({ length: 32 }, (_, i) => i < 16 && i % 4 > 1 && i % 16 > 7 ? 4 : 0), [
      2,
      16,
    ])
    const model = { call: (x: Tensor) => linear(reshape(x, { shape: [x.shape[0], 16] }), weight, null) }
    const image = new Float32Array(16).fill(0.25), sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
    const options = { patch: 2, steps: 4 }
    const first = await flippingCurve(model, image, [1, 4, 4], 0, [3, 0, 1, 2], options)
    const last = await flippingCurve(model, image, [1, 4, 4], 0, [0, 1, 2, 3], options)
    const [whole, none] = [sigmoid(4), 0.5]
    ;[whole, none, none, none, none].forEach((value, i) => {
      expect(first[i]).toBeCloseTo(value, 5)
    })
    ;[whole, whole, whole, whole, none].forEach((value, i) => {
      expect(last[i]).toBeCloseTo(value, 5)
    })
    weight.dispose()
  })
})

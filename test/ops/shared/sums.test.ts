// Sums over axes, the middle, channels and splits, against plain loops; sizes that no vector or tile divides.
import { expect, test } from 'vitest'
import { type Tensor, tensor } from '../../../src/core/tensor.ts'
import { reduceAxes, unbroadcast } from '../../../src/ops/shared/reduce-axes.ts'
import { channelSum, splitEvenly, sumMiddle, sumSplits } from '../../../src/ops/shared/split-sum.ts'
import { describeDevice } from '../../support/device.ts'
import { random, relativeError } from '../../reference/nd.ts'

const made = (...shape: number[]) => {
  const { data } = random(9, shape), values = Float32Array.from(data)
  return { x: tensor(values, shape), values }
}
/** Sums of a contiguous [outer, count, inner] over count. */
const sums = (values: ArrayLike<number>, outer: number, count: number, inner: number) =>
  Float64Array.from({ length: outer * inner }, (_, i) => {
    let sum = 0
    for (let k = 0; k < count; k++) sum += values[(Math.floor(i / inner) * count + k) * inner + i % inner]
    return sum
  })
const close = async (out: Tensor, expected: Float64Array) =>
  expect(relativeError(await out.data(), expected)).toBeLessThan(2e-5)

describeDevice('sums', () => {
  test.each([[3, 5, 7], [1, 1000, 3], [2, 130, 8], [1, 20000, 1], [70, 2, 33]])(
    'over the middle of [%d, %d, %d]',
    async (outer, count, inner) => {
      const { x, values } = made(outer, count, inner)
      await close(sumMiddle(x, { outer, count, N: inner }, [outer, inner]), sums(values, outer, count, inner))
      await close(
        reduceAxes(x, [outer, inner], [false, true, false], { kind: 'sum' }),
        sums(values, outer, count, inner),
      )
    },
  )

  test('per channel', async () => {
    const { x, values } = made(3, 5, 2, 7)
    const expected = new Float64Array(5)
    values.forEach((value, i) => expected[Math.floor(i / 14) % 5] += value)
    await close(channelSum(x), expected)
  })

  test('of splits, which are freed', async () => {
    const { x, values } = made(6, 2, 9)
    await close(sumSplits(x, [2, 9]), sums(values, 1, 6, 18))
    expect(x.disposed).toBe(true)
  })

  test('of squares with root and factor, largest and smallest', async () => {
    const { x, values } = made(4, 33)
    const rows = Array.from({ length: 4 }, (_, i) => [...values.subarray(i * 33, (i + 1) * 33)])
    const flags = [false, true]
    const norm = reduceAxes(x, [4], flags, { kind: 'sum', squared: true, root: true, factor: 1 / 4 })
    await close(
      norm,
      Float64Array.from(rows, (row) => Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / 4)),
    )
    await close(reduceAxes(x, [4], flags, { kind: 'max' }), Float64Array.from(rows, (row) => Math.max(...row)))
    await close(reduceAxes(x, [4], flags, { kind: 'min' }), Float64Array.from(rows, (row) => Math.min(...row)))
  })

  test('over what was stretched', async () => {
    const { x, values } = made(4, 3, 5)
    await close(unbroadcast(x, [3, 5]), sums(values, 1, 4, 15))
    const middle = unbroadcast(x, [4, 1, 5])
    expect(middle.shape).toEqual([4, 1, 5])
    await close(middle, sums(values, 4, 3, 5))
    expect(unbroadcast(x, [4, 3, 5])).toBe(x)
  })
})

test('splits cover everything and none is empty', () => {
  for (const count of [1, 7, 64, 1000]) {
    for (const wanted of [1, 3, 64]) {
      for (const unit of [1, 4, 16]) {
        const { per_split, splits } = splitEvenly(count, wanted, unit)
        expect(per_split % unit).toBe(0)
        expect(per_split * splits).toBeGreaterThanOrEqual(count)
        expect(per_split * (splits - 1)).toBeLessThan(count)
        expect(splits).toBeLessThanOrEqual(wanted)
      }
    }
  }
})

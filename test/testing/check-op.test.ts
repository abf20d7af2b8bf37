import { expect, test } from 'vitest'
import { type Tensor, tensor } from '../../src/core/tensor.ts'
import { NumericError, ShapeError } from '../../src/base/errors.ts'
import { op } from '../../src/core/op.ts'
import { scale, square } from '../../src/ops/elementwise.ts'
import { checkOp, type Values, values } from '../../src/testing.ts'
import { describeDevice } from '../support/device.ts'

const reference = (x: Values) => values(x.shape, x.data.map((value) => value * value))
const squared = { name: 'squared', reference, args: [[3, 5]], races: false } as const

/** The square, with something else as its gradient. */
const wrongly = (name: string, vjp: (x: Tensor, dy: Tensor) => Tensor | null) =>
  op<[x: Tensor], object>({
    name,
    axes: '... -> ...',
    run: (x) => square(x),
    vjp: ({ args: [x] }, dy) => [vjp(x, dy)],
  })
const [once, none, broken] = [
  wrongly('squared-once', (_, dy) => dy),
  wrongly('squared-none', () => null),
  wrongly('squared-broken', (_, dy) => scale(dy, { by: NaN })),
]

/** The right result but for a value at one place. */
const spoilt = (at: number, value: number) => (x: Tensor) => {
  const found = values(x.shape, Array.from({ length: x.size }, () => 1)).data
  found[at] = value
  return tensor(Float32Array.from(found), x.shape)
}
const ones = (x: Values) => values(x.shape, x.data.map(() => 1))

describeDevice('checkOp', () => {
  test('finds nothing in a square', async () => {
    const { forward, gradients } = await checkOp({ ...squared, op: (x) => square(x) })
    expect(forward).toBeLessThan(1e-6)
    expect(gradients).toHaveLength(1)
    expect(gradients[0]).toBeLessThan(1e-6)
  })

  test.each([0, 7, 14])('a NaN or another number at place %i of 15', async (at) => {
    for (const value of [NaN, Infinity, 1.001]) {
      const found = checkOp({ ...squared, reference: ones, op: spoilt(at, value), backward: false })
      await expect(found).rejects.toThrow(NumericError)
      await expect(found).rejects.toThrow('squared: its result is off by')
    }
  })

  test('another gradient, or none', async () => {
    await expect(checkOp({ ...squared, op: once })).rejects.toThrow('the gradient of argument 0 is off by')
    for (const op of [once, none, broken]) await expect(checkOp({ ...squared, op })).rejects.toThrow(NumericError)
  })

  test('another shape', async () => {
    const found = checkOp({ ...squared, op: (x) => square(x).view([15]) })
    await expect(found).rejects.toThrow(ShapeError)
    await expect(found).rejects.toThrow('squared: gave [15], the reference [3,5]')
  })
})

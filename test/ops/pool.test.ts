import { expect, test } from 'vitest'
import { ShapeError } from '../../src/base/errors.ts'
import { adaptiveAvgPool, avgPool, maxPool } from '../../src/ops/pool.ts'
import { tensor, type Tensor } from '../../src/core/tensor.ts'
import { vjp } from '../../src/core/transform.ts'
import { checkOp, checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import { cases } from '../reference/cases.ts'
import { random } from '../reference/nd.ts'
import * as reference from '../reference/pool.ts'
import { checkCase } from '../support/golden-case.ts'

type Window = {
  kernel: reference.Pooling['kernel'],
  stride?: reference.Pooling['stride'],
  padding?: reference.Pooling['padding'],
}

const windows: [number[], Window][] = [
  [[1, 1, 1, 1], { kernel: 1 }],
  [[2, 3, 7, 9], { kernel: 2 }],
  [[2, 3, 9, 8], { kernel: 3, stride: 2, padding: 1 }],
  [[1, 2, 17, 33], { kernel: 3, stride: 1, padding: 1 }],
  [[1, 5, 8, 7], { kernel: [2, 3], stride: [3, 1], padding: [1, 0] }],
  [[1, 2, 11, 10], { kernel: 2, stride: 4 }],
]

describeDevice('pooling', () => {
  const image = () => toTensor(random(4, [1, 2, 5, 5]))

  test.each(windows)('x [%s], %o', async (shape, { kernel, stride, padding }) => {
    const attrs = { size: kernel, stride, padding }
    await checkOp({
      call: (x) => maxPool(x, attrs),
      reference: (x) => reference.maxPool(x, { kernel, stride, padding }),
      args: [random(1, shape)],
    })
    await checkOp({
      call: (x) => avgPool(x, attrs),
      reference: (x) => reference.avgPool(x, { kernel, stride, padding }),
      args: [random(2, shape)],
    })
  })

  test.each([[7, 5, 1, 1], [2, 2, 7, 7], [8, 8, 3, 3], [8, 9, 5, 2], [1, 6, 3, 17], [33, 17, 7, 7]])(
    'adaptive, %i x %i to %i x %i',
    async (h, w, i, j) => {
      await checkOp({
        call: (x) => adaptiveAvgPool(x, { out: [i, j] }),
        reference: (x) => reference.adaptiveAvgPool(x, { size: [i, j] }),
        args: [random(3, [2, 3, h, w])],
      })
    },
  )

  const names = cases.map(({ golden }) => golden).filter((name) => /pool|adaptive/.test(name))
  test.each(names)('golden %s', async (name) => {
    await checkCase(name, {
      maxPool: ([x], attrs) => {
        const { kernel, stride, padding } = attrs as reference.Pooling
        return maxPool(x, { size: kernel, stride, padding })
      },
      avgPool: ([x], attrs) => {
        const { kernel, stride, padding } = attrs as reference.Pooling
        return avgPool(x, { size: kernel, stride, padding })
      },
      adaptiveAvgPool: ([x], attrs) => adaptiveAvgPool(x, { out: (attrs as { size: number }).size }),
    })
  })

  test('the first of equal values takes the gradient, and a NaN is the maximum', async () => {
    const { outputs: [y], back } = vjp((x) => maxPool(x, { size: 2 }), tensor([[[[1, 3, -2, -1], [3, 3, NaN, 5]]]]))
    expect(await y.data()).toEqual(Float32Array.of(3, NaN))
    expect(await back(tensor([[[[10, 20]]]]))[0]!.data()).toEqual(Float32Array.of(0, 10, 0, 0, 0, 0, 20, 0))
  })

  test('padding never wins', async () => {
    const y = maxPool(tensor([[[[-5, -Infinity], [-7, -3]]]]), { size: 2, stride: 1, padding: 1 })
    expect(await y.data()).toEqual(Float32Array.of(-5, -5, -Infinity, -5, -3, -3, -7, -3, -3))
  })

  test('no races', () => {
    checkRaces(() => {
      for (
        const f of [
          (x: Tensor) => maxPool(x, { size: 3, stride: 2, padding: 1 }),
          (x: Tensor) => avgPool(x, { size: 2, stride: 1 }),
          (x: Tensor) => adaptiveAvgPool(x, { out: 3 }),
        ]
      ) {
        const { outputs: [y], back } = vjp(f, image())
        back(y)
      }
    })
  })

  test('bad windows are errors that say what fits', () => {
    expect(() => maxPool(image(), { size: 6 })).toThrow(/does not fit height 5/)
    expect(() => avgPool(image(), { size: 2, padding: 2 })).toThrow(/exceeds half/)
    expect(() => maxPool(image(), { size: 0 })).toThrow(ShapeError)
    expect(() => adaptiveAvgPool(image(), { out: 0 })).toThrow(/out is 0/)
    expect(() => avgPool(image().view([10, 5]), { size: 2 })).toThrow(/expected 4/)
  })
})

import { expect, test } from 'vitest'
import { ShapeError } from '../../../src/base/errors.ts'
import { depthwise, type DepthwiseAttrs } from '../../../src/ops/conv2d/depthwise.ts'
import { vjp } from '../../../src/core/transform.ts'
import { checkOp, checkRaces, toTensor } from '../../support/check-op.ts'
import { describeDevice } from '../../support/device.ts'
import * as reference from '../../reference/conv.ts'
import { random } from '../../reference/nd.ts'

type Case = [x: number[], kernel: [number, number], attrs: DepthwiseAttrs]

const shapes: Case[] = [
  [[1, 1, 1, 1], [1, 1], {}],
  [[2, 5, 6, 7], [3, 3], { padding: 1 }],
  [[2, 6, 14, 14], [5, 5], { padding: 2 }],
  [[1, 3, 9, 17], [5, 5], { padding: 2 }],
  [[1, 2, 8, 9], [3, 3], {}],
  [[1, 2, 5, 5], [3, 3], { padding: 3 }],
  [[2, 3, 9, 8], [3, 3], { stride: 2, padding: 1 }],
  [[1, 2, 9, 11], [3, 2], { dilation: [1, 3], padding: [1, 2] }],
  [[1, 2, 12, 13], [3, 3], { stride: [3, 2], dilation: 2, padding: 1 }],
  [[1, 2, 6, 21], [2, 17], { padding: [0, 8] }],
]

describeDevice('depthwise', () => {
  test.each(shapes)('x [%s], kernel [%s], %o', async (x, kernel, attrs) => {
    const options = attrs as reference.Convolution
    await checkOp({
      call: (a, b, c) => depthwise(a, b, c, attrs),
      reference: (a, b, c) => reference.depthwise(a, b, c, options),
      args: [random(1, x), random(2, [x[1], 1, ...kernel]), random(3, [x[1]])],
    })
    await checkOp({
      call: (a, b) => depthwise(a, b, null, attrs),
      reference: (a, b) => reference.depthwise(a, b, null, options),
      args: [random(4, x), random(5, [x[1], 1, ...kernel])],
      backward: false,
    })
  })

  test('no races', () => {
    checkRaces(() => {
      for (const attrs of [{ padding: 1 }, { stride: 2 }]) {
        const { outputs: [y], back } = vjp(
          (x, w, b) => depthwise(x, w, b, attrs),
          toTensor(random(1, [1, 2, 4, 5])),
          toTensor(random(2, [2, 1, 3, 3])),
          toTensor(random(3, [2])),
        )
        back(y)
      }
    })
  })

  test('bad shapes are errors that say what fits', () => {
    const x = toTensor(random(1, [1, 3, 5, 5]))
    expect(() => depthwise(x, toTensor(random(2, [2, 1, 3, 3])), null)).toThrow(/expected \[3, 1, height, width\]/)
    expect(() => depthwise(x, toTensor(random(2, [3, 3, 3, 3])), null)).toThrow(ShapeError)
    expect(() => depthwise(x, toTensor(random(2, [3, 1, 3, 3])), toTensor(random(3, [1])))).toThrow(/bias \[1\]/)
    expect(() => depthwise(x, toTensor(random(2, [3, 1, 7, 3])), null)).toThrow(/does not fit height 5/)
    expect(() => depthwise(x, toTensor(random(2, [3, 1, 3, 3])), null, { stride: [1, 0] })).toThrow(/stride is \[1,0\]/)
  })
})

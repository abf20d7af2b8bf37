import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { ShapeError } from '../../../src/base/errors.ts'
import { close, init } from '../../../src/gpu/device.ts'
import { conv2d } from '../../../src/ops/conv2d/conv2d.ts'
import { depthwisePixels, depthwiseWeights } from '../../../src/ops/conv2d/depthwise-variants.ts'
import { depthwise, type DepthwiseAttrs } from '../../../src/ops/conv2d/depthwise.ts'
import { force, rowsTaken } from '../../../src/ops/shared/variants.ts'
import { vjp } from '../../../src/core/transform.ts'
import { checkOp, checkRaces, toNd, toTensor } from '../../support/check-op.ts'
import { describeDevice } from '../../support/device.ts'
import * as reference from '../../reference/conv.ts'
import { random, relativeError } from '../../reference/nd.ts'

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
  [[2, 2, 7, 28], [3, 3], { padding: 1 }],
  [[1, 2, 7, 23], [1, 1], { stride: 2 }],
  [[1, 1, 11, 10], [3, 9], { stride: [2, 3], padding: [2, 5] }],
  [[1, 2, 13, 37], [7, 4], { stride: [1, 4], dilation: [1, 2], padding: [3, 7] }],
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

describe('staged planes on cpu', () => {
  beforeAll(async () => {
    await init({ adapter: 'cpu' })
  })
  afterEach(() => {
    force(depthwisePixels, null)
    force(depthwiseWeights, null)
  })
  afterAll(close)

  async function passes(shape: number[], kernel: [number, number], attrs: DepthwiseAttrs, name: string | null) {
    force(depthwisePixels, name)
    force(depthwiseWeights, name)
    const x = toTensor(random(1, shape)), w = toTensor(random(2, [shape[1], 1, ...kernel]))
    const { outputs: [y], back } = vjp((x, w) => conv2d(x, w, null, { ...attrs, groups: shape[1] }), x, w)
    const [dx, dw] = back(toTensor(random(3, y.shape))), found = [y, dx!, dw!]
    return Promise.all(found.map((one) => toNd(one)))
  }

  // Planes beyond what is staged at once, in several pieces, with kernels as high as to reach over their edges.
  test.each<Case>([
    [[1, 2, 150, 127], [3, 3], { padding: 1 }],
    [[3, 1, 301, 60], [7, 5], { padding: [5, 2] }],
    [[2, 1, 190, 131], [3, 5], { stride: 2, padding: [1, 4] }],
    [[2, 1, 90, 203], [5, 3], { dilation: [6, 1], padding: [12, 0] }],
    [[1, 64, 9, 760], [3, 3], { padding: 1 }],
  ])('x [%s], kernel [%s], %o: as by rows', async (shape, kernel, attrs) => {
    const rows = await passes(shape, kernel, attrs, 'rows'), staged = await passes(shape, kernel, attrs, 'staged')
    for (const [i, one] of staged.entries()) expect(relativeError(one.data, rows[i].data)).toBeLessThan(2e-6)
    if (shape[1] > 2) return // long in doubles
    const args = [random(1, shape), random(2, [shape[1], 1, ...kernel])]
      .map(({ data, ...rest }) => ({ ...rest, data: Float64Array.from(data, Math.fround) }))
    const expected = reference.depthwise(args[0], args[1], null, attrs as reference.Convolution)
    expect(relativeError(staged[0].data, expected.data)).toBeLessThan(2e-6)
  })

  test('what cannot be staged goes by rows', async () => {
    for (
      const [shape, kernel] of [[[1, 1, 2, 9000], [2, 2]], [[1, 1, 1, 40], [1, 17]]] as [number[], [number, number]][]
    ) {
      const taken = await rowsTaken(() => passes(shape, kernel, {}, null))
      expect([...taken.get(depthwisePixels) ?? []], String(shape)).toEqual(['rows'])
      expect([...taken.get(depthwiseWeights) ?? []], String(shape)).toEqual(['rows'])
    }
    const taps = await rowsTaken(() => passes([1, 1, 1500, 8], [1100, 8], {}, null))
    expect([...taps.get(depthwiseWeights) ?? []]).toEqual(['rows'])
    const taken = await rowsTaken(() => passes([1, 2, 9, 9], [3, 3], { stride: 2 }, null))
    for (const table of [depthwisePixels, depthwiseWeights]) expect([...taken.get(table) ?? []]).toEqual(['staged'])
  })
})

// Staged planes of depthwise convolutions are chosen on the embedded device only, but the text is for every device. A
// software driver takes seconds to compile it.
import { afterEach, expect, test } from 'vitest'
import { depthwise } from '../../src/ops/conv2d/depthwise.ts'
import { depthwisePixels, depthwiseWeights } from '../../src/ops/conv2d/depthwise-variants.ts'
import { force, rowsTaken } from '../../src/ops/shared/variants.ts'
import * as reference from '../reference/conv.ts'
import { random } from '../reference/nd.ts'
import { checkOp } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'

describeDevice('depthwise, planes staged', () => {
  afterEach(() => {
    force(depthwisePixels, null)
    force(depthwiseWeights, null)
  })

  test.each<[number[], [number, number], reference.Convolution]>([
    [[2, 5, 6, 7], [3, 3], { padding: 1 }],
    [[2, 2, 7, 28], [5, 3], { padding: [2, 1] }],
    [[2, 3, 9, 8], [3, 3], { stride: 2, padding: 1 }],
    [[1, 2, 12, 13], [3, 3], { stride: [3, 2], dilation: 2, padding: 1 }],
  ])('x [%s], kernel [%s], %o', async (x, kernel, attrs) => {
    force(depthwisePixels, 'staged')
    force(depthwiseWeights, 'staged')
    const taken = await rowsTaken(() =>
      checkOp({
        call: (a, b) => depthwise(a, b, null, attrs as Parameters<typeof depthwise>[3]),
        reference: (a, b) => reference.depthwise(a, b, null, attrs),
        args: [random(1, x), random(2, [x[1], 1, ...kernel])],
      })
    )
    for (const table of [depthwisePixels, depthwiseWeights]) expect([...taken.get(table) ?? []]).toEqual(['staged'])
  })
})

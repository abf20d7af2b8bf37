// The gradient to the weight in blocks of sixteen channels, by name: the embedded device takes it where vectors are
// wide, and no other does.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { conv2d, type ConvAttrs } from '../../../src/ops/conv2d/conv2d.ts'
import { passVariants } from '../../../src/ops/conv2d/passes.ts'
import { weightVariants } from '../../../src/ops/conv2d/variants.ts'
import { force } from '../../../src/ops/shared/variants.ts'
import { close, init } from '../../../src/gpu/device.ts'
import { vjp } from '../../../src/core/transform.ts'
import { checkOp, checkRaces, observeLaunches, toTensor } from '../../support/check-op.ts'
import * as reference from '../../reference/conv.ts'
import { random } from '../../reference/nd.ts'

type Case = [x: number[], w: number[], attrs: ConvAttrs]

// Outputs that are no whole quads or workgroups, several blocks, strides, dilation, one tap, rows cropped by a stride.
const shapes: Case[] = [
  [[3, 16, 5, 4], [6, 16, 3, 3], { padding: 1 }],
  [[1, 32, 8, 7], [17, 32, 3, 3], { padding: 1, stride: 2 }],
  [[3, 16, 4, 4], [67, 16, 1, 1], {}],
  [[2, 16, 7, 6], [5, 16, 3, 2], { dilation: 2, padding: [1, 0] }],
  [[1, 16, 6, 6], [9, 16, 1, 1], { stride: 2 }],
]

describe('gradient to the weight by blocks on cpu', () => {
  beforeAll(async () => {
    await init({ adapter: 'cpu', fixedVariants: true })
    force(passVariants, 'general')
    force(weightVariants, 'blocked')
  })
  afterAll(() => {
    force(passVariants, null)
    force(weightVariants, null)
    return close()
  })

  test.each(shapes)('x [%s], weight [%s], %o', { timeout: 120_000 }, async (x, w, attrs) => {
    await checkOp({
      call: (a, b) => conv2d(a, b, null, attrs),
      reference: (a, b) => reference.conv2d(a, b, null, attrs as reference.Convolution),
      args: [random(1, x), random(2, w, 0.3)],
      samples: 24,
    })
  })

  const backward = (x: number[], w: number[]) => {
    const weight = toTensor(random(2, w)), input = toTensor(random(1, x))
    const { outputs: [y], back } = vjp((b) => conv2d(input, b, null), weight)
    return () => back(y)
  }

  test('no races', () => {
    checkRaces(backward([2, 16, 3, 3], [6, 16, 2, 2]))
  })

  test('channels that are no whole blocks are left to the others', () => {
    const files = (x: number[], w: number[]) => observeLaunches(backward(x, w)).map(({ kernel }) => kernel.file)
    expect(files([1, 16, 3, 3], [6, 16, 2, 2])).toContain('conv2d/blocked-weight.wgsl')
    expect(files([1, 12, 3, 3], [6, 12, 2, 2])).not.toContain('conv2d/blocked-weight.wgsl')
  })
})

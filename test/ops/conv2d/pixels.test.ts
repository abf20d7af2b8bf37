// Convolutions with windows of one pixel, which the embedded device computes from images as they are.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { conv2d, type ConvAttrs } from '../../../src/ops/conv2d/conv2d.ts'
import { passVariants } from '../../../src/ops/conv2d/passes.ts'
import { pixelVariants } from '../../../src/ops/conv2d/variants.ts'
import { candidates, force, type Machine } from '../../../src/ops/shared/variants.ts'
import { close, gpu, init } from '../../../src/gpu/device.ts'
import { vjp } from '../../../src/core/transform.ts'
import { checkOp, checkRaces, observeLaunches, toTensor } from '../../support/check-op.ts'
import * as reference from '../../reference/conv.ts'
import { random } from '../../reference/nd.ts'

type Case = [x: number[], w: number[], attrs: ConvAttrs]

// Planes of whole blocks, of whole vectors and of neither, strides, groups, outputs and channels that fill no tile,
// more blocks and outputs than a workgroup has.
const shapes: Case[] = [
  [[1, 1, 4, 4], [1, 1, 1, 1], {}],
  [[3, 5, 4, 8], [6, 5, 1, 1], {}],
  [[1, 17, 12, 8], [67, 17, 1, 1], {}],
  [[3, 7, 6, 6], [17, 7, 1, 1], {}],
  [[1, 9, 7, 7], [18, 9, 1, 1], {}],
  [[3, 6, 8, 8], [9, 6, 1, 1], { stride: 2 }],
  [[1, 6, 9, 7], [20, 6, 1, 1], { stride: [2, 3] }],
  [[2, 6, 4, 4], [10, 3, 1, 1], { groups: 2 }],
  [[2, 6, 5, 5], [10, 3, 1, 1], { groups: 2, stride: 2 }],
  [[1, 5, 4, 4], [6, 5, 1, 1], { padding: 1 }],
]

describe('convolution of single pixels on cpu', () => {
  beforeAll(async () => {
    await init({ adapter: 'cpu', fixedVariants: true })
  })
  afterAll(close)

  describe.each(['planes', 'blocked'])('by %s', (variant) => {
    beforeAll(() => {
      force(passVariants, 'general')
      force(pixelVariants, variant)
    })
    afterAll(() => {
      force(passVariants, null)
      force(pixelVariants, null)
    })

    test.each(shapes)('x [%s], weight [%s], %o', { timeout: 120_000 }, async (x, w, attrs) => {
      await checkOp({
        call: (a, b, c) => conv2d(a, b, c, attrs),
        reference: (a, b, c) => reference.conv2d(a, b, c, attrs as reference.Convolution),
        args: [random(1, x), random(2, w, 0.3), random(3, [w[0]])],
        samples: 8,
      })
    })

    test('no races', () => {
      const x = toTensor(random(1, [2, 3, 4, 4])), w = toTensor(random(2, [6, 3, 1, 1]))
      checkRaces(() => {
        const { outputs: [y], back } = vjp((a, b) => conv2d(a, b, null), x, w)
        back(y)
      })
    })

    test('reads images as they are', () => {
      const x = toTensor(random(1, [1, 5, 4, 4])), w = toTensor(random(2, [16, 5, 1, 1]))
      const files = (attrs: ConvAttrs) =>
        observeLaunches(() => conv2d(x, w, null, attrs)).map(({ kernel }) => kernel.file)
      expect(files({})).not.toContain('conv2d/channels-last.wgsl')
      expect(files({ stride: 2 })).not.toContain('conv2d/channels-last.wgsl')
      if (variant === 'blocked') expect(files({ padding: 1 })).toContain('conv2d/channels-last.wgsl')
    })
  })
})

// The interpreter behind `checkRaces` takes the places of pixels that are stored one by one for the same; the embedded
// device does not.
describe('single pixels on cpu, raced by the device itself', () => {
  beforeAll(async () => {
    await init({ adapter: 'cpu', mode: 'race', fixedVariants: true })
    force(passVariants, 'general')
  })
  afterAll(() => {
    force(passVariants, null)
    force(pixelVariants, null)
    return close()
  })

  test.each(['planes', 'blocked'])('by %s', async (variant) => {
    force(pixelVariants, variant)
    const device = gpu().device as GPUDevice & { takeFindings(): { message: string }[] }
    for (const [x, w, attrs] of shapes.slice(1, 9)) {
      const { outputs: [y], back } = vjp(
        (a, b) => conv2d(a, b, null, attrs),
        toTensor(random(1, x)),
        toTensor(random(2, w)),
      )
      for (const each of [y, ...back(y)]) await each!.data()
      expect(device.takeFindings().map(({ message }) => message)).toEqual([])
    }
  })
})

test('which machines compute single pixels so', () => {
  const wide: Machine = { kind: 'embedded', features: new Set(), lanes: 0, columns: 4, buffers: 8, fixed: false }
  const row = (on: Machine, w: number[], stride = 1, padding = 0) =>
    candidates(passVariants, {
      pass: 'forward',
      w,
      at: {
        kernel: [w[2], w[3]],
        stride: [stride, stride],
        padding: [padding, padding],
        dilation: [1, 1],
        groups: 1,
        out: [1, w[0], 8, 8],
      },
      values: 1e5,
    }, on)[0].name
  expect(row(wide, [64, 64, 1, 1])).toBe('general')
  expect(row(wide, [64, 64, 1, 1], 2)).toBe('general')
  expect(row(wide, [64, 64, 1, 1], 1, 1)).toBe('matrix products')
  expect(row(wide, [8, 64, 1, 1])).toBe('matrix products')
  expect(row(wide, [64, 3, 4, 4], 4)).toBe('matrix products')
  expect(row({ ...wide, columns: 2 }, [64, 64, 1, 1])).toBe('matrix products')
  expect(row({ ...wide, kind: 'software' }, [64, 64, 1, 1])).toBe('matrix products')
})

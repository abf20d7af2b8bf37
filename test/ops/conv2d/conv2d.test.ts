import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { ShapeError } from '../../../src/base/errors.ts'
import { gpu } from '../../../src/gpu/device.ts'
import { pixelVariants, weightVariants } from '../../../src/ops/conv2d/variants.ts'
import { force } from '../../../src/ops/shared/variants.ts'
import { conv2d, type ConvAttrs } from '../../../src/ops/conv2d/conv2d.ts'
import { trace, vjp } from '../../../src/core/transform.ts'
import { checkOp, checkRaces, toTensor } from '../../support/check-op.ts'
import { describeDevice } from '../../support/device.ts'
import { cases } from '../../reference/cases.ts'
import * as reference from '../../reference/conv.ts'
import { random } from '../../reference/nd.ts'
import { checkCase } from '../../support/golden-case.ts'

/** Takes a variant for all passes, whatever the adapter. */
function forceBoth(name: string | null): void {
  force(pixelVariants, name)
  force(weightVariants, weightVariants.rows.some((row) => row.name === name) ? name : null)
}

/** The row that computes the same with the least tile, if there is one. */
const least = (name: string) => pixelVariants.rows.some((row) => row.name === `${name} small`) ? `${name} small` : name

type Case = [x: number[], w: number[], attrs: ConvAttrs]

// Every way through the layout: shared taps, taps sorted by the stride, dilated taps, windows that do not overlap,
// phases of the gradient without a tap, odd and single channels, tiles that hang over every edge.
const shapes: Case[] = [
  [[1, 1, 1, 1], [1, 1, 1, 1], {}],
  [[2, 3, 7, 7], [5, 3, 1, 1], {}],
  [[1, 1, 6, 5], [1, 1, 3, 3], {}],
  [[2, 5, 9, 8], [9, 5, 3, 3], { padding: 1 }],
  [[1, 6, 17, 33], [8, 6, 3, 3], { padding: 1 }],
  [[2, 5, 9, 9], [70, 5, 3, 3], { padding: 1 }],
  [[2, 5, 9, 8], [5, 5, 3, 3], { stride: 2, padding: 1 }],
  [[1, 5, 15, 14], [6, 5, 7, 7], { stride: 2, padding: 3 }],
  [[1, 3, 32, 32], [12, 3, 16, 16], { stride: 16 }],
  [[1, 2, 5, 5], [3, 2, 2, 2], { stride: 2, padding: 1 }],
  [[1, 2, 10, 11], [4, 2, 2, 3], { stride: 7, dilation: 2 }],
  [[1, 5, 9, 11], [5, 5, 3, 3], { dilation: 2, padding: 2 }],
  [[1, 5, 12, 13], [6, 5, 3, 2], { stride: 2, dilation: 3, padding: 3 }],
  [[1, 5, 10, 11], [7, 5, 2, 3], { stride: 3, dilation: 2 }],
  [[1, 5, 6, 14], [5, 5, 1, 9], { padding: [0, 4] }],
  [[1, 5, 3, 3], [6, 5, 3, 3], { padding: 4 }],
  [[1, 15, 6, 5], [15, 5, 3, 3], { groups: 3, padding: 1, stride: 2 }],
  [[2, 6, 5, 4], [4, 3, 2, 2], { groups: 2, stride: 2 }],
  [[2, 5, 6, 7], [5, 1, 3, 3], { groups: 5, padding: 1 }],
]

describeDevice('conv2d', (adapter) => {
  const names = cases.map(({ golden }) => golden).filter((name) => name.startsWith('conv2d_'))

  // A software driver compiles the tiles of Winograd for half a minute and more; see winograd.test.ts. 'planes' has a
  // test of its own, because most of these it cannot do.
  const rows = pixelVariants.rows.filter(({ name, adapters }) =>
    adapters?.length !== 0 && name !== 'planes' && (adapter === 'cpu' || !name.startsWith('winograd'))
  )
  describe.each(rows.map(({ name }) => name))(
    '%s kernels',
    (variant) => {
      // A software driver takes seconds to compile a large tile. The embedded device and GPUs compute with those of
      // real use.
      beforeEach(() => {
        forceBoth(gpu().adapter.kind === 'software' ? least(variant) : variant)
      })
      afterAll(() => {
        forceBoth(null)
      })

      // What is for the embedded device alone is left to it but for a few.
      const own = adapter !== 'cpu' && variant.startsWith('blocked')
      test.each(own ? shapes.slice(5, 8) : shapes)('x [%s], weight [%s], %o', async (x, w, attrs) => {
        const options = attrs as reference.Convolution
        await checkOp({
          call: (a, b, c) => conv2d(a, b, c, attrs),
          reference: (a, b, c) => reference.conv2d(a, b, c, options),
          args: [random(1, x), random(2, w, 0.3), random(3, [w[0]])],
          samples: 8,
        })
        await checkOp({
          call: (a, b) => conv2d(a, b, null, attrs),
          reference: (a, b) => reference.conv2d(a, b, null, options),
          args: [random(4, x), random(5, w, 0.3)],
          backward: false,
        })
      })

      test.each(own ? [] : names)('golden %s', async (name) => {
        await checkCase(name, { conv2d: ([x, w, b], attrs) => conv2d(x, w, b, attrs) })
      })

      test('no races', () => {
        forceBoth(least(variant))
        checkRaces(() => {
          for (
            const [x, w, attrs] of [[[1, 2, 4, 4], [3, 2, 3, 3], { padding: 1 }], [[1, 1, 4, 4], [2, 1, 3, 3], {
              stride: 2,
            }]] as Case[]
          ) {
            const { outputs: [y], back } = vjp(
              (a, b, c) => conv2d(a, b, c, attrs),
              toTensor(random(1, x)),
              toTensor(random(2, w)),
              toTensor(random(3, [w[0]])),
            )
            back(y)
          }
        })
      })
    },
  )

  test('the register tiles of real use', async () => {
    await checkOp({
      call: (x, w) => conv2d(x, w, null, { padding: 1 }),
      reference: (x, w) => reference.conv2d(x, w, null, { padding: 1 }),
      args: [random(6, [2, 17, 9, 11]), random(7, [19, 17, 3, 3], 0.2)],
      samples: 8,
    })
  })

  test('only the gradients that are needed', () => {
    const x = toTensor(random(1, [1, 2, 4, 4]))
    const w = toTensor(random(2, [3, 2, 3, 3]))
    const b = toTensor(random(3, [3]))
    const { outputs: [y], back } = vjp((weight) => conv2d(x, weight, b), w)
    expect(back(y)).toHaveLength(1)
  })

  test('bad shapes are errors that say what fits', () => {
    const x = toTensor(random(1, [1, 4, 5, 5])), w = toTensor(random(2, [6, 4, 3, 3]))
    expect(() => conv2d(x, toTensor(random(3, [6, 3, 3, 3])), null)).toThrow(ShapeError)
    expect(() => conv2d(x, w, toTensor(random(3, [5])))).toThrow(/bias \[5\] does not fit/)
    expect(() => conv2d(x, w, null, { groups: 4 })).toThrow(/groups is 4/)
    expect(() => conv2d(x, w, null, { stride: 0 })).toThrow(/stride is 0/)
    expect(() => conv2d(x, w, null, { padding: [1, -1] })).toThrow(ShapeError)
    expect(() => conv2d(x, w, null, { dilation: 3 })).toThrow(/does not fit height 5/)
    expect(() => conv2d(x.view([4, 5, 5]), w, null)).toThrow(/3 axes, expected 4/)
  })
})

test('shapes are traced without a device', () => {
  const { result } = trace((input) => conv2d(input([2, 3, 224, 224]), input([192, 3, 16, 16]), null, { stride: 16 }))
  expect(result.shape).toEqual([2, 192, 14, 14])
})

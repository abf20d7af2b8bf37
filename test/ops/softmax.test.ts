import { describe, expect, test } from 'vitest'
import { DTypeError, ShapeError } from '../../src/base/errors.ts'
import { copyOf } from '../../src/core/fill.ts'
import { vjp } from '../../src/core/transform.ts'
import { crossEntropy, softCrossEntropy } from '../../src/ops/cross-entropy.ts'
import { logSoftmax, softmax } from '../../src/ops/softmax.ts'
import { tensor } from '../../src/core/tensor.ts'
import { checkOp, checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import { opCase } from '../support/golden.ts'
import { nd, random, randomIntegers, relativeError, uniform } from '../reference/nd.ts'
import * as reference from '../reference/softmax.ts'
import { checkCase } from '../support/golden-case.ts'

describeDevice('softmax', () => {
  // Widths around the lanes of a row; 300 rows take the version with a row per invocation.
  test.each([[[1, 1]], [[2, 3, 5]], [[7, 33]], [[3, 64]], [[5, 4]], [[2, 1000]], [[300, 20]], [[300, 7]], [[9]]])(
    'last axis of [%s]',
    async (shape) => {
      for (const [call, plain] of [[softmax, reference.softmax], [logSoftmax, reference.logSoftmax]] as const) {
        await checkOp({ call: (x) => call(x), reference: (x) => plain(x), args: [random(1, shape, 2)], samples: 12 })
      }
    },
  )

  test.each([[0], [1], [-2]])('axis %i of [3, 6, 5]', async (axis) => {
    for (const [call, plain] of [[softmax, reference.softmax], [logSoftmax, reference.logSoftmax]] as const) {
      await checkOp({
        call: (x) => call(x, { axis }),
        reference: (x) => plain(x, { axis }),
        args: [random(2, [3, 6, 5], 2)],
      })
    }
  })

  test('large values do not overflow, and a row of -infinity gives zeros', async () => {
    const x = tensor([[1e4, 1e4 - 1, -1e4], [-Infinity, -Infinity, -Infinity], [-Infinity, 0, 0]])
    expect(
      relativeError(await softmax(x).data(), [
        1 / (1 + Math.exp(-1)),
        1 - 1 / (1 + Math.exp(-1)),
        0,
        0,
        0,
        0,
        0,
        0.5,
        0.5,
      ]),
    ).toBeLessThan(1e-6)
    const many = await softmax(tensor(new Float32Array(300 * 12).fill(-Infinity).fill(7, 0, 12), [300, 12])).data()
    expect([...many]).toEqual(Array.from({ length: 3600 }, (_, i) => i < 12 ? Math.fround(1 / 12) : 0))
  })

  test.each(['softmax_last', 'softmax_dim1', 'log_softmax'])('golden %s', async (name) => {
    await checkCase(name, {
      softmax: ([x], attrs) => softmax(x, attrs),
      logSoftmax: ([x], attrs) => logSoftmax(x, attrs),
    })
  })

  test('golden softmax_large', async () => {
    // Every row is saturated and PyTorch's gradient below 1e-15: ours must be small beside the cotangent, that is all.
    const { inputs: { x }, out, weights, grads } = opCase('softmax_large')
    const input = tensor(Float32Array.from(x.data), x.shape)
    const { outputs: [y], back } = vjp((a) => softmax(a), input)
    expect(relativeError(await y.data(), out.data)).toBeLessThan(1e-5)
    const got = await back(tensor(Float32Array.from(weights.data), weights.shape))[0]!.data()
    expect(grads.x.data.every((g, i) => Math.abs(g - got[i]) < 1e-6)).toBe(true)
  })

  test('no races', () => {
    checkRaces(() => {
      for (const shape of [[3, 8], [3, 5], [2, 3, 2]]) {
        const { outputs: [y], back } = vjp((x) => softmax(x, { axis: 1 }), toTensor(random(3, shape)))
        back(y)
      }
    })
  })

  test('a missing axis is an error', () => {
    expect(() => softmax(tensor([[1, 2]]), { axis: 2 })).toThrow(ShapeError)
    expect(() => logSoftmax(tensor([[1, 2]]), { axis: -3 })).toThrow(/expected -2 to 1/)
  })
})

describeDevice('crossEntropy', () => {
  test.each([[1, 1], [5, 9], [33, 10], [3, 1000], [260, 17]])('labels, [%i, %i]', async (rows, classes) => {
    const labels = randomIntegers(4, [rows], classes)
    for (const smoothing of [0, 0.1]) {
      await checkOp({
        call: (x, y) => crossEntropy(x, y, { smoothing }),
        reference: (x, y) => reference.crossEntropy(x, y, { smoothing }),
        args: [random(5, [rows, classes], 2), labels],
        dtypes: ['f32', 'i32'],
        samples: 20,
        // One class only: the gradient is zero and what is left is rounding.
        backward: classes > 1,
      })
    }
  })

  test.each([[1, 2], [5, 9], [260, 17]])('soft labels of any sum, [%i, %i]', async (rows, classes) => {
    for (const smoothing of [0, 0.1]) {
      await checkOp({
        call: (x, y) => softCrossEntropy(x, y, { smoothing }),
        reference: (x, y) => reference.crossEntropy(x, y, { smoothing }),
        args: [random(6, [rows, classes], 2), uniform(7, [rows, classes])],
        constant: [1],
        samples: 20,
      })
    }
  })

  test.each(['cross_entropy', 'cross_entropy_smooth'])('golden %s', async (name) => {
    await checkCase(name, { crossEntropy: ([x, y], attrs) => crossEntropy(x, y, attrs) }, { labels: 'i32' })
  })

  test('a label that is no class is refused or gives NaN, never a number that looks right', async () => {
    const x = toTensor(random(8, [3, 4]))
    for (const bad of [-1, 4, 1000]) {
      expect(() => crossEntropy(x, tensor([0, bad, 1], undefined, 'i32'))).toThrow(new RegExp(`${bad}.* 4 classes`))
      // Labels that were computed on the device are not known here.
      expect(await crossEntropy(x, copyOf(tensor([0, bad, 1], undefined, 'i32'))).item()).toBeNaN()
    }
  })

  test('a class at -infinity costs nothing where it is not expected', async () => {
    const x = toTensor(nd([1, 3], [0, 0, -Infinity]))
    expect(await crossEntropy(x, tensor([1], undefined, 'i32')).item()).toBeCloseTo(Math.log(2), 6)
  })

  test('no races', () => {
    checkRaces(() => {
      const x = toTensor(random(9, [3, 5]))
      for (
        const loss of [
          (a: typeof x) => crossEntropy(a, tensor([0, 4, 2], undefined, 'i32')),
          (a: typeof x) => softCrossEntropy(a, x),
        ]
      ) {
        const { outputs: [y], back } = vjp(loss, x)
        back(y)
      }
    })
  })

  describe('errors', () => {
    test('shapes, smoothing, dtypes', () => {
      const x = tensor([[1, 2, 3], [4, 5, 6]])
      expect(() => crossEntropy(x, tensor([0], undefined, 'i32'))).toThrow(/labels \[1\] do not fit logits \[2,3\]/)
      expect(() => crossEntropy(tensor([1, 2]), tensor([0], undefined, 'i32'))).toThrow(ShapeError)
      expect(() => crossEntropy(x, tensor([0, 1]))).toThrow(DTypeError)
      expect(() => softCrossEntropy(x, tensor([[0, 1]]))).toThrow(ShapeError)
      expect(() => crossEntropy(x, tensor([0, 1], undefined, 'i32'), { smoothing: 2 })).toThrow(/smoothing 2/)
    })
  })
})

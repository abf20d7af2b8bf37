import { describe, expect, test } from 'vitest'
import { ShapeError } from '../../src/base/errors.ts'
import { layerNorm } from '../../src/ops/layernorm.ts'
import { record, pullback } from '../../src/core/tape.ts'
import { tensor } from '../../src/core/tensor.ts'
import { vjp } from '../../src/core/transform.ts'
import { checkOp, checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import { numericalGradient } from '../reference/gradient.ts'
import { type Nd, nd, random, relativeError } from '../reference/nd.ts'
import * as reference from '../reference/norm.ts'
import { checkCase } from '../support/golden-case.ts'

const inputs = (
  shape: number[],
  gain: number[],
): Nd[] => [random(1, shape, 1.5, 0.5), random(2, gain, 0.2, 1), random(3, gain)]

describeDevice('layerNorm', () => {
  test.each([[[1, 3]], [[3, 5, 7]], [[4, 192]], [[2, 17, 33]], [[300, 12]], [[300, 5]], [[1000, 8]], [[1, 3, 768]]])(
    'last axis of [%s]',
    async (shape) => {
      await checkOp({
        call: (x, g, b) => layerNorm(x, g, b),
        reference: (x, g, b) => reference.layerNorm(x, g, b),
        args: inputs(shape, shape.slice(-1)),
        samples: 12,
      })
    },
  )

  test('several trailing axes, as in patch merging', async () => {
    await checkOp({
      call: (x, g, b) => layerNorm(x, g, b, { eps: 1e-6 }),
      reference: (x, g, b) => reference.layerNorm(x, g, b, { eps: 1e-6 }),
      args: inputs([2, 3, 2, 2, 6], [2, 2, 6]),
    })
  })

  test('golden layer_norm', async () => {
    await checkCase('layer_norm', { layerNorm: ([x, g, b], attrs) => layerNorm(x, g, b, attrs) })
  })

  test('a mean far from zero costs no digits of the variance', async () => {
    // x itself is rounded to 2^-14 there; the reference sees the same rounded x.
    await checkOp({
      call: (x, g, b) => layerNorm(x, g, b),
      reference: (x, g, b) => reference.layerNorm(x, g, b),
      args: [random(4, [5, 64], 1, 1000), random(5, [64]), random(6, [64])],
      backward: false,
      tolerance: 1e-4, // the mean is rounded to 3e-5 of a standard deviation
    })
  })

  test('detached: 1 / std is constant, the mean is not', async () => {
    const args = inputs([6, 10], [10])
    const [x, gain, bias] = args.map((arg) => toTensor(arg))
    const { result, calls } = record(() => layerNorm(x, gain, bias), [x, gain, bias])
    const weights = random(7, [6, 10])
    const seed = toTensor(weights)
    const found = pullback(calls, [[result, seed]], {
      wanted: [x, gain, bias],
      ruleFor: ({ op }) => (call, c) => op.vjp({ ...call, detached: true }, c),
    })
    const spread = [0, 1, 2, 3, 4, 5].map((row) => {
      const values = args[0].data.slice(row * 10, row * 10 + 10), mean = values.reduce((a, b) => a + b) / 10
      return 1 / Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / 10 + 1e-5)
    })
    const held = (a: Nd, g: Nd, b: Nd) =>
      nd(
        a.shape,
        a.data.map((_, i) => {
          const row = Math.floor(i / 10), mean = a.data.slice(row * 10, row * 10 + 10).reduce((p, q) => p + q) / 10
          return (a.data[i] - mean) * spread[row] * g.data[i % 10] + b.data[i % 10]
        }),
      )
    for (const [i, leaf] of [x, gain, bias].entries()) {
      expect(relativeError(await found.get(leaf)!.data(), numericalGradient(held, args, weights, i).values))
        .toBeLessThan(1e-5)
    }
  })

  test('only the gradients that are needed', () => {
    const [x, gain, bias] = inputs([4, 6], [6]).map((arg) => toTensor(arg))
    const { result, calls } = record(() => layerNorm(x, gain, bias), [gain])
    expect(calls[0].op.vjp(calls[0], result).map((part) => part !== null)).toEqual([false, true, false])
    const other = record(() => layerNorm(x, gain, bias), [x])
    expect(other.calls[0].op.vjp(other.calls[0], other.result).map((part) => part !== null)).toEqual([
      true,
      false,
      false,
    ])
  })

  test('no races', () => {
    checkRaces(() => {
      for (const shape of [[3, 8], [3, 5], [257, 2]]) {
        const args = inputs(shape, shape.slice(-1)).map((arg) => toTensor(arg))
        const { outputs: [y], back } = vjp((x, g, b) => layerNorm(x, g, b), ...args)
        back(y)
      }
    })
  })

  describe('errors', () => {
    test('gain and bias that do not fit', () => {
      const x = tensor([[1, 2, 3]])
      expect(() => layerNorm(x, tensor([1, 2]), tensor([1, 2]))).toThrow(/gain \[2\] does not fit x \[1,3\]/)
      expect(() => layerNorm(x, tensor([1, 2, 3]), tensor([1, 2]))).toThrow(ShapeError)
      expect(() => layerNorm(x, tensor(1), tensor(1))).toThrow(ShapeError)
    })
  })
})

import { expect, test } from 'vitest'
import { ShapeError } from '../../src/base/errors.ts'
import { batchNorm, batchNormTrain } from '../../src/ops/batchnorm.ts'
import { pullback, record } from '../../src/core/tape.ts'
import { tensor } from '../../src/core/tensor.ts'
import { vjp } from '../../src/core/transform.ts'
import { checkOp, checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import { nd, random, relativeError, uniform } from '../reference/nd.ts'
import * as reference from '../reference/norm.ts'
import { checkCase } from '../support/golden-case.ts'

// Planes of whole vectors, planes that share vectors, one value per channel, planes longer and shorter than a
// workgroup.
const shapes = [[2, 3, 4, 4], [3, 5, 5, 5], [7, 6], [1, 1, 3, 3], [2, 3, 1, 1], [70, 2, 3], [3, 2, 17, 33], [
  5,
  33,
  2,
  4,
], [2, 520, 1, 2]]

const statistics = (channels: number) => [random(4, [channels]), uniform(5, [channels], 0.5, 2)]

describeDevice('batchNorm', () => {
  test.each(shapes)('given statistics, [%i, %i, ...]', async (...shape) => {
    const [mean, variance] = statistics(shape[1])
    await checkOp({
      call: (x, gain, bias, m, v) => batchNorm(x, gain, bias, m, v),
      reference: (...args) => reference.batchNormEval(...args as Parameters<typeof reference.batchNormEval>),
      args: [random(1, shape, 2, 3), random(2, [shape[1]]), random(3, [shape[1]]), mean, variance],
      constant: [3, 4],
      samples: 12,
    })
  })

  test.each(shapes)('statistics of the batch, [%i, %i, ...]', async (...shape) => {
    const channels = shape[1]
    const x = random(1, shape, 2, 3), [mean, variance] = statistics(channels)
    const running = [toTensor(mean), toTensor(variance)]
    await checkOp({
      call: (a, gain, bias) => batchNormTrain(a, gain, bias, running[0], running[1], { momentum: 0.3 }),
      reference: (a, gain, bias) => reference.batchNormTrain(a, gain, bias),
      args: [x, random(2, [channels]), random(3, [channels])],
      samples: 12,
      // Two values of a channel end up at plus and minus one whatever they are: the gradient is a difference of equal
      // numbers.
      backward: x.data.length / channels > 2,
    })
    const expected = reference.batchNormRunning(x, mean, variance, { momentum: 0.3 })
    expect(relativeError(await running[0].data(), expected.mean.data), 'running mean').toBeLessThan(1e-5)
    expect(relativeError(await running[1].data(), expected.variance.data), 'running variance').toBeLessThan(1e-5)
  })

  test('a mean far from zero costs no digits of the variance', async () => {
    const x = random(6, [4, 3, 16, 16], 0.01, 10)
    const one = nd([3], [1, 1, 1])
    const none = nd([3], [0, 0, 0])
    const mean = toTensor(none), variance = toTensor(none)
    await checkOp({
      call: (a, gain, bias) => batchNormTrain(a, gain, bias, mean, variance, { momentum: 1 }),
      reference: (a, gain, bias) => reference.batchNormTrain(a, gain, bias),
      args: [x, one, none],
      backward: false,
      // 10 +- 0.01 in float32 has a rounding of 1e-6 of 10, which is 1e-4 of the deviation.
      tolerance: 2e-4,
    })
    expect(
      relativeError(await variance.data(), reference.batchNormRunning(x, none, none, { momentum: 1 }).variance.data),
    ).toBeLessThan(1e-5)
  })

  test('golden batch_norm_eval', async () => {
    await checkCase('batch_norm_eval', {
      batchNormEval: ([x, gain, bias, mean, variance], attrs) => batchNorm(x, gain, bias, mean, variance, attrs),
    })
  })

  test('golden batch_norm_train', async () => {
    await checkCase('batch_norm_train', {
      batchNormTrain: ([x, gain, bias], attrs) =>
        batchNormTrain(x, gain, bias, tensor([0, 0, 0, 0]), tensor([1, 1, 1, 1]), attrs),
    })
  })

  test('a detached call holds the statistics constant', async () => {
    const x = random(7, [3, 2, 5]), gain = random(8, [2])
    const input = toTensor(x), seed = toTensor(random(9, [3, 2, 5]))
    const { result, calls } = record(
      () => batchNormTrain(input, toTensor(gain), tensor([0, 0]), tensor([0, 0]), tensor([1, 1])),
      [input],
    )
    const dx = pullback(calls, [[result, seed]], {
      wanted: [input],
      ruleFor: (call) => (found, c) => call.op.vjp({ ...found, detached: true }, c),
    }).get(input)!
    const { variance } = reference.batchNormRunning(x, nd([2]), nd([2]), { momentum: 1 })
    const expected = random(9, [3, 2, 5]).data.map((value, i) => {
      const channel = Math.floor(i / 5) % 2
      return value * gain.data[channel] / Math.sqrt(variance.data[channel] * 14 / 15 + 1e-5)
    })
    expect(relativeError(await dx.data(), expected)).toBeLessThan(1e-5)
  })

  test('no races', () => {
    checkRaces(() => {
      for (const shape of [[2, 2, 4], [2, 3, 3]]) {
        const one = () => toTensor(uniform(1, [shape[1]], 0.5, 1))
        for (const f of [batchNorm, batchNormTrain]) {
          const { outputs: [y], back } = vjp(
            (x, gain, bias) => f(x, gain, bias, one(), one()),
            toTensor(random(2, shape)),
            one(),
            one(),
          )
          back(y)
        }
      }
    })
  })

  test('bad shapes are errors that say what fits', () => {
    const x = toTensor(random(1, [2, 3, 4]))
    const three = tensor([1, 2, 3])
    const two = tensor([1, 2])
    expect(() => batchNorm(x, three, three, three, two)).toThrow(/variance \[2\] does not fit x \[2,3,4\]/)
    expect(() => batchNormTrain(x, two, three, three, three)).toThrow(ShapeError)
    expect(() => batchNorm(three, three, three, three, three)).toThrow(/at least two axes/)
  })
})

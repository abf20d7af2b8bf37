// Convolutions that do their norm, residual and relu in one pass at inference give the same as the plain ops, see every
// change of weights and statistics, and are the plain ops wherever a tape looks.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compile } from '../../src/core/compile.ts'
import { unrecorded } from '../../src/core/tape.ts'
import { tensor, type Tensor } from '../../src/core/tensor.ts'
import { inference, trace, valueAndGrad } from '../../src/core/transform.ts'
import { BatchNorm } from '../../src/nn/norm.ts'
import { Conv2d } from '../../src/nn/conv2d.ts'
import { convolvedNormed } from '../../src/nn/finished.ts'
import { Identity } from '../../src/nn/fold.ts'
import { Gate } from '../../src/nn/gate.ts'
import { conv2dFinished } from '../../src/ops/conv2d/fused.ts'
import { conv2d } from '../../src/ops/conv2d/conv2d.ts'
import { finishInPlace } from '../../src/ops/conv2d/finish.ts'
import { passVariants } from '../../src/ops/conv2d/passes.ts'
import { pixelVariants } from '../../src/ops/conv2d/variants.ts'
import { add, mul, relu } from '../../src/ops/elementwise.ts'
import { batchNorm } from '../../src/ops/batchnorm.ts'
import { mean } from '../../src/ops/reduce.ts'
import { force } from '../../src/ops/shared/variants.ts'
import { cifarResNet, ResidualBlock } from '../../models/resnet.ts'
import { checkRaces, observeLaunches, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import * as reference from '../reference/conv.ts'
import { random, relativeError } from '../reference/nd.ts'

/** A convolution and its norm with statistics that nothing is neutral in. */
function layer(w: number[], options: { stride?: number, padding?: number, bias?: boolean }, seed = 1) {
  const [outputs, inputs, size] = w, conv = new Conv2d(inputs, outputs, size, options), norm = new BatchNorm(outputs)
  const values = (shape: number[], at: number, scale = 1) => Float32Array.from(random(seed + at, shape, scale).data)
  conv.weight.write(values(w, 1, 0.3))
  conv.bias?.write(values([outputs], 2))
  norm.gain.write(values([outputs], 3))
  norm.bias.write(values([outputs], 4))
  norm.mean.write(values([outputs], 5))
  norm.variance.write(values([outputs], 6).map((v) => 0.3 + v * v))
  return { conv, norm }
}

const image = (shape: number[], seed = 9) => toTensor(random(seed, shape))

/** The plain ops, one after another. */
function plainly(
  x: Tensor,
  { conv, norm }: ReturnType<typeof layer>,
  residual: Tensor | null,
  positive: boolean,
): Tensor {
  const { stride, padding, dilation, groups } = conv
  let y = conv2d(x, conv.weight, conv.bias, { stride, padding, dilation, groups })
  y = batchNorm(y, norm.gain, norm.bias, norm.mean, norm.variance, { eps: norm.eps })
  if (residual) y = add(y, residual)
  return positive ? relu(y) : y
}

type Case = [x: number[], w: number[], options: { stride?: number, padding?: number, bias?: boolean }]
// Single pixels and windows, planes of whole blocks, of whole vectors and of neither, batch 1 and 3, odd channels.
const shapes: Case[] = [
  [[1, 5, 4, 4], [18, 5, 1, 1], { bias: false }],
  [[3, 6, 7, 7], [20, 6, 1, 1], {}],
  [[3, 6, 8, 8], [17, 6, 1, 1], { stride: 2, bias: false }],
  [[1, 5, 7, 5], [19, 5, 3, 3], { padding: 1, bias: false }],
  [[3, 3, 9, 8], [6, 3, 3, 3], { padding: 1, stride: 2 }],
  [[3, 4, 6, 6], [16, 4, 3, 3], { padding: 1 }],
]

describeDevice('convolutions finished in one pass', (adapter) => {
  // The rows for the embedded device take a software driver too long to compile.
  describe.each(adapter === 'cpu' ? ['', 'planes', 'blocked'] : [''])("row '%s'", (row) => {
    beforeAll(() => {
      if (row) force(passVariants, 'general')
      if (row) force(pixelVariants, row)
    })
    afterAll(() => {
      force(passVariants, null)
      force(pixelVariants, null)
    })

    test.each(adapter === 'cpu' ? shapes : shapes.slice(1, 4))(
      'x [%s], weight [%s], %o',
      async (x, w, options) => {
        const input = image(x), own = layer(w, options)
        for (const [withResidual, positive] of [[false, true], [true, true], [true, false], [false, false]]) {
          const [done, plain] = unrecorded(() => {
            const { shape } = plainly(input, own, null, false)
            const residual = withResidual ? image([...shape], 11) : null
            const after = { residual, relu: positive }
            return [convolvedNormed(own.conv, own.norm, input, {}, after), plainly(input, own, residual, positive)]
          })
          const [found, expected] = [await done.data(), await plain.data()]
          expect(relativeError(found, [...expected])).toBeLessThan(adapter === 'cpu' ? 1e-6 : 1e-5)
          if (positive) expect(Math.min(...found)).toBe(0)
        }
      },
    )

    test('against doubles', async () => {
      const x = random(9, [3, 4, 6, 6]), own = layer([16, 4, 3, 3], { padding: 1 })
      const read = async (t: Tensor) => [...await t.data()]
      const plain = reference.conv2d(x, random(2, [16, 4, 3, 3], 0.3), random(3, [16]), { padding: 1 })
      const [gain, bias, mean, variance] = await Promise.all(
        [own.norm.gain, own.norm.bias, own.norm.mean, own.norm.variance].map(read),
      )
      const expected = plain.data.map((v, i) => {
        const c = Math.floor(i / 36) % 16
        return Math.max(0, (v - mean[c]) / Math.sqrt(variance[c] + 1e-5) * gain[c] + bias[c])
      })
      const y = convolvedNormed(own.conv, own.norm, toTensor(x), {}, { relu: true })
      expect(relativeError(await y.data(), expected)).toBeLessThan(1e-5)
    })

    test('relu alone, without a norm and with one that was folded', async () => {
      const x = image([3, 4, 5, 5]), { conv } = layer([16, 4, 3, 3], { padding: 1 })
      const expected = [...await relu(conv.call(x)).data()]
      for (const norm of [null, new Identity()]) {
        const found = await convolvedNormed(conv, norm, x, {}, { relu: true }).data()
        expect(relativeError(found, expected)).toBeLessThan(1e-6)
      }
    })

    test('no races', () => {
      const own = layer([6, 3, 3, 3], { padding: 1 }), x = image([1, 3, 4, 4]), residual = image([1, 6, 4, 4])
      checkRaces(() => convolvedNormed(own.conv, own.norm, x, {}, { residual, relu: true }))
      if (row !== 'planes') return
      const single = layer([6, 3, 1, 1], {})
      checkRaces(() => convolvedNormed(single.conv, single.norm, x, {}, { residual, relu: true }))
    })
  })

  test('weights and statistics that change in place after the first call are seen', async () => {
    const own = layer([18, 5, 3, 3], { padding: 1 }), x = image([1, 5, 6, 6])
    const check = async () => {
      const found = await convolvedNormed(own.conv, own.norm, x, {}, { relu: true }).data()
      expect(relativeError(found, [...await plainly(x, own, null, true).data()])).toBeLessThan(1e-6)
      return found
    }
    let before = await check()
    for (const changed of [own.conv.weight, own.conv.bias!, own.norm.gain, own.norm.bias, own.norm.mean]) {
      changed.write(Float32Array.from(await changed.data(), (v) => v + 0.5))
      const now = await check()
      expect([...now]).not.toEqual([...before])
      before = now
    }
    own.norm.variance.write(Float32Array.from(await own.norm.variance.data(), (v) => 3 * v))
    expect([...await check()]).not.toEqual([...before])
  })

  test('training, evaluation, training, evaluation', async () => {
    const model = cifarResNet(8, { width: 8 }), x = image([3, 3, 8, 8])
    for (const block of model.stages.flat()) {
      for (const { conv } of block.layers) {
        conv.weight.write(Float32Array.from(random(3, [...conv.weight.shape], 0.3).data))
      }
    }
    model.stem.conv.weight.write(Float32Array.from(random(3, [...model.stem.conv.weight.shape], 0.3).data))
    model.head.weight.write(Float32Array.from(random(4, [...model.head.weight.shape], 0.3).data))
    const run = compile((x: Tensor) => model.call(x))
    const seen: number[][] = []
    for (let i = 0; i < 3; i++) {
      // On a tape the plain ops compute, so that is what the others are compared with.
      const [plain] = valueAndGrad((m: typeof model) => mean(m.call(x)))(model)
      const found = [...await model.call(x).data()]
      expect(found.reduce((sum, v) => sum + v, 0) / found.length).toBeCloseTo(await plain.item(), 4)
      expect(relativeError(await run(x).data(), found)).toBeLessThan(1e-6)
      expect(relativeError(await inference(() => model.call(x)).data(), found)).toBeLessThan(1e-6)
      seen.push(found)
      const y = model.call(x, { training: true }) // moves the running statistics
      y.dispose()
    }
    expect(seen[1]).not.toEqual(seen[0])
    expect(seen[2]).not.toEqual(seen[1])
    run.clear()
  })

  test('masks of every gate of a block are seen, also by a capture', async () => {
    const block = new ResidualBlock(8, [8, 8], [3, 3]), x = image([1, 8, 5, 5])
    for (const { conv } of block.layers) conv.weight.write(Float32Array.from(random(3, [8, 8, 3, 3], 0.3).data))
    const run = compile((x: Tensor) => block.call(x, {}))
    const whole = [...await run(x).data()]
    for (const gate of [block.closing, block.inner[0], block.stream]) {
      expect(gate.idle).toBe(true)
      gate.mask = tensor([0, 1, 1, 0, 1, 1, 1, 1])
      expect(gate.idle).toBe(false)
      const masked = [...await block.call(x, {}).data()]
      expect(masked).not.toEqual(whole)
      expect([...await run(x).data()]).toEqual(masked)
      gate.mask.dispose()
      gate.mask = null
    }
    expect([...await run(x).data()]).toEqual(whole)
    run.clear()
  })

  test('a sliced block scatters, adds and rectifies in one pass; else as its gate says', async () => {
    const block = new ResidualBlock(8, [8, 8], [3, 3]), x = image([2, 8, 5, 5]), last = block.layers[1]
    for (const { conv } of block.layers) conv.weight.write(Float32Array.from(random(3, [8, 8, 3, 3], 0.3).data))
    const narrow = layer([3, 8, 3, 3], { padding: 1, bias: false })
    Object.assign(last, narrow)
    block.closing.setScatter({ positions: [6, 0, 3], width: 8 })
    const y = () => last.call(block.inner[0].call(block.layers[0].call(x, {}, { relu: true })), {})
    const plainOps = async () => [...await relu(add(block.closing.call(y()), x)).data()]
    const whole = [...await block.call(x, {}).data()]
    expect(relativeError(whole, await plainOps())).toBeLessThan(1e-6)
    const seen = observeLaunches(() => block.call(x, {})).map(({ kernel }) => kernel.file)
    expect(seen.filter((name) => name.includes('scatter'))).toHaveLength(1)
    expect(seen.filter((name) => /elementwise|broadcast/.test(name))).toEqual([])
    checkRaces(() => block.call(x, {}))
    block.closing.mask = tensor([0, 1, 1])
    expect(block.closing.scattering).toBeNull()
    expect(relativeError(await block.call(x, {}).data(), await plainOps())).toBeLessThan(1e-6)
    expect([...await block.call(x, {}).data()]).not.toEqual(whole)
    block.closing.mask = null
    const own = Object.assign(block.closing, {
      call: (x: Tensor) => mul(Gate.prototype.call.call(block.closing, x), tensor([2])),
    })
    expect(relativeError(await block.call(x, {}).data(), [...await relu(add(own.call(y()), x)).data()])).toBeLessThan(
      1e-6,
    )
  })

  test('a layer of another kind, or with another call, is called', async () => {
    const x = image([1, 4, 5, 5]), { conv, norm } = layer([16, 4, 3, 3], { padding: 1 })
    const twice = { call: (y: Tensor) => mul(y, tensor([2])) }
    const y = await convolvedNormed(conv, twice, x, {}, { relu: true }).data()
    expect(relativeError(y, [...await relu(twice.call(conv.call(x))).data()])).toBeLessThan(1e-6)
    const hooked = Object.assign(new BatchNorm(16), { ...norm, call: twice.call })
    expect([...await convolvedNormed(conv, hooked, x, {}, { relu: true }).data()]).toEqual([...y])
  })

  test('one launch follows the products at inference', () => {
    const own = layer([16, 4, 3, 3], { padding: 1 }), x = image([1, 4, 6, 6])
    const files = observeLaunches(() =>
      convolvedNormed(own.conv, own.norm, x, {}, { relu: true, residual: image([1, 16, 6, 6]) })
    )
      .map(({ kernel }) => kernel.file)
    expect(files.filter((file) => /elementwise|broadcast/.test(file))).toEqual([])
  })

  test('in a pass of its own, in place', async () => {
    const x = image([2, 3, 5, 5]), expected = [...await relu(x).data()]
    finishInPlace(x, { factors: null, residual: null, relu: true })
    expect([...await x.data()]).toEqual(expected)
  })

  test('bad residuals and norms are errors that say what fits', () => {
    const own = layer([16, 4, 3, 3], { padding: 1 }), x = image([1, 4, 6, 6])
    const { conv } = own,
      call = (more: object) => unrecorded(() => conv2dFinished(x, conv.weight, null, { padding: 1 }, more))
    expect(() => call({ residual: image([1, 16, 4, 4]) })).toThrow(/residual \[1,16,4,4\] must have the shape/)
    expect(() => call({ norm: new BatchNorm(15) })).toThrow(/expected one entry for each channel, \[16\]/)
  })
})

test('a trace sees the layers as they are', () => {
  const names = (made: (x: Tensor) => Tensor) =>
    trace((input) => made(input([1, 8, 6, 6]))).calls.map(({ op }) => op.name)
  expect(names((x) => new ResidualBlock(8, [8, 8], [3, 3]).call(x, {}))).toEqual([
    'conv2d',
    'batch-norm',
    'relu',
    'gate',
    'conv2d',
    'batch-norm',
    'gate',
    'add',
    'relu',
    'gate',
  ])
})

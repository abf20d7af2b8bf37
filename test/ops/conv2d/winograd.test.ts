// Convolution by transformed tiles: against sums in doubles where tiles hang over edges, where a weight changes in
// place, and who may choose it.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Composite, type LrpRule, on } from '../../../src/attribution/composite.ts'
import { attribute } from '../../../src/attribution/relevance.ts'
import { compile } from '../../../src/core/compile.ts'
import { precision, withPrecision } from '../../../src/core/precision.ts'
import { empty, tensor, type Tensor } from '../../../src/core/tensor.ts'
import { scope, valueAndGrad } from '../../../src/core/transform.ts'
import { disposeTree } from '../../../src/core/tree.ts'
import { close, gpu, init } from '../../../src/gpu/device.ts'
import type { Precision } from '../../../src/gpu/precision.ts'
import { Conv2d } from '../../../src/nn/conv2d.ts'
import { conv2d, type ConvAttrs } from '../../../src/ops/conv2d/conv2d.ts'
import type { Convolution, PixelWork } from '../../../src/ops/conv2d/convolution.ts'
import { imagesOf, tapsOf } from '../../../src/ops/conv2d/layout.ts'
import { pixelVariants } from '../../../src/ops/conv2d/variants.ts'
import { isWinograd, worthTiles } from '../../../src/ops/conv2d/winograd.ts'
import { mul } from '../../../src/ops/elementwise.ts'
import { mean } from '../../../src/ops/reduce.ts'
import { candidates, force, machine, type Machine } from '../../../src/ops/shared/variants.ts'
import { sgd } from '../../../src/train/optim.ts'
import * as reference from '../../reference/conv.ts'
import { random, relativeError } from '../../reference/nd.ts'
import { checkOp, toTensor } from '../../support/check-op.ts'

type Case = [x: number[], w: number[], attrs: ConvAttrs]

const shapes: Case[] = [
  [[1, 1, 3, 3], [1, 1, 3, 3], {}], // one pixel, a part of a tile
  [[3, 1, 1, 2], [2, 1, 3, 3], { padding: 1 }],
  [[1, 8, 8, 8], [16, 8, 3, 3], { padding: 1 }], // whole tiles of everything
  [[3, 5, 7, 9], [6, 5, 3, 3], { padding: 1 }],
  [[1, 9, 6, 10], [17, 9, 3, 3], { padding: 2 }],
  [[2, 13, 5, 14], [33, 13, 3, 3], { padding: [0, 1] }],
  [[1, 3, 4, 5], [18, 3, 3, 3], { padding: [5, 2] }], // tiles of nothing but padding
]

/** Pixels times weights of a layer of three by three with a padding of one. */
function work(channels: number, outputs: number, side: number, batch = 1, shape: Partial<Convolution> = {}): PixelWork {
  const out = empty([batch, outputs, side, side]), taps = tapsOf(3, 1, 1)
  const images = imagesOf(empty([batch, channels, side, side]), [1, 1], [side + 2, side + 2], () => {
    throw new Error('read')
  })
  const to = {
    images,
    batch,
    tapsY: taps,
    tapsX: taps,
    start: [0, 0],
    pixels: [side, side],
    out,
    first: [0, 0],
  } as const
  return {
    to: { ...to, step: [1, 1], bias: null, ...shape },
    w: empty([outputs, channels, 3, 3]),
    order: {
      groups: 1,
      outputs,
      channels,
      groupStride: 0,
      outputStride: channels * 9,
      channelStride: 9,
      width: 3,
      firstY: 0,
      stepY: 1,
      firstX: 0,
      stepPart: 1,
      stepX: 1,
    },
  }
}

// Computed on the embedded device alone, for which it is made: a software driver takes half a minute to compile these
// kernels. variants.test.ts compiles them for dawn.
describe('winograd on cpu', () => {
  beforeAll(() => init({ adapter: 'cpu', threads: 1 }))
  afterAll(close)
  afterEach(() => {
    force(pixelVariants, null)
  })

  describe.each([2, 4])('tiles of %i', (side) => {
    test.each(shapes)('x [%s], weight [%s], %o', async (x, w, attrs) => {
      force(pixelVariants, `winograd ${side}`)
      const options = attrs as reference.Convolution
      await checkOp({
        call: (a, b, c) => conv2d(a, b, c, attrs),
        reference: (a, b, c) => reference.conv2d(a, b, c, options),
        args: [random(1, x), random(2, w, 0.3), random(3, [w[0]])],
        samples: 20,
      })
    })

    test('a weight that is written is transformed anew, and what was made of it goes with it', async () => {
      force(pixelVariants, `winograd ${side}`)
      const x = toTensor(random(1, [1, 5, 6, 6])), first = random(2, [6, 5, 3, 3]), second = random(3, [6, 5, 3, 3])
      const { memory } = gpu().pool, before = memory.live, w = toTensor(first)
      const run = async (weights: Tensor) => {
        const y = conv2d(x, weights, null, { padding: 1 }), values = await y.data()
        y.dispose()
        return values
      }
      const old = await run(w), held = memory.live - before
      expect(held).toBeGreaterThanOrEqual(4 * (w.size + (side + 2) ** 2 * 5 * 16))
      w.write(Float32Array.from(second.data))
      const found = await run(w)
      const fresh = toTensor(second)
      expect(relativeError(found, await run(fresh))).toBe(0)
      expect(relativeError(found, old)).toBeGreaterThan(0.1)
      disposeTree([w, fresh])
      expect(memory.live).toBe(before)
      x.dispose()
    })
  })

  test('training sees what it wrote, in a captured step too', async () => {
    const losses: number[][] = []
    for (const name of ['winograd 2', 'winograd 4', 'registers']) {
      force(pixelVariants, name)
      const model = { w: toTensor(random(2, [18, 5, 3, 3], 0.3)), v: toTensor(random(3, [6, 18, 3, 3], 0.2)) }
      const x = toTensor(random(1, [2, 5, 8, 9])), optimizer = sgd(model, { rate: 0.01 })
      const loss = (m: typeof model, x: Tensor) => {
        const y = conv2d(conv2d(x, m.w, null, { padding: 1 }), m.v, null, { padding: 1 })
        return mean(mul(y, y))
      }
      const step = compile((x: Tensor) => {
        const [value, gradients] = valueAndGrad(loss)(model, x)
        optimizer.update(model, gradients)
        return value
      })
      const found: number[] = []
      for (let i = 0; i < 4; i++) found.push(await step(x).item())
      found.push(await loss(model, x).item())
      step.clear()
      losses.push(found)
    }
    expect(losses[2][4]).toBeLessThan(0.9 * losses[2][0])
    expect(relativeError(losses[0], losses[2])).toBeLessThan(1e-5)
    expect(relativeError(losses[1], losses[2])).toBeLessThan(1e-4)
  })

  test('rows of tiles in several parts, and as few digits lost as the classes say', async () => {
    const x = random(1, [3, 40, 45, 46]), w = random(2, [48, 40, 3, 3], 1 / 20)
    const rounded = [x, w].map((each) => ({ ...each, data: Float64Array.from(each.data, Math.fround) }))
    const expected = reference.conv2d(rounded[0], rounded[1], null, { padding: 1 }).data
    const tensors = [toTensor(x), toTensor(w)] as const, { counts } = gpu().launches
    // The weight, the image, and three launches for each part.
    for (const [side, launches, most] of [[2, 8, 2e-6], [4, 5, 3e-5]]) {
      force(pixelVariants, `winograd ${side}`)
      const before = counts.launches, y = conv2d(...tensors, null, { padding: 1 })
      expect(counts.launches - before).toBe(launches)
      expect(relativeError(await y.data(), expected)).toBeLessThan(most)
      y.dispose()
    }
    disposeTree([...tensors])
  })

  test('the choice by precision, machine and sizes', () => {
    const wide: Machine = { ...machine(), columns: 4 }, narrow: Machine = { ...wide, columns: 2 }
    const at = (level: Precision, of: PixelWork, on = wide) =>
      scope(() => withPrecision(level, () => candidates(pixelVariants, of, on)[0].name))
    scope(() => {
      const large = work(64, 64, 56), few = work(512, 512, 7)
      expect((['high', 'default', 'fast'] as const).map((level) => at(level, large)))
        .toEqual(['blocked', 'winograd 2', 'winograd 4'])
      expect([isWinograd(large), worthTiles(few, 2), worthTiles(few, 4)]).toEqual([true, true, false])
      expect(at('fast', few)).toBe('winograd 2')
      expect(at('fast', work(512, 512, 7, 8))).toBe('winograd 4')
      expect(at('fast', large, narrow)).toBe('registers')
      expect(at('fast', large, { ...wide, kind: 'gpu' })).toBe('tiled')
      // Images of three channels, every second pixel, dilated taps.
      expect(at('fast', work(3, 64, 56))).toBe('blocked')
      expect(at('fast', work(16, 64, 56))).toBe('winograd 4')
      expect(at('default', work(16, 64, 56))).toBe('blocked')
      expect(at('fast', work(64, 64, 56, 1, { step: [2, 2] }))).toBe('blocked')
      expect(at('fast', work(64, 64, 56, 1, { tapsX: tapsOf(3, 1, 2) }))).toBe('blocked')
      return null
    })
  })

  test('attribution walks forward and back at high precision', async () => {
    const seen: string[] = []
    class Net {
      conv = new Conv2d(2, 3, 3)
      call(x: Tensor) {
        seen.push(precision())
        return mean(this.conv.call(x), { axes: [2, 3] })
      }
    }
    const watched: LrpRule = (call, c) => {
      seen.push(precision())
      return call.op.vjp(call, c)
    }
    const model = new Net(), x = toTensor(random(1, [1, 2, 5, 5])), targets = tensor([[0, 1, 0]])
    const composite: Composite = [on('conv2d', watched), on('*', watched)]
    const found = withPrecision(
      'fast',
      () => attribute(model, x, targets, { seed: 'logit', composite, read: 'relevance' }),
    )
    expect(seen.length).toBeGreaterThan(2)
    expect(new Set(seen)).toEqual(new Set(['high']))
    await found.input.data()
    disposeTree([found, model, x, targets])
  })
})

describe.each(['race', 'permuted', 'bounds'] as const)('winograd in %s mode on cpu', (mode) => {
  beforeAll(() => init({ adapter: 'cpu', mode, fixedVariants: true }))
  afterAll(close)
  afterEach(() => {
    force(pixelVariants, null)
  })

  // Pixels of a row written one, two and four at once.
  test.each([2, 4])('tiles of %i', async (side) => {
    force(pixelVariants, `winograd ${side}`)
    for (
      const [x, w] of [[[2, 9, 5, 7], [17, 9, 3, 3]], [[1, 3, 7, 10], [6, 3, 3, 3]], [[1, 8, 6, 12], [20, 8, 3, 3]]]
    ) {
      await checkOp({
        call: (a, b, c) => conv2d(a, b, c, { padding: 1 }),
        reference: (a, b, c) => reference.conv2d(a, b, c, { padding: 1 }),
        args: [random(1, x), random(2, w, 0.3), random(3, [w[0]])],
        samples: 4,
      })
    }
  })
})

/** The oracle itself: every reference against PyTorch's numbers, or against numbers worked out by hand. */
import { describe, expect, test } from 'vitest'
import { Golden } from '../support/golden.ts'
import { cases, runCase, unusedGoldens } from './cases.ts'
import { gradientError, numericalGradient, sampleEntries } from './gradient.ts'
import { broadcast, nd, random, randomIntegers, randomMask, relativeError, scalar, strides, uniform } from './nd.ts'
import type { Nd } from './nd.ts'
import * as elementwise from './elementwise.ts'
import { attention, focus, linearAttention } from './attention.ts'
import { conv2d, depthwise } from './conv.ts'
import { linear, maskedMatmul, matmul } from './matmul.ts'
import { batchNormRunning, batchNormTrain, layerNorm } from './norm.ts'
import { adamStep, sgdStep } from './optim.ts'
import { avgPool, maxPool } from './pool.ts'
import { max, min, sum, variance } from './reduce.ts'
import { reference } from './references.ts'
import { concat, gather, pad, permute, reshape, roll, scatterAdd, slice } from './shape.ts'
import { crossEntropy, logSoftmax, softmax } from './softmax.ts'

/**
 * Every tensor of a golden file, uncounted: the ledger asks whether a kernel was compared with it, not whether the
 * oracle was.
 */
function golden(name: string): Map<string, Nd> {
  const file = new Golden(name, { counted: false })
  return new Map(file.names().map((key) => [key, nd(file.get(key).shape, file.get(key).data)]))
}

const ops = golden('ops')
const optim = golden('optim')

/**
 * The goldens are doubles rounded to float32, half a unit of which is 6e-8; nothing else separates them from the
 * references.
 */
const rounding = 1e-7

const close = (got: Nd, shape: number[], expected: number[], tolerance = 1e-12) => {
  expect(got.shape).toEqual(shape)
  expect(relativeError(got.data, expected)).toBeLessThan(tolerance)
}

describe('goldens of ops', () => {
  test('every golden has a case, and no case is without a golden', () => {
    const stored = new Set([...ops.keys()].filter((name) => name.endsWith('.out')).map((name) => name.slice(0, -4)))
    expect([...cases.map((c) => c.golden), ...unusedGoldens].sort()).toEqual([...stored].sort())
    for (const { golden: name, inputs } of cases) {
      const own = [...ops.keys()].filter((key) => key.startsWith(`${name}.in.`)).map((key) =>
        key.slice(name.length + 4)
      )
      expect(own.sort(), name).toEqual([...inputs].sort())
    }
  })

  test.each(cases.map((c) => [c.golden, c] as const))('%s', (name, one) => {
    const read = (key: string) => {
      const tensor = ops.get(`${name}.${key}`)
      return tensor && one.layout ? permute(tensor, { order: one.layout }) : tensor
    }
    const inputs = one.inputs.map((input) => read(`in.${input}`)!)
    const f = (...args: Nd[]) =>
      runCase(
        one,
        { ...one.constants, ...Object.fromEntries(one.inputs.map((input, i) => [input, args[i]])) },
        ({ reference: op, attributes }, parts) => reference(op, parts, attributes),
      )
    const out = f(...inputs), expected = read('out')!
    expect(out.shape).toEqual(expected.shape)
    expect(relativeError(out.data, expected.data)).toBeLessThan(rounding)
    let differentiable = 0
    one.inputs.forEach((input, which) => {
      const gradient = read(`grad.${input}`)
      if (!gradient) return
      differentiable++
      const sampled = numericalGradient(f, inputs, read('w')!, which, { samples: 100, seed: 7 })
      if (one.vanishing) {
        expect(Math.max(...gradient.data.map(Math.abs))).toBeLessThan(1e-15)
        expect(Math.max(...sampled.values.map(Math.abs))).toBeLessThan(1e-10)
      } else expect(gradientError(gradient.data, sampled), input).toBeLessThan(rounding)
    })
    expect(differentiable).toBe(name === 'batch_norm_eval' ? 3 : one.inputs.length)
  })
})

// Too small for differences, so here the formula stands in: dx_j = y_j (w_j - sum_i w_i y_i)
test('the vanishing gradient of softmax_large by its formula', () => {
  const y = softmax(ops.get('softmax_large.in.x')!), w = ops.get('softmax_large.w')!
  const dx = elementwise.mul(y, elementwise.sub(w, sum(elementwise.mul(w, y), { axes: [-1], keepdim: true })))
  expect(relativeError(dx.data, ops.get('softmax_large.grad.x')!.data)).toBeLessThan(rounding)
  expect(cases.filter((c) => c.vanishing).map((c) => c.golden)).toEqual(['softmax_large'])
})

describe('goldens of optim', () => {
  const zeros = (p: Nd) => nd(p.shape)
  const optimisers: Record<string, (i: number) => (gradient: Nd) => Nd> = Object.fromEntries([
    ...([['sgd_lr0.1', { rate: 0.1 }], ['sgd_lr0.1_m0.9_wd1e-2', { rate: 0.1, momentum: 0.9, decay: 1e-2 }], [
      'sgd_lr0.1_m0.9_nesterov',
      { rate: 0.1, momentum: 0.9, nesterov: true },
    ]] as const).map(([name, options]) => [name, (i: number) => {
      let state = { parameter: optim.get(`p${i}`)!, velocity: zeros(optim.get(`p${i}`)!) }
      return (gradient: Nd) => (state = sgdStep(state, gradient, options)).parameter
    }]),
    ...([['adam_lr1e-2', { rate: 1e-2 }], ['adamw_lr1e-2_wd5e-2', {
      rate: 1e-2,
      decay: 5e-2,
      decoupled: true,
    }]] as const).map(([name, options]) => [name, (i: number) => {
      const parameter = optim.get(`p${i}`)!
      let state = { parameter, first: zeros(parameter), second: zeros(parameter), steps: 0 }
      return (gradient: Nd) => (state = adamStep(state, gradient, options)).parameter
    }]),
  ])

  test.each(Object.keys(optimisers))('%s', (name) => {
    let compared = 0
    for (let i = 0; i < 3; i++) {
      const update = optimisers[name](i)
      for (let k = 0; k < 4; k++, compared++) {
        const expected = optim.get(`${name}.p${i}.step${k}`)!
        close(update(optim.get(`g${i}.step${k}`)!), expected.shape, [...expected.data], rounding)
      }
    }
    expect(compared).toBe(12)
  })

  test('covers every optimiser of the file', () => {
    const stored = new Set([...optim.keys()].flatMap((key) => key.match(/^(.+)\.p\d\.step\d$/)?.[1] ?? []))
    expect([...stored].sort()).toEqual(Object.keys(optimisers).sort())
  })

  test('Adam with coupled decay is Adam on gradient + decay p', () => {
    const parameter = random(1, [5]), gradient = random(2, [5])
    const state = { parameter, first: nd([5]), second: nd([5]), steps: 0 }
    const shifted = elementwise.add(gradient, elementwise.scale(parameter, { factor: 0.1 }))
    expect(adamStep(state, gradient, { rate: 0.01, decay: 0.1 })).toEqual(adamStep(state, shifted, { rate: 0.01 }))
  })
})

describe('arrays', () => {
  test('strides, broadcasting and its error', () => {
    expect(strides([2, 3, 4])).toEqual([12, 4, 1])
    close(broadcast(nd([2, 1], [1, 2]), [2, 2, 2]), [2, 2, 2], [1, 1, 2, 2, 1, 1, 2, 2])
    expect(() => elementwise.add(nd([2]), nd([3]))).toThrow('cannot broadcast [2] with [3]')
    expect(() => nd([2], [1])).toThrow('holds 2 values')
  })

  test('random values: seeded, float32, about standard normal', () => {
    const x = random(3, [20000])
    expect(random(3, [20000])).toEqual(x)
    expect(random(4, [5]).data).not.toEqual(random(3, [5]).data)
    expect(x.data.every((v) => v === Math.fround(v))).toBe(true)
    const mean = x.data.reduce((a, b) => a + b) / 20000, square = x.data.reduce((a, b) => a + b * b, 0) / 20000
    expect(Math.abs(mean)).toBeLessThan(0.03)
    expect(Math.abs(square - 1)).toBeLessThan(0.04)
    const u = uniform(3, [1000], -2, 3).data
    expect(Math.min(...u)).toBeGreaterThanOrEqual(-2)
    expect(Math.max(...u)).toBeLessThan(3)
    expect(new Set(randomIntegers(1, [200], 4).data)).toEqual(new Set([0, 1, 2, 3]))
    expect(new Set(randomMask(1, [200]).data)).toEqual(new Set([0, 1]))
  })

  test('the measure: relative to the largest, and never satisfied by NaN or a one-sided infinity', () => {
    expect(relativeError([1, 2.5], [1, 2])).toBe(0.25)
    expect(relativeError([0.5], [0])).toBe(0.5)
    expect(relativeError([NaN], [NaN])).toBe(Infinity)
    expect(relativeError([1], [Infinity])).toBe(Infinity)
    expect(relativeError([-Infinity, 1], [-Infinity, 1])).toBe(0)
    expect(gradientError([1, NaN], { entries: [0], values: Float64Array.of(1) })).toBe(Infinity)
    expect(gradientError([1, 4], { entries: [0], values: Float64Array.of(2) })).toBe(0.25)
  })

  test('central differences reach 1e-9 of known derivatives, and samples are a subset', () => {
    const x = uniform(5, [40], 0.2, 3), w = random(6, [40])
    const derivatives: [(x: Nd) => Nd, (v: number) => number][] = [
      [elementwise.exp, Math.exp],
      [elementwise.log, (v) => 1 / v],
      [elementwise.reciprocal, (v) => -1 / v ** 2],
      [elementwise.sin, Math.cos],
    ]
    for (const [f, derivative] of derivatives) {
      expect(gradientError(x.data.map((v, i) => w.data[i] * derivative(v)), numericalGradient(f, [x], w, 0)))
        .toBeLessThan(1e-9)
    }
    const some = numericalGradient(elementwise.exp, [x], w, 0, { samples: 7, seed: 2 })
    expect(some.entries).toHaveLength(7)
    expect([some.entries[0], some.entries[6]]).toEqual([0, 39])
    expect(sampleEntries(3, 100, 1)).toEqual([0, 1, 2])
  })
})

describe('by hand', () => {
  const x = nd([2, 3], [1, 2, 3, 4, 5, 6])

  test('elementwise without a golden', () => {
    const v = nd([3], [-2, 0.5, 3])
    close(elementwise.clamp(v, { low: -1, high: 2 }), [3], [-1, 0.5, 2])
    close(elementwise.neg(v), [3], [2, -0.5, -3])
    close(elementwise.square(v), [3], [4, 0.25, 9])
    close(elementwise.sin(v), [3], [-0.9092974268256817, 0.479425538604203, 0.1411200080598672])
    close(elementwise.cos(v), [3], [-0.4161468365471424, 0.8775825618903728, -0.9899924966004454])
    close(elementwise.minimum(v, scalar(1)), [3], [-2, 0.5, 1])
    close(elementwise.power(nd([2], [2, 4]), nd([2], [3, 0.5])), [2], [8, 2])
    close(elementwise.where(nd([2, 1], [1, 0]), v, scalar(9)), [2, 3], [-2, 0.5, 3, 9, 9, 9])
    const y = nd([3], [-2, 1, 2])
    const compared = {
      equal: [1, 0, 0],
      notEqual: [0, 1, 1],
      less: [0, 1, 0],
      lessEqual: [1, 1, 0],
      greater: [0, 0, 1],
      greaterEqual: [1, 0, 1],
    }
    for (const [name, expected] of Object.entries(compared)) close(reference(name as 'equal', [v, y]), [3], expected)
    // Abramowitz and Stegun, table 7.1, and symmetry; the tail rounds to one
    expect(elementwise.erfOf(0.5)).toBeCloseTo(0.5204998778130465, 14)
    expect(elementwise.erfOf(2)).toBeCloseTo(0.9953222650189527, 14)
    expect(elementwise.erfOf(-3.5)).toBeCloseTo(-0.9999992569016276, 14)
    expect(elementwise.erfOf(7)).toBe(1)
    expect(elementwise.softplus(nd([2], [800, -800])).data).toEqual(Float64Array.of(800, 0))
    expect(elementwise.sigmoid(nd([2], [800, -800])).data).toEqual(Float64Array.of(1, 0))
  })

  test('gate, dropout, drop-path', () => {
    close(elementwise.gate(x, nd([2], [0, 2]), { axes: [0] }), [2, 3], [0, 0, 0, 8, 10, 12])
    close(elementwise.gate(nd([1, 2, 2], [1, 2, 3, 4]), nd([2, 2], [1, 0, 0, 1]), { axes: [1, 2] }), [1, 2, 2], [
      1,
      0,
      0,
      4,
    ])
    close(elementwise.dropout(x, nd([2, 3], [1, 0, 1, 0, 1, 0]), { rate: 0.5 }), [2, 3], [2, 0, 6, 0, 10, 0])
    close(elementwise.dropPath(x, nd([2], [0, 1]), { rate: 0.75 }), [2, 3], [0, 0, 0, 16, 20, 24])
  })

  test('reductions', () => {
    close(sum(x), [], [21])
    close(sum(x, { axes: [-1] }), [2], [6, 15])
    close(max(x, { axes: [0], keepdim: true }), [1, 3], [4, 5, 6])
    close(min(nd([2, 3], [3, 1, 2, -4, 0, -5]), { axes: [1] }), [2], [1, -5])
    close(variance(x, { axes: [1] }), [2], [2 / 3, 2 / 3])
  })

  test('moving values', () => {
    close(reshape(x, { shape: [3, -1] }), [3, 2], [1, 2, 3, 4, 5, 6])
    close(permute(x, { order: [1, 0] }), [3, 2], [1, 4, 2, 5, 3, 6])
    close(pad(x, { before: [0, -1], after: [1, 1], value: 7 }), [3, 3], [2, 3, 7, 5, 6, 7, 7, 7, 7])
    close(roll(x, { shifts: [1], axes: [-1] }), [2, 3], [3, 1, 2, 6, 4, 5])
    close(slice(x, { start: [0, 0], end: [2, 3], step: [1, 2] }), [2, 2], [1, 3, 4, 6])
    close(concat([x, nd([2, 1], [8, 9])], { axis: -1 }), [2, 4], [1, 2, 3, 8, 4, 5, 6, 9])
    close(gather(x, nd([2], [2, 0]), { axis: 1 }), [2, 2], [3, 1, 6, 4])
  })

  test('scatter-add is the adjoint of gather, on every axis, with repeated indices', () => {
    close(scatterAdd(nd([3], [1, 2, 4]), nd([3], [1, 1, 3]), { axis: 0, size: 4 }), [4], [0, 3, 0, 4])
    for (const axis of [0, 1, 2]) {
      const source = random(1, [3, 4, 5]), indices = nd([2, 2], [0, 2, 2, 1])
      const taken = gather(source, indices, { axis }), updates = random(2, taken.shape)
      const back = scatterAdd(updates, indices, { axis, size: source.shape[axis] })
      expect(back.shape).toEqual(source.shape)
      close(sum(elementwise.mul(taken, updates)), [], [...sum(elementwise.mul(source, back)).data])
    }
  })

  test('matrix products: transposes, several axes, masks', () => {
    const a = random(1, [2, 3, 4])
    const b = random(2, [4, 5])
    const straight = matmul(a, b)
    const at = permute(a, { order: [0, 2, 1] }), bt = permute(b, { order: [1, 0] })
    expect(matmul(at, b, { transposeA: true })).toEqual(straight)
    expect(matmul(a, bt, { transposeB: true })).toEqual(straight)
    expect(matmul(at, bt, { transposeA: true, transposeB: true })).toEqual(straight)
    expect(() => matmul(a, bt)).toThrow('matmul: [2,3,4] times [5,4]')
    close(maskedMatmul(nd([1, 2], [1, 2]), nd([2, 2], [3, 4, 5, 6]), nd([2, 2], [1, 0, 0, 1])), [1, 2], [3, 12])
    close(maskedMatmul(nd([1, 2], [1, 2]), nd([2, 2], [3, 4, 5, 6]), nd([2, 2], [1, 1, 0, 1]), { transposeB: true }), [
      1,
      2,
    ], [11, 12])
    const w = random(3, [2, 3, 4])
    const flat = reshape(w, { shape: [6, 4] })
    const bias = random(4, [2, 3])
    expect(linear(a, w, bias).shape).toEqual([2, 3, 2, 3])
    expect(linear(a, w, bias).data).toEqual(linear(a, flat, reshape(bias, { shape: [6] })).data)
    const whole = reshape(a, { shape: [2, 12] }), out = random(5, [7, 3, 4])
    close(linear(a, out, null, { over: 2 }), [2, 7], [
      ...matmul(whole, reshape(out, { shape: [7, 12] }), { transposeB: true }).data,
    ])
  })

  test('depthwise is a convolution in as many groups as channels; pairs are vertical, horizontal', () => {
    const image = random(1, [2, 3, 6, 7])
    const w = random(2, [3, 1, 3, 2])
    const b = random(3, [3])
    const options = { stride: [2, 1], padding: [1, 0], dilation: [1, 2] } satisfies Parameters<typeof depthwise>[3]
    const expected = conv2d(image, w, b, { ...options, groups: 3 })
    expect(depthwise(image, w, b, options)).toEqual(expected)
    expect(depthwise(image, reshape(w, { shape: [3, 3, 2] }), b, options)).toEqual(expected)
    expect(expected.shape).toEqual([2, 3, 3, 5])
    close(
      conv2d(nd([1, 1, 2, 3], [1, 2, 3, 4, 5, 6]), nd([1, 1, 1, 2], [1, 10]), null, {
        stride: [1, 2],
        padding: [0, 1],
      }),
      [1, 1, 2, 2],
      [10, 32, 40, 65],
    )
  })

  test('pooling with unequal windows', () => {
    const image = nd([1, 1, 2, 4], [1, 2, 3, 4, 5, 6, 7, -8])
    close(maxPool(image, { kernel: [2, 3], stride: 1 }), [1, 1, 1, 2], [7, 7])
    close(avgPool(image, { kernel: [1, 2], padding: [0, 1] }), [1, 1, 2, 3], [0.5, 2.5, 2, 2.5, 6.5, -4])
    close(maxPool(nd([1, 1, 1, 1], [-3]), { kernel: 3, padding: 1 }), [1, 1, 1, 1], [-3])
  })

  test('softmax and cross-entropy: large logits, soft labels', () => {
    close(softmax(nd([1, 3], [1000, 1000, -1000])), [1, 3], [0.5, 0.5, 0])
    close(logSoftmax(nd([1, 2], [0, 1000])), [1, 2], [-1000, 0])
    const logits = random(1, [4, 5], 2), labels = nd([4], [4, 0, 2, 2])
    const soft = nd([4, 5], Array.from({ length: 20 }, (_, i) => labels.data[Math.floor(i / 5)] === i % 5 ? 1 : 0))
    for (const smoothing of [0, 0.2]) {
      expect(crossEntropy(logits, soft, { smoothing })).toEqual(crossEntropy(logits, labels, { smoothing }))
    }
    close(crossEntropy(nd([1, 2], [0, Math.log(3)]), nd([1, 2], [0.25, 0.75])), [], [
      0.25 * Math.log(4) + 0.75 * Math.log(4 / 3),
    ])
  })

  test('attention: bias, mask, groups of windows', () => {
    const [B, N, M, H] = [4, 3, 5, 2]
    const q = random(1, [B, N, H, 6])
    const k = random(2, [B, M, H, 6])
    const v = random(3, [B, M, H, 4])
    const heads = (x: Nd) => permute(x, { order: [0, 2, 1, 3] })
    const open = (bias: Nd) =>
      heads(matmul(
        softmax(elementwise.add(
          elementwise.scale(matmul(heads(q), heads(k), { transposeB: true }), { factor: 6 ** -0.5 }),
          bias,
        )),
        heads(v),
      ))
    const bias = random(4, [H, N, M])
    expect(relativeError(attention(q, k, v, bias).data, open(bias).data)).toBeLessThan(1e-13)
    const grouped = random(5, [2, H, N, M])
    expect(relativeError(attention(q, k, v, grouped).data, open(concat([grouped, grouped], { axis: 0 })).data))
      .toBeLessThan(1e-13)
    const mask = randomMask(6, [N, M], 0.6)
    mask.data[0] = mask.data[5] = mask.data[10] = 1
    const penalty = nd([N, M], mask.data.map((keep) => keep ? 0 : -1e9))
    expect(relativeError(attention(q, k, v, null, mask).data, open(penalty).data)).toBeLessThan(1e-13)
    const perWindow = concat([
      reshape(mask, { shape: [1, 1, N, M] }),
      nd([1, 1, N, M], new Float64Array(N * M).fill(1)),
    ], { axis: 0 })
    const penalties = nd([2, 1, N, M], perWindow.data.map((keep) => keep ? 0 : -1e9))
    expect(
      relativeError(attention(q, k, v, null, perWindow).data, open(concat([penalties, penalties], { axis: 0 })).data),
    ).toBeLessThan(1e-13)
    expect(attention(q, k, v, null, nd([N, M])).data.every((value) => value === 0)).toBe(true)
  })

  // Worked example of the FLatten core (arXiv 2308.00442), six decimals
  test('focused linear attention', () => {
    close(focus(nd([2], [3, 4])), [2], [1.943503, 4.606821], 1e-6)
    const mapped = (values: number[]) =>
      focus(
        reshape(
          elementwise.div(
            elementwise.add(elementwise.relu(nd([4, 4], values)), scalar(1e-6)),
            elementwise.softplus(scalar(0)),
          ),
          { shape: [1, 4, 2, 2] },
        ),
        { over: 2 },
      )
    const q = mapped([1, -1, 0.5, 2, 0.2, 0.4, 1, 0, 2, 1, -0.5, 0.3, 0.5, 0.5, 0.5, 0.5])
    const k = mapped([0.5, 1, 0, 1, 1, 0.2, 0.3, -1, -0.5, 1.5, 1, 0.2, 0.3, 0.3, 2, 0.6])
    const v = nd([1, 4, 2, 2], [1, 0, 2, -1, 0, 1, 1, 1, 2, 1, 0, 0.5, -1, 0.5, 1, 0])
    close(q, [1, 4, 2, 2], [
      0.409964,
      0,
      0.051246,
      3.279711,
      0.012617,
      0.100936,
      1.577118,
      0,
      3.229718,
      0.403715,
      0,
      0.0109,
      0.721349,
      0.721349,
      0.721349,
      0.721349,
    ], 1e-6)
    close(linearAttention(q, k, v), [1, 4, 2, 2], [
      0.103905,
      0.887117,
      1.900353,
      -0.905215,
      1.534028,
      0.636303,
      0.807289,
      0.107085,
      0.444755,
      0.827344,
      1.940755,
      -0.942825,
      1.159286,
      0.702032,
      1.141644,
      -0.202566,
    ], 1e-6)
    // (q (k^T v)) / (q · sum k + eps), the product in the other order
    const wide = [uniform(1, [2, 7, 3, 4]), uniform(2, [2, 5, 3, 4]), random(3, [2, 5, 3, 6])]
    const [hq, hk, hv] = wide.map((x) => permute(x, { order: [0, 2, 1, 3] }))
    const above = matmul(hq, matmul(hk, hv, { transposeA: true }))
    const below = elementwise.add(matmul(hq, sum(hk, { axes: [2], keepdim: true }), { transposeB: true }), scalar(0.5))
    const expected = permute(elementwise.div(above, below), { order: [0, 2, 1, 3] })
    close(linearAttention(wide[0], wide[1], wide[2], { eps: 0.5 }), [2, 7, 3, 6], [...expected.data])
  })

  test('norms: several trailing axes, running statistics', () => {
    const tall = random(1, [3, 2, 2, 4])
    const gain = random(2, [2, 2, 4])
    const bias = random(3, [2, 2, 4])
    const flat = (y: Nd, shape: number[]) => reshape(y, { shape })
    expect(layerNorm(tall, gain, bias).data).toEqual(
      layerNorm(flat(tall, [3, 16]), flat(gain, [16]), flat(bias, [16])).data,
    )
    // channel 0 holds 1, 3 and channel 1 holds 0, 4: means 2, 2; unbiased variances 2, 8
    const images = nd([2, 2, 1, 1], [1, 0, 3, 4])
    const { mean, variance: spread } = batchNormRunning(images, nd([2], [0, 1]), nd([2], [1, 1]), { momentum: 0.1 })
    close(mean, [2], [0.2, 1.1])
    close(spread, [2], [1.1, 1.7])
    close(batchNormTrain(images, nd([2], [1, 2]), nd([2], [0, 1]), { eps: 0 }), [2, 2, 1, 1], [-1, -1, 1, 3])
  })
})

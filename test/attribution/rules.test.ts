// Every rule against its formula in matrix form, on the worked vectors of the literature notes and on random layers.
import { expect, test } from 'vitest'
import { rulesFor, type LrpRule, on } from '../../src/attribution/composite.ts'
import { Network } from '../../src/attribution/network.ts'
import { alphaBeta, detached, epsilon, flat, gamma, identity, norm, share, softmaxZPlus, stop, uniform, vjp, wSquare,
  zBox, zPlus } from '../../src/attribution/rules.ts'
import { structure } from '../../src/attribution/composites.ts'
import { rescaleKernels } from '../../src/attribution/rescale.ts'
import { wgsl } from '../../src/gpu/wgsl.generated.ts'
import { conv2d } from '../../src/ops/conv2d/conv2d.ts'
import { depthwise } from '../../src/ops/conv2d/depthwise.ts'
import { add, gelu, mul, overOrZero, relu, tanh } from '../../src/ops/elementwise.ts'
import { layerNorm } from '../../src/ops/layernorm.ts'
import { linearAttention } from '../../src/ops/attention/linear-attention.ts'
import { linear, maskedLinear } from '../../src/ops/matmul/linear.ts'
import { matmul } from '../../src/ops/matmul/matmul.ts'
import { avgPool } from '../../src/ops/pool.ts'
import { reshape } from '../../src/ops/reshape.ts'
import { softmax } from '../../src/ops/softmax.ts'
import { pullback, record } from '../../src/core/tape.ts'
import { type Tensor, tensor, tensor as t } from '../../src/core/tensor.ts'
import { scope } from '../../src/core/transform.ts'
import { describeDevice } from '../support/device.ts'
import { checkRaces, toTensor } from '../support/check-op.ts'
import * as lrp from '../reference/lrp.ts'
import { nd, type Nd, random, relativeError } from '../reference/nd.ts'

const rounded = (seed: number, shape: number[]) => nd(shape, Float64Array.from(random(seed, shape).data, Math.fround))

/**
 * Relevance of every input of `f` under one rule, given the relevance of its output (or seeded with the coefficient).
 */
async function relevance(
  f: (...inputs: Tensor[]) => Tensor,
  rule: LrpRule,
  inputs: Tensor[],
  R: number[] | Float64Array,
  wanted = inputs.slice(0, 1),
): Promise<number[][]> {
  const results = scope(() => {
    const { result, calls } = record(() => f(...inputs), wanted)
    const seed = overOrZero(tensor(Float32Array.from(R), result.shape), result)
    const ruleFor = () => rule
    const found = pullback(calls, [[result, seed]], { ruleFor, wanted })
    return wanted.map((input) => rule.firstLayerOnly ? found.get(input)! : mul(input, found.get(input)!))
  })
  return Promise.all(results.map(async (result) => [...await result.data()]))
}

const close = (got: number[], want: number[], digits = 5) => {
  expect(got.length).toBe(want.length)
  got.forEach((value, i) => {
    expect(value, `entry ${i}`).toBeCloseTo(want[i], digits)
  })
}

describeDevice('worked vectors', () => {
  const layer = () => [t([[1, -2, 3]]), t([[0.5, 1, -1], [2, -1, 0.5]]), t([0.5, -1])]
  const rows: [string, LrpRule, number[]][] = [
    ['epsilon 1e-6', epsilon(1e-6), [0.763889, 1.388889, 1.416666]],
    ['epsilon 0.25', epsilon(0.25), [0.724458, 1.312694, 1.337461]],
    ['z-plus', zPlus(), [1.227272, 0.727273, 0.545454]],
    ['alpha 1 beta 0', alphaBeta(1, 0), [1.227272, 0.727273, 0.545454]],
    ['alpha 2 beta 1', alphaBeta(2, 1), [2.454544, 1.054545, 0.490909]],
    ['gamma 0.25', gamma(0.25), [0.755826, 1.327254, 1.352583]],
    ['gamma 0.05', gamma(0.05), [0.761934, 1.373699, 1.400862]],
    ['flat', flat(), [1, 1, 1]],
    ['w-square', wSquare(), [1.38, 0.72, 0.48]],
    ['z-box', zBox({ low: -3, high: 4 }), [1.441176, 0.955882, 0.602941]],
  ]
  for (const [name, rule, want] of rows) {
    test(name, async () => {
      const [x, w, b] = layer()
      const [got] = await relevance((input) => linear(input, w, b), rule, [x], [1, 2])
      close(got, want)
    })
  }

  test('the beta part alone: 2 z-plus minus alpha 2 beta 1', async () => {
    const [x, w, b] = layer(), f = (input: Tensor) => linear(input, w, b)
    const [[positive], [both]] = [
      await relevance(f, zPlus(), [x], [1, 2]),
      await relevance(f, alphaBeta(2, 1), [x], [1, 2]),
    ]
    close(positive.map((value, i) => 2 * value - both[i]), [0, 0.4, 0.6])
  })

  test('softmax', async () => {
    const logits = () => [t([[2, 1, 0]])]
    const R = [0.6, 0.3, 0.1]
    close((await relevance((x) => softmax(x), vjp, logits(), R))[0], [-0.130482, 0.055272, 0])
    close((await relevance((x) => softmax(x), softmaxZPlus(), logits(), R))[0], [0.599999, 0.299998, 0])
    close((await relevance((x) => softmax(x), softmaxZPlus({ virtualBias: true }), logits(), R))[0], [
      0.322729,
      0.097225,
      0,
    ])
  })

  test('product of two activations', async () => {
    const inputs = () => [t([[0.75, 0.25], [0.4, 0.6]]), t([[1, 2], [3, -1]])]
    const R = [1, 0.5, 0.2, 0.3], both = inputs()
    const [a, v] = await relevance((x, y) => matmul(x, y), uniform, both, R, both)
    close(a, [0.55, 0.2, 0.618181, -0.368182])
    close(v, [0.268182, 0.9, 0.331818, -0.5])
    const cp = inputs()
    const [alone] = await relevance((x, y) => matmul(x, y), uniform, cp, R, [cp[1]])
    close(alone, [0.536363, 1.8, 0.663636, -1])
  })

  test('linear attention with a constant normaliser: a quarter each to queries and keys, half to values', async () => {
    const positive = (seed: number, shape: number[]) =>
      nd(shape, random(seed, shape).data.map((value) => Math.fround(value ** 2 + 0.1)))
    const inputs = [positive(31, [2, 5, 2, 3]), positive(32, [2, 7, 2, 3]), rounded(33, [2, 7, 2, 4])]
    const R = random(34, [2, 5, 2, 4]).data, all = R.reduce((a, b) => a + b, 0)
    const tensors = inputs.map((input) => toTensor(input))
    const rule = structure().find(({ ops }) => ops.includes('linear-attention'))!.rule
    const parts = await relevance((q, k, v) => linearAttention(q, k, v), rule, tensors, R, tensors)
    parts.map((part) => part.reduce((a, b) => a + b, 0)).forEach((sum, i) => {
      expect(sum).toBeCloseTo(all * [0.25, 0.25, 0.5][i], 4)
    })
    // In matrix form: R_v[m] = half of what query n passes on, by the share of key m in its output.
    const at = ({ shape: [, n, h, d], data }: Nd, b: number, i: number, head: number, c: number) =>
      data[((b * n + i) * h + head) * d + c]
    const want = new Float64Array(inputs[2].data.length)
    for (let b = 0; b < 2; b++) {
      for (let h = 0; h < 2; h++) {
        for (let n = 0; n < 5; n++) {
          const kernel = Array.from(
            { length: 7 },
            (_, m) => [0, 1, 2].reduce((sum, c) => sum + at(inputs[0], b, n, h, c) * at(inputs[1], b, m, h, c), 0),
          )
          for (let e = 0; e < 4; e++) {
            const total = kernel.reduce((sum, weight, m) => sum + weight * at(inputs[2], b, m, h, e), 0),
              r = R[((b * 5 + n) * 2 + h) * 4 + e]
            kernel.forEach((weight, m) => {
              want[((b * 7 + m) * 2 + h) * 4 + e] += 0.5 * r * weight * at(inputs[2], b, m, h, e) / total
            })
          }
        }
      }
    }
    expect(relativeError(parts[2], want)).toBeLessThan(1e-4)
  })

  test('layer norm', async () => {
    const f = (x: Tensor) => layerNorm(x, t([1, 0.5, 2]), t([0.1, 0, -0.2]), { eps: 1e-5 })
    const [got] = await relevance(f, detached(epsilon()), [t([[1, 2, 4]])], [0.5, 0.3, 0.2])
    close(got, [-0.019036, -1.010663, 2.097471])
  })

  test('residual', async () => {
    const both = [t([1, -2]), t([3, 1])]
    const [a, b] = await relevance((x, y) => add(x, y), vjp, both, [0.8, 0.2], both)
    close(a, [0.2, 0.4])
    close(b, [0.6, -0.2])
    const again = await relevance((x, y) => add(x, y), epsilon(), both, [0.8, 0.2], both)
    close(again[0], [0.2, 0.4])
  })

  test('chain of linear, gelu, linear', async () => {
    const [w1, b1] = [t([[1, 0.5], [-0.5, 1], [2, 1]]), t([0.5, 0.25, -0.5])],
      [w2, b2] = [t([[1, -1, 0.5], [0.3, 0.2, -0.4]]), t([0.1, 0])]
    for (
      const [seed, hidden, input] of [
        [[1, 0], [0.841345, 0.132062, 0.172866], [1.585632, -0.660754]],
        [[1 / 1.246273, 0], [0.675089, 0.105966, 0.138706], [1.2723, -0.530184]],
      ]
    ) {
      const results = scope(() => {
        const x = t([[1, -1]])
        let activation!: Tensor
        const { result, calls } = record(() => linear(activation = gelu(linear(x, w1, b1)), w2, b2), [x])
        const rule = rulesFor([on('linear', epsilon(1e-9)), on('gelu', identity())], new Network(calls, [x]))
        const found = pullback(calls, [[result, tensor(Float32Array.from(seed), [1, 2])]], {
          ruleFor: rule,
          wanted: [x, activation],
        })
        return [mul(activation, found.get(activation)!), mul(x, found.get(x)!)]
      })
      close([...await results[0].data()], hidden)
      close([...await results[1].data()], input)
    }
  })
})

const eps = 1e-6
const rules: [string, LrpRule, lrp.MatrixRule, number?][] = [
  ['epsilon', epsilon(eps), lrp.epsilon(eps)],
  ['epsilon 0.3', epsilon(0.3), lrp.epsilon(0.3)],
  ['z-plus', zPlus(), lrp.zPlus(eps)],
  ['alpha 2 beta 1', alphaBeta(2, 1), lrp.alphaBeta(2, 1, eps)],
  ['alpha 3 beta 2', alphaBeta(3, 2), lrp.alphaBeta(3, 2, eps)],
  ['gamma 0.25', gamma(), lrp.gamma(0.25, eps)],
  ['gamma 100', gamma(100), lrp.gamma(100, eps)],
  ['w-square', wSquare(), lrp.wSquare(eps)],
]

/** Values of a random array in f32, with about a third set to zero. */
function sparse(seed: number, shape: number[]): Nd {
  const values = random(seed, shape), holes = random(seed + 1000, shape)
  return nd(shape, Float64Array.from(values.data, (value, i) => holes.data[i] > 0.4 ? 0 : Math.fround(value)))
}

describeDevice('random layers against the matrix form', () => {
  const linears: [string, (seed: number, shape: number[]) => Nd, boolean][] = [
    ['linear', rounded, true],
    ['linear without bias', rounded, false],
    ['linear with zeros in its input', sparse, true],
  ]
  for (const [name, values, biased] of linears) {
    test(name, async () => {
      const x = values(1, [5, 17])
      const w = rounded(2, [9, 17])
      const b = rounded(3, [9])
      await againstMatrix(
        x,
        17,
        () => ({ W: rowsOf(w.data, 17), b: biased ? [...b.data] : new Array<number>(9).fill(0) }),
        (input) => linear(input, toTensor(w), biased ? toTensor(b) : null),
        () => () => true,
      )
    })
  }

  const convs = [
    { channels: 3, outputs: 4, size: 3, image: [6, 7], attrs: { padding: 1 } },
    { channels: 4, outputs: 6, size: 3, image: [7, 7], attrs: { stride: 2, padding: 1, groups: 2 } },
    { channels: 2, outputs: 4, size: 2, image: [6, 6], attrs: { stride: 2 } },
    { channels: 2, outputs: 2, size: 3, image: [7, 8], attrs: { dilation: 2, padding: 2 } },
  ]
  for (const { channels, outputs, size, image: [H, W], attrs } of convs) {
    test(`conv2d ${JSON.stringify(attrs)}`, async () => {
      const groups = 'groups' in attrs ? attrs.groups! : 1
      const x = sparse(4, [2, channels, H, W])
      const w = rounded(5, [outputs, channels / groups, size, size])
      const b = rounded(6, [outputs])
      const dense = lrp.convolution([channels, H, W], w, b.data, attrs)
      const f = (input: Tensor) => conv2d(input, toTensor(w), toTensor(b), attrs)
      await againstMatrix(x, channels * H * W, () => dense, f, () => (o, i) => dense.taps[o][i], H * W)
    })
  }

  for (const attrs of [{ padding: 1 }, { stride: 2, padding: 1 }, { padding: 2, dilation: 2 }]) {
    test(`depthwise ${JSON.stringify(attrs)}`, async () => {
      const x = sparse(7, [2, 5, 6, 6])
      const w = rounded(8, [5, 1, 3, 3])
      const b = rounded(9, [5])
      const dense = lrp.convolution([5, 6, 6], w, b.data, { ...attrs, groups: 5 })
      const f = (input: Tensor) => depthwise(input, toTensor(w), toTensor(b), attrs)
      await againstMatrix(x, 180, () => dense, f, () => (o, i) => dense.taps[o][i], 36)
    })
  }

  test('linear with a mask on its weight', async () => {
    const x = sparse(41, [5, 17])
    const w = rounded(42, [9, 17])
    const b = rounded(43, [9])
    const mask = nd([9, 17], sparse(44, [9, 17]).data.map((value) => Number(value !== 0)))
    await againstMatrix(
      x,
      17,
      () => ({ W: rowsOf(w.data.map((value, i) => value * mask.data[i]), 17), b: [...b.data] }),
      (input) => maskedLinear(input, toTensor(w), toTensor(mask), toTensor(b)),
      () => (o, i) => mask.data[o * 17 + i] !== 0,
    )
  })

  test('softmax z-plus, with masked logits', async () => {
    const x = rounded(11, [4, 7]), R = random(12, [4, 7])
    x.data[3] = -100
    for (const virtualBias of [false, true]) {
      const [got] = await relevance((input) => softmax(input), softmaxZPlus({ virtualBias }), [toTensor(x)], R.data)
      const want = rowsOf(x.data, 7).flatMap((row, i) =>
        lrp.softmaxZPlus(row, [...R.data.subarray(7 * i, 7 * i + 7)], virtualBias, eps)
      )
      // probabilities of e-5 beside a stabiliser of 1e-6
      expect(relativeError(got, want), String(virtualBias)).toBeLessThan(1e-4)
    }
    x.data[3] = -Infinity
    const [got] = await relevance((input) => softmax(input), softmaxZPlus(), [toTensor(x)], R.data)
    expect(got[3]).toBeNaN() // -infinity times a coefficient of zero: the read-out, not the rule
    expect(got.filter((_, i) => i !== 3).every(Number.isFinite)).toBe(true)
  })

  test('epsilon 0 without biases is gradient x input: convolution, depthwise, linear', async () => {
    const w1 = toTensor(rounded(13, [8, 3, 3, 3]))
    const w2 = toTensor(rounded(14, [8, 1, 3, 3]))
    const w3 = toTensor(rounded(15, [3, 72]))
    const x = toTensor(rounded(16, [4, 6, 5, 6])), seed = toTensor(rounded(17, [4, 3]))
    const [byRule, byGradient] = scope(() => {
      const { result, calls } = record(() => {
        const below = relu(conv2d(x, w1, null, { stride: 2, padding: 1, groups: 2 }))
        return linear(reshape(relu(depthwise(below, w2, null, { padding: 1 })), { shape: [4, 72] }), w3, null)
      }, [x])
      const walk = (rule: LrpRule) =>
        pullback(calls, [[result, seed]], { ruleFor: (call) => call.op.weight !== null ? rule : vjp, wanted: [x] })
          .get(x)!
      return [mul(x, walk(epsilon(0))), mul(x, walk(vjp))]
    })
    expect(relativeError(await byRule.data(), await byGradient.data())).toBeLessThan(1e-5)
  })

  test('without biases every rule hands on all the relevance', async () => {
    const x = toTensor(rounded(51, [5, 17]))
    const w = toTensor(rounded(52, [9, 17]))
    const R = random(53, [5, 9]).data
    const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0)
    for (
      const [name, rule] of [...rules, ['flat', flat()], ['z-box', zBox({ low: -3, high: 3.5 })]] as [string, LrpRule][]
    ) {
      if (name === 'epsilon 0.3') continue // so large a stabiliser takes its part
      const [got] = await relevance((input) => linear(input, w, null), rule, [x], R)
      expect(Math.abs(sum(got) - sum(R)) / sum(R.map(Math.abs)), name).toBeLessThan(1e-4)
    }
  })

  test('means and average pools by the norm rule; products of two, and of one with a constant', async () => {
    const x = rounded(54, [2, 3, 4, 4]), R = random(55, [2, 3, 2, 2])
    const [pooled] = await relevance(
      (input) => avgPool(input, { size: 2, stride: 2 }),
      norm(eps),
      [toTensor(x)],
      R.data,
    )
    const window = (at: number) => (Math.floor(at / 16) * 2 + Math.floor(at % 16 / 8)) * 2 + Math.floor(at % 4 / 2)
    const means = new Float64Array(R.data.length)
    x.data.forEach((value, at) => {
      means[window(at)] += value / 4
    })
    const want = x.data.map((value, at) =>
      value / 4 * R.data[window(at)] / (means[window(at)] + Math.sign(means[window(at)]) * eps)
    )
    expect(relativeError(pooled, want)).toBeLessThan(1e-4)
    const factors = [toTensor(x), toTensor(rounded(56, [2, 3, 4, 4]))], all = random(57, [2, 3, 4, 4]).data
    const parts = await relevance((a, b) => mul(a, b), uniform, factors, all, factors)
    for (const part of parts) expect(relativeError(part, all.map((value) => value / 2))).toBeLessThan(1e-5)
    const [alone] = await relevance((a) => mul(a, factors[1]), uniform, factors, all)
    expect(relativeError(alone, all)).toBeLessThan(1e-5)
  })

  test('identity without a closed form, shares and stops', async () => {
    const x = rounded(17, [3, 5]), R = random(18, [3, 5])
    const [got] = await relevance((input) => tanh(input), identity(), [toTensor(x)], R.data)
    expect(relativeError(got, R.data)).toBeLessThan(1e-5)
    const both = [toTensor(x), toTensor(rounded(19, [3, 5]))]
    const [a, b] = await relevance((p, q) => mul(p, q), share(0.25, 0.75), both, R.data, both)
    expect(relativeError(a, R.data.map((value) => value / 4))).toBeLessThan(1e-5)
    expect(relativeError(b, R.data.map((value) => value * 3 / 4))).toBeLessThan(1e-5)
    scope(() => {
      const { result, calls } = record(() => mul(both[0], both[1]), both)
      expect(pullback(calls, [[result, both[0]]], { ruleFor: () => stop, wanted: both }).size).toBe(0)
    })
  })

  test('kernels race nowhere', () => {
    const x = toTensor(rounded(20, [2, 5])), w = toTensor(rounded(21, [3, 5]))
    const elsewhere = 'its own test runs the detector'
    checkRaces(() => {
      for (const rule of [epsilon(), gamma(), zPlus(), alphaBeta()]) {
        const { result, calls } = record(() => linear(x, w, null), [x])
        pullback(calls, [[result, result]], { ruleFor: () => rule, wanted: [x] })
      }
    }, {
      falseAlarms: Object.fromEntries(
        Object.keys(wgsl).filter((file) => file !== 'rescale.wgsl').map((file) => [file, elsewhere]),
      ),
    })
    expect(rescaleKernels).toHaveLength(6)
  })
})

const rowsOf = (data: ArrayLike<number>, width: number): number[][] =>
  Array.from({ length: data.length / width }, (_, i) => Array.from(data).slice(i * width, (i + 1) * width))

/** Compares every rule on one layer; z-box takes bounds that change with the channel of `area` pixels. */
async function againstMatrix(
  x: Nd,
  width: number,
  matrix: () => lrp.Dense,
  f: (x: Tensor) => Tensor,
  taps: () => (o: number, i: number) => boolean,
  area = 0,
) {
  const dense = matrix(), inputs = rowsOf(x.data, width)
  const R = random(99, [inputs.length * dense.W.length])
  const channels = area ? width / area : 0
  const low = Array.from({ length: channels }, (_, c) => -3 - c / 2),
    high = Array.from({ length: channels }, (_, c) => 3.5 + c / 4)
  const cases: typeof rules = [
    ...rules,
    ['flat', flat(), lrp.flat(eps, taps())],
    area
      ? [
        'z-box',
        zBox({ low, high }),
        lrp.zBox((i) => low[Math.floor(i / area)], (i) => high[Math.floor(i / area)], eps),
      ]
      : ['z-box', zBox({ low: -3, high: 3.5 }), lrp.zBox(() => -3, () => 3.5, eps)],
  ]
  for (const [name, rule, reference] of cases) {
    const [got] = await relevance(f, rule, [toTensor(x)], R.data)
    const want = inputs.flatMap((row, k) =>
      reference(dense, row, [...R.data.subarray(k * dense.W.length, (k + 1) * dense.W.length)])
    )
    // A denominator near zero magnifies the rounding of its sum in f32, most where negative contributions have one of
    // their own.
    expect(relativeError(got, want), name).toBeLessThan(name.startsWith('alpha') ? 1e-3 : 1e-4)
  }
}

// Every worked example of the method and of focused linear attention, and gradients against central differences.
import { expect, test } from 'vitest'
import { type Tensor, tensor } from '../../../../src/core/tensor.ts'
import { valueAndGrad } from '../../../../src/core/transform.ts'
import { disposeTree } from '../../../../src/core/tree.ts'
import { FocusedAttention } from '../../../../src/nn/index.ts'
import { focus } from '../../../../src/ops/attention/focused.ts'
import { sum } from '../../../../src/ops/reduce.ts'
import { mul } from '../../../../src/ops/elementwise.ts'
import { record } from '../../../../src/core/tape.ts'
import { costAt, type CostPolynomial, goneShare } from '../../../../src/pruning/learning/cost.ts'
import { optionReader } from '../../../../src/pruning/learning/settings.ts'
import { constraintLoss } from '../../../../src/pruning/learning/dual.ts'
import { attentionDifference, importanceOf } from '../../../../src/pruning/methods/apma/difference.ts'
import { Indicators } from '../../../../src/pruning/methods/apma/indicators.ts'
import { settingsOf } from '../../../../src/pruning/methods/apma/settings.ts'
import { EqualShares, equalShares, unevenness, widthsOf } from '../../../../src/pruning/methods/apma/shares.ts'
import { channelProducts, runningAverage, similarityWeights } from '../../../../src/pruning/methods/apma/similarity.ts'
import { rankedScores } from '../../../../src/pruning/methods/apma/start.ts'
import type { Unit } from '../../../../src/pruning/units/units.ts'
import { random } from '../../../reference/nd.ts'
import { describeDevice } from '../../../support/device.ts'

const near = (found: ArrayLike<number>, expected: readonly number[], digits = 5) => {
  expect(found).toHaveLength(expected.length)
  expected.forEach((value, i) => {
    expect(found[i], `entry ${i}`).toBeCloseTo(value, digits)
  })
}
const rows = (...all: number[][]) => Float32Array.from(all.flat())
const unit = (name: string, kind: string, shape: number[]): Unit => ({
  name,
  kind,
  shape,
  size: shape.reduce((a, b) => a * b),
  outer: null,
  gates: [],
  scattered: [],
  members: [],
  exact: true,
  prunable: true,
  branchLocal: false,
  step: null,
})

test('score adjustment: counts 3 and 1 become 2 and 2', () => {
  const t = rows([0.9, 0.7, 0.6, 0.3], [0.8, 0.4, 0.3, 0.2])
  const { count, thresholds, scores, keep } = equalShares(t, 2, 4, widthsOf(4, 1, 1))
  expect(count).toBe(2)
  near(thresholds, [0.65, 0.35])
  near(scores, [0.75, 0.55, 0.45, 0.15, 0.95, 0.55, 0.45, 0.35])
  expect([...keep]).toEqual([1, 1, 0, 0, 1, 1, 0, 0])
  // never none; all where all are above; the first of equal ones; widths that are allowed
  expect(equalShares(rows([0, 0.1], [0.1, 0]), 2, 2, widthsOf(2, 1, 1)).keep).toEqual(Uint8Array.of(0, 1, 1, 0))
  const whole = equalShares(rows([0.9, 0.7]), 1, 2, widthsOf(2, 1, 1))
  near(whole.scores, [1.2, 1])
  expect([...equalShares(rows([0.6, 0.6, 0.6, 0.1]), 1, 4, [2, 4]).keep]).toEqual([1, 1, 1, 1])
  expect([...equalShares(rows([0.6, 0.6, 0.1, 0.1]), 1, 4, [2, 4]).keep]).toEqual([1, 1, 0, 0])
  expect(widthsOf(10, 4, 1)).toEqual([4, 8, 10])
  expect(widthsOf(10, 4, 5)).toEqual([8, 10])
  expect(widthsOf(3, 4, 1)).toEqual([3])
})

test('without adjustment heads end with different counts: where most, and what evening them out decides', () => {
  const units = [unit('a', 'values', [2, 4]), unit('b', 'query-key', [3, 2]), unit('c', 'neurons', [5])]
  const flags = (name: string, ...keep: number[]) => [name, Uint8Array.from(keep)] as const
  const uneven = new Map([
    flags('a', 1, 1, 1, 0, 1, 0, 0, 0), // 3 and 1: one goes, one comes back
    flags('b', 1, 1, 1, 0, 1, 1), // 2, 1, 2: the mean is 5/3, so one comes back
    flags('c', 1, 0, 0, 0, 0),
  ])
  expect(unevenness(units, uneven)).toEqual({ unit: 'a', least: 1, most: 3, dim: 4, moved: 3 / 14 })
  const even = new Map([flags('a', 1, 0, 0, 0, 0, 0, 0, 1), flags('b', 1, 1, 1, 1, 1, 1), flags('c', 0, 0, 0, 0, 1)])
  expect(unevenness(units, even)).toBeNull()
})

test('similarity weights from products of channels', () => {
  const products = [2, 4, 1, 4, 8, 2, 1, 2, 2]
  near(similarityWeights([products], 1, 3), [0.75, 0.75, 1.5])
  // of two activations the mean of |cos|: with an identity, half as alike
  near(similarityWeights([products, [1, 0, 0, 0, 1, 0, 0, 0, 1]], 1, 3), [
    0.625 / (2 / 3),
    0.625 / (2 / 3),
    0.75 / (2 / 3),
  ])
  near(similarityWeights([[1, 0, 0, 0]], 1, 2), [1, 1])
  near(similarityWeights([[4]], 1, 1), [1])
  near(runningAverage([1, 1], [2, 0], 0.9), [1.1, 0.9])
})

test('scores start within 0.5 to 0.7, in the order of importance within each head', () => {
  near(rankedScores(importanceOf([0.116365, 0.496564], 'leave-one-out'), 2), [0.55, 0.65])
  near(rankedScores(importanceOf([0.496564, 0.116365], 'single-channel'), 2), [0.55, 0.65])
  near(rankedScores([5, 1, 3, 2, 2, 9], 3), [0.6 + 0.2 / 3, 0.6 - 0.2 / 3, 0.6, 0.6 - 0.2 / 3, 0.6, 0.6 + 0.2 / 3])
})

test('settings: defaults, words and numbers, and what is refused', () => {
  expect(settingsOf({})).toMatchObject({ init: 'leave-one-out', adjust: true, reweight: true, dualRate: 0.1 })
  expect(settingsOf({ 'adjust': 'off', 'reweight': 'none', 'lambda': '3' })).toMatchObject({
    adjust: false,
    reweight: false,
    lambda: 3,
  })
  expect(() => settingsOf({ 'calibration-images': '1.5' })).toThrow(/calibration-images=1.5: expected a whole number/)
  const { word, number } = optionReader({ a: { summary: '', default: 'x', words: ['x', 'y'], range: [0, 1] } }, {})
  expect(word('a')).toBe('x')
  expect(() => number('a')).toThrow(/--set a="x": expected .*a number from 0 to 1/)
})

describeDevice('the parts of APMA', () => {
  test('the focus function and the whole core of focused linear attention', async () => {
    const one = new FocusedAttention(2, 1, 1)
    const focused = (module: FocusedAttention, x: Tensor) => focus(x, module.power)
    near(await focused(one, tensor([3, 4], [1, 1, 1, 2])).data(), [1.943503, 4.606821])
    const at = { x: tensor([3, 4], [1, 1, 1, 2]) }, by = tensor([0.7, -0.2])
    const [, gradient] = valueAndGrad((given: typeof at) => sum(mul(focused(one, given.x), by)))(at)
    const plain = (a: number, b: number) =>
      (0.7 * a ** 3 - 0.2 * b ** 3) * Math.hypot(a, b) / Math.hypot(a ** 3, b ** 3)
    const h = 1e-5
    near(await gradient.x!.data(), [
      (plain(3 + h, 4) - plain(3 - h, 4)) / (2 * h),
      (plain(3, 4 + h) - plain(3, 4 - h)) / (2 * h),
    ])
    // Projections that pick q, k and v out of the input [1, 4, 12], with no way out but one.
    const module = new FocusedAttention(12, 6, 2, { kernel: 3 })
    const q = [[1, -1, 0.5, 2], [0.2, 0.4, 1, 0], [2, 1, -0.5, 0.3], [0.5, 0.5, 0.5, 0.5]]
    const k = [[0.5, 1, 0, 1], [1, 0.2, 0.3, -1], [-0.5, 1.5, 1, 0.2], [0.3, 0.3, 2, 0.6]]
    const v = [[1, 0, 2, -1], [0, 1, 1, 1], [2, 1, 0, 0.5], [-1, 0.5, 1, 0]]
    const pick = (from: number) =>
      tensor(Float32Array.from({ length: 48 }, (_, i) => i % 12 === from + Math.floor(i / 12) ? 1 : 0), [2, 2, 12])
    const zero = (...shape: number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape)
    const kernels = [[0, 0, 0, 0, 1, 0, 0, 0, 0], Array<number>(9).fill(0.1)]
    Object.assign(module, {
      query: pick(0),
      key: pick(4),
      value: pick(8),
      queryBias: null,
      keyBias: null,
      valueBias: null,
      sharpness: zero(2, 2),
      positions: zero(4, 2, 2),
      out: tensor(Float32Array.from({ length: 48 }, (_, i) => i % 4 === Math.floor(i / 4) ? 1 : 0), [12, 2, 2]),
      outBias: null,
      kernel: tensor(Float32Array.from(kernels.flat()), [2, 1, 3, 3]),
      kernelBias: tensor([0.01, 0.02]),
    })
    const x = tensor(Float32Array.from(q.flatMap((row, i) => [...row, ...k[i], ...v[i]])), [1, 4, 12])
    const { result, calls } = record(() => module.call(x), [x])
    const core = calls.find(({ op }) => op.name === 'linear-attention')!
    near(
      await core.args[0]!.data(),
      [
        [0.409964, 0, 0.051246, 3.279711],
        [0.012617, 0.100936, 1.577118, 0],
        [3.229718, 0.403715, 0, 0.0109],
        [0.721349, 0.721349, 0.721349, 0.721349],
      ].flat(),
      4,
    )
    near(
      await core.args[1]!.data(),
      [
        [0.190534, 1.524268, 0, 1.524268],
        [1.533, 0.012264, 0.041391, 0],
        [0, 2.50899, 0.743405, 0.005947],
        [0.010371, 0.010371, 3.072837, 0.082967],
      ].flat(),
      4,
    )
    near(
      await core.out.data(),
      [
        [0.103905, 0.887117, 1.900353, -0.905215],
        [1.534028, 0.636303, 0.807289, 0.107085],
        [0.444755, 0.827344, 1.940755, -0.942825],
        [1.159286, 0.702032, 1.141644, -0.202566],
      ].flat(),
      3,
    )
    near((await result.data()).slice(0, 4), [1.113905, 1.157117, 3.910353, -0.835215], 3)
    disposeTree([x, result, calls.map(({ out }) => out)])
  })

  test('similarity: products of channels over images and tokens, head by head', async () => {
    const x = tensor([1, 2, 0, 0, 0, 1, 1, 2, 1], [3, 1, 1, 3])
    near(await channelProducts(x).data(), [2, 4, 1, 4, 8, 2, 1, 2, 2])
    const wide = random(1, [2, 5, 3, 4]),
      products = await channelProducts(tensor(Float32Array.from(wide.data), [2, 5, 3, 4])).data()
    for (const [head, a, b] of [[0, 1, 2], [2, 3, 0]]) {
      let expected = 0
      for (let at = 0; at < 10; at++) expected += wide.data[at * 12 + head * 4 + a] * wide.data[at * 12 + head * 4 + b]
      expect(products[head * 16 + a * 4 + b]).toBeCloseTo(expected, 4)
    }
  })

  test('attention difference: softmax and linear, leave-one-out and single-channel', async () => {
    const q = tensor([1, 0.5, 0, 1], [1, 2, 1, 2]), k = tensor([1, 0, 0.5, 2], [1, 2, 1, 2])
    const soft = { q, k, softmax: { scale: 2 ** -0.5, bias: null, mask: null } }
    near(await attentionDifference(soft, 'leave-one-out').data(), [0.116365, 0.496564])
    near(await attentionDifference(soft, 'single-channel').data(), [0.496564, 0.116365])
    const linear = {
      q: tensor([1, 0.5, 0.2, 1], [1, 2, 1, 2]),
      k: tensor([1, 0.1, 0.5, 2], [1, 2, 1, 2]),
      softmax: null,
    }
    near(await attentionDifference(linear, 'leave-one-out').data(), [0.526479, 0.846614])
    near(await attentionDifference(linear, 'single-channel').data(), [0.846614, 0.526479])
  })

  test('attention difference over windows, heads, a bias and a mask, as written out', async () => {
    const [B, N, H, D, G] = [4, 5, 3, 4, 2], by = 0.5
    const values = (seed: number, ...shape: number[]) => Float32Array.from(random(seed, shape).data)
    const q = values(1, B, N, H, D), k = values(2, B, N, H, D), bias = values(3, H, N, N)
    const mask = values(4, G, N, N).map((value) => value > 0.8 ? -100 : 0)
    const mapOf = (b: number, h: number, keep: (c: number) => boolean) =>
      Array.from({ length: N }, (_, i) => {
        const logits = Array.from({ length: N }, (_, j) => {
          let product = 0
          for (let c = 0; c < D; c++) {
            if (keep(c)) product += q[((b * N + i) * H + h) * D + c] * k[((b * N + j) * H + h) * D + c]
          }
          return by * product + bias[(h * N + i) * N + j] + mask[((b % G) * N + i) * N + j]
        })
        const all = logits.reduce((total, each) => total + Math.exp(each), 0)
        return logits.map((each) => Math.exp(each) / all)
      }).flat()
    const expected = (kind: string) =>
      Array.from({ length: H * D }, (_, at) => {
        const h = Math.floor(at / D), mine = at % D
        let mean = 0
        for (let b = 0; b < B; b++) {
          const whole = mapOf(b, h, () => true), other = mapOf(b, h, (c) => (c === mine) !== (kind === 'leave-one-out'))
          mean += Math.hypot(...whole.map((value, i) => value - other[i])) / B
        }
        return mean
      })
    const map = {
      q: tensor(q, [B, N, H, D]),
      k: tensor(k, [B, N, H, D]),
      softmax: { scale: by, bias: tensor(bias, [H, N, N]), mask: tensor(mask, [G, N, N]) },
    }
    for (const kind of ['leave-one-out', 'single-channel'] as const) {
      near(await attentionDifference(map, kind).data(), expected(kind), 4)
    }
  })

  test('the cost of two layers: value and gradient through the indicators', async () => {
    const units = [unit('a', 'neurons', [4]), unit('b', 'neurons', [2])]
    const start = new Map([['a', rows([0.6, 0.4, 0.6, 0.6])], ['b', rows([0.6, 0.3])]])
    const indicators = new Indicators(units, start, { adjust: true, sharedValues: false, multipleOf: 1, minimum: 1 })
    const cost: CostPolynomial = {
      constant: 0,
      linear: new Map([['a', 30], ['b', 0]]),
      pairs: [{ units: ['a', 'b'], each: 10 }],
    }
    expect(costAt(cost, new Map([['a', 3], ['b', 1]]))).toBe(120)
    expect(costAt(cost, new Map([['a', 4], ['b', 2]]))).toBe(200)
    const gamma = tensor([0]), beta = 200 ** 2 // shares, squared, as multiply-adds
    const [value, gradient] = valueAndGrad((_: ReadonlyMap<string, Tensor>) => {
      const counts = new Map([...indicators.masks()].map(([name, mask]) => [name, sum(mask)]))
      return constraintLoss(goneShare(cost, counts, 200), { target: 0.5, beta, gamma })
    })(indicators.scores)
    expect(await value.item()).toBeCloseTo(400, 2)
    near(await gradient.get('a')!.data(), [1600, 1600, 1600, 1600], 1)
    near(await gradient.get('b')!.data(), [1200, 1200], 1)
    // The same by central differences of the counts, which the indicators hand their gradient to.
    const error = (a: number, b: number) => (costAt(cost, new Map([['a', a], ['b', b]])) - 100) ** 2
    expect((error(3.001, 1) - error(2.999, 1)) / 0.002).toBeCloseTo(1600, 3)
    expect((error(3, 1.001) - error(3, 0.999)) / 0.002).toBeCloseTo(1200, 3)
    indicators.dispose()
  })

  test('indicators: the mask of the host, 0 or 1; gradients pass through weights; something stays', async () => {
    for (const [heads, dim, step] of [[2, 4, 1], [3, 8, 4], [6, 5, 2], [1, 7, 1]]) {
      for (let seed = 0; seed < 4; seed++) {
        const t = Float32Array.from(
          random(seed + 10, [heads, dim]).data,
          (value) => Math.round(10 * (0.5 + value / 3)) / 10,
        )
        const widths = widthsOf(dim, step, 1), shares = new EqualShares(heads, dim, widths), x = tensor(t, [heads, dim])
        const mask = shares.mask(x)
        expect([...await mask.data()], `${heads} x ${dim}, ${seed}`).toEqual([
          ...equalShares(t, heads, dim, widths).keep,
        ])
        shares.dispose()
        disposeTree([x, mask])
      }
    }
    const units = [unit('qk', 'query-key', [2, 3]), unit('v', 'values', [2, 3]), unit('n', 'neurons', [3])]
    const t = rows([0.9, 0.55, 0.2], [0.7, 0.52, 0.51])
    const start = new Map([['qk', t], ['v', t], ['n', rows([0.1, 0.3, 0.2])]])
    const indicators = new Indicators(units, start, { adjust: true, sharedValues: true, multipleOf: 1, minimum: 1 })
    const w = [1.5, 1, 0.5, 0.9, 0.9, 1.1]
    indicators.weights.get('qk')!.write(Float32Array.from(w))
    const masks = indicators.masks()
    expect([...await masks.get('qk')!.data()]).toEqual([1, 1, 0, 1, 0, 1])
    expect([...await masks.get('v')!.data()], 'shared').toEqual([1, 1, 0, 1, 1, 0])
    expect([...await masks.get('n')!.data()], 'never none').toEqual([0, 1, 0])
    const { keep } = await indicators.read()
    for (const [name, mask] of masks) expect([...keep.get(name)!], name).toEqual([...await mask.data()])
    const by = tensor(rows([1, 2, 3], [4, 5, 6]), [2, 3])
    const [, gradient] = valueAndGrad((_: ReadonlyMap<string, Tensor>) => {
      const now = indicators.masks()
      return sum(mul(mul(now.get('qk')!, now.get('v')!), by))
    })(indicators.scores)
    // d/ds = w x dy; dy has the other mask in it. Shared: the mean over heads.
    const [v, qk] = [[1, 1, 0, 1, 1, 0], [1, 1, 0, 1, 0, 1]], dy = [1, 2, 3, 4, 5, 6]
    near(await gradient.get('qk')!.data(), dy.map((each, i) => each * v[i] * w[i]))
    near(await gradient.get('v')!.data(), dy.map((_, i) => (dy[i % 3] * qk[i % 3] + dy[3 + i % 3] * qk[3 + i % 3]) / 2))
    indicators.dispose()
  })
})

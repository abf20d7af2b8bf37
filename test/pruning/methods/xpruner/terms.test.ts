// Every worked example of the method, and the gradient of every term against central differences.
import { expect, test } from 'vitest'
import { valueAndGrad } from '../../../../src/core/transform.ts'
import { type Tensor, tensor } from '../../../../src/core/tensor.ts'
import { disposeTree } from '../../../../src/core/tree.ts'
import { Gate, withMasks } from '../../../../src/nn/index.ts'
import { sum } from '../../../../src/ops/reduce.ts'
import { mul } from '../../../../src/ops/elementwise.ts'
import { fit } from '../../../../src/train/fit.ts'
import { MLP } from '../../../../models/index.ts'
import { ascending, constraintLoss } from '../../../../src/pruning/learning/dual.ts'
import { gateOf, globalRate } from '../../../../src/pruning/methods/xpruner/gates.ts'
import { byRank, rowsOf } from '../../../../src/pruning/methods/xpruner/masks.ts'
import { gateValue, layerRate, margins, maskScore, normalised,
  quantile } from '../../../../src/pruning/methods/xpruner/scores.ts'
import { laplacian, smoothness, sparsity } from '../../../../src/pruning/methods/xpruner/terms.ts'
import { describeDevice } from '../../../support/device.ts'
import { random } from '../../../reference/nd.ts'
import { openDigits } from '../../../support/digits.ts'

const example = [0.9, -0.2, 0.1, 0.6, 0.7, 0.4, -0.1, 0.2]
const scores = [1.6, 0.6, 0.2, 0.8]
const M = () => tensor(Float32Array.from(example), [2, 4])
const near = (found: ArrayLike<number>, expected: readonly number[], digits = 6) => {
  expect(found).toHaveLength(expected.length)
  expected.forEach((value, i) => {
    expect(found[i], `entry ${i}`).toBeCloseTo(value, digits)
  })
}

/** Compares the gradient of a function of one tensor with central differences of it written in plain numbers. */
async function checkGradient(
  values: readonly number[],
  shape: number[],
  f: (x: Tensor) => Tensor,
  plain: (x: number[]) => number,
): Promise<void> {
  const x = tensor(Float32Array.from(values), shape)
  const [value, gradient] = valueAndGrad((given: { x: Tensor }) => f(given.x))({ x })
  expect(await value.item()).toBeCloseTo(plain([...values]), 5)
  const h = 1e-5
  near(
    await gradient.x!.data(),
    values.map((_, i) => {
      const moved = (by: number) => plain(values.map((each, j) => j === i ? each + by : each))
      return (moved(h) - moved(-h)) / (2 * h)
    }),
    4,
  )
  disposeTree([x, value, gradient])
}

test('scores: absolute sums over classes, those alone that there were images of', () => {
  const mask = { classes: 2, values: Float32Array.from(example) }
  near(maskScore(mask, [0, 1]), scores)
  near(maskScore(mask, [1]), [0.7, 0.4, 0.1, 0.2])
  near(normalised(Float32Array.from(scores), 'max'), [1, 0.375, 0.125, 0.5])
  near(normalised(Float32Array.from(scores), 'range'), [1, 0.4 / 1.4, 0, 0.6 / 1.4])
  expect([...normalised(Float32Array.of(3, 3), 'range')]).toEqual([1, 1])
  expect([0, 0.25, 0.5, 0.6, 1].map((share) => quantile(Float32Array.of(4, 1, 3, 2), share))).toEqual([
    1,
    1.5,
    2.5,
    3,
    4,
  ])
  near(byRank(Float32Array.of(9, -1, 2)), [1.5, 0.5, 1])
  near(byRank(Float32Array.of(9)), [1])
})

test('the gate on the host: values, rate, what stays', () => {
  const gates = scores.map((score) => gateValue(score, 0.5, 10))
  near(gates, [1, 0.880797, 0.002473, 0.997527])
  expect(layerRate(Float32Array.from(scores), 0.5, 10)).toBeCloseTo(0.279801, 6)
  const above = margins(new Map([['a', Float32Array.from(scores)]]), new Map([['a', 0.5]])).get('a')!
  expect([...above].map((margin) => margin > 0)).toEqual([true, true, false, true])
})

describeDevice('the terms of X-Pruner', () => {
  test('sparsity: squares, norms', async () => {
    const mask = M()
    for (const [kind, value] of [['sum-square', 1.92], ['mean-square', 0.24], ['norms', 1.385641]] as const) {
      expect(await sparsity([mask], kind)!.item(), kind).toBeCloseTo(value, 5)
    }
    expect(sparsity([mask], 'none')).toBeNull()
    expect(await sparsity([mask, mask], 'norms')!.item()).toBeCloseTo(2 * 1.385641, 5)
    expect(await sparsity([mask, mask], 'mean-square')!.item()).toBeCloseTo(0.24, 5)
    mask.dispose()
  })

  test('smoothness: the Laplacian both ways, differences along classes', async () => {
    const mask = M()
    near(await laplacian(mask, false)!.data(), [-2, 1.4, 0.2, -1.1, -1, -0.2, 0.8, -0.5])
    near(await laplacian(mask, true)!.data(), [-1.1, 1.4, 0.2, -0.5, -0.3, -0.2, 0.8, -0.3])
    for (
      const [kind, value] of [['laplacian-zero', 7.2 / 8], ['laplacian-unit', 4.8 / 8], [
        'diff-class',
        1.4 / 4,
      ]] as const
    ) {
      expect(await smoothness([mask], kind)!.item(), kind).toBeCloseTo(value, 5)
    }
    expect(smoothness([mask], 'none')).toBeNull()
    const single = tensor([1, 2], [2, 1])
    expect(laplacian(single, true)).toBeNull()
    expect(await smoothness([mask, single], 'laplacian-unit')!.item()).toBeCloseTo(4.8 / 8, 5)
    disposeTree([mask, single])
  })

  test('the gradient of each term', async () => {
    const rows = (x: number[]) => [x.slice(0, 4), x.slice(4)], total = (list: number[]) => list.reduce((a, b) => a + b)
    const second = (row: number[], beyond: (at: number) => number) =>
      row.map((value, j) => (row[j - 1] ?? beyond(j)) - 2 * value + (row[j + 1] ?? beyond(j)))
    const l1 = (list: number[]) => total(list.map(Math.abs))
    const mean = (beyond: (row: number[], at: number) => number) => (x: number[]) =>
      total(rows(x).map((row) => l1(second(row, (at) => beyond(row, at))))) / 8
    const cases: [(x: Tensor) => Tensor, (x: number[]) => number][] = [
      [(x) => sparsity([x], 'mean-square')!, (x) => total(x.map((v) => v * v)) / 8],
      [(x) => sparsity([x], 'sum-square')!, (x) => total(x.map((v) => v * v))],
      [(x) => sparsity([x], 'norms')!, (x) => Math.hypot(...x)],
      [(x) => smoothness([x], 'laplacian-unit')!, mean((row, at) => row[at])],
      [(x) => smoothness([x], 'laplacian-zero')!, mean(() => 0)],
      [(x) => smoothness([x], 'diff-class')!, (x) => l1(x.slice(4).map((v, i) => v - x[i])) / 4],
    ]
    for (const [f, plain] of cases) await checkGradient([...random(8, [2, 4]).data], [2, 4], f, plain)
  })

  test('the gate: values, its derivative by the threshold, gradients by scores and by threshold', async () => {
    const s = tensor(Float32Array.from(scores)), n = tensor([10])
    near(await gateOf(s, tensor([0.5]), n).data(), [1, 0.880797, 0.002473, 0.997527])
    const expected = [0, -2.099872, -0.04933, -0.04933]
    for (const [j, slope] of expected.entries()) {
      const pick = tensor(Float32Array.from(scores, (_, i) => Number(i === j)))
      const [value, gradient] = valueAndGrad(({ theta }: { theta: Tensor }) => sum(mul(gateOf(s, theta, n), pick)))({
        theta: tensor([0.5]),
      })
      expect(await gradient.theta!.item()).toBeCloseTo(slope, 4)
      disposeTree([value, gradient, pick])
    }
    const at = [0.42, 0.55, 0.61, 0.38]
    await checkGradient(
      at,
      [4],
      (x) => sum(gateOf(x, tensor([0.5]), n)),
      (x) => x.reduce((all, value) => all + gateValue(value, 0.5, 10), 0),
    )
    await checkGradient(
      [0.5],
      [1],
      (theta) => sum(gateOf(tensor(Float32Array.from(at)), theta, n)),
      ([theta]) => at.reduce((all, value) => all + gateValue(value, theta, 10), 0),
    )
  })

  test('the rate of a network, and the constraint on it', async () => {
    const gates = new Map([['a', tensor([1, 1, 1, 0])], ['b', tensor([1, 0, 1, 0, 1, 0, 1, 0])]])
    const rate = globalRate(gates, new Map([['a', 4 / 12], ['b', 8 / 12]]))
    expect(await rate.item()).toBeCloseTo(0.416667, 6)
    const at = (R: number, beta: number, gamma: number) =>
      constraintLoss(tensor([R]), { target: 0.5, beta, gamma: tensor([gamma]) })
    const R = 5 / 12
    expect(await at(R, 2, 0.3).item()).toBeCloseTo(0.038889, 6)
    const [, gradient] = valueAndGrad((given: { rate: Tensor, gamma: Tensor }) =>
      constraintLoss(given.rate, { target: 0.5, beta: 2, gamma: given.gamma })
    )({ rate: tensor([R]), gamma: tensor([0.3]) })
    expect(await gradient.rate!.item()).toBeCloseTo(-0.633333, 5)
    expect(await gradient.gamma!.item()).toBeCloseTo(0.083333, 6) // the way the multiplier goes
    expect(await at(R, 3, 0.3).item() - await at(R, 2, 0.3).item()).toBeCloseTo(0.006944, 6) // and beta would
    await checkGradient(
      [0.3, 0.7],
      [2],
      (x) => globalRate(new Map([['a', x]]), new Map([['a', 1]])),
      ([a, b]) => 1 - (a + b) / 2,
    )
  })

  test('the multiplier goes up: after a step it is larger by the rate times what is missing', async () => {
    const data = await openDigits(0, 9), model = new MLP({ hidden: [2] })
    const gamma = tensor([0.3]), rate = tensor([5 / 12])
    await fit(model, data, {
      epochs: 1,
      batch: 10,
      classes: 10,
      extra: { gamma },
      loss: () => constraintLoss(rate, { target: 0.5, beta: 2, gamma }),
      groups: [ascending(gamma, 0.1)],
    })
    expect(await gamma.item()).toBeCloseTo(0.308333, 6)
    disposeTree([model, gamma, rate])
  })

  test('masking by label: an image passes under the row of its class; mixed labels under a mixed row', async () => {
    const outputs = [1, 2, -1, 0.5, 0, 1, 3, 2], mask = M(), layer = { gate: new Gate([-1]) }
    const x = tensor(Float32Array.from([...outputs, ...outputs]), [2, 2, 4])
    const under = (examples: { labels: Tensor, soft: Tensor | null }) =>
      withMasks(layer, { gate: rowsOf(new Map([['unit', mask]]), examples).get('unit')! }, () => layer.gate.call(x))
        .data()
    const [zero, one] = [[0.9, -0.4, -0.1, 0.3, 0, -0.2, 0.3, 1.2], [0.7, 0.8, 0.1, 0.1, 0, 0.4, -0.3, 0.4]]
    const labels = tensor(Int32Array.of(0, 1))
    near(await under({ labels, soft: null }), [...zero, ...one])
    near(await under({ labels, soft: tensor([0, 1, 0.25, 0.75], [2, 2]) }), [
      ...one,
      ...zero.map((value, i) => 0.25 * value + 0.75 * one[i]),
    ])
    await checkGradient(
      example,
      [2, 4],
      (m) =>
        sum(
          withMasks(
            layer,
            { gate: rowsOf(new Map([['unit', m]]), { labels: tensor(Int32Array.of(1, 1)), soft: null }).get('unit')! },
            () => layer.gate.call(x),
          ),
        ),
      (m) => 2 * outputs.reduce((all, value, i) => all + value * m[4 + i % 4], 0),
    )
    disposeTree([mask, x])
  })
})

import { describe, expect, test } from 'vitest'
import { linksOf } from '../../src/core/axes.ts'
import { ShapeError } from '../../src/base/errors.ts'
import { full } from '../../src/core/fill.ts'
import { max, mean, min, norm, sum, unbroadcast, variance } from '../../src/ops/reduce.ts'
import { tensor } from '../../src/core/tensor.ts'
import { vjp } from '../../src/core/transform.ts'
import { checkOp, checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import { random, relativeError, uniform } from '../reference/nd.ts'
import { reference } from '../reference/references.ts'
import { checkCase } from '../support/golden-case.ts'

const ops = { sum, mean, max, min, variance, norm }
type Name = keyof typeof ops

// Rows, columns and both; whole vectors and odd widths; few and many rows; axes between kept ones; nothing to reduce.
const cases: [number[], number[] | undefined][] = [
  [[5], undefined],
  [[3, 7], [1]],
  [[3, 7], [0]],
  [[17, 65], [-1]],
  [[65, 17], [0]],
  [[33, 8], [0]],
  [[4, 3, 5], [0, 2]],
  [[2, 3, 4, 5], [1, 3]],
  [[2, 5, 3, 7], [0, 2, 3]],
  [[2, 3, 4], []],
  [[1, 6, 1], [0, 2]],
  [[], undefined],
  [[300, 3], [1]],
  [[70, 40], [1]],
  [[1, 64], [0]],
  [[2, 9, 3], [1]],
]

describeDevice('reduce', () => {
  test.each(Object.keys(ops) as Name[])('%s', async (name) => {
    for (const [i, [shape, axes]] of cases.entries()) {
      const keep = i % 2 === 0
      await checkOp({
        call: (x) => ops[name](x, { axes, keep }),
        reference: (x) => reference(name, [x], { axes, keepdim: keep }),
        args: [random(11, shape)],
        samples: 6,
      })
    }
  })

  // Two stages: more than 16,384 along rows, more than 512 down columns; odd widths too.
  test.each(
    [[[40001], [0]], [[3, 20005], [1]], [[1025, 6], [0]], [[2, 700, 5], [1]], [[2, 30001], [0, 1]]] as [
      number[],
      number[],
    ][],
  )('long axes: [%s] over [%s]', async (shape, axes) => {
    const x = uniform(5, shape, -0.5, 1.5)
    for (const name of ['sum', 'max', 'norm'] as const) {
      expect(relativeError(await ops[name](toTensor(x), { axes }).data(), reference(name, [x], { axes }).data), name)
        .toBeLessThanOrEqual(1e-6)
    }
  })

  test('a million ones', async () => {
    expect(await sum(full([1000, 1000], 1)).item()).toBe(1e6)
    expect(await mean(full([1 << 20], 0.1)).item()).toBeCloseTo(0.1, 6)
  })

  test('garbage behind the end does no harm', async () => {
    const dirty = full([64], NaN)
    dirty.dispose() // its buffer comes back for the next tensor of this size
    const x = full([3], 2).view([3])
    expect(await sum(x).item()).toBe(6)
    expect(await max(full([5], -7)).item()).toBe(-7)
    expect([...await sum(full([2, 3], 1), { axes: [0] }).data()]).toEqual([2, 2, 2])
  })

  test('infinities and NaN come through', async () => {
    expect(await max(tensor([-Infinity, -Infinity])).item()).toBe(-Infinity)
    expect(await min(tensor([Infinity, 3, -Infinity])).item()).toBe(-Infinity)
    expect(await sum(tensor([1, NaN, 2])).item()).toBeNaN()
  })

  test('ties share the gradient of a maximum, and a norm of 0 has none', async () => {
    const tied = vjp((x) => max(x, { axes: [1] }), tensor([[1, 3, 3], [2, 2, 2]]))
    expect([...await tied.back(tensor([1, 1]))[0]!.data()]).toEqual([
      0,
      0.5,
      0.5,
      ...[1, 1, 1].map((v) => Math.fround(v / 3)),
    ])
    const still = vjp((x) => norm(x, { axes: [1] }), tensor([[0, 0], [3, 4]]))
    expect([...await still.back(tensor([1, 5]))[0]!.data()]).toEqual([0, 0, 3, 4])
  })

  test('variance of values far from 0', async () => {
    const x = random(6, [4, 300], 1, 1000)
    expect(
      relativeError(await variance(toTensor(x), { axes: [1] }).data(), reference('variance', [x], { axes: [1] }).data),
    ).toBeLessThanOrEqual(1e-5)
  })

  test('unbroadcast', async () => {
    const dy = random(7, [2, 3, 4])
    for (
      const [shape, axes] of [[[3, 4], [0]], [[3, 1], [0, 2]], [[1, 4], [0, 1]], [[], [0, 1, 2]], [[2, 1, 4], [1]]] as [
        number[],
        number[],
      ][]
    ) {
      const got = unbroadcast(toTensor(dy), shape)
      expect([...got.shape]).toEqual(shape)
      expect(relativeError(await got.data(), reference('sum', [dy], { axes }).data)).toBeLessThanOrEqual(1e-6)
    }
    const same = toTensor(dy)
    expect(unbroadcast(same, [2, 3, 4])).toBe(same)
    expect(unbroadcast(full([1, 3], 1), [3]).shape).toEqual([3])
  })

  test('goldens', async () => {
    const call = (name: Name) => ({
      [name]: ([x]: Parameters<typeof sum>[0][], attrs: object) => {
        const { axes, keepdim } = attrs as { axes: number[], keepdim: boolean }
        return ops[name](x, { axes, keep: keepdim })
      },
    })
    await checkCase('sum_keepdim', call('sum'))
    await checkCase('mean_hw', call('mean'))
    await checkCase('var_biased', call('variance'))
    await checkCase('max_dim', call('max'))
    await checkCase('norm_last', call('norm'))
  })

  test('what does not fit is refused', () => {
    const x = toTensor(random(1, [2, 3]))
    expect(() => sum(x, { axes: [2] })).toThrow(ShapeError)
    expect(() => sum(x, { axes: [2] })).toThrow('sum: axis 2 of a tensor with 2 axes; expected -2 to 1')
    expect(() => mean(x, { axes: [0, -2] })).toThrow(/named twice/)
  })

  test('no races', () => {
    checkRaces(() => {
      for (
        const [shape, axes] of [[[3, 7], [1]], [[2, 40], [1]], [[70, 40], [1]], [[5, 9], [0]], [[5, 20], [0]], [
          [5, 3],
          [0],
        ]]
      ) {
        for (const name of ['sum', 'max', 'norm'] as const) ops[name](toTensor(random(1, shape)), { axes })
      }
    })
  })
})

describe('links', () => {
  test('kept axes go on, and only a sum or a norm lets the others shrink', () => {
    const over = (name: Name, keep: boolean) =>
      linksOf(ops[name].op.axes, [[2, 3, 4]], keep ? [2, 1, 4] : [2, 4], { axes: [1], keep })
    for (const name of Object.keys(ops) as Name[]) {
      expect(over(name, false).links.map(({ a, b, size }) => [a.axis, b.axis, size])).toEqual([[0, 0, 2], [2, 1, 4]])
      expect(over(name, true).links.map(({ a, b }) => [a.axis, b.axis])).toEqual([[0, 0], [2, 2]])
      expect(over(name, false).blocked).toHaveLength(name === 'sum' || name === 'norm' ? 0 : 1)
    }
  })
})

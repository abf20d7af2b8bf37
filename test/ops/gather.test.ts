import { describe, expect, test } from 'vitest'
import { linksOf } from '../../src/core/axes.ts'
import { DTypeError, ShapeError } from '../../src/base/errors.ts'
import { gather, scatterAdd } from '../../src/ops/gather.ts'
import { tensor } from '../../src/core/tensor.ts'
import { vjp } from '../../src/core/transform.ts'
import { checkOp, checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import { nd, random, randomIntegers } from '../reference/nd.ts'
import * as plain from '../reference/shape.ts'
import { checkCase } from '../support/golden-case.ts'
import { checkLinks } from '../support/links.ts'

// x, index, axis: rows of vectors and of elements, an index of any rank, the last and a middle axis, one row, long
// lists.
const cases: [number[], number[], number][] = [
  [[5], [3], 0],
  [[9, 4], [2, 3], 0],
  [[9, 5], [7], 0],
  [[3, 7], [5], 1],
  [[2, 6, 4], [3], -2],
  [[2, 6, 3], [2, 2], 1],
  [[4, 1], [5], 1],
  [[6, 8], [], 0],
  [[3, 2, 1], [130], 1],
  [[2, 3, 4], [400], 1],
  [[25, 3], [9, 9], 0],
]

describeDevice('gather', () => {
  test('gather', async () => {
    for (const [shape, index, axis] of cases) {
      const size = shape.at(axis)!
      for (const dtype of ['i32', 'u32'] as const) {
        await checkOp({
          call: (x, i) => gather(x, i, { axis }),
          reference: (x, i) => plain.gather(x, i, { axis }),
          args: [random(21, shape), randomIntegers(22, index, size)],
          dtypes: ['f32', dtype],
          samples: 5,
        })
      }
    }
  })

  test('scatterAdd', async () => {
    for (const [shape, index, axis] of cases) {
      const size = shape.at(axis)!
      const along = (axis + shape.length) % shape.length
      const x = random(23, [...shape.slice(0, along), ...index, ...shape.slice(along + 1)])
      await checkOp({
        call: (v, i) => scatterAdd(v, i, { axis, size }),
        reference: (v, i) => plain.scatterAdd(v, i, { axis, size }),
        args: [x, randomIntegers(24, index, size)],
        dtypes: ['f32', 'i32'],
        samples: 20,
      })
    }
  })

  test('a sorted keep list scattered back to full width, and rows nobody names', async () => {
    const index = tensor(Int32Array.of(1, 2, 5)), x = tensor([[1, 2, 3], [4, 5, 6]])
    expect([...await scatterAdd(x, index, { axis: 1, size: 7 }).data()]).toEqual([
      0,
      1,
      2,
      0,
      0,
      3,
      0,
      0,
      4,
      5,
      0,
      0,
      6,
      0,
    ])
  })

  test('the same bits in every run', async () => {
    const x = toTensor(random(25, [2401, 3])), index = tensor(Int32Array.from(randomIntegers(26, [2401], 169).data))
    const bits = async () => [...new Uint32Array((await scatterAdd(x, index, { axis: 0, size: 169 }).data()).buffer)]
    expect(await bits()).toEqual(await bits())
  })

  test('an index outside shows as NaN and adds nothing', async () => {
    const index = tensor(Int32Array.of(0, 3, -1, 2))
    expect([...await gather(tensor([1, 2, 3]), index, { axis: 0 }).data()]).toEqual([1, NaN, NaN, 3])
    const wide = await gather(tensor(new Float32Array(12).fill(1), [3, 4]), index, { axis: 0 }).data()
    expect([...wide].map(Number.isNaN)).toEqual([0, 1, 1, 0].flatMap((bad) => [bad, bad, bad, bad].map(Boolean)))
    expect([...await scatterAdd(tensor([1, 2, 3, 4]), index, { axis: 0, size: 3 }).data()]).toEqual([1, 0, 4])
  })

  test('golden', async () => {
    await checkCase('gather_rows', { gather: ([x, rows], attrs) => gather(x, rows, attrs as { axis: number }) }, {
      rows: 'i32',
    })
  })

  test('no gradient to the index, none to x where it is not needed', () => {
    const x = toTensor(random(1, [3, 2])), index = tensor(Int32Array.of(1, 1))
    const { outputs: [y], back } = vjp((a) => gather(a, index, { axis: 0 }), x)
    expect(back(y)).toHaveLength(1)
  })

  test('what does not fit is refused', () => {
    const x = toTensor(random(1, [2, 3])), index = tensor(Int32Array.of(0, 1))
    expect(() => gather(x, index, { axis: 2 })).toThrow(ShapeError)
    expect(() => gather(x, x, { axis: 0 })).toThrow(DTypeError)
    expect(() => gather(x, x, { axis: 0 })).toThrow(/i32 or u32/)
    expect(() => scatterAdd(x, index, { axis: 1, size: 4 })).toThrow(ShapeError)
    expect(() => scatterAdd(x, index, { axis: 0, size: 0 })).toThrow(ShapeError)
    expect(() => scatterAdd(toTensor(random(1, [])), index, { axis: 0, size: 2 })).toThrow(ShapeError)
  })

  test('no races', () => {
    checkRaces(() => {
      for (const [shape, index, axis] of cases.slice(0, 9)) {
        const x = toTensor(random(1, shape)),
          i = tensor(Int32Array.from(randomIntegers(2, index, shape.at(axis)!).data), index)
        scatterAdd(gather(x, i, { axis }), i, { axis, size: shape.at(axis)! })
      }
    })
  })
})

describe('links', () => {
  const index = nd([2, 2], [0, 4, 1, 1])

  test('gather: every axis but the indexed one, which is blocked', () => {
    const { links, blocked } = checkLinks(gather.op, (x) => plain.gather(x, index, { axis: 1 }), [[3, 6, 4], [2, 2]], {
      axis: 1,
    }, { only: 0 })
    expect(links.filter(({ a }) => a.tensor === 0).map(({ a, b }) => [a.axis, b.axis])).toEqual([[0, 0], [2, 3]])
    expect(links.filter(({ a }) => a.tensor === 1).map(({ a, b }) => [a.axis, b.axis])).toEqual([[0, 1], [1, 2]])
    expect(blocked).toMatchObject([{ tensor: 0, axis: 1 }])
  })

  test('scatterAdd: the other way round', () => {
    const { links, blocked } = linksOf(scatterAdd.op.axes, [[3, 2, 2, 4], [2, 2]], [3, 6, 4], { axis: 1, size: 6 })
    expect(links.filter(({ b }) => b.tensor === 0).map(({ a, b }) => [a.tensor, a.axis, b.axis])).toEqual([
      [-1, 0, 0],
      [-1, 2, 3],
      [1, 0, 1],
      [1, 1, 2],
    ])
    expect(blocked).toMatchObject([{ tensor: -1, axis: 1 }])
  })
})

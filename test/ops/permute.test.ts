import { describe, expect, test } from 'vitest'
import { ShapeError } from '../../src/base/errors.ts'
import { concat, pad, permute, roll, slice, split } from '../../src/ops/permute.ts'
import { reshape } from '../../src/ops/reshape.ts'
import { tensor } from '../../src/core/tensor.ts'
import { scope, vjp } from '../../src/core/transform.ts'
import { checkOp, checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import { random } from '../reference/nd.ts'
import * as plain from '../reference/shape.ts'
import { checkCase } from '../support/golden-case.ts'
import { checkLinks, covered } from '../support/links.ts'

const orders: [number[], number[]][] = [
  [[5], [0]],
  [[3, 7], [1, 0]],
  [[2, 3, 8], [1, 0, 2]],
  [[2, 3, 5], [1, 0, 2]],
  [[2, 3, 4, 5], [0, 2, 3, 1]],
  [[2, 3, 4, 8], [2, 0, 1, 3]],
  [[2, 3, 2, 3, 2], [4, 2, 0, 3, 1]],
  [[2, 3, 2, 3, 2, 4], [4, 2, 0, 3, 1, 5]],
  [[1, 1, 6], [2, 0, 1]],
  [[33, 65], [1, 0]],
  [[], []],
]

// Vectors and elements, steps, one to six axes, axes that merge with what stands still inside them.
const slices: [shape: number[], start: number[], end: number[], step?: number[]][] = [
  [[7], [2], [6]],
  [[9], [1], [9], [3]],
  [[5, 8], [1, 0], [4, 8]],
  [[5, 8], [1, 4], [4, 8]],
  [[5, 8], [0, 1], [5, 8], [2, 1]],
  [[2, 3, 4, 4], [0, 1, 0, 0], [2, 3, 4, 4]],
  [[2, 7, 8], [1, 0, 0], [2, 7, 8], [1, 2, 3]],
  [[2, 3, 2, 3, 2, 3], [0, 1, 1, 0, 0, 1], [2, 3, 2, 3, 2, 3], [1, 1, 1, 2, 1, 1]],
]

const pads: [shape: number[], before: number[], after: number[]][] = [
  [[5], [2], [1]],
  [[3, 8], [1, 0], [0, 0]],
  [[3, 8], [0, 4], [0, 4]],
  [[3, 5], [0, 1], [2, -1]],
  [[2, 3, 4, 4], [0, 0, 1, 1], [0, 0, 1, 1]],
  [[2, 3, 4], [0, 1, 0], [0, 2, 0]],
  [[4, 6], [-1, 2], [1, -3]],
  [[2, 3, 2, 3, 2, 3], [1, 0, 1, 1, 0, 1], [0, 1, 0, 1, 1, 1]],
]

const rolls: [shape: number[], shifts: number[], axes: number[]][] = [
  [[7], [3], [0]],
  [[5, 8], [-2], [0]],
  [[5, 8], [4], [1]],
  [[5, 8], [1, -1], [-1, 0]],
  [[2, 6, 6, 4], [-3, -3], [1, 2]],
  [[2, 7, 7, 3], [2, 9], [1, 2]],
  [[4, 3], [1, 2], [0, 0]],
]

const joins: [number[][], number][] = [
  [[[3]], 0],
  [[[2, 3], [2, 5]], 1],
  [[[2, 4], [2, 8], [2, 4]], -1],
  [[[1, 4], [3, 4]], 0],
  [[[2, 3, 4], [2, 1, 4], [2, 2, 4]], 1],
  [[[2, 3, 5], [2, 1, 5]], 1],
]

describeDevice('permute', () => {
  test('permute', async () => {
    for (const [shape, order] of orders) {
      await checkOp({
        call: (x) => permute(x, { order: order.map((axis, i) => (i % 2 ? axis - shape.length : axis)) }),
        reference: (x) => plain.permute(x, { order }),
        args: [random(12, shape)],
        samples: 20,
      })
    }
  })

  test('slice', async () => {
    for (const [shape, start, end, step] of slices) {
      await checkOp({
        call: (x) => slice(x, { starts: start, stops: end, steps: step }),
        reference: (x) => plain.slice(x, { start, end, step }),
        args: [random(13, shape)],
        samples: 20,
      })
    }
  })

  test('slice counts from the end and stops there', async () => {
    const x = tensor([0, 1, 2, 3, 4, 5, 6])
    expect([...await slice(x, { starts: [-3], stops: [100] }).data()]).toEqual([4, 5, 6])
    expect([...await slice(x, { starts: [1], stops: [-1], steps: [2] }).data()]).toEqual([1, 3, 5])
  })

  test('split gives every part and takes every gradient', async () => {
    const x = toTensor(random(14, [3, 9]))
    const { outputs, back } = vjp((v) => split(v, { axis: 1, sizes: [4, 2, 3] }), x)
    expect(outputs.map(({ shape }) => shape)).toEqual([[3, 4], [3, 2], [3, 3]])
    expect([...await concat(...outputs, { axis: 1 }).data()]).toEqual([...await x.data()])
    const [dx] = back(...outputs)
    expect([...await dx!.data()]).toEqual([...await x.data()])
  })

  test('pad', async () => {
    for (const [shape, before, after] of pads) {
      for (const value of [undefined, -2.5]) {
        await checkOp({
          call: (x) => pad(x, { before, after, value }),
          reference: (x) => plain.pad(x, { before, after, value }),
          args: [random(15, shape)],
          samples: 20,
        })
      }
    }
  })

  test('roll', async () => {
    for (const [shape, shifts, axes] of rolls) {
      await checkOp({
        call: (x) => roll(x, { shifts, axes }),
        reference: (x) => shifts.reduce((y, shift, i) => plain.roll(y, { shifts: [shift], axes: [axes[i]] }), x),
        args: [random(16, shape)],
        samples: 20,
      })
    }
  })

  test('concat', async () => {
    for (const [shapes, axis] of joins) {
      await checkOp({
        call: (...parts) => concat(...parts, { axis }),
        reference: (...parts) => plain.concat(parts, { axis }),
        args: shapes.map((shape, i) => random(17 + i, shape)),
        samples: 20,
      })
    }
  })

  test('concat gives gradients where they are needed only', async () => {
    const x = toTensor(random(18, [2, 3])), y = toTensor(random(19, [2, 5]))
    const { outputs: [out], back } = vjp((v) => concat(x, v, { axis: 1 }), y)
    const [dy] = back(out)
    expect([...await dy!.data()]).toEqual([...await y.data()])
  })

  test('a row of more than 65,535 workgroups', async () => {
    const n = 65536 * 256 + 8
    const first = scope(() =>
      slice(
        roll(reshape(tensor(Float32Array.from({ length: n }, (_, i) => i & 0xffff)), { shape: [n] }), {
          shifts: [-5],
          axes: [0],
        }),
        { starts: [n - 8], stops: [n] },
      )
    )
    expect([...await first.data()]).toEqual([5, 6, 7, 0, 1, 2, 3, 4])
  })

  test('goldens', async () => {
    await checkCase('permute_reshape', {
      permute: ([x], attrs) => permute(x, attrs as { order: number[] }),
      reshape: ([x], attrs) => reshape(x, attrs as { shape: number[] }),
    })
    await checkCase('roll_2d', { roll: ([x], attrs) => roll(x, attrs as { shifts: number[], axes: number[] }) })
    await checkCase('cat_dim1', { concat: ([x, y], attrs) => concat(x, y, attrs as { axis: number }) })
    await checkCase('slice_step', {
      slice: ([x], attrs) => {
        const { start, end, step } = attrs as Record<'start' | 'end' | 'step', number[]>
        return slice(x, { starts: start, stops: end, steps: step })
      },
    })
    await checkCase('pad_hw', { pad: ([x], attrs) => pad(x, attrs as { before: number[], after: number[] }) })
  })

  test('what does not fit is refused', () => {
    const x = toTensor(random(1, [2, 3]))
    const refused: [() => unknown, RegExp][] = [
      [() => permute(x, { order: [0] }), /permute: order \[0\]/],
      [() => permute(x, { order: [0, 0] }), /once/],
      [() => permute(x, { order: [0, 2] }), /axis 2/],
      [() => slice(x, { starts: [0], stops: [1] }), /2 starts/],
      [() => slice(x, { starts: [0, 2], stops: [2, 2] }), /takes nothing/],
      [() => slice(x, { starts: [0, 0], stops: [2, 3], steps: [1, 0] }), /step/],
      [() => split(x, { axis: 1, sizes: [1, 1] }), /add up to 2/],
      [() => pad(x, { before: [1], after: [1] }), /pad/],
      [() => pad(x, { before: [-2, 0], after: [0, 0] }), /pad/],
      [() => pad(x, { before: [2, 0], after: [-3, 0] }), /pad/],
      [() => roll(x, { shifts: [1], axes: [0, 1] }), /roll/],
      [() => roll(x, { shifts: [0.5], axes: [0] }), /whole/],
      [() => concat(x, toTensor(random(1, [3, 3])), { axis: 1 }), /concat/],
      [() => concat({ axis: 0 }), /at least one/],
      [() => reshape(x, { shape: [4] }), /6 elements/],
      [() => reshape(x, { shape: [-1, -1] }), /at most one/],
      [() => reshape(x, { shape: [4, -1] }), /reshape/],
      [() => permute(toTensor(random(1, [2, 2, 2, 2, 2, 2, 2])), { order: [6, 5, 4, 3, 2, 1, 0] }), /at most 6/],
    ]
    for (const [work, message] of refused) {
      expect(work).toThrow(ShapeError)
      expect(work).toThrow(message)
    }
  })

  test('reshape shares the buffer and passes the gradient', async () => {
    const x = toTensor(random(3, [2, 6]))
    const { outputs: [y], back } = vjp((v) => reshape(v, { shape: [3, -1] }), x)
    expect(y.shape).toEqual([3, 4])
    expect(y.buffer).toBe(x.buffer)
    expect([...await back(y)[0]!.data()]).toEqual([...await x.data()])
  })

  test('no races', () => {
    checkRaces(() => {
      for (const [shape, order] of orders.slice(0, 8)) permute(toTensor(random(1, shape)), { order })
      for (const [shape, before, after] of pads) pad(toTensor(random(1, shape)), { before, after })
      for (const [shape, shifts, axes] of rolls) roll(toTensor(random(1, shape)), { shifts, axes })
      for (const [shapes, axis] of joins) concat(...shapes.map((shape) => toTensor(random(1, shape))), { axis })
    })
  })
})

describe('links', () => {
  test('permute', () => {
    for (const [shape, order] of orders) {
      expect(covered(checkLinks(permute.op, (x) => plain.permute(x, { order }), [shape], { order }), shape.length))
        .toEqual(shape)
    }
  })

  test('slice', () => {
    for (const [shape, start, end, step] of slices) {
      const { links } = checkLinks(slice.op, (x) => plain.slice(x, { start, end, step }), [shape], {
        starts: start,
        stops: end,
        steps: step,
      })
      expect(links.map(({ size }) => size)).toEqual(plain.slice(random(1, shape), { start, end, step }).shape)
    }
  })

  test('pad', () => {
    for (const [shape, before, after] of pads) {
      const mapping = checkLinks(pad.op, (x) => plain.pad(x, { before, after, value: -1 }), [shape], { before, after })
      expect(covered(mapping, shape.length)).toEqual(
        shape.map((n, axis) => n + Math.min(0, before[axis]) + Math.min(0, after[axis])),
      )
    }
  })

  test('roll', () => {
    for (const [shape, shifts, axes] of rolls) {
      const mapping = checkLinks(
        roll.op,
        (x) => shifts.reduce((y, shift, i) => plain.roll(y, { shifts: [shift], axes: [axes[i]] }), x),
        [shape],
        { shifts, axes },
      )
      expect(covered(mapping, shape.length)).toEqual(shape)
    }
  })

  test('concat', () => {
    for (const [shapes, axis] of joins) {
      const mapping = checkLinks(concat.op, (...parts) => plain.concat(parts, { axis }), shapes, { axis })
      expect(mapping.links).toHaveLength(shapes.length * shapes[0].length)
      expect(covered(mapping, shapes[0].length)).toEqual(shapes[0])
    }
  })

  test('reshape follows what keeps its size and blocks what splits or merges, with the reason', () => {
    const shape = (to: number[]) => (x: Parameters<typeof plain.reshape>[0]) => plain.reshape(x, { shape: to })
    expect(checkLinks(reshape.op, shape([2, 1, 3, 4]), [[2, 3, 1, 4]], {}).links).toHaveLength(3)
    const merged = checkLinks(reshape.op, shape([5, 12]), [[5, 3, 4]], {})
    expect(merged.links).toHaveLength(1)
    expect(merged.blocked!.map(({ tensor, axis }) => [tensor, axis])).toEqual([[0, 1], [0, 2], [-1, 1]])
    expect(merged.blocked![0].reason).toContain('[3,4] into [12]')
    const mixed = checkLinks(reshape.op, shape([6, 4, 7]), [[4, 6, 7]], {})
    expect(mixed.links).toHaveLength(1)
    expect(mixed.blocked).toHaveLength(4)
    expect(checkLinks(reshape.op, shape([1]), [[]], {}).links).toHaveLength(0)
  })
})

import { expect, test } from 'vitest'
import { linksOf } from '../../src/core/axes.ts'
import { ShapeError } from '../../src/base/errors.ts'
import { gate } from '../../src/ops/gate.ts'
import { vjp } from '../../src/core/transform.ts'
import { checkOp, checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import { gate as gateOf } from '../reference/elementwise.ts'
import { nd, type Nd, random } from '../reference/nd.ts'
import { permute } from '../reference/shape.ts'

const cases: [number[], number[]][] = [
  [[7], [0]],
  [[2, 5, 3, 4], [2]],
  [[2, 5, 3, 4], [-2, -1]],
  [[2, 5, 3, 7], [-1, -2]],
  [[2, 6, 3, 3], [1]],
  [[3, 8], [-1]],
  [[3, 1, 5], [1]],
  [[2, 3, 4], [0, 1, 2]],
  [[2, 3, 4], [2, 0]],
  [[33, 65], [1]],
]

/** The reference takes the mask's axes in the order of x. */
const plainGate = (axes: number[]) => (x: Nd, mask: Nd): Nd => {
  const front = axes.map((axis) => (axis + x.shape.length) % x.shape.length), sorted = [...front].sort((a, b) => a - b)
  return gateOf(x, permute(mask, { order: sorted.map((axis) => front.indexOf(axis)) }), { axes: sorted })
}

/** Each image (or the entries of one) under its own row of the mask, by plain loops. */
const perImage = (axes: number[], images: number) => (x: Nd, mask: Nd): Nd => {
  const each = x.data.length / images, row = mask.data.length / images
  const data = new Float64Array(x.data.length)
  for (let image = 0; image < images; image++) {
    const part = nd([x.shape[0] / images, ...x.shape.slice(1)], x.data.slice(image * each, (image + 1) * each))
    const own = nd(mask.shape.slice(1), mask.data.slice(image * row, (image + 1) * row))
    data.set(plainGate(axes)(part, own).data, image * each)
  }
  return nd(x.shape, data)
}

describeDevice('gate', () => {
  test('multiplies by the mask over the named axes', async () => {
    for (const [shape, axes] of cases) {
      const mask = axes.map((axis) => shape.at(axis)!)
      await checkOp({
        call: (x, m) => gate(x, m, { axes }),
        reference: plainGate(axes),
        args: [random(41, shape), random(42, mask)],
        samples: 20,
      })
    }
  })

  test.each<[string, number[], number[], number, boolean]>([
    ['[B, H] over the heads', [3, 5, 4, 2], [-2], 3, false],
    ['[B, H, D] over heads and their channels', [3, 5, 4, 2], [-2, -1], 3, false],
    ['[B, D, H], in another order than x has them', [3, 5, 4, 2], [-1, -2], 3, false],
    ['[B, C] over the channels of images', [2, 6, 3, 3], [-3], 2, false],
    ['[B, N] with a width that no vector divides', [5, 33], [-1], 5, false],
    ['[1, H] for a batch of one', [1, 3, 4], [-1], 1, false],
    ['[B, H] for windows, several of an image after one another', [6, 5, 4, 2], [-2], 3, true],
  ])('a row per image: %s', async (_, shape, axes, images, windowed) => {
    await checkOp({
      call: (x, m) => gate(x, m, { axes, windowed }),
      reference: perImage(axes, images),
      args: [random(43, shape), random(44, [images, ...axes.map((axis) => shape.at(axis)!)])],
      samples: 30,
    })
  })

  test('rows for another number of images are refused', () => {
    const x = toTensor(random(1, [4, 5, 3]))
    expect(() => gate(x, toTensor(random(2, [2, 3])), { axes: [-1] })).toThrow('or [4,3] for one per image')
    expect(() => gate(x, toTensor(random(2, [3, 3])), { axes: [-1], windowed: true })).toThrow('or [images,3]')
    expect(gate(x, toTensor(random(2, [2, 3])), { axes: [-1], windowed: true }).shape).toEqual([4, 5, 3])
  })

  test('only the gradients that are needed', async () => {
    const x = toTensor(random(1, [2, 3])), mask = toTensor(random(2, [3]))
    const { outputs: [y], back } = vjp((m) => gate(x, m, { axes: [1] }), mask)
    expect(back(y)[0]!.shape).toEqual([3])
  })

  test('what does not fit is refused', () => {
    const x = toTensor(random(1, [2, 3])), mask = toTensor(random(2, [3]))
    expect(() => gate(x, mask, { axes: [0] })).toThrow(ShapeError)
    expect(() => gate(x, mask, { axes: [0] })).toThrow('expected mask [2]')
    expect(() => gate(x, mask, { axes: [2] })).toThrow(ShapeError)
    expect(() => gate(x, toTensor(random(2, [3, 3])), { axes: [1, 1] })).toThrow(ShapeError)
  })

  test('no races', () => {
    checkRaces(() => {
      gate(toTensor(random(1, [2, 3, 5])), toTensor(random(2, [3])), { axes: [1] })
    })
  })
})

test('links: the mask is the named axes', () => {
  const { links } = linksOf(gate.op.axes, [[2, 5, 3, 4], [4, 3]], [2, 5, 3, 4], { axes: [-1, 2] })
  expect(links.filter(({ b }) => b.tensor === 1).map(({ a, b, size }) => [a.axis, b.axis, size])).toEqual([[3, 0, 4], [
    2,
    1,
    3,
  ]])
  expect(links.filter(({ b }) => b.tensor === -1)).toHaveLength(4)
})

import { expect, test } from 'vitest'
import { scatter, scatterOnto } from '../../src/ops/scatter.ts'
import { add, crossEntropy, inference, relu, tensor, type Tensor, valueAndGrad } from '../../src/index.ts'
import { fillNormal } from '../../src/base/random.ts'
import { describeDevice } from '../support/device.ts'

describeDevice('scatter', () => {
  test('slices go to their places, zeros elsewhere; the index has an entry for each', async () => {
    const x = tensor([[1, 2, 3], [4, 5, 6]]), positions = [4, 0, 2], index = tensor(Uint32Array.from(positions))
    const out = scatter(x, index, { axis: -1, width: 5, positions })
    expect(out.shape).toEqual([2, 5])
    expect([...await out.data()]).toEqual([2, 0, 3, 0, 1, 5, 0, 6, 0, 4])
    expect(() => scatter(x, index, { axis: 0, width: 5, positions })).toThrow(/scatter: 3 positions for axis 0/)
  })

  const made = (shape: number[], seed: number) =>
    tensor(fillNormal(new Float32Array(shape.reduce((a, b) => a * b, 1)), seed, 'scatter'), shape)
  const cases = [
    { shape: [3, 5, 7, 5], axis: 1, width: 9, positions: [8, 0, 3, 1, 6] }, // planes of 35: no whole vectors
    { shape: [2, 3, 12, 20], axis: -3, width: 4, positions: [0, 2, 3] }, // parts of a plane that EACH does not divide
    { shape: [4, 1, 2, 2], axis: 1, width: 70, positions: [69] },
    { shape: [5, 3], axis: -1, width: 6, positions: [5, 1, 2] }, // planes of one entry
    { shape: [3, 6], axis: 0, width: 3, positions: [2, 0, 1] }, // nothing but another order
    { shape: [2, 3, 4], axis: 1, width: 4, positions: [1, 1, 3] }, // what shares a place adds up
  ]
  test.each(cases)('onto a residual, $shape along $axis: doubles', async ({ shape, axis, width, positions }) => {
    const at = axis < 0 ? axis + shape.length : axis, wide = shape.with(at, width)
    const x = made(shape, 1), residual = made(wide, 2), index = tensor(Uint32Array.from(positions))
    const expected = Float64Array.from(await residual.data()), inner = shape.slice(at + 1).reduce((a, b) => a * b, 1)
    const zeros = new Float64Array(expected.length), attrs = { axis, width, positions }
    for (const [i, value] of (await x.data()).entries()) {
      const plane = Math.floor(i / inner), outer = Math.floor(plane / positions.length)
      const to = (outer * width + positions[plane % positions.length]) * inner + i % inner
      expected[to] += value
      zeros[to] += value
    }
    const close = async (found: Tensor, wanted: Float64Array) => {
      expect(found.shape).toEqual(wide)
      for (const [i, value] of (await found.data()).entries()) expect(value).toBeCloseTo(wanted[i], 5)
    }
    await close(scatter(x, index, attrs), zeros)
    await close(inference(() => scatterOnto(x, index, residual, attrs)), expected)
    await close(
      inference(() => scatterOnto(x, index, residual, { ...attrs, relu: true })),
      expected.map((value) => Math.max(0, value)),
    )
  })

  test('its gradients are those of the plain ops, and a new index is seen', async () => {
    const x = made([4, 2], 3), residual = made([4, 3], 4), labels = tensor(Int32Array.of(0, 1, 2, 1))
    const attrs = { axis: 1, width: 3, positions: [2, 0] }, index = tensor(Uint32Array.of(2, 0))
    const gradients = async (sum: (x: Tensor, residual: Tensor) => Tensor) => {
      const [, found] = valueAndGrad((both: { x: Tensor, residual: Tensor }) =>
        crossEntropy(sum(both.x, both.residual), labels)
      )({ x, residual })
      return [...await found.x!.data(), ...await found.residual!.data()]
    }
    expect(await gradients((x, residual) => scatterOnto(x, index, residual, { ...attrs, relu: true })))
      .toEqual(await gradients((x, residual) => relu(add(scatter(x, index, attrs), residual))))
    const first = [...await inference(() => scatter(x, index, attrs)).data()]
    index.write(Uint32Array.of(1, 0))
    const second = [...await inference(() => scatter(x, index, { ...attrs, positions: [1, 0] })).data()]
    expect(second).toEqual(first.map((_, i) => i % 3 === 0 ? first[i] : i % 3 === 1 ? first[i + 1] : 0))
    expect(() => inference(() => scatterOnto(x, index, x, attrs))).toThrow(
      /scatter\+add: residual \[4,2\] must have the shape of the output \[4,3\]/,
    )
  })
})

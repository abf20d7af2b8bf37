// Squeeze and excitation against plain loops: 1 at first, what the formula says then, gradients, the mean over images.
import { expect, test } from 'vitest'
import { tensor } from '../../../../src/core/tensor.ts'
import { disposeTree } from '../../../../src/core/tree.ts'
import { valueAndGrad } from '../../../../src/core/transform.ts'
import { mul } from '../../../../src/ops/elementwise.ts'
import { sum } from '../../../../src/ops/reduce.ts'
import { excitationSize, Excitations, excite } from '../../../../src/pruning/methods/apma/excitation.ts'
import { withMasks } from '../../../../src/nn/masks.ts'
import { units } from '../../../../src/pruning/units/units.ts'
import { describeDevice } from '../../../support/device.ts'
import { digitSwin, openDigits } from '../../../support/digits.ts'
import { random } from '../../../reference/nd.ts'

const B = 2, H = 2, D = 3, R = 2, size = H * D
const drawn = (seed: number, shape: number[]) => Float32Array.from(random(seed, shape).data)

function plain(
  x: ArrayLike<number>,
  W1: ArrayLike<number>,
  b1: ArrayLike<number>,
  W2: ArrayLike<number>,
  b2: ArrayLike<number>,
) {
  return Array.from({ length: B * size }, (_, at) => {
    const b = Math.floor(at / size), c = at % size
    const z = Array.from({ length: R }, (__, r) => {
      let total = b1[r]
      for (let i = 0; i < size; i++) total += W1[r * size + i] * x[b * size + i]
      return Math.max(0, total)
    }).reduce((total, value, r) => total + W2[c * R + r] * value, b2[c])
    return 2 / (1 + Math.exp(-z))
  })
}

describeDevice('squeeze-excitation', (adapter) => {
  test('factors and their gradient against plain loops', async () => {
    const parts = [
      drawn(1, [B, size]),
      drawn(2, [R, size]),
      drawn(3, [R]),
      drawn(4, [size, R]),
      drawn(5, [size]),
    ] as const
    const [x, W1, b1, W2, b2] = parts, by = drawn(6, [B, size])
    const weights = {
      reduce: tensor(W1, [R, H, D]),
      reduceBias: tensor(b1),
      expand: tensor(W2, [H, D, R]),
      expandBias: tensor(b2, [H, D]),
    }
    const squeezed = tensor(x, [B, H, D]), found = excite(squeezed, weights), weighed = tensor(by, [B, H, D])
    const expected = plain(...parts)
    ;(await found.data()).forEach((value, i) => expect(value).toBeCloseTo(expected[i], 5))
    const [, gradient] = valueAndGrad((given: { weights: typeof weights }) =>
      sum(mul(excite(squeezed, given.weights), weighed))
    )(
      { weights },
    )
    const loss = (moved: Float32Array) =>
      plain(x, W1, b1, moved, b2).reduce((total, each, i) => total + each * by[i], 0)
    const central = Array.from(W2, (_, i) => {
      const at = (step: number) => loss(Float32Array.from(W2, (value, j) => j === i ? value + step : value))
      return (at(1e-2) - at(-1e-2)) / 2e-2
    })
    ;(await gradient.weights.expand!.data()).forEach((value, i) => expect(value).toBeCloseTo(central[i], 3))
    expect(excitationSize(8)).toBe(8 * 2 * 2 + 8 + 2)
    disposeTree([weights, squeezed, found, weighed, gradient])
  })

  if (adapter !== 'cpu') return // a network, the same ops

  test('1 at first, in all windows of an image the same; the mean over images', async () => {
    const model = digitSwin(), found = units(model, [1, 1, 28, 28]).filter(({ kind }) => kind === 'values')
    const data = await openDigits(0, 4),
      masks = new Map(found.map(({ name, shape, size: all }) => [
        name,
        tensor(new Float32Array(all).fill(1), shape),
      ]))
    const own = new Excitations(found, found.map(({ name }) => name), 1)
    expect([...own.weights.keys()]).toEqual(found.map(({ name }) => name))
    const forward = (images: ReturnType<typeof tensor>) =>
      withMasks(model, own.at(masks, images.shape[0]), () => model.call(images))
    const { value } = await data.batches({ size: 5 }).next() as { value: { images: Float32Array, shape: number[] } }
    const input = tensor(value.images, value.shape), dense = model.call(input), first = forward(input)
    const [expected, seen] = [await dense.data(), await first.data()]
    seen.forEach((logit, i) => expect(logit).toBeCloseTo(expected[i], 5))
    const still = await own.means(data, 2, forward)
    for (const each of still.factors.values()) (await each.data()).forEach((factor) => expect(factor).toBeCloseTo(1, 6))
    expect(still.note).toMatch(/over 5 images; .* 0\.0 %/)
    for (const { expand } of own.weights.values()) expand.write(drawn(9, [expand.size]))
    const moved = await own.means(data, 2, forward), again = await own.means(data, 5, forward)
    let apart = 0
    for (const [name, each] of moved.factors) {
      const other = await again.factors.get(name)!.data()
      ;(await each.data()).forEach((factor, i) => {
        expect(factor).toBeCloseTo(other[i], 5)
        if (Math.abs(factor - 1) > 1e-3) apart++
      })
    }
    expect(apart).toBeGreaterThan(6)
    own.dispose()
    disposeTree([model, masks, input, dense, first, still.factors, moved.factors, again.factors])
  })
})

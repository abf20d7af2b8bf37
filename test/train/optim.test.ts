import { expect, test } from 'vitest'
import { adam, adamW, cosineRate, type Optimizer, sgd, updateAverage } from '../../src/train/optim.ts'
import { copyOf } from '../../src/core/fill.ts'
import { tensor } from '../../src/core/tensor.ts'
import { valueAndGrad } from '../../src/core/transform.ts'
import { leaves, mapTree, parameters, put } from '../../src/core/tree.ts'
import { add, mul } from '../../src/ops/elementwise.ts'
import { sum } from '../../src/ops/reduce.ts'
import { describeDevice } from '../support/device.ts'
import { golden } from '../support/golden.ts'
import { relativeError } from '../reference/nd.ts'

const methods: Record<string, (model: unknown) => Optimizer> = {
  'sgd_lr0.1': (model) => sgd(model, { rate: 0.1 }),
  'sgd_lr0.1_m0.9_wd1e-2': (model) => sgd(model, { rate: 0.1, momentum: 0.9, decay: 1e-2 }),
  'sgd_lr0.1_m0.9_nesterov': (model) => sgd(model, { rate: 0.1, momentum: 0.9, nesterov: true }),
  'adam_lr1e-2': (model) => adam(model, { rate: 1e-2 }),
  'adamw_lr1e-2_wd5e-2': (model) => adamW(model, { rate: 1e-2, decay: 5e-2 }),
}

const load = (name: string) => {
  const { data, shape } = golden('optim').get(name)
  return tensor(Float32Array.from(data), shape)
}

describeDevice('optimisers', () => {
  for (const [name, make] of Object.entries(methods)) {
    test(`${name} follows PyTorch for four steps`, async () => {
      const model = { p0: load('p0'), p1: load('p1'), p2: load('p2') }
      const optimizer = make(model)
      for (let step = 0; step < 4; step++) {
        optimizer.update(model, { p0: load(`g0.step${step}`), p1: load(`g1.step${step}`), p2: load(`g2.step${step}`) })
        for (const [i, parameter] of Object.values(model).entries()) {
          const expected = golden('optim').get(`${name}.p${i}.step${step}`).data
          expect(relativeError(await parameter.data(), expected)).toBeLessThanOrEqual(1e-5)
        }
      }
    })
  }

  test('clipping scales the whole gradient to the norm', async () => {
    const model = { a: tensor([0, 0, 0, 0, 0]), b: tensor([0]) }
    const optimizer = sgd(model, { rate: 1, clip: 1 })
    optimizer.update(model, { a: tensor([3, 0, 0, 0, 0]), b: tensor([4]) })
    expect((await model.a.data())[0]).toBeCloseTo(-0.6, 5)
    expect((await model.b.data())[0]).toBeCloseTo(-0.8, 5)
  })

  test('a parameter without gradient stays, and a changed model is refused', async () => {
    const model = { a: tensor([1, 2]), b: tensor([3]) }
    const optimizer = adamW(model, { rate: 0.1 })
    optimizer.update(model, { a: tensor([1, 1]), b: null })
    expect((await model.b.data())[0]).toBe(3)
    expect(() => {
      optimizer.update({ a: tensor([1]), b: model.b }, { a: tensor([1]) })
    }).toThrow(/make a new optimiser/)
  })

  test('tied weights are one parameter: counted, stepped, decayed and averaged once', async () => {
    const tied = tensor([[2, 4]]), model = { embed: tied, head: { weight: tied }, free: tensor([[1]]) }
    expect(parameters(model).map(([path]) => path)).toEqual(['embed', 'free'])
    expect(leaves(model)).toHaveLength(3)
    const copy = mapTree(model, (leaf) => copyOf(leaf))
    expect(copy.embed).toBe(copy.head.weight)
    expect(put(model, 'head.weight', tensor([[0, 0]])).embed).not.toBe(tied)
    const loss = (m: typeof model) => sum(add(mul(m.embed, m.head.weight), m.free)) // sum of squares: gradient 2 w
    const optimizer = sgd(model, { rate: 0.25, decay: 0.5, clip: 1e30 })
    const [, grads] = valueAndGrad(loss)(model)
    expect([...await grads.head.weight!.data()]).toEqual([4, 8])
    optimizer.update(model, grads)
    expect([...await tied.data()]).toEqual([2 - 0.25 * (4 + 0.5 * 2), 4 - 0.25 * (8 + 0.5 * 4)])
    expect(optimizer.state.moments.size).toBe(2)
    updateAverage(copy, model, 0.5)
    expect([...await copy.embed.data()]).toEqual([0.5 * 2 + 0.5 * 0.75, 0.5 * 4 + 0.5 * 1.5])
  })

  test('a gradient of another shape is refused', () => {
    const model = { a: tensor([[1, 2]]) }
    for (const wrong of [tensor([1, 2]), tensor([[1], [2]]), tensor([[1, 2, 3]]), tensor([1])]) {
      for (const make of Object.values(methods)) {
        expect(() => {
          make(model).update(model, { a: wrong })
        }).toThrow(/the gradient of 'a' is f32 \[.*\], expected f32 \[1,2\]/)
      }
    }
  })

  test('moving average', async () => {
    const model = { a: tensor([1, 2, 3]) }, average = { a: tensor([0, 0, 0]) }
    updateAverage(average, model, 0.75)
    expect([...await average.a.data()]).toEqual([0.25, 0.5, 0.75])
  })
})

test('cosine schedule: warm-up, peak, end', () => {
  const options = { steps: 100, peak: 1, warmup: 10, last: 0.1 }
  expect(cosineRate(0, options)).toBeCloseTo(0.1)
  expect(cosineRate(10, options)).toBeCloseTo(1)
  expect(cosineRate(55, options)).toBeCloseTo(0.55)
  expect(cosineRate(100, options)).toBeCloseTo(0.1)
})

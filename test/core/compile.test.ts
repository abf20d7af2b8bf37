// What a captured function is told apart by, and what it may write.
import { afterEach, expect, test } from 'vitest'
import { compile } from '../../src/core/compile.ts'
import { copyInto } from '../../src/core/fill.ts'
import { type Tensor, tensor } from '../../src/core/tensor.ts'
import { valueAndGrad } from '../../src/core/transform.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { gpu } from '../../src/gpu/device.ts'
import { BatchNorm } from '../../src/nn/norm.ts'
import { add, mul, relu, scale, square } from '../../src/ops/elementwise.ts'
import { sum } from '../../src/ops/reduce.ts'
import { sgd } from '../../src/train/optim.ts'
import { describeDevice } from '../support/device.ts'

class Line {
  slope: Tensor
  offset = 0
  constructor(slope: number) {
    this.slope = tensor([slope])
  }
  call(x: Tensor): Tensor {
    return mul(x, this.slope)
  }
}

describeDevice('compile', () => {
  const made: { clear(): void }[] = []
  const compiled: typeof compile = (f, options) => {
    const g = compile(f, options)
    made.push(g)
    return g
  }
  afterEach(() => {
    for (const g of made.splice(0)) g.clear()
  })
  const value = async (x: Tensor) => [...await x.data()]

  test('numbers, strings, flags and null are part of the key', async () => {
    const x = tensor([1, -2])
    const scaled = compiled((y: Tensor, k: number) => scale(y, { by: k }), { limit: 8 })
    for (const k of [3, 5, 3, -0, 0.5]) expect(await value(scaled(x, k))).toEqual([k, k * -2])
    const flagged = compiled((y: Tensor, { training }: { training?: boolean } = {}) => training ? relu(y) : square(y))
    expect(await value(flagged(x, { training: true }))).toEqual([1, 0])
    expect(await value(flagged(x, { training: false }))).toEqual([1, 4])
    expect(await value(flagged(x))).toEqual([1, 4])
    const named = compiled((y: Tensor, how: string | null) => how === 'relu' ? relu(y) : how === null ? y : square(y))
    expect(await value(named(x, 'relu'))).toEqual([1, 0])
    expect(await value(named(x, 'square'))).toEqual([1, 4])
    expect(await value(named(x, null))).toEqual([1, -2])
    const functional = compiled((y: Tensor, g: (z: Tensor) => Tensor) => g(y))
    expect(await value(functional(x, relu))).toEqual([1, 0])
    expect(await value(functional(x, square))).toEqual([1, 4])
  })

  test('a list of another length or with tensors elsewhere is another call', async () => {
    const x = tensor([1]), y = tensor([10])
    const total = compiled((all: (Tensor | null)[]) =>
      all.filter((each) => each !== null).reduce((a, b, i) => add(a, scale(b, { by: i + 1 })))
    )
    expect(await value(total([x, y]))).toEqual([21])
    expect(await value(total([x, null, y]))).toEqual([21])
    expect(await value(total([x, y, y]))).toEqual([51])
  })

  test('replays do happen', () => {
    const x = tensor([1]), { counts } = gpu().launches
    const f = compiled((y: Tensor, k: number) => scale(y, { by: k }))
    f(x, 2)
    const { bindGroups } = counts
    for (let i = 0; i < 5; i++) f(x, 2)
    expect(counts.bindGroups - bindGroups).toBeLessThanOrEqual(10) // copies of results, nothing of the function
  })

  test('a model among the arguments is used and trained in place', async () => {
    const model = new Line(2)
    const other = new Line(7)
    const optimizer = sgd(model, { rate: 0.1 })
    const step = compiled((m: Line, x: Tensor) => {
      const [loss, grads] = valueAndGrad((n: Line, y: Tensor) => sum(square(n.call(y))))(m, x)
      optimizer.update(m, grads)
      return loss
    })
    const x = tensor([1])
    const losses: number[] = []
    for (let i = 0; i < 3; i++) losses.push(await step(model, x).item())
    expect(losses.map((loss) => Math.round(loss * 1000) / 1000)).toEqual([4, 2.56, 1.638])
    expect((await value(model.slope))[0]).toBeCloseTo(2 * 0.8 ** 3, 5)
    const call = compiled((m: Line, y: Tensor) => m.call(y))
    expect(await value(call(other, x))).toEqual([7])
    expect((await value(call(model, x)))[0]).toBeCloseTo(2 * 0.8 ** 3, 5)
    model.slope = tensor([-1]) // another tensor: the capture of the old one does not serve
    expect(await value(call(model, x))).toEqual([-1])
    const norm = new BatchNorm(1), training = compiled((m: BatchNorm, y: Tensor) => m.call(y, { training: true }))
    const two = tensor([[1], [3]])
    for (let i = 0; i < 2; i++) training(norm, two)
    expect((await value(norm.mean))[0]).toBeCloseTo(0.38, 5)
  })

  test('writing to an input is refused, plain trees of weights included', async () => {
    const x = tensor([1]), zero = tensor([0])
    const write = compiled((y: Tensor) => {
      copyInto(zero, y)
      return y
    })
    expect(() => write(x)).toThrow(/writes to its argument 0 \[1\]/)
    const optimizer = sgd({ w: x }, { rate: 0.1 })
    const step = compiled((m: { w: Tensor }) => {
      const [loss, grads] = valueAndGrad(({ w }: { w: Tensor }) => sum(square(w)))(m)
      optimizer.update(m, grads)
      return loss
    })
    expect(() => step({ w: x })).toThrow(/writes to its argument 0\.w.*a model/)
    expect(await value(x)).toEqual([1])
    expect(await value(relu(x))).toEqual([1]) // the refused captures left nothing behind
  })

  test('host arrays among the arguments are refused', () => {
    const f = compiled((y: Tensor, _: Float32Array) => relu(y))
    expect(() => f(tensor([1]), new Float32Array(3))).toThrow(/argument 1 is a Float32Array on the host/)
    const g = compiled((o: { bytes: Uint8Array }) => tensor([o.bytes.length]))
    expect(() => g({ bytes: new Uint8Array(1) })).toThrow(/argument 0\.bytes is an? Uint8Array/)
  })

  test('results stay the caller’s', async () => {
    const f = compiled((y: Tensor, k: number) => ({ y: scale(y, { by: k }), k }))
    const a = f(tensor([1]), 2), b = f(tensor([1]), 3)
    expect([a.k, b.k, await value(a.y), await value(b.y)]).toEqual([2, 3, [2], [3]])
    disposeTree([a, b])
  })
})

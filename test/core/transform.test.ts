import { expect, test } from 'vitest'
import { compile } from '../../src/core/compile.ts'
import { DeviceError, FreedError, ShapeError } from '../../src/base/errors.ts'
import { close, gpu } from '../../src/gpu/device.ts'
import { add, mul, relu, scale, square } from '../../src/ops/elementwise.ts'
import { linear } from '../../src/ops/matmul/linear.ts'
import { mean, sum } from '../../src/ops/reduce.ts'
import { adamW } from '../../src/train/optim.ts'
import { pullback, record, type Rule } from '../../src/core/tape.ts'
import { Tensor, tensor } from '../../src/core/tensor.ts'
import { finite, scope, stopGradient, trace, valueAndGrad, valueAndGradAux, vjp } from '../../src/core/transform.ts'
import { disposeTree, leaves, mapTree, put, take } from '../../src/core/tree.ts'
import { describeDevice } from '../support/device.ts'
import { random } from '../reference/nd.ts'
import { toTensor } from '../support/check-op.ts'

interface Net {
  first: Tensor
  second: Tensor
  unused: Tensor
}

const net = (): Net => ({
  first: toTensor(random(1, [8, 5])),
  second: toTensor(random(2, [3, 8])),
  unused: tensor([1]),
})
const loss = (model: Net, x: Tensor) => mean(square(linear(relu(linear(x, model.first, null)), model.second, null)))

describeDevice('transforms', () => {
  test('valueAndGrad has the structure of the model and frees everything else', async () => {
    const model = net(), x = toTensor(random(3, [4, 5]))
    const run = valueAndGrad(loss)
    disposeTree(run(model, x))
    const { live } = gpu().pool.memory
    const [value, grads] = run(model, x)
    expect([...grads.first!.shape]).toEqual([8, 5])
    expect(grads.unused).toBeNull()
    const start = await value.item(), slope = await grads.second!.data()
    disposeTree([value, grads])
    expect(gpu().pool.memory.live).toBe(live)
    const at = 4, step = 1e-2
    const moved = await model.second.data()
    moved[at] += step
    model.second.write(moved)
    const [later] = run(model, x)
    expect((await later.item() - start) / step).toBeCloseTo(slope[at], 1)
  })

  test('one tensor used twice, and in place of itself, gathers both gradients', async () => {
    const x = tensor([2, 3])
    const { outputs, back } = vjp((a) => add(mul(a, a), a), x)
    expect([...await outputs[0].data()]).toEqual([6, 12])
    expect([...await back(tensor([1, 1]))[0]!.data()]).toEqual([5, 7])
    expect([...await back(tensor([1, 0]))[0]!.data()]).toEqual([5, 0])
  })

  test('several outputs go back together, and a rule replaces a vjp', async () => {
    const x = tensor([1, 2])
    const { result: [a, b], calls } = record(() => [scale(x, { by: 3 }), square(x)] as const, [x])
    const seed = tensor([1, 1])
    const plain = pullback(calls, [[a, seed], [b, seed]])
    expect([...await plain.get(x)!.data()]).toEqual([5, 7])
    const twice: Rule = (call, c) => call.op.vjp(call, scale(c, { by: 2 }))
    const ruled = pullback(calls, [[a, seed], [b, seed]], {
      ruleFor: (call) => call.op.name === 'square' ? twice : call.op.vjp,
    })
    expect([...await ruled.get(x)!.data()]).toEqual([7, 11])
  })

  test('auxiliary results survive, the loss must be a scalar', async () => {
    const model = { w: tensor([2]) }
    const [, grads, aux] = valueAndGradAux((m: typeof model): [Tensor, Tensor] => {
      const y = square(m.w)
      return [sum(y), y]
    })(model)
    expect(await aux.item()).toBe(4)
    expect(await grads.w!.item()).toBe(4)
    expect(() => valueAndGrad((m: { w: Tensor }) => m.w)({ w: tensor([1, 2]) })).toThrow(ShapeError)
  })

  test('scope frees what it does not return', async () => {
    const inner: Tensor[] = []
    const kept = scope(() => {
      inner.push(square(tensor([3])))
      return { deep: [square(inner[0])] }
    })
    await expect(inner[0].data()).rejects.toThrow(FreedError)
    expect(await kept.deep[0].item()).toBe(81)
    expect(() => scope(async () => Promise.resolve())).toThrow(/asynchronous/)
  })

  test('a NaN loss stops training with a reason', async () => {
    await expect(finite(tensor([NaN]))).rejects.toThrow(/loss is NaN/)
  })

  test('trees: paths, map, take, put', () => {
    class Layer {
      weight = tensor([1])
      mask: Tensor | null = null
      size(): number {
        return this.weight.size
      }
    }
    const model = { layers: [new Layer(), new Layer()] }
    expect(leaves(model).map(([path]) => path)).toEqual(['layers.0.weight', 'layers.1.weight'])
    const other = mapTree(model, (leaf) => tensor(new Float32Array(leaf.size + 1)))
    expect(other.layers[0].size()).toBe(2)
    expect(take(put(model, 'layers.1.weight', tensor([1, 2, 3])), 'layers.1.weight').size).toBe(3)
    expect(() => take(model, 'layers.7.weight')).toThrow(/near it: layers.0.weight/)
  })

  test('captured equals eager: five steps, a learning-rate schedule, a smaller last batch', async () => {
    const run = async (wrap: <A extends unknown[], R>(f: (...args: A) => R) => (...args: A) => R) => {
      const model = net(), optimizer = adamW(model, { rate: 0.1, decay: 0.01 })
      const step = wrap((x: Tensor) => {
        const [value, grads] = valueAndGrad(loss)(model, x)
        optimizer.update(model, grads)
        disposeTree(grads)
        return value
      })
      const values: number[] = []
      for (let i = 0; i < 5; i++) {
        optimizer.setRate(0.1 / (i + 1))
        const x = toTensor(random(10 + i, [i === 4 ? 2 : 4, 5]))
        const value = step(x)
        values.push(await value.item())
        disposeTree([x, value])
      }
      return [...values, ...await model.first.data()]
    }
    expect(await run((f) => compile(f))).toEqual(await run((f) => f))
  })

  test('a captured step allocates nothing and creates no bind group after the second run', async () => {
    const model = net(), optimizer = adamW(model, { rate: 0.1 })
    for (const wrap of [(f: (x: Tensor) => Tensor) => f, (f: (x: Tensor) => Tensor) => compile(f)]) {
      const step = wrap((x: Tensor) => {
        const [value, grads] = valueAndGrad(loss)(model, x)
        optimizer.update(model, grads)
        disposeTree(grads)
        return value
      })
      const x = toTensor(random(5, [4, 5]))
      for (let i = 0; i < 2; i++) step(x).dispose()
      const { created } = gpu().pool.memory, { bindGroups } = gpu().launches.counts
      for (let i = 0; i < 3; i++) step(x).dispose()
      expect(gpu().pool.memory.created).toBe(created)
      expect(gpu().launches.counts.bindGroups).toBe(bindGroups)
      await gpu().failures.settle()
    }
  })

  test('results of a captured function are the caller’s own', async () => {
    const twice = compile((x: Tensor) => scale(x, { by: 2 }))
    const a = twice(tensor([1])), b = twice(tensor([5]))
    expect([await a.item(), await b.item()]).toEqual([2, 10])
    const constant = compile((x: Tensor) => add(x, tensor([1, 2])))
    const results = [constant(tensor([1, 1])), constant(tensor([10, 10]))]
    expect([...await results[1].data()]).toEqual([11, 12])
  })

  test('looking at values inside a captured function is refused', () => {
    expect(() =>
      compile((x: Tensor) => {
        x.write(Float32Array.of(1))
      })(tensor([1]))
    ).toThrow(DeviceError)
    const read = compile((x: Tensor) => {
      void x.data().catch((error: unknown) => {
        caught = error
      })
    })
    let caught: unknown = null
    read(tensor([1]))
    return Promise.resolve().then(() => {
      expect(caught).toBeInstanceOf(DeviceError)
    })
  })

  test('second derivatives are refused, constants are not', async () => {
    const w = tensor([3])
    const inner = (v: Tensor) => valueAndGrad((u: Tensor) => sum(mul(u, square(u))))(v)[1]!
    expect(() => valueAndGrad((v: Tensor) => sum(inner(v)))(w)).toThrow(/second derivatives.*stopGradient/)
    expect(() => valueAndGrad((v: Tensor) => sum(inner(scale(v, { by: 2 }))))(w)).toThrow(/second derivatives/)
    // the inner loss closes over what the outer one follows, and over what is made of it inside
    const closed = (v: Tensor) => valueAndGrad((u: Tensor) => sum(mul(u, square(v))))(tensor([1]))[1]!
    expect(() => valueAndGrad((v: Tensor) => sum(closed(v)))(w)).toThrow(/second derivatives/)
    expect(() => valueAndGrad((v: Tensor) => sum(vjp((u) => mul(u, v), tensor([1])).outputs[0]))(w)).toThrow(/vjp: /)
    const [, grad] = valueAndGrad((v: Tensor) => sum(mul(v, stopGradient(() => inner(v)))))(w)
    expect(await grad!.item()).toBeCloseTo(27, 4)
    const [, other] = valueAndGrad((v: Tensor) => sum(mul(v, inner(tensor([3])))))(w) // of something else: a constant
    expect(await other!.item()).toBeCloseTo(27, 4)
  })

  test('a capture is taken anew when a tensor it uses was freed and replaced', async () => {
    const model = { w: tensor([2]) }
    const f = compile((x: Tensor) => mul(x, model.w))
    expect(await f(tensor([3])).item()).toBe(6)
    model.w.dispose()
    model.w = tensor([5])
    expect(await f(tensor([3])).item()).toBe(15)
  })
})

test('a trace needs no device and sees every call with its shapes', async () => {
  await close()
  const { result, calls } = trace((input) => mean(relu(linear(input([4, 5]), input([8, 5]), null))))
  expect(calls.map(({ op }) => op.name)).toEqual(['linear', 'relu', 'mean'])
  expect([...calls[0].out.shape]).toEqual([4, 8])
  expect([...result.shape]).toEqual([])
  expect(calls[0].op.flops(calls[0].args, calls[0].out, calls[0].attrs)).toBe(2 * 4 * 8 * 5)
})

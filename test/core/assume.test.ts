// What a replay must not take for granted: masks of gates, and a gradient that is recorded around it.
import { afterEach, expect, test } from 'vitest'
import { compile } from '../../src/core/compile.ts'
import { type Tensor, tensor } from '../../src/core/tensor.ts'
import { inference, trace, valueAndGrad, vjp } from '../../src/core/transform.ts'
import { Gate } from '../../src/nn/gate.ts'
import { Linear } from '../../src/nn/linear.ts'
import { withClassMasks, withMasks } from '../../src/nn/masks.ts'
import { add, mul, scale, square } from '../../src/ops/elementwise.ts'
import { sum } from '../../src/ops/reduce.ts'
import { describeDevice } from '../support/device.ts'

class Gated {
  layer = new Linear(2, 2, { bias: false })
  gate = new Gate([-1])
  constructor() {
    this.layer.weight.write(new Float32Array([1, 0, 0, 1]))
  }
  call(x: Tensor): Tensor {
    return this.gate.call(this.layer.call(x))
  }
}

describeDevice('compile beside what changes around it', () => {
  const made: { clear(): void }[] = []
  const compiled: typeof compile = (f, options) => {
    const g = compile(f, options)
    made.push(g)
    return g
  }
  const values = async (t: Tensor) => [...await t.data()]
  afterEach(() => {
    for (const f of made.splice(0)) f.clear()
  })

  test('masks around the call, set and taken away, closed over or among the arguments', async () => {
    const model = new Gated(), x = tensor([[3, 4]]), first = tensor([1, 0]), second = tensor([0, 1])
    const closed = compiled((x: Tensor) => model.call(x))
    const given = compiled((net: Gated, x: Tensor) => net.call(x))
    for (const call of [closed, (x: Tensor) => given(model, x)]) {
      expect(await values(call(x))).toEqual([3, 4])
      expect(await values(withMasks(model, { gate: first }, () => call(x)))).toEqual([3, 0])
      expect(await values(withMasks(model, { gate: second }, () => call(x)))).toEqual([0, 4])
      expect(await values(call(x))).toEqual([3, 4])
      model.gate.mask = second
      expect(await values(call(x))).toEqual([0, 4])
      expect(await values(withMasks(model, { gate: null }, () => call(x)))).toEqual([3, 4])
      model.gate.mask = null
      expect(await values(call(x))).toEqual([3, 4])
    }
  })

  test('masks of classes around the call, and the same within it are replayed', async () => {
    const model = new Gated(), x = tensor([[3, 4], [5, 6]])
    const labels = [[0, 1], [1, 0]].map((of) => tensor(new Int32Array(of)))
    const wanted = [[3, 0, 0, 6], [0, 4, 5, 0]]
    model.gate.mask = tensor([[1, 0], [0, 1]])
    let runs = 0
    const outside = compiled((x: Tensor) => model.call(x))
    const inside = compiled((x: Tensor, labels: Tensor) => {
      runs++
      return withClassMasks(model, labels, () => model.call(x))
    })
    for (const i of [0, 1, 0]) {
      expect(await values(withClassMasks(model, labels[i], () => outside(x)))).toEqual(wanted[i])
      expect(await values(inside(x, labels[i]))).toEqual(wanted[i])
    }
    expect(runs).toBe(1)
    expect(() => outside(x)).toThrow('withClassMasks')
    model.gate.mask = tensor([[0, 1], [1, 0]])
    expect(await values(inside(x, labels[0]))).toEqual(wanted[1])
  })

  test('a gradient, a trace or a capture around the call sees its ops, also where it was captured before', async () => {
    const model = new Gated(), x = tensor([[3, 4]])
    const inner = compiled((net: Gated, x: Tensor) => sum(square(net.call(x))))
    for (let i = 0; i < 2; i++) {
      const [loss, grads] = valueAndGrad((net: Gated) => add(inner(net, x), sum(net.layer.weight)))(model)
      expect(await loss.item()).toBe(27)
      expect(await values(grads.layer.weight!)).toEqual([19, 25, 25, 33])
      expect(await inner(model, x).item()).toBe(25)
    }
    const { back } = vjp((x) => inner(model, x), x)
    expect(await values(back(tensor(1))[0]!)).toEqual([6, 8])
    expect(trace((input) => inner(model, input([1, 2]))).calls.map(({ op }) => op.name)).toContain('linear')
    for (let i = 0; i < 2; i++) expect(await inference(() => inner(model, x)).item()).toBe(25)
    const outer = compiled((x: Tensor) => scale(inner(model, x), { by: 2 }))
    expect(await outer(x).item()).toBe(50)
    expect(await outer(tensor([[1, 1]])).item()).toBe(4)
    expect(await inner(model, tensor([[2, 1]])).item()).toBe(5)
  })

  test('inputs whose paths look alike, keys of any kind, sets and dates are told apart', async () => {
    const a = tensor([1, 2]), b = tensor([10, 20]), [one, other] = [{}, {}]
    const both = (x: Tensor, y: Tensor) => add(scale(x, { by: 2 }), y)
    const fields = compiled((o: { 'a.b': Tensor, a: { b: Tensor } }) => both(o['a.b'], o.a.b))
    const kinds = compiled((m: Map<unknown, Tensor>) => both(m.get(1)!, m.get('1')!))
    const objects = compiled((m: Map<unknown, Tensor>) => m.has(one) ? both(m.get(one)!, m.get(other)!) : m.get(other)!)
    const named = compiled((o: Record<string, number>) => scale(a, { by: o.b ?? 7 }))
    const members = compiled((set: Set<Tensor>) => [...set].reduce((x, y) => mul(x, y)))
    const day = compiled((date: Date) => scale(a, { by: date.getTime() }))
    const set = new Set([a, b]), date = new Date(2)
    for (let i = 0; i < 2; i++) {
      expect(await values(fields({ 'a.b': a, a: { b } }))).toEqual([12, 24])
      expect(await values(kinds(new Map<unknown, Tensor>([[1, a], ['1', b]])))).toEqual([12, 24])
      expect(await values(objects(new Map([[one, a], [other, b]])))).toEqual([12, 24])
      expect(await values(objects(new Map([[other, a]])))).toEqual([1, 2])
      expect(await values(objects(new Map([[one, b], [other, a]])))).toEqual([21, 42])
      expect(await values(named({ b: 1, a: 2 }))).toEqual([1, 2])
      expect(await values(named({ 'b=1 0.a': 2 }))).toEqual([7, 14])
      expect(await values(members(set))).toEqual([10, 40])
      expect(await values(day(date))).toEqual([2, 4])
    }
    set.delete(a)
    date.setTime(3)
    expect(await values(members(set))).toEqual([10, 20])
    expect(await values(day(date))).toEqual([3, 6])
  })
})

import { expect, test } from 'vitest'
import { DTypeError, ShapeError } from '../../src/base/errors.ts'
import * as ops from '../../src/ops/elementwise.ts'
import { full } from '../../src/core/fill.ts'
import type { AnyOp } from '../../src/core/tape.ts'
import { tensor, type Tensor } from '../../src/core/tensor.ts'
import { vjp } from '../../src/core/transform.ts'
import { checkOp, checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import { erfOf } from '../reference/elementwise.ts'
import { nd, type Nd, random, uniform } from '../reference/nd.ts'
import { reference } from '../reference/references.ts'
import { checkCase } from '../support/golden-case.ts'

type Unary = (x: Tensor) => Tensor
const positive = ['log', 'sqrt', 'rsqrt', 'reciprocal']
const plain = [
  'relu',
  'gelu',
  'geluTanh',
  'silu',
  'sigmoid',
  'tanh',
  'exp',
  'log',
  'sqrt',
  'rsqrt',
  'erf',
  'softplus',
  'hardswish',
  'relu6',
  'abs',
  'neg',
  'reciprocal',
  'square',
  'sin',
  'cos',
] as const
const binaries = ['add', 'sub', 'mul', 'div', 'maximum', 'minimum'] as const

// Same shapes, scalars, rows, columns, images with a bias per channel, and up to six axes that neither merge nor divide
// by four.
const shapes: [number[], number[]][] = [
  [[5], [5]],
  [[3, 7], [3, 7]],
  [[3, 7], []],
  [[], [4, 5]],
  [[6, 8], [8]],
  [[6, 7], [7]],
  [[2, 3, 4, 4], [3, 1, 1]],
  [[2, 3, 4, 5], [3, 1, 1]],
  [[6, 8], [6, 1]],
  [[2, 1, 4], [5, 1]],
  [[2, 1, 8, 1, 3], [4, 1, 2, 1]],
  [[1, 3], [3, 1]],
  [[2, 1, 3, 1, 2, 1], [1, 2, 1, 3, 1, 2]],
  [[2, 1, 3, 1, 2, 4], [1, 2, 1, 3, 1, 4]],
]

describeDevice('elementwise', () => {
  test.each(plain)('%s', async (name) => {
    for (const shape of [[], [5], [3, 7], [2, 33, 5], [1030]]) {
      const x = positive.includes(name) ? uniform(3, shape, 0.3, 5) : random(4, shape, 3)
      await checkOp({ call: ops[name] as Unary, reference: (v) => reference(name, [v]), args: [x], samples: 15 })
    }
  })

  test('with constants', async () => {
    const x = random(5, [7, 9], 2)
    await checkOp({
      call: (v) => ops.leakyRelu(v, { slope: 0.1 }),
      reference: (v) => reference('leakyRelu', [v], { slope: 0.1 }),
      args: [x],
    })
    await checkOp({
      call: (v) => ops.clamp(v, { low: -1, high: 1.5 }),
      reference: (v) => reference('clamp', [v], { low: -1, high: 1.5 }),
      args: [x],
    })
    await checkOp({
      call: (v) => ops.scale(v, { by: -2.5 }),
      reference: (v) => reference('scale', [v], { factor: -2.5 }),
      args: [x],
    })
    await checkOp({
      call: (v) => ops.offset(v, { by: 0.75 }),
      reference: (v) => nd(v.shape, v.data.map((n) => n + 0.75)),
      args: [x],
    })
    for (const exponent of [0, 1, 2, 3, -1, -2, 5]) {
      await checkOp({
        call: (v) => ops.pow(v, { exponent }),
        reference: (v) => reference('pow', [v], { exponent }),
        args: [uniform(6, [7, 9], -2, -0.5)],
      })
    }
    for (const exponent of [1.5, -0.5, 0.3, 20]) {
      await checkOp({
        call: (v) => ops.pow(v, { exponent }),
        reference: (v) => reference('pow', [v], { exponent }),
        args: [uniform(6, [7, 9], 0.2, 2)],
      })
    }
    expect([...await ops.pow(tensor([-2, -1, 2]), { exponent: 17 }).data()].map(Math.round)).toEqual([
      -131072,
      -1,
      131072,
    ])
    expect([...await ops.pow(tensor([-2, 4]), { exponent: 0.5 }).data()]).toEqual([NaN, 2])
  })

  test.each(binaries)('%s broadcasts', async (name) => {
    for (const [left, right] of name === 'mul' ? shapes : shapes.slice(1, 6)) {
      const y = name === 'div' ? uniform(8, right, 0.5, 2) : random(8, right)
      await checkOp({
        call: (a, b) => ops[name](a, b),
        reference: (a, b) => reference(name, [a, b]),
        args: [random(7, left), y],
        samples: 6,
      })
    }
  })

  test('power, comparisons, where', async () => {
    await checkOp({
      call: ops.power,
      reference: (x, y) => reference('power', [x, y]),
      args: [uniform(9, [4, 5], 0.5, 2), random(10, [5])],
    })
    const steps: [(x: Tensor, y: Tensor) => Tensor, 'greater' | 'less' | 'equal'][] = [[ops.greater, 'greater'], [
      ops.less,
      'less',
    ], [ops.equal, 'equal']]
    for (const [call, name] of steps) {
      const whole = (v: Nd) => nd(v.shape, v.data.map(Math.round))
      await checkOp({
        call,
        reference: (x, y) => reference(name, [x, y]),
        args: [whole(random(11, [6, 7])), whole(random(12, [7]))],
        backward: false,
      })
    }
    for (const [c, x, y] of [[[3, 4], [3, 4], [3, 4]], [[3, 1], [4], []], [[5], [2, 5], [2, 1]]]) {
      const condition = nd(c, random(13, c).data.map((v) => (v > 0 ? 1 : 0)))
      await checkOp({
        call: ops.where,
        reference: (...all) => reference('where', all),
        args: [condition, random(14, x), random(15, y)],
        constant: [0],
      })
    }
  })

  test('equal arguments share the gradient of a maximum', async () => {
    const { outputs: [y], back } = vjp(ops.maximum, tensor([1, 2, 3]), tensor([1, 3, 2]))
    expect((await Promise.all(back(ops.scale(y, { by: 0 }), null).map((g) => g!.data()))).flatMap((g) => [...g]))
      .toEqual([0, 0, 0, 0, 0, 0])
    expect((await Promise.all(back(tensor([1, 1, 1])).map((g) => g!.data()))).map((g) => [...g])).toEqual([
      [0.5, 0, 1],
      [0.5, 1, 0],
    ])
  })

  // Errors relative to each value, not to the largest: what is tested is that tails do not cancel.
  test('tails keep their digits', async () => {
    const grid = Float32Array.from({ length: 2001 }, (_, i) => (i - 1000) / 125)
    const erfc = (z: number) => (z < 2 ? 1 - erfOf(z) : Math.exp(-z * z) / (z * Math.sqrt(Math.PI)) * fraction(z))
    // erfc's continued fraction, z sqrt(pi) e^(z^2) erfc(z) = z / (z + (1/2) / (z + 1 / (z + (3/2) / ...)))
    const fraction = (z: number) => {
      let f = z
      for (let k = 120; k > 0; k--) f = z + k / 2 / f
      return z / f
    }
    const cdf = (v: number) => (v > 0 ? 1 - erfc(v * Math.SQRT1_2) / 2 : erfc(-v * Math.SQRT1_2) / 2)
    const worst = async (call: Unary, exact: (v: number) => number) => {
      const got = await call(tensor(grid)).data()
      return Math.max(...grid.map((v, i) => (v === 0 ? 0 : Math.abs(got[i] / exact(v) - 1))))
    }
    expect(await worst(ops.gelu, (v) => v * cdf(v))).toBeLessThan(1e-5) // e^-32 in float32 has the error 32 * 6e-8
    expect(await worst(ops.erf, erfOf)).toBeLessThan(1e-6)
    expect(await worst(ops.tanh, Math.tanh)).toBeLessThan(1e-6)
    expect(await worst(ops.softplus, (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v))))).toBeLessThan(2e-6)
    expect(await worst(ops.sigmoid, (v) => 1 / (1 + Math.exp(-v)))).toBeLessThan(2e-6)
  })

  test('nothing overflows far out', async () => {
    const x = tensor([-1e30, -200, -100, 0, 100, 200, 1e30])
    for (
      const name of ['gelu', 'geluTanh', 'silu', 'sigmoid', 'tanh', 'erf', 'softplus', 'hardswish', 'relu6'] as const
    ) {
      const { outputs: [y], back } = vjp(ops[name] as Unary, x)
      for (const values of [await y.data(), await back(tensor([1, 1, 1, 1, 1, 1, 1]))[0]!.data()]) {
        expect([...values].every(Number.isFinite), name).toBe(true)
      }
    }
    expect([...await ops.tanh(x).data()]).toEqual([-1, -1, -1, 0, 1, 1, 1])
    expect((await ops.softplus(x).data())[6]).toBe(Math.fround(1e30))
    expect((await ops.relu(tensor([NaN])).data())[0]).toBeNaN()
  })

  test('f(x) / x in closed form', async () => {
    const x = uniform(16, [40], 0.1, 7), both = nd([80], [...x.data, ...x.data.map((v) => -v)])
    const ratio = (op: AnyOp, v: Tensor, attrs: object = {}) => op.ratio(v, full(v.shape, 1), attrs)
    type Named = (typeof plain)[number] | 'leakyRelu' | 'pow' | 'scale'
    const table: [Named, object, (v: Nd) => Nd][] = [
      ...(['relu', 'gelu', 'geluTanh', 'silu', 'hardswish', 'relu6', 'abs', 'neg', 'square'] as const).map((
        name,
      ): [Named, object, (v: Nd) => Nd] => [name, {}, (v) => reference(name, [v])]),
      ['leakyRelu', { slope: 0.2 }, (v) => reference('leakyRelu', [v], { slope: 0.2 })],
      ['pow', { exponent: 3 }, (v) => reference('pow', [v], { exponent: 3 })],
      ['scale', { by: -1.5 }, (v) => reference('scale', [v], { factor: -1.5 })],
    ]
    for (const [name, attrs, f] of table) {
      await checkOp({
        call: (v) => ratio(ops[name].op, v, attrs)!,
        reference: (v) => reference('div', [f(v), v]),
        args: [both],
        backward: false,
      })
    }
    await checkOp({
      call: (v) => ratio(ops.sqrt.op, v)!,
      reference: (v) => reference('rsqrt', [v]),
      args: [x],
      backward: false,
    })
    expect(ratio(ops.tanh.op, toTensor(x))).toBeNull()
    expect(ratio(ops.add.op, toTensor(x))).toBeNull()
  })

  const goldens: [string, Parameters<typeof checkCase>[1]][] = [
    ...([
      'relu',
      'silu',
      'sigmoid',
      'tanh',
      'exp',
      'erf',
      'softplus',
      'hardswish',
      'abs',
      'log',
      'sqrt',
      'rsqrt',
      'reciprocal',
    ] as const)
      .map((
        name,
      ): [string, Parameters<typeof checkCase>[1]] => [name, { [name]: ([x]: Tensor[]) => (ops[name] as Unary)(x) }]),
    ['gelu_erf', { gelu: ([x]) => ops.gelu(x) }],
    ['gelu_tanh', { geluTanh: ([x]) => ops.geluTanh(x) }],
    ['leaky_relu', { leakyRelu: ([x], attrs) => ops.leakyRelu(x, attrs as { slope: number }) }],
    ['relu6', {
      relu6: ([x]) => ops.relu6(x),
      scale: ([x], attrs) => ops.scale(x, { by: (attrs as { factor: number }).factor }),
    }],
    ['pow3', { pow: ([x], attrs) => ops.pow(x, attrs as { exponent: number }) }],
    ['pow_1p5', { pow: ([x], attrs) => ops.pow(x, attrs as { exponent: number }) }],
    ['add_broadcast', { add: ([x, y]) => ops.add(x, y) }],
    ['mul_broadcast', { mul: ([x, y]) => ops.mul(x, y) }],
    ['sub_div', { sub: ([x, y]) => ops.sub(x, y), div: ([x, y]) => ops.div(x, y) }],
    ['maximum', { maximum: ([x, y]) => ops.maximum(x, y) }],
  ]
  test.each(goldens)('golden %s', async (name, calls) => {
    await checkCase(name, calls)
  })

  test('gradients only where they are needed', async () => {
    const x = toTensor(random(1, [2, 3])), y = toTensor(random(2, [3]))
    const { outputs: [z], back } = vjp((v) => ops.mul(x, v), y)
    const grads = back(z)
    expect(grads).toHaveLength(1)
    expect(grads[0]!.shape).toEqual([3])
    const none = vjp((v) => ops.greater(v, y), x)
    expect(none.back(none.outputs[0])).toEqual([null])
  })

  test('what does not fit is refused', () => {
    const x = toTensor(random(1, [2, 3]))
    expect(() => ops.add(x, toTensor(random(1, [2])))).toThrow(ShapeError)
    expect(() => ops.add(x, toTensor(random(1, [2])))).toThrow(
      'add: [2,3] and [2] do not broadcast: axis -1 has sizes 3 and 2, expected equal sizes or 1',
    )
    expect(() => ops.where(x, x, toTensor(random(1, [4])))).toThrow(ShapeError)
    expect(() => ops.relu(tensor(Int32Array.of(1)))).toThrow(DTypeError)
    expect(() => ops.scale(x, {} as { by: number })).toThrow(/expected numbers/)
    const wide = [2, 1, 2, 1, 2, 1, 2], other = [1, 2, 1, 2, 1, 2, 1]
    expect(() => ops.add(toTensor(random(1, wide)), toTensor(random(1, other)))).toThrow(/7 separate axes/)
  })

  test('no races', () => {
    checkRaces(() => {
      const x = toTensor(random(1, [2, 5]))
      ops.gelu(x)
      for (const [left, right] of shapes) ops.mul(toTensor(random(1, left)), toTensor(random(2, right)))
      ops.where(x, x, x)
      ops.expanded(toTensor(random(1, [2, 1])), [2, 5], 2)
    })
  })
})

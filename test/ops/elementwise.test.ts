import { test } from 'vitest'
import * as ops from '../../src/ops/elementwise.ts'
import type { Tensor } from '../../src/tensor.ts'
import { checkOp } from '../check-op.ts'
import { describeDevice } from '../device.ts'
import { nd, random, uniform } from '../reference/nd.ts'
import { reference } from '../reference/references.ts'

type Unary = (x: Tensor) => Tensor
const positive = ['log', 'sqrt', 'rsqrt', 'reciprocal']
const plain = ['relu', 'gelu', 'geluTanh', 'silu', 'sigmoid', 'tanh', 'exp', 'log', 'sqrt', 'rsqrt', 'erf', 'softplus', 'hardswish', 'relu6', 'abs', 'neg', 'reciprocal',
  'square', 'sin', 'cos'] as const

describeDevice('elementwise', () => {
  test.each(plain)('%s', async (name) => {
    for (const shape of [[1], [5], [3, 7], [2, 33, 5], [1030]]) {
      const x = positive.includes(name) ? uniform(3, shape, 0.3, 5) : random(4, shape, 3)
      await checkOp({ call: ops[name] as Unary, reference: (v) => reference(name, [v]), args: [x] })
    }
  })

  test('with constants', async () => {
    const x = random(5, [7, 9], 2)
    await checkOp({ call: (v) => ops.leakyRelu(v, { slope: 0.1 }), reference: (v) => reference('leakyRelu', [v], { slope: 0.1 }), args: [x] })
    await checkOp({ call: (v) => ops.clamp(v, { low: -1, high: 1.5 }), reference: (v) => reference('clamp', [v], { low: -1, high: 1.5 }), args: [x] })
    await checkOp({ call: (v) => ops.scale(v, { by: -2.5 }), reference: (v) => reference('scale', [v], { factor: -2.5 }), args: [x] })
    await checkOp({ call: (v) => ops.offset(v, { by: 0.75 }), reference: (v) => nd(v.shape, v.data.map((n) => n + 0.75)), args: [x] })
    for (const exponent of [0, 1, 2, 3, -1, -2, 5]) {
      await checkOp({ call: (v) => ops.pow(v, { exponent }), reference: (v) => reference('pow', [v], { exponent }), args: [uniform(6, [7, 9], -2, -0.5)] })
    }
    for (const exponent of [1.5, -0.5, 0.3, 20]) {
      await checkOp({ call: (v) => ops.pow(v, { exponent }), reference: (v) => reference('pow', [v], { exponent }), args: [uniform(6, [7, 9], 0.2, 2)] })
    }
  })

  const shapes: [number[], number[]][] = [
    [[5], [5]], [[3, 7], [3, 7]], [[3, 7], []], [[], [4, 5]], [[6, 8], [8]], [[6, 7], [7]], [[2, 3, 4, 5], [3, 1, 1]], [[2, 3, 4, 4], [3, 1, 1]],
    [[2, 1, 4], [5, 1]], [[2, 1, 8, 1, 3], [4, 1, 2, 1]], [[1, 3], [3, 1]], [[2, 1, 3, 1, 2, 1], [1, 2, 1, 3, 1, 2]], [[2, 1, 3, 1, 2, 4], [1, 2, 1, 3, 1, 4]],
  ]
  test.each(['add', 'sub', 'mul', 'div', 'maximum', 'minimum'] as const)('%s broadcasts', async (name) => {
    for (const [left, right] of name === 'mul' ? shapes : shapes.slice(0, 7)) {
      const y = name === 'div' ? uniform(8, right, 0.5, 2) : random(8, right)
      await checkOp({ call: (a, b) => ops[name](a, b), reference: (a, b) => reference(name, [a, b]), args: [random(7, left), y], samples: 12 })
    }
  })
})

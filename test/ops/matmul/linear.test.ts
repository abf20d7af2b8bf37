import { expect, test } from 'vitest'
import { ShapeError } from '../../../src/base/errors.ts'
import { gpu } from '../../../src/gpu/device.ts'
import { linear, linearAdd, linearGelu, linears, maskedLinear } from '../../../src/ops/matmul/linear.ts'
import { record, unrecorded } from '../../../src/core/tape.ts'
import { tensor, type Tensor } from '../../../src/core/tensor.ts'
import { inference, scope, vjp } from '../../../src/core/transform.ts'
import { checkOp, checkRaces, toTensor } from '../../support/check-op.ts'
import { describeDevice } from '../../support/device.ts'
import { opCase } from '../../support/golden.ts'
import { cases } from '../../reference/cases.ts'
import { add, gelu } from '../../reference/elementwise.ts'
import { type Nd, nd, random, relativeError } from '../../reference/nd.ts'
import * as reference from '../../reference/matmul.ts'

describeDevice('linear', (adapter) => {
  const shapes: [string, number[], number[], number][] = [
    ['one axis', [2, 5, 12], [8, 12], 1],
    ['odd sizes', [3, 7], [5, 7], 1],
    ['heads out', [2, 3, 8], [2, 3, 8], 1],
    ['heads in', [2, 3, 2, 3], [8, 2, 3], 2],
    ['one row', [1, 65], [17, 65], 1],
    ['a single output', [33, 4], [1, 4], 1],
  ]
  for (const [name, x, weight, over] of shapes) {
    const args = [random(1, x), random(2, weight)], bias = random(3, weight.slice(0, -over))
    test(name, async () => {
      await checkOp({
        call: (x, w, b) => linear(x, w, b, { over }),
        reference: (x, w, b) => reference.linear(x, w, b, { over }),
        args: [...args, bias],
        samples: 12,
      })
      await checkOp({
        call: (x, w) => linear(x, w, null, { over }),
        reference: (x, w) => reference.linear(x, w, null, { over }),
        args,
        samples: 12,
      })
    })
  }

  // An odd number of rows in the last piece; rows of whole lines too.
  test.each([[2100, 6, 5], [1579, 6, 48]])(
    'many rows: the sums of the gradients are split: %i rows, %i to %i',
    async (rows, inputs, outputs) => {
      await checkOp({
        call: (x, w, b) => linear(x, w, b),
        reference: (x, w, b) => reference.linear(x, w, b),
        args: [random(1, [rows, inputs]), random(2, [outputs, inputs]), random(3, [outputs])],
        samples: 8,
      })
    },
  )

  test('golden', async () => {
    const { inputs, out, weights, grads } = opCase('linear')
    const make = ({ shape, data }: { shape: number[], data: ArrayLike<number> }) =>
      tensor(Float32Array.from(data), shape)
    const names = cases.find(({ golden }) => golden === 'linear')!.inputs
    const { outputs: [y], back } = vjp((x, w, b) => linear(x, w, b), ...names.map((name) => make(inputs[name])))
    expect(relativeError(await y.data(), out.data)).toBeLessThan(1e-5)
    const found = back(make(weights))
    for (const [i, name] of names.entries()) {
      expect(relativeError(await found[i]!.data(), grads[name].data)).toBeLessThan(1e-5)
    }
  })

  test.each(adapter === 'cpu' ? [[4, 9, 5], [18, 12, 32]] : [[4, 9, 5]])(
    'masked, %i rows, %i to %i',
    async (rows, inputs, outputs) => {
      const shape = [outputs, inputs], mask = nd(shape, random(4, shape).data.map((v) => v > 0 ? 1 : 0))
      await checkOp({
        call: (x, w, m, b) => maskedLinear(x, w, m, b),
        args: [random(1, [rows, inputs]), random(2, shape), mask, random(3, [outputs])],
        samples: 20,
        reference: (x, w, m, b) => reference.linear(x, nd(w.shape, w.data.map((v, i) => v * m.data[i])), b),
      })
    },
  )

  test('fused forms agree with plain ones, and a tape sees only plain ops', async () => {
    const [x, w, b, r] = [random(1, [6, 10]), random(2, [7, 10]), random(3, [7]), random(5, [6, 7])]
    const [tx, tw, tb, tr] = [x, w, b, r].map((value) => toTensor(value))
    const y = reference.linear(x, w, b)
    const close = async (out: Tensor, expected: Nd) =>
      expect(relativeError(await out.data(), expected.data)).toBeLessThan(1e-5)
    await close(linearGelu(tx, tw, tb), gelu(y))
    await close(linearGelu(tx, tw, null), gelu(reference.linear(x, w)))
    await close(linearAdd(tx, tw, tb, tr), add(y, r))
    await close(linearAdd(tx, tw, null, tr), add(reference.linear(x, w), r))
    const { calls } = record(() => linearAdd(linearGelu(tx, tw, tb), tensor(new Float32Array(49), [7, 7]), null, tr), [
      tw,
    ])
    expect(calls.map(({ op }) => op.name)).toEqual(['linear', 'gelu', 'linear', 'add'])
    await checkOp({
      call: (x, w, b) => linearGelu(x, w, b),
      reference: (x, w, b) => gelu(reference.linear(x, w, b)),
      args: [x, w, b],
      samples: 12,
    })
    await checkOp({
      call: (x, w, b, r) => linearAdd(x, w, b, r),
      reference: (x, w, b, r) => add(reference.linear(x, w, b), r),
      args: [x, w, b, r],
      samples: 12,
    })
  })

  test('several weights over one input', async () => {
    const x = random(1, [2, 5, 6])
    const weights = [random(2, [2, 3, 6]), random(3, [2, 3, 6]), random(4, [2, 5, 6])]
    const biases = [random(5, [2, 3]), null, random(6, [2, 5])]
    const tx = toTensor(x)
    const tw = weights.map((w) => toTensor(w))
    const tb = biases.map((b) => b && toTensor(b))
    const outs = linears(tx, tw, tb)
    for (const [i, out] of outs.entries()) {
      expect(relativeError(await out.data(), reference.linear(x, weights[i], biases[i]).data)).toBeLessThan(1e-5)
    }
    const { calls } = record(() => linears(tx, tw, tb), [tx])
    expect(calls.map(({ op }) => op.name)).toEqual(['linear', 'linear', 'linear'])
    const kept = inference(() =>
      linearAdd(
        linears(tx, tw, tb)[2],
        tensor(new Float32Array(10), [1, 2, 5]),
        null,
        tensor([[[0], [0], [0], [0], [0]], [[0], [0], [0], [0], [0]]]),
        { over: 2 },
      )
    )
    expect([...kept.shape]).toEqual([2, 5, 1])
  })

  test('weights of one shape take one launch where that pays, with the same result', async () => {
    for (const [count, width, tokens] of [[3, 8, 7], [2, 5, 7], [3, 8, 3]]) {
      const x = random(1, [2, tokens, 12]), tx = toTensor(x)
      const weights = Array.from({ length: count }, (_, i) => random(2 + i, [2, width, 12])),
        biases = weights.map((_, i) => random(9 + i, [2, width]))
      for (const withBias of [true, false]) {
        const before = gpu().launches.counts.launches
        const outs = linears(tx, weights.map((w) => toTensor(w)), biases.map((b) => withBias ? toTensor(b) : null))
        expect(gpu().launches.counts.launches - before).toBe(
          gpu().adapter.kind === 'gpu' || gpu().adapter.kind === 'embedded' && tokens === 3 ? 1 : count,
        )
        for (const [i, out] of outs.entries()) {
          expect(relativeError(await out.data(), reference.linear(x, weights[i], withBias ? biases[i] : null).data))
            .toBeLessThan(1e-5)
        }
      }
    }
  })

  test('no gradient where none is needed', () => {
    scope(() => {
      const [x, w, b] = [tensor([[1, 2]]), tensor([[3, 4]]), tensor([5])]
      const { calls } = record(() => linear(x, w, b), [w])
      const grads = unrecorded(() => calls[0].op.vjp(calls[0], tensor([[1]])))
      expect(grads.map((grad) => grad !== null)).toEqual([false, true, false])
    })
  })

  test('no races in the second pass', () => {
    const x = toTensor(random(1, [70, 3]))
    const { calls } = record(() => linear(x, toTensor(random(2, [2, 3])), tensor([0, 0])), [], true)
    checkRaces(() => {
      unrecorded(() => {
        calls[0].op.vjp({ ...calls[0], needs: [false, false, true] }, toTensor(random(3, [70, 2])))
      })
    })
  })

  test('says what does not fit', () => {
    const make = (...shape: number[]) => tensor(new Float32Array(shape.reduce((x, y) => x * y, 1)), shape)
    expect(() => linear(make(8, 197, 192), make(768, 384), null)).toThrow(ShapeError)
    expect(() => linear(make(8, 197, 192), make(768, 384), null)).toThrow(
      'over 1 axis; expected x to end in [384], got [192]',
    )
    expect(() => linear(make(2, 3), make(4, 3), make(3))).toThrow('expected [4]')
    expect(() => linear(make(2, 3), make(4, 3), null, { over: 2 })).toThrow(ShapeError)
    expect(() => linears(make(2, 3), [make(4, 3)], [])).toThrow(ShapeError)
    expect(() => maskedLinear(make(2, 3), make(4, 3), make(4, 2), null)).toThrow(ShapeError)
    expect(() => linearAdd(make(2, 3), make(4, 3), null, make(2, 3))).toThrow(ShapeError)
  })
})

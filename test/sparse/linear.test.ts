import { beforeAll, expect, test } from 'vitest'
import { ShapeError } from '../../src/base/errors.ts'
import { record, unrecorded } from '../../src/core/tape.ts'
import { tensor } from '../../src/core/tensor.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { sparseLinear, sparseLinearAdd, sparseLinearGelu } from '../../src/sparse/linear.ts'
import type { Pattern } from '../../src/sparse/pattern.ts'
import { patternOf } from '../../src/sparse/registry.ts'
import { SparseWeight } from '../../src/sparse/weight.ts'
import { checkOp, checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import { denseOf, maskedWeight, testedPatterns } from '../support/patterns.ts'
import { add, gelu } from '../reference/elementwise.ts'
import * as reference from '../reference/matmul.ts'
import { nd, random, relativeError } from '../reference/nd.ts'

async function checkPattern(pattern: Pattern, M: number, shape: readonly [number, number], density: number) {
  const { weight, keep } = maskedWeight(pattern, shape, density)
  const sparse = SparseWeight.of(pattern, weight, keep, shape), packed = await sparse.packed()
  const positions = pattern.positions(packed)
  const dense = nd(shape, weight.map((value, i) => keep[i] ? value : 0))
  expect([...await sparse.dense()]).toEqual([...dense.data])
  await checkOp({
    call: (x, values, bias) => sparseLinear(x, { ...sparse, values } as SparseWeight, bias),
    reference: (x, values, bias) => reference.linear(x, denseOf(sparse.packing, positions, values), bias),
    args: [random(1, [M, shape[1]]), nd(sparse.values.shape, packed.values), random(3, [shape[0]])],
    samples: 24,
  })
  disposeTree(sparse)
}

describeDevice('sparse linear', (adapter) => {
  // A software driver takes seconds to compile a kernel: there, one pattern of each loop and kind of walk, at one size.
  const shapes: [number, [number, number]][] = adapter === 'cpu'
    ? [[37, [48, 64]], [5, [30, 41]], [33, [17, 33]]]
    : [[5, [32, 40]]]
  const patterns = testedPatterns.filter(({ name }) =>
    adapter === 'cpu' || ['unstructured', 'block:16x16', 'nm:2:4', 'strided:8:3'].includes(name)
  )
  for (const pattern of patterns) {
    test(pattern.name, { timeout: 240_000 }, async () => {
      for (const [M, shape] of shapes) {
        for (const density of adapter === 'cpu' ? [0, 0.01, 0.5, 1] : [0.5]) {
          await checkPattern(pattern, M, shape, density)
        }
      }
    })
  }

  // A kernel is kept for each way in which rows of x and of out are whole vectors of four: none may stand for another.
  test('rows that are whole vectors on one side only, one after the other', { timeout: 240_000 }, async () => {
    for (const name of ['block:4x4', 'unstructured']) {
      for (const shape of [[10, 24], [24, 10], [10, 14], [24, 28]] as [number, number][]) {
        await checkPattern(patternOf(name), 3, shape, 0.5)
      }
    }
  })

  // Longer than what a workgroup lays at once, with tiles that reach from one step into the next; and more rows than
  // the gradient of values sums up at once.
  const long: [string, number, [number, number]][] = adapter === 'cpu'
    ? [
      ['block:16x40', 5, [32, 1640]],
      ['block:40x16', 5, [1640, 32]],
      ['block:6x10', 5, [20, 815]],
      ['nm:2:4', 5, [20, 815]],
      ['nm:2:4', 70, [20, 160]],
      ['nm:1:4', 5, [20, 192]],
      ['nm:1:16', 5, [20, 256]],
      ['block:8x8', 300, [16, 24]],
      ['block:6x10', 300, [20, 24]],
    ]
    : [['block:16x24', 5, [32, 152]], ['block:6x10', 5, [20, 152]], ['nm:2:4', 5, [20, 96]]]
  test.each(long)(
    '%s with %i rows in a weight of [%s]: in several steps',
    { timeout: 240_000 },
    async (name, M, shape) => {
      await checkPattern(patternOf(name), M, shape, 0.5)
    },
  )

  test.each(adapter === 'cpu' ? ['block:16x16', 'unstructured', 'block:4x8'] : ['block:16x16'])(
    '%s: rows of tiles that keep nothing',
    async (name) => {
      const pattern = patternOf(name), shape = [64, 48] as const, weight = Float32Array.from(random(5, shape).data)
      const keep = Uint8Array.from(weight, (_, i) => i / 48 < 16 || i / 48 >= 48 ? 0 : 1)
      const sparse = SparseWeight.of(pattern, weight, keep, shape)
      const x = random(1, [9, 48])
      const bias = random(2, [64])
      const y = sparseLinear(toTensor(x), sparse, toTensor(bias))
      const expected = reference.linear(x, nd(shape, weight.map((value, i) => keep[i] ? value : 0)), bias)
      expect(relativeError(await y.data(), expected.data)).toBeLessThan(1e-6)
    },
  )

  test('what is not finite stays in its row where tiles reach over the edge', async () => {
    const pattern = patternOf('block:16x16'), shape = [16, 40] as const, weight = new Float32Array(640).fill(1)
    const sparse = SparseWeight.of(pattern, weight, new Uint8Array(640).fill(1), shape)
    const x = new Float32Array(5 * 40).fill(1)
    x[40] = Infinity // the first entry of row 1, behind the last of row 0
    const y = await sparseLinear(tensor(x, [5, 40]), sparse, null).data()
    expect([...y.subarray(0, 16)]).toEqual(new Array(16).fill(40))
    expect([...y.subarray(16, 32)]).toEqual(new Array(16).fill(Infinity))
    expect([...y.subarray(32)]).toEqual(new Array(48).fill(40))
  })

  test('inputs and outputs of several axes, and the fused forms', { timeout: 240_000 }, async () => {
    const pattern = patternOf('block:8x8'), shape = [48, 40] as const
    const { weight, keep } = maskedWeight(pattern, shape, 0.5)
    const sparse = SparseWeight.of(pattern, weight, keep, shape, { outputs: [6, 8], inputs: [5, 8] })
    expect(sparse.shape).toEqual([6, 8, 5, 8])
    const dense = nd([6, 8, 5, 8], weight.map((value, i) => keep[i] ? value : 0))
    const x = random(1, [2, 3, 5, 8])
    const bias = random(2, [6, 8])
    const residual = random(3, [2, 3, 6, 8])
    const expected = reference.linear(x, dense, bias, { over: 2 })
    const [tx, tb, tr] = [x, bias, residual].map((each) => toTensor(each))
    expect([...sparse.apply(tx, tb).shape]).toEqual([2, 3, 6, 8])
    for (
      const [out, wanted] of [
        [sparse.apply(tx, tb), expected],
        [sparseLinearGelu(tx, sparse, tb), gelu(expected)],
        [sparseLinearAdd(tx, sparse, tb, tr), add(expected, residual)],
      ] as const
    ) expect(relativeError(await out.data(), wanted.data)).toBeLessThan(1e-5)
    const { calls } = record(() => sparseLinearAdd(sparseLinearGelu(tx, sparse, tb), sparse2, null, tx), [tx])
    expect(calls.map(({ op }) => op.name)).toEqual(['sparse-linear', 'gelu', 'sparse-linear', 'add'])
    await checkOp({
      call: (x, b, r) => sparseLinearAdd(sparseLinearGelu(x, sparse, b), sparse2, null, r),
      reference: (x, b, r) =>
        add(reference.linear(gelu(reference.linear(x, dense, b, { over: 2 })), dense2, null, { over: 2 }), r),
      args: [x, bias, x],
      samples: 12,
    })
  })
  const back = [40, 48] as const, dense2 = nd([5, 8, 6, 8], random(9, back).data)
  let sparse2: SparseWeight
  beforeAll(() => {
    sparse2 = SparseWeight.of(
      patternOf('unstructured'),
      Float32Array.from(dense2.data),
      new Uint8Array(1920).fill(1),
      back,
      {
        outputs: [5, 8],
        inputs: [6, 8],
      },
    )
  })

  test('no gradient where none is needed, and MACs of the dense layer', () => {
    const [x, b] = [toTensor(random(1, [3, 48])), toTensor(random(2, [40]))]
    const { calls } = record(() => sparseLinear(x, sparse3(), b), [b])
    const found = unrecorded(() => calls[0].op.vjp(calls[0], toTensor(random(3, [3, 40]))))
    expect(found.map((grad) => grad !== null)).toEqual([false, false, true])
    expect(calls[0].op.macs(calls[0].args, calls[0].out, calls[0].attrs)).toBe(3 * 40 * 48)
    expect(calls[0].op.flops(calls[0].args, calls[0].out, calls[0].attrs)).toBe(2 * 3 * 40 * 48)
  })
  const sparse3 = () =>
    SparseWeight.of(patternOf('unstructured'), Float32Array.from(dense2.data), new Uint8Array(1920).fill(1), back)

  test.each(['block:8x8', 'block:6x10', 'unstructured', 'nm:2:4', 'strided:8:3'])('no races: %s', (name) => {
    const pattern = patternOf(name), shape = [24, 32] as const, { weight, keep } = maskedWeight(pattern, shape, 0.5)
    const sparse = SparseWeight.of(pattern, weight, keep, shape), x = toTensor(random(1, [5, 32]))
    const { calls } = record(() => sparseLinear(x, sparse, null), [x, sparse.values])
    checkRaces(() => {
      sparseLinear(x, sparse, null)
      unrecorded(() => {
        calls[0].op.vjp(calls[0], toTensor(random(3, [5, 24])))
      })
    })
  })

  test('says what does not fit', () => {
    const sparse = sparse3(),
      make = (...shape: number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape)
    expect(() => sparseLinear(make(2, 40), sparse, null)).toThrow(ShapeError)
    expect(() => sparseLinear(make(2, 40), sparse, null)).toThrow('expected x to end in [48], got [40]')
    expect(() => sparseLinear(make(2, 48), sparse, make(48))).toThrow('expected [40]')
    expect(() => sparseLinearAdd(make(2, 48), sparse, null, make(2, 48))).toThrow('shape of the output [2,40]')
  })
})

import { expect, test } from 'vitest'
import { attribute, oneHot } from '../../src/attribution/relevance.ts'
import { type Composite, on } from '../../src/attribution/composite.ts'
import { alphaBeta, epsilon, gamma, wSquare, zPlus } from '../../src/attribution/rules.ts'
import { ShapeError } from '../../src/base/errors.ts'
import { record, unrecorded } from '../../src/core/tape.ts'
import { type Tensor, tensor } from '../../src/core/tensor.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { conv2d } from '../../src/ops/conv2d/conv2d.ts'
import { mean } from '../../src/ops/reduce.ts'
import { sparseConv2d, type SparseConvAttrs } from '../../src/sparse/conv2d.ts'
import { mostWindows } from '../../src/sparse/convolution.ts'
import { definePattern } from '../../src/sparse/pattern.ts'
import { listedIndex, listedPositions, listedWalk } from '../../src/sparse/listed.ts'
import { patternOf } from '../../src/sparse/registry.ts'
import { SparseWeight } from '../../src/sparse/weight.ts'
import { checkOp, checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import { denseOf, maskedWeight } from '../support/patterns.ts'
import * as reference from '../reference/conv.ts'
import { nd, random, relativeError } from '../reference/nd.ts'

type Shape = readonly [number, number, number, number]
interface Layer {
  x: Shape
  w: Shape
  attrs: SparseConvAttrs
}

function packed(name: string, [O, C, kh, kw]: Shape, density: number) {
  const pattern = patternOf(name), shape = [O, C * kh * kw] as const
  const { weight, keep } = maskedWeight(pattern, shape, density)
  return SparseWeight.of(pattern, weight, keep, shape, { inputs: [C, kh, kw] })
}

async function checkLayer(name: string, { x, w, attrs }: Layer, density: number) {
  const sparse = packed(name, w, density), held = await sparse.packed()
  const positions = sparse.packing.pattern.positions(held)
  await checkOp({
    call: (x, values, bias) => sparseConv2d(x, Object.assign(Object.create(sparse), { values }), bias, attrs),
    reference: (x, values, bias) =>
      reference.conv2d(x, nd(w, denseOf(sparse.packing, positions, values).data), bias, attrs as reference.Convolution),
    args: [random(1, x), nd(sparse.values.shape, held.values), random(3, [w[0]])],
    samples: 12,
  })
  disposeTree(sparse)
}

// Strides and paddings of both kinds, pixels that are no whole vectors and quads that reach into the next image, one
// channel, dilation, and a window as large as the image.
const layers: Layer[] = [
  { x: [2, 5, 9, 7], w: [20, 5, 3, 3], attrs: { padding: 1 } },
  { x: [1, 4, 8, 8], w: [17, 4, 3, 3], attrs: { stride: 2, padding: 1 } },
  { x: [3, 9, 5, 6], w: [12, 9, 1, 1], attrs: {} },
  { x: [1, 6, 7, 9], w: [18, 6, 1, 1], attrs: { stride: 2 } },
  { x: [1, 1, 6, 5], w: [8, 1, 3, 3], attrs: { stride: [1, 3], padding: [2, 0] } },
  { x: [1, 3, 9, 11], w: [16, 3, 3, 2], attrs: { dilation: 2, padding: 2 } },
  { x: [2, 4, 3, 3], w: [16, 4, 3, 3], attrs: {} },
]

describeDevice('sparse convolution', (adapter) => {
  const embedded = adapter === 'cpu'
  const patterns = embedded
    ? ['block:16x16', 'block:8x4', 'block:6x10', 'unstructured', 'nm:2:4', 'strided:8:3', 'rows']
    : ['block:8x8', 'unstructured']
  for (const name of patterns) {
    test(name, { timeout: 240_000 }, async () => {
      const some = embedded
        ? name === 'block:8x4' || name === 'unstructured' ? layers : layers.slice(0, 2)
        : layers.slice(0, 1)
      for (const layer of some) {
        for (const density of embedded ? [0, 0.01, 0.5, 1] : [0.5]) await checkLayer(name, layer, density)
      }
    })
  }

  test.runIf(embedded)('more windows than one sum takes, and a window longer than what is laid at once', async () => {
    expect(2 * 50 * 49).toBeGreaterThan(mostWindows)
    await checkLayer('block:16x16', { x: [2, 2, 50, 49], w: [16, 2, 3, 3], attrs: { padding: 1 } }, 0.5)
    await checkLayer('block:16x16', { x: [1, 180, 3, 3], w: [16, 180, 3, 3], attrs: { padding: 1 } }, 0.5)
    await checkLayer('unstructured', { x: [1, 90, 3, 3], w: [8, 90, 3, 3], attrs: { padding: 1 } }, 0.5)
  })

  test.runIf(embedded)('what is not finite stays in the windows that see it', async () => {
    const sparse = packed('block:16x16', [16, 4, 3, 3], 1), values = new Float32Array(4 * 36).fill(1)
    values[0] = Infinity
    const y = await sparseConv2d(tensor(values, [1, 4, 6, 6]), sparse, null).data()
    expect([...y.keys()].filter((i) => i < 16 && !Number.isFinite(y[i]))).toEqual([0])
  })

  test('it is a convolution to tapes: MACs of the dense one, gradients as needed, operations of kept tiles', () => {
    const sparse = packed('block:8x12', [16, 4, 3, 3], 0.5), x = toTensor(random(1, [2, 4, 6, 6]))
    const b = toTensor(random(2, [16])), w = toTensor(random(3, [16, 4, 3, 3]))
    const { calls: [call, dense] } = record(
      () => [sparseConv2d(x, sparse, b, { padding: 1 }), conv2d(x, w, b, { padding: 1 })],
      [b],
    )
    expect(call.op.is('convolution')).toBe(true)
    expect([call.op.weight, call.op.bias]).toEqual([dense.op.weight, dense.op.bias])
    expect(call.op.macs(call.args, call.out, call.attrs)).toBe(dense.op.macs(dense.args, dense.out, dense.attrs))
    expect(call.op.flops(call.args, call.out, call.attrs)).toBe(dense.op.flops(dense.args, dense.out, dense.attrs) / 2)
    const found = unrecorded(() => call.op.vjp(call, toTensor(random(3, call.out.shape))))
    expect(found.map((grad) => grad !== null)).toEqual([false, false, true])
  })

  test.runIf(embedded)('rules of convolutions hold for it as for the dense one', async () => {
    const sparse = packed('block:4x12', [10, 3, 3, 3], 0.5), bias = toTensor(random(4, [10]))
    const weight = tensor(await sparse.dense(), [10, 3, 3, 3]), images = toTensor(random(1, [2, 3, 7, 7]))
    const dense = { weight, bias, call: (x: Tensor) => mean(conv2d(x, weight, bias, { padding: 1 }), { axes: [2, 3] }) }
    const model = {
      sparse,
      bias,
      call: (x: Tensor) => mean(sparse.convolve(x, bias, { padding: 1 }), { axes: [2, 3] }),
    }
    const at = { role: 'convolution' } as const,
      composites: [string, Composite][] = [
        ['epsilon', [on(at, epsilon())]],
        ['z-plus', [on(at, zPlus())]],
        ['gamma', [on(at, gamma())]],
        ['alpha-beta', [on(at, alphaBeta(2, 1))]],
        ['w-square', [on(at, { first: true }, wSquare())]],
      ]
    for (const [name, composite] of composites) {
      const [got, want] = await Promise.all([model, dense].map(async (each) => {
        const reading = attribute(each, images, oneHot([1, 7], 10), { seed: 'unit', composite, read: 'relevance' })
        return await reading.input.data() as Float32Array
      }))
      expect(want.some((value) => Math.abs(value) > 1e-4), name).toBe(true)
      expect(relativeError(got, want), name).toBeLessThan(1e-4)
    }
  })

  test.each(['block:4x4', 'block:6x10', 'unstructured'])('no races: %s', (name) => {
    const sparse = packed(name, [8, 2, 3, 3], 0.5), x = toTensor(random(1, [1, 2, 4, 4]))
    const attrs = { padding: 1, stride: 2 },
      { calls } = record(() => sparseConv2d(x, sparse, null, attrs), [x, sparse.values])
    checkRaces(() => {
      sparseConv2d(x, sparse, null, attrs)
      unrecorded(() => {
        calls[0].op.vjp(calls[0], toTensor(random(3, calls[0].out.shape)))
      })
    })
  })

  test('says what does not fit', () => {
    const sparse = packed('block:4x4', [8, 2, 3, 3], 1)
    const make = (...shape: number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape)
    expect(() => sparseConv2d(make(1, 3, 5, 5), sparse, null)).toThrow(ShapeError)
    expect(() => sparseConv2d(make(1, 3, 5, 5), sparse, null)).toThrow('sparse-conv2d: x [1,3,5,5] has 3 channels')
    expect(() => sparse.convolve(make(1, 2, 5, 5), make(7))).toThrow('sparse-conv2d: bias [7] does not fit')
    expect(() => sparse.convolve(make(1, 2, 2, 2), null)).toThrow('sparse-conv2d: a window of 3 does not fit height 2')
    const linear = SparseWeight.of(patternOf('rows'), new Float32Array(64), new Uint8Array(64).fill(1), [8, 8])
    expect(() => linear.convolve(make(1, 8, 2, 2), null)).toThrow('inputs [channels, height, width]')
    const walkless = definePattern({
      name: 'walkless',
      keep: (scores) => new Uint8Array(scores.length).fill(1),
      index: listedIndex,
      positions: listedPositions,
      walk: { ...listedWalk, wgsl: '' },
      kernels: { forward: { wgsl: '', workgroups: () => 1 } },
    })
    const own = SparseWeight.of(walkless, new Float32Array(64), new Uint8Array(64).fill(1), [8, 8], {
      inputs: [8, 1, 1],
    })
    expect(() => own.convolve(make(1, 8, 2, 2), null)).toThrow('the walk of pattern walkless has no WGSL')
  })
})

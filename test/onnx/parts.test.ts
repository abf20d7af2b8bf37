// The parts of writing ONNX: the builder, the recording, the look at bytes, the fingerprint, forms of elementwise ops.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { close, fillUniform, init, leaves, type Model, modelOf, parseCheckpoint, reshape, type Tensor,
  tensor } from '../../src/index.ts'
import * as ops from '../../src/ops/index.ts'
import { knownSizes, lastTwoSwapped, onnxProduct, sameSize } from '../../src/core/onnx-form.ts'
import { GraphBuilder } from '../../src/onnx/builder.ts'
import { encodeOnnx, type OnnxModel } from '../../src/onnx/encode.ts'
import { fingerprint } from '../../src/onnx/fingerprint.ts'
import { encodeNetwork } from '../../src/onnx/network.ts'
import { recorded } from '../../src/onnx/recording.ts'
import { scanOnnx } from '../../src/onnx/scan.ts'
import { unaryTable } from '../../src/ops/elementwise-table.ts'
import { onnxCases, seeded } from '../support/onnx-cases.ts'

beforeAll(async () => {
  await init({ adapter: 'cpu', threads: 1, fixedVariants: true })
})
afterAll(close)

test('sizes with an open batch', () => {
  expect(onnxProduct([2, 3])).toBe(6)
  expect(onnxProduct([{ batch: 4 }, 3])).toEqual({ batch: 12 })
  expect([sameSize(2, 2), sameSize({ batch: 1 }, { batch: 1 }), sameSize(1, { batch: 1 })]).toEqual([true, true, false])
  expect(lastTwoSwapped(4)).toEqual([0, 1, 3, 2])
  expect(knownSizes([3, { batch: 1 }])).toEqual([3, NaN])
})

test('the builder: each constant once, each name once, one open axis of a reshape', () => {
  const graph = new GraphBuilder({ name: 'images', shape: [{ batch: 1 }, 3] })
  expect(graph.floats(0.5)).toBe(graph.floats(0.5))
  expect(graph.floats(0.5)).not.toBe(graph.floats([0.5], [1]))
  expect(graph.wholes([1, -1])).toBe(graph.wholes([1, -1]))
  expect(graph.node('Relu', ['images'])).not.toBe(graph.node('Relu', ['images']))
  expect(graph.node('Clip', ['images', null, graph.floats(1)])).toMatch(/Clip/)
  expect(graph.nodes.at(-1)!.inputs[1]).toBe('')
  expect(() => graph.reshape('images', [{ batch: 1 }, { batch: 2 }])).toThrow(/more than one axis grows with the batch/)
})

test('a recording marks the sizes that grow with the batch', async () => {
  const each = onnxCases.swin, model = seeded(each)
  const { calls, out, made } = await recorded(
    model,
    each.image,
    'dynamic',
    new Set(leaves(model).map(([, leaf]) => leaf)),
  )
  expect(out).toEqual([{ batch: 1 }, 5])
  expect(made).toEqual([])
  // Sixteen windows to an image.
  expect(calls.find(({ op }) => op.name === 'attention')!.out[0]).toEqual({ batch: 16 })
})

describe('fingerprints', () => {
  const model = (weight: number, by: number, type = 'Add'): OnnxModel => ({
    nodes: [{ type, inputs: ['images', 'weight'], outputs: ['a'] }, {
      type: 'Mul',
      inputs: ['a', '/by'],
      outputs: ['logits'],
    }],
    tensors: [
      { name: 'weight', shape: [], data: Float32Array.of(weight) },
      { name: '/by', shape: [], data: Float32Array.of(by) },
    ],
    inputs: [{ name: 'images', shape: [{ batch: 1 }, 2] }],
    output: { name: 'logits', shape: [{ batch: 1 }, 2] },
  })

  test('weights may change, nodes and constants may not', async () => {
    const own = await fingerprint(model(1, 2))
    expect(await fingerprint(model(5, 2))).toBe(own)
    expect(await fingerprint(model(1, 3))).not.toBe(own)
    expect(await fingerprint(model(1, 2, 'Sub'))).not.toBe(own)
  })

  test('bytes of a file pass the look at them, cut ones do not', () => {
    const bytes = encodeOnnx(model(1, 2))
    scanOnnx(bytes)
    expect(() => {
      scanOnnx(bytes.subarray(0, bytes.length - 1))
    }).toThrow(/cannot be read at byte/)
  })
})

describe('what an op says of itself computes the same', () => {
  const constants: Record<string, object> = {
    'leaky-relu': { slope: 0.2 },
    'pow': { exponent: 3 },
    'clamp': { low: -0.3, high: 0.4 },
    'scale': { by: -1.7 },
    'offset': { by: 0.3 },
  }
  const camel = (name: string) => name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
  const positive = new Set(['log', 'sqrt', 'rsqrt', 'reciprocal'])

  test.each(Object.keys(unaryTable))('%s', async (name) => {
    const op = (ops as unknown as Record<string, (x: Tensor, attrs?: object) => Tensor>)[camel(name)]
    const model: Model = { call: (x) => reshape(op(x, constants[name] ?? {}), { shape: [x.shape[0], 4] }) }
    const { bytes } = await encodeNetwork(model, [1, 2, 2])
    const read = modelOf(await parseCheckpoint(bytes, `${name}.onnx`, { nodes: true }))
    const x = tensor(fillUniform(new Float32Array(12), 1, name, positive.has(name) ? 0.1 : -4, 4), [3, 1, 2, 2])
    const [a, b] = await Promise.all([model, read].map((network) => network.call(x).data()))
    a.forEach((value, i) => {
      expect(Math.abs(value - b[i])).toBeLessThan(2e-6 * (1 + Math.abs(value)))
    })
  })
})

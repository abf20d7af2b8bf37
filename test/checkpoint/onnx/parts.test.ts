// The parts of reading ONNX: constants, patterns, gates, sizes, what is read, and the check of what was written.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { close, init, modelOf, parseCheckpoint, tensor } from '../../../src/index.ts'
import { checkContentStart, contentOf } from '../../../src/checkpoint/container.ts'
import { checkExport } from '../../../src/checkpoint/onnx/check.ts'
import { type Constant, folds } from '../../../src/checkpoint/onnx/fold.ts'
import { withGates } from '../../../src/checkpoint/onnx/gates.ts'
import { conv, gemm } from '../../../src/checkpoint/onnx/layers.ts'
import { operators } from '../../../src/checkpoint/onnx/operators.ts'
import { recognised } from '../../../src/checkpoint/onnx/patterns.ts'
import { scalarOf } from '../../../src/checkpoint/onnx/reading.ts'
import { host, Translator } from '../../../src/checkpoint/onnx/translator.ts'
import { onnxRuntime } from '../../../src/commands/onnx-runtime.ts'
import { decodeOnnx } from '../../../src/onnx/decode.ts'
import { encodeNetwork } from '../../../src/onnx/network.ts'
import { onnxCases, seeded } from '../../support/onnx-cases.ts'
import { small } from '../../support/onnx-hostile.ts'
import { Sketch } from '../../support/onnx-foreign.ts'

beforeAll(async () => {
  await init({ adapter: 'cpu', threads: 1, fixedVariants: true })
})
afterAll(close)

describe('constants', () => {
  const wholes = (...values: number[]): Constant => ({ shape: [values.length], values, float: false })
  const matrix: Constant = { shape: [2, 3], values: [1, 2, 3, 4, 5, 6], float: true }
  const one = (type: string, args: Constant[], attributes = {}) => {
    const found = folds[type](args, attributes), [{ shape, values }] = [found].flat()
    return [shape, Array.from(values)]
  }

  test('are computed as NumPy does', () => {
    expect(one('Transpose', [matrix])).toEqual([[3, 2], [1, 4, 2, 5, 3, 6]])
    expect(one('Slice', [matrix, wholes(-2), wholes(2 ** 40), wholes(1)])).toEqual([[2, 2], [2, 3, 5, 6]])
    expect(one('Slice', [matrix, wholes(0), wholes(3), wholes(1), wholes(2)])).toEqual([[2, 2], [1, 3, 4, 6]])
    expect(one('Gather', [matrix, { shape: [], values: [-1], float: false }], { axis: 1 })).toEqual([[2], [3, 6]])
    expect(one('Concat', [matrix, matrix], { axis: 1 })).toEqual([[2, 6], [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]])
    expect(one('Expand', [wholes(7), wholes(2, 2)])).toEqual([[2, 2], [7, 7, 7, 7]])
    expect(one('Add', [matrix, wholes(10, 20, 30)])).toEqual([[2, 3], [11, 22, 33, 14, 25, 36]])
    expect(one('Div', [wholes(7, -7), wholes(2)])).toEqual([[2], [3, -3]])
    expect(one('Reshape', [matrix, wholes(0, -1)])).toEqual([[2, 3], [1, 2, 3, 4, 5, 6]])
    expect(one('Unsqueeze', [matrix, wholes(0, -1)])[0]).toEqual([1, 2, 3, 1])
    expect(one('Range', [wholes(2), wholes(9), wholes(3)])).toEqual([[3], [2, 5, 8]])
    expect(folds.Split([matrix], { axis: 1, split: [1, 2] })).toMatchObject([{ shape: [2, 1] }, { shape: [2, 2] }])
  })

  test('of one entry are numbers', () => {
    const value = { kind: 'known' as const, pair: [wholes(4), wholes(4)] as const }
    expect(scalarOf(value)).toBe(4)
    expect(scalarOf({ ...value, pair: [wholes(4), wholes(5)] })).toBeNull()
    expect(scalarOf({ ...value, pair: [matrix, matrix] })).toBeNull()
  })
})

describe('patterns', () => {
  const typesOf = (draw: (s: Sketch, x: string) => string) => {
    const s = new Sketch()
    s.node('Relu', [draw(s, s.node('Relu', ['input']))])
    return recognised(decodeOnnx(s.bytes([3], 3))).map(({ type }) => type)
  }
  const phi = (s: Sketch, x: string, by = Math.SQRT2) =>
    s.node('Add', [s.node('Erf', [s.node('Div', [x, s.number(by)])]), s.number(1)])

  test('gelu in each order of its factors', () => {
    const half = (s: Sketch, x: string) => s.node('Mul', [x, s.number(0.5)])
    const orders = [
      (s: Sketch, x: string) => half(s, s.node('Mul', [x, phi(s, x)])),
      (s: Sketch, x: string) => s.node('Mul', [half(s, x), phi(s, x)]),
      (s: Sketch, x: string) => s.node('Mul', [x, half(s, phi(s, x))]),
    ]
    for (const draw of orders) expect(typesOf(draw)).toEqual(['Relu', 'Gelu', 'Relu'])
  })

  test('what only looks like one stays as it is', () => {
    expect(typesOf((s, x) => s.node('Mul', [s.node('Mul', [x, phi(s, x, 1.5)]), s.number(0.5)]))).not.toContain('Gelu')
    expect(typesOf((s, x) => s.node('Mul', [s.node('Mul', [x, phi(s, x)]), s.number(0.6)]))).not.toContain('Gelu')
    expect(typesOf((s, x) => s.node('Mul', [x, s.node('Sigmoid', [x])]))).toContain('Silu')
    expect(typesOf((s, x) => s.node('Mul', [x, s.node('Sigmoid', [s.node('Abs', [x])])]))).not.toContain('Silu')
  })
})

test('gates stand behind activations, before residual sums and on the residual width', () => {
  const layer = (name: string, from: number) => ({ kind: 'conv2d', from: [from], layer: name })
  const { steps, gates } = withGates([
    layer('a', 0), // 1
    { kind: 'relu', from: [1] }, // 2
    layer('b', 2), // 3
    { kind: 'relu', from: [3] }, // 4
    layer('c', 4), // 5
    { kind: 'add', from: [5, 2] }, // 6
    { kind: 'mean', from: [6] },
    { kind: 'linear', from: [7], layer: 'head' },
  ])
  expect(gates).toEqual({
    a: { axis: -3, kind: 'filters' },
    b: { axis: -3, kind: 'filters' },
    c: { axis: -3, kind: 'filters', branchLocal: true },
    residual1: { axis: -3, kind: 'residual' },
  })
  expect(steps.map(({ kind }) => kind)).toEqual([
    'conv2d',
    'relu',
    'gate',
    'conv2d',
    'relu',
    'gate',
    'conv2d',
    'gate',
    'add',
    'gate',
    'mean',
    'linear',
  ])
  expect(steps[8].from).toEqual([8, 3])
})

test('sizes and budgets of a graph that is read', () => {
  const t = new Translator([2, 3], new Map(), 10)
  expect(t.sizes([[2, 8, 5], [3, 12, 5]])).toEqual([-1, -4, 5])
  expect(() => t.sizes([[3], [4]])).toThrow(/expected multiples/)
  expect(host([2], [1, 2])).toEqual({ shape: [2], data: Float32Array.of(1, 2) })
  expect(() => {
    t.spend(2 ** 27)
  }).toThrow(/expand to far more numbers than the file holds/)
})

test('a batch norm goes into the layer before it only where that has its channels', async () => {
  const s = new Sketch(), stats = [[1, 2, 3], [0, 0, 0], [0, 0, 0], [1, 1, 1]]
  const x = s.node('Reshape', ['input', s.wholes(-1, 3, 2)])
  const y = s.node('MatMul', [x, s.floats('w', [2, 3], [1, 2, 3, 4, 5, 6])])
  const z = s.node('BatchNormalization', [y, ...stats.map((each, i) => s.floats(`s${i}`, [3], each))], {
    epsilon: { float: 0 },
  })
  s.node('ReduceSum', [z, s.wholes(2)], { keepdims: 0 })
  const model = modelOf(await parseCheckpoint(s.bytes([1, 3, 2], 3), 'net.onnx'))
  const found = await model.call(tensor(Float32Array.of(1, 0, 0, 1, 1, 1), [1, 1, 3, 2])).data()
  // Rows of the product add up to 6, 15 and 21; their channels are the rows.
  expect(Array.from(found, (each) => Math.round(each * 1e4) / 1e4)).toEqual([6, 30, 63])
})

test('the docs name every operator that is read', () => {
  const docs = readFileSync('docs/onnx.md', 'utf8')
  for (const type of Object.keys(operators).filter((each) => each !== 'Silu')) {
    expect(docs, type).toMatch(new RegExp(`\\b${type}\\b`))
  }
  expect([operators.Conv, operators.Gemm]).toEqual([conv, gemm])
})

test('both kinds of file are told apart', async () => {
  const bytes = small()
  expect((await contentOf(bytes, 'net.bin', false)).tensors.size).toBe(2)
  checkContentStart(bytes.subarray(0, 64), bytes.length, 'net.bin')
  expect(() => {
    checkContentStart(Buffer.from('nothing of the kind'), 19, 'net.bin')
  }).toThrow(/net\.bin: expected a safetensors file/)
})

test('the check finds a file of another network', async () => {
  const each = onnxCases.vgg, model = seeded(each), { bytes } = await encodeNetwork(model, each.image)
  expect((await checkExport(bytes, model, each.image, 'dynamic')).nodes).toBeLessThan(1e-5)
  const { nodes, runtime } = await checkExport(
    bytes,
    seeded(each, 2),
    each.image,
    'dynamic',
    () => Promise.resolve([NaN]),
  )
  expect([nodes > 0.01, runtime]).toEqual([true, Infinity])
})

test('without ONNX Runtime in the folder there is none', async () => {
  expect(await onnxRuntime(small())).toBeNull()
})

// The parts of reading ONNX: constants, patterns, gates, sizes, what is read, and the check of what was written.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { close, init, modelOf, parseCheckpoint, tensor } from '../../../src/index.ts'
import { checkContentStart, contentOf } from '../../../src/checkpoint/container.ts'
import { checkExport } from '../../../src/checkpoint/onnx/check.ts'
import { type Constant, folds } from '../../../src/checkpoint/onnx/fold.ts'
import { withGates } from '../../../src/checkpoint/onnx/gates.ts'
import { einsum } from '../../../src/checkpoint/onnx/einsum.ts'
import { groupNorm, instanceNorm } from '../../../src/checkpoint/onnx/group-norm.ts'
import { conv, gemm } from '../../../src/checkpoint/onnx/layers.ts'
import { operators } from '../../../src/checkpoint/onnx/operators.ts'
import { recognised } from '../../../src/checkpoint/onnx/patterns.ts'
import { scalarOf } from '../../../src/checkpoint/onnx/reading.ts'
import { host, Translator } from '../../../src/checkpoint/onnx/translator.ts'
import { onnxRuntime } from '../../../src/commands/onnx-runtime.ts'
import { decodeOnnx } from '../../../src/onnx/decode.ts'
import { encodeNetwork } from '../../../src/onnx/network.ts'
import { onnxCases, seeded } from '../../support/onnx-cases.ts'
import { ofOpset, small } from '../../support/onnx-hostile.ts'
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
    expect(one('Slice', [wholes(1, 2, 3), wholes(-1), wholes(-(2 ** 40)), wholes(0), wholes(-1)])).toEqual([[3], [
      3,
      2,
      1,
    ]])
    expect(one('Slice', [wholes(1, 2, 3, 4), wholes(3), wholes(0), wholes(0), wholes(-2)])).toEqual([[2], [4, 2]])
    const places = { shape: [2, 1], values: [-1, 0], float: false },
      rows = { ...matrix, shape: [2, 3], values: [7, 8, 9, 0, 0, 0] }
    expect(one('ScatterND', [matrix, places, rows])).toEqual([[2, 3], [0, 0, 0, 7, 8, 9]])
    expect(() => one('ScatterND', [matrix, { ...places, values: [0, 2] }, rows])).toThrow(/entry 2 of 2/)
    expect(one('MatMul', [matrix, { shape: [3, 1], values: [1, 0, -1], float: true }])).toEqual([[2, 1], [-2, -2]])
    expect(() => one('MatMul', [matrix, matrix])).toThrow(/a product of the constants \[2,3\] and \[2,3\]/)
    expect(one('Relu', [{ ...matrix, values: [-1, 2, -3, 4, 0, 5] }])).toEqual([[2, 3], [0, 2, 0, 4, 0, 5]])
    expect(one('GreaterOrEqual', [wholes(1, 2, 3), wholes(2)])).toEqual([[3], [0, 1, 1]])
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

describe('what an operator computes', () => {
  const x = Float32Array.from({ length: 24 }, (_, i) => Math.sin(3 * i)), shape = [1, 4, 2, 3]
  /** Its values for x [1, 4, 2, 3], in a graph of this opset. */
  const valuesOf = async (draw: (s: Sketch, x: string) => void, version = 17) => {
    const s = new Sketch()
    draw(s, 'input')
    s.node('Flatten', [s.nodes.at(-1)!.outputs[0]])
    const model = modelOf(await parseCheckpoint(ofOpset(s.bytes([4, 2, 3], 24), version), 'net.onnx'))
    return [...await model.call(tensor(x, shape)).data()]
  }
  const near = (found: readonly number[], expected: readonly number[]) => {
    expect(found).toHaveLength(expected.length)
    found.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i], 5)
    })
  }
  /** x with the mean 0 and deviation 1 of each run. */
  const normed = (run: number) =>
    Array.from(x, (value, i) => {
      const mine = [...x.subarray(i - i % run, i - i % run + run)], mean = mine.reduce((a, b) => a + b) / run
      return (value - mean) / Math.sqrt(mine.reduce((sum, each) => sum + (each - mean) ** 2, 0) / run + 1e-3)
    })
  const eps = { epsilon: { float: 1e-3 } }

  test('norms of channels and of groups', async () => {
    const gain = [2, 3, 4, 5], bias = [1, 0, -1, 0.5], of = (i: number) => Math.floor(i / 6)
    near(
      await valuesOf((s, x) =>
        s.node('InstanceNormalization', [x, s.floats('g', [4], gain), s.floats('b', [4], bias)], eps)
      ),
      normed(6).map((value, i) => value * gain[of(i)] + bias[of(i)]),
    )
    const groups = { num_groups: 2, ...eps }
    near(
      await valuesOf(
        (s, x) => s.node('GroupNormalization', [x, s.floats('g', [4], gain), s.floats('b', [4], bias)], groups),
        21,
      ),
      normed(12).map((value, i) => value * gain[of(i)] + bias[of(i)]),
    )
    near(
      await valuesOf(
        (s, x) => s.node('GroupNormalization', [x, s.floats('g', [2], [2, 3]), s.floats('b', [2], [0, 1])], groups),
        18,
      ),
      normed(12).map((value, i) => i < 12 ? 2 * value : 3 * value + 1),
    )
    await expect(
      valuesOf(
        (s, x) => s.node('GroupNormalization', [x, s.floats('g', [2], [1, 1]), s.floats('b', [2], [0, 0])], groups),
        21,
      ),
    ).rejects.toThrow(/its gain and bias have 2 and 2 numbers, expected 4/)
  })

  test('means that leave out the padding', async () => {
    const pool = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1] }
    const found = await valuesOf((s, x) => s.node('AveragePool', [x], pool))
    const first = (x[0] + x[1] + x[3] + x[4]) / 4, second = [...x.subarray(0, 6)].reduce((a, b) => a + b) / 6
    near(found.slice(0, 2), [first, second])
  })

  test('activations, sums of several, products by letters', async () => {
    const all = (f: (value: number, i: number) => number) => Array.from(x, f)
    near(
      await valuesOf((s, x) => s.node('Elu', [x], { alpha: { float: 0.7 } })),
      all((v) => v > 0 ? v : 0.7 * Math.expm1(v)),
    )
    near(
      await valuesOf((s, x) => s.node('PRelu', [x, s.floats('p', [4, 1, 1], [0.1, 0.2, -0.3, 2])])),
      all((v, i) => v > 0 ? v : v * [0.1, 0.2, -0.3, 2][Math.floor(i / 6)]),
    )
    near(await valuesOf((s, x) => s.node('Mish', [x]), 18), all((v) => v * Math.tanh(Math.log1p(Math.exp(v)))))
    near(await valuesOf((s, x) => s.node('Sum', [x, x, x])), all((v) => 3 * v))
    near(await valuesOf((s, x) => s.node('Mean', [x, s.node('Neg', [x]), x])), all((v) => v / 3))
    const found = await valuesOf((s, x) => s.node('Einsum', [x, x], { equation: 'b c y x, b d y x -> b d y c' }))
    // [b, d, y, c]: the sum over x of x[c, y, x] x[d, y, x].
    const row = (c: number, y: number) => [...x.subarray((2 * c + y) * 3, (2 * c + y + 1) * 3)]
    near(
      found,
      Array.from({ length: 32 }, (_, i) => {
        const [d, y, c] = [i >> 3, i >> 2 & 1, i & 3]
        return row(c, y).reduce((sum, value, k) => sum + value * row(d, y)[k], 0)
      }),
    )
    await expect(valuesOf((s, x) => s.node('Einsum', [x, x], { equation: 'bcyx,bdyx->bcd...' }))).rejects.toThrow(
      /'Einsum'\): its equation is 'bcyx,bdyx->bcd\.\.\.', expected two operands/,
    )
    await expect(valuesOf((s, x) => s.node('Einsum', [x, x], { equation: 'bcyx,byxd->bcd' }))).rejects.toThrow(
      /its axis/,
    )
  })

  test('a constant that is repeated for each image, as masks of shifted windows are', async () => {
    const rows = Array.from({ length: 24 }, (_, i) => i)
    const draw = (repeats: (s: Sketch, batch: string) => string) => (s: Sketch, x: string) => {
      const batch = s.node('Slice', [s.node('Shape', [x]), s.wholes(0), s.wholes(1), s.wholes(0)])
      const all = s.node('Reshape', [x, s.wholes(-1, 6)])
      s.node('Reshape', [s.node('Add', [all, repeats(s, batch)]), s.wholes(-1, 24)])
    }
    const tiled = (s: Sketch, batch: string) =>
      s.node('Tile', [s.floats('mask', [4, 6], rows), s.node('Concat', [batch, s.wholes(1)], { axis: 0 })])
    near(await valuesOf(draw(tiled)), Array.from(x, (value, i) => value + i))
    const model = modelOf(
      await parseCheckpoint(
        (() => {
          const s = new Sketch()
          draw(tiled)(s, 'input')
          return s.bytes([4, 2, 3], 24)
        })(),
        'net.onnx',
      ),
    )
    near(
      [...await model.call(tensor(Float32Array.of(...x, ...x), [2, 4, 2, 3])).data()].slice(24),
      Array.from(x, (v, i) => v + i),
    )
    // Another for each image: no network.
    const counted = (s: Sketch, batch: string) => {
      const count = s.node('Mul', [s.node('Squeeze', [batch, s.wholes(0)]), s.whole(4)])
      const range = s.node('Cast', [s.node('Range', [s.whole(0), count, s.whole(1)])], { to: 1 })
      return s.node('Unsqueeze', [range, s.wholes(1)])
    }
    await expect(valuesOf(draw(counted))).rejects.toThrow(/a constant that differs from image to image/)
  })

  test('backwards only what is constant', async () => {
    await expect(
      valuesOf((s, x) => s.node('Slice', [x, s.wholes(-1), s.wholes(-9), s.wholes(1), s.wholes(-1)])),
    ).rejects.toThrow(/a slice in steps of -1, expected steps forward/)
  })
})

test('the docs name every operator that is read', () => {
  const docs = readFileSync('docs/onnx.md', 'utf8')
  for (const type of Object.keys(operators).filter((each) => each !== 'Silu')) {
    expect(docs, type).toMatch(new RegExp(`\\b${type}\\b`))
  }
  const { Conv, Gemm, Einsum, GroupNormalization, InstanceNormalization } = operators
  expect([Conv, Gemm, Einsum, GroupNormalization, InstanceNormalization]).toEqual([
    conv,
    gemm,
    einsum,
    groupNorm,
    instanceNorm,
  ])
})

test('both kinds of file are told apart', async () => {
  const bytes = small()
  expect((await contentOf(bytes, 'net.bin', {})).tensors.size).toBe(2)
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

// Networks written as ONNX: what is in the file, and what is refused. What the nodes compute is compared with our own
// reading of them in test/checkpoint/onnx, and with ONNX Runtime in test/long/onnx.test.ts.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { add, close, fillNormal, init, leaves, linear, Linear, mean, type Model, op, patternOf, sliceModel, sparsify,
  stopGradient, type Tensor, tensor, units, zeros } from '../../src/index.ts'
import { floatToHalf, halfToFloat } from '../../src/files/half.ts'
import { decodeOnnx } from '../../src/onnx/decode.ts'
import { encodeNetwork } from '../../src/onnx/network.ts'
import { onnxCases, seeded } from '../support/onnx-cases.ts'

beforeAll(async () => {
  await init({ adapter: 'cpu', threads: 1, fixedVariants: true })
})
afterAll(close)

const saved = (tensors: { name: string }[]) => tensors.map(({ name }) => name).filter((name) => !name.startsWith('/'))

describe('a network as ONNX', () => {
  test.each(Object.keys(onnxCases))('%s: weights under their paths, an open batch', async (name) => {
    const each = onnxCases[name],
      model = seeded(each),
      { bytes, nodes, half, dense } = await encodeNetwork(model, each.image)
    const file = decodeOnnx(bytes), all = new Map(leaves(model))
    expect(file).toMatchObject({ opset: 17, metadata: {} })
    expect({ nodes, half, dense }).toEqual({ nodes: file.nodes.length, half: false, dense: [] })
    expect(file.inputs).toEqual([{ name: 'images', shape: [{ batch: 1 }, ...each.image] }])
    const [, classes] = model.call(zeros([1, ...each.image])).shape
    expect(file.outputs).toEqual([{ name: 'logits', shape: [{ batch: 1 }, classes] }])
    for (const { name: path, shape, values } of file.tensors.filter(({ name }) => !name.startsWith('/'))) {
      const leaf = all.get(path)!
      expect(shape).toEqual(leaf.shape)
      expect(values).toStrictEqual(await leaf.data())
    }
    // Tables that follow from sizes are no weights; everything else is there.
    expect(saved(file.tensors)).toEqual([...all.keys()].filter((path) => !/index$|mask$/.test(path)))
    expect(file.nodes.some(({ attributes = {} }) => 'auto_pad' in attributes)).toBe(false)
    for (const { attributes } of file.nodes.filter(({ type }) => type === 'Conv')) {
      expect(attributes!.pads).toHaveLength(4)
    }
  })

  test('a fixed batch has sizes alone', async () => {
    const each = onnxCases.vit, { bytes } = await encodeNetwork(seeded(each), each.image, { batch: 5 })
    const file = decodeOnnx(bytes)
    expect(file.inputs[0].shape).toEqual([5, 3, 16, 16])
    expect(file.outputs[0].shape).toEqual([5, 7])
    expect(file.nodes.map(({ type }) => type)).not.toContain('Shape')
  })

  test('a smaller network is a smaller file', async () => {
    const each = onnxCases.vgg, model = seeded(each), found = units(model, [1, ...each.image])
    const plan = new Map(
      found.filter(({ prunable }) => prunable === true).map((
        { name, size },
      ) => [name, Uint8Array.from({ length: size }, (_, i) => i % 3 ? 1 : 0)]),
    )
    const [whole, small] = [model, await sliceModel(model, [1, ...each.image], plan, { found })]
    const sizes = await Promise.all(
      [whole, small].map(async (network) => (await encodeNetwork(network, each.image)).bytes.length),
    )
    expect(sizes[1]).toBeLessThan(0.7 * sizes[0])
  })

  test('weights that are halves are stored as halves, and come back as they were', async () => {
    const each = onnxCases.vgg, model = seeded(each)
    for (const [, leaf] of leaves(model)) leaf.write(halfToFloat(floatToHalf(await leaf.data() as Float32Array)))
    const halves = await encodeNetwork(model, each.image)
    expect(halves.half).toBe(true)
    const file = decodeOnnx(halves.bytes), all = new Map(leaves(model))
    for (const { name, values, data } of file.tensors.filter(({ name }) => !name.startsWith('/'))) {
      expect(data).toBeInstanceOf(Uint16Array)
      expect(data.byteLength).toBe(all.get(name)!.bytes / 2)
      expect(values).toStrictEqual(await all.get(name)!.data())
    }
  })

  test('packed weights are dense in the file, which says so', async () => {
    const each = onnxCases.mlp, model = seeded(each)
    const sparse = await sparsify(model, [1, ...each.image], { pattern: patternOf('block:4x4'), density: 0.5 })
    const { bytes, dense } = await encodeNetwork(sparse, each.image)
    expect(dense.length).toBeGreaterThan(0)
    const file = new Map(decodeOnnx(bytes).tensors.map((each) => [each.name, each]))
    for (const path of dense) {
      const { shape, values } = file.get(path)!
      expect(shape).toEqual(new Map(leaves(model)).get(path)!.shape)
      expect(Array.from(values).filter((value) => value === 0).length).toBeGreaterThan(0.3 * values.length)
    }
  })
})

describe('what cannot be written is refused', () => {
  const image = [1, 4, 4] as const
  const mystery = op({ name: 'onnx-mystery', axes: '... -> ...', run: (x: Tensor) => x, vjp: (_, dy) => [dy] })
  const flat = (x: Tensor) => tensor(new Float32Array(x.shape[0] * 2), [x.shape[0], 2])

  test('an op that does not say its ONNX form', async () => {
    const model: Model = { call: (x) => mystery(x) }
    await expect(encodeNetwork(model, image)).rejects.toThrow(
      /'onnx-mystery': this op has no ONNX form; expected .* field onnx/,
    )
  })

  test('an op of the user with one is written', async () => {
    const twice = op<[Tensor], object>({
      name: 'onnx-twice',
      axes: '... -> ...',
      run: (x: Tensor) => add(x, x),
      vjp: (_, dy) => [add(dy, dy)],
      onnx: ({ args: [x] }, graph) => graph.node('Add', [x, x]),
    })
    const { bytes } = await encodeNetwork({ call: (x) => twice(x) } as Model, image)
    expect(decodeOnnx(bytes).nodes.map(({ type }) => type)).toEqual(['Add'])
  })

  test.each([
    ['of each image', (x: Tensor) => add(x, x.view(x.shape)), /differs from image to image/],
    [
      'of all',
      (x: Tensor) => add(x, stopGradient(() => mean(x))),
      /depends on the images in a way that no op was recorded/,
    ],
  ])('a value that no op made, %s', async (_, call, message) => {
    await expect(encodeNetwork({ call } as Model, image)).rejects.toThrow(message)
  })

  test('other calls for another batch', async () => {
    const layer = new Linear(2, 2)
    const model = {
      layer,
      call: (x: Tensor) => x.shape[0] > 2 ? layer.call(flat(x)) : add(layer.call(flat(x)), zeros([2])),
    }
    await expect(encodeNetwork(model, image)).rejects.toThrow(
      /other calls for another batch; export it with a fixed batch/,
    )
  })

  test('a size that is no multiple of the batch', async () => {
    const weight = tensor(fillNormal(new Float32Array(8), 1, 'w'), [2, 4])
    const model = {
      weight,
      call: (x: Tensor) => linear(zeros([x.shape[0] + 1, 4]), weight, null),
    }
    await expect(encodeNetwork(model, image)).rejects.toThrow(/no multiple of the batch/)
  })
})

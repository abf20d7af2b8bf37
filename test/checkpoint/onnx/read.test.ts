// ONNX files read back: ours exactly, and graphs as networks of steps that compute, are pruned and explained like
// others. ONNX Runtime computes the same graphs in test/long/onnx.test.ts.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { close, encodeCheckpoint, epsilonPlus, exportOnnx, fillUniform, foldBatchNorm, gradientTimesInput, init, leaves,
  lrp, maskModel, type Model, modelOf, oneHot, type ParsedCheckpoint, parseCheckpoint, sliceModel, tensor,
  units } from '../../../src/index.ts'
import { recordOf } from '../../../src/pruning/plan/record.ts'
import { encodeNetwork } from '../../../src/onnx/network.ts'
import { buildModel, preprocessingFor } from '../../../models/index.ts'
import { onnxCases, seeded } from '../../support/onnx-cases.ts'
import { foreignCases as foreign } from '../../support/onnx-foreign.ts'
import { graphCases, graphOpsets } from '../../support/onnx-graphs.ts'

beforeAll(async () => {
  await init({ adapter: 'cpu', threads: 1, fixedVariants: true })
})
afterAll(close)

/** How the networks of these tests were cut, for their records. */
const step = { method: 'random', rate: 0.3, seed: 0, residual: 'closing', scores: '' } as const

const imagesOf = (image: readonly number[], n: number) =>
  tensor(fillUniform(new Float32Array(n * image.reduce((a, b) => a * b)), n, 'images', -1, 1), [n, ...image])

async function difference(a: Model, b: Model, image: readonly number[], n: number): Promise<number> {
  const [x, y] = await Promise.all([a, b].map((model) => model.call(imagesOf(image, n)).data()))
  expect(x.length).toBe(y.length)
  const size = Math.max(...x.map(Math.abs))
  return Math.max(...x.map((value, i) => Math.abs(value - y[i]))) / size
}

describe('the nodes of what we write compute what the network does', () => {
  test.each(Object.keys(onnxCases))('%s', async (name) => {
    const each = onnxCases[name], model = seeded(each)
    for (const batch of ['dynamic', 1] as const) {
      const { bytes } = await encodeNetwork(model, each.image, { batch })
      const read = modelOf(await parseCheckpoint(bytes, 'net.onnx', { nodes: true }))
      expect(await difference(model, read, each.image, 1)).toBeLessThan(1e-5)
      expect(await difference(model, read, each.image, 3)).toBeLessThan(1e-5)
    }
  })
})

describe('our own files', () => {
  const architecture = { type: 'resnet', layers: [1, 1], width: 6, classes: 5, block: 'bottleneck', stem: 'imagenet' }
  const info = (pruning?: ParsedCheckpoint['pruning']) => ({
    architecture,
    preprocessing: preprocessingFor(architecture),
    classes: ['a', 'b', 'c', 'd', 'e'],
    naming: 'espalier',
    metadata: { note: 'kept' },
    others: new Map(),
    pruning,
  })

  test('a pruned network comes back as it was, byte for byte, with all that its file says', async () => {
    const image = [3, 224, 224] as const, model = seeded({ make: () => buildModel(architecture), image })
    const found = units(model, [1, ...image])
    const plan = new Map(
      found.filter(({ prunable }) => prunable === true).map((
        { name, size },
      ) => [name, Uint8Array.from({ length: size }, (_, i) => Number(i % 3 !== 1))]),
    )
    const small = await sliceModel(model, [1, ...image], plan, { found })
    const pruning = recordOf(small, found, plan, step)
    const { bytes } = await exportOnnx(small, image, { info: info(pruning) })
    const read = await parseCheckpoint(bytes, 'net.onnx')
    expect(read).toMatchObject({
      architecture,
      classes: ['a', 'b', 'c', 'd', 'e'],
      metadata: { note: 'kept' },
      pruning,
    })
    const again = modelOf(read)
    for (const [path, leaf] of leaves(small)) {
      expect(await new Map(leaves(again)).get(path)!.data(), path).toStrictEqual(await leaf.data())
    }
    const [a, b] = await Promise.all([small, again].map((network) => encodeCheckpoint(network, info(pruning))))
    expect(Buffer.compare(a, b)).toBe(0)
  })

  test('a graph that was changed since is read by its nodes', async () => {
    const image = [3, 224, 224] as const, model = seeded({ make: () => buildModel(architecture), image })
    const { bytes } = await exportOnnx(model, image, { info: info() })
    // Another operator of the same length: every relu gone.
    const changed = Buffer.from(Buffer.from(bytes).toString('latin1').replaceAll('"\x04Relu', '"\x04Tanh'), 'latin1')
    expect((await parseCheckpoint(bytes, 'net.onnx')).architecture.type).toBe('resnet')
    const read = await parseCheckpoint(changed, 'net.onnx')
    expect(read.architecture.type).toBe('onnx')
    expect((read.architecture.steps as { kind: string }[]).map(({ kind }) => kind)).toContain('tanh')
  })
})

describe('graphs in the style of other exporters', () => {
  test.each(Object.keys(foreign))('%s computes what the network it was written from does', async (name) => {
    const { make, write, image } = foreign[name], model = seeded({ make, image })
    for (const batch of [undefined, 1]) {
      const read = await parseCheckpoint(await write(model, batch), 'net.onnx')
      expect(read.architecture).toMatchObject({ type: 'onnx', image })
      expect(read.notes.some((note) => note.includes('one image at a time'))).toBe(batch === 1)
      for (const n of [1, 3]) expect(await difference(model, modelOf(read), image, n)).toBeLessThan(1e-5)
    }
  })

  test("layer norm and gelu in pieces are one step each, and attention's sizes follow the batch", async () => {
    const { make, write, image } = foreign["timm's vit"]
    const { architecture } = await parseCheckpoint(await write(seeded({ make, image })), 'net.onnx')
    const kinds = (architecture.steps as { kind: string }[]).map(({ kind }) => kind)
    expect(kinds.filter((kind) => kind === 'layer-norm')).toHaveLength(5)
    expect(kinds.filter((kind) => kind === 'gelu')).toHaveLength(2)
    expect(kinds.filter((kind) => ['erf', 'sqrt', 'mean', 'pow'].includes(kind))).toEqual([])
  })

  test.each(Object.keys(foreign))(
    '%s loses three channels of ten, sliced = masked, from a file of its own',
    async (name) => {
      const { make, write, image } = foreign[name],
        checked = await parseCheckpoint(await write(seeded({ make, image })), 'net.onnx')
      const model = modelOf(checked), input = [1, ...image], found = units(model, input)
      const mine = found.filter(({ prunable, exact }) => prunable === true && exact === true)
      expect(mine.length).toBeGreaterThan(1)
      const plan = new Map(
        mine.map(({ name, size }) => [name, Uint8Array.from({ length: size }, (_, i) => Number(i % 10 < 7))]),
      )
      const small = await sliceModel(model, input, plan, { found })
      const pruning = recordOf(small, found, plan, step)
      const saved = await parseCheckpoint(await encodeCheckpoint(small, { ...checked, pruning }), 'net.safetensors')
      maskModel(model, found, plan)
      expect(await difference(model, modelOf(saved), image, 2)).toBeLessThan(1e-5)
      // And out again: a smaller file, which computes the same.
      const { bytes } = await exportOnnx(modelOf(saved), image, { info: { ...saved } })
      const back = modelOf(await parseCheckpoint(bytes, 'small.onnx', { nodes: true }))
      expect(await difference(model, back, image, 2)).toBeLessThan(1e-5)
    },
  )

  test.each(Object.keys(foreign))('%s is explained as the network it was written from', async (name) => {
    const { make, write, image } = foreign[name], model = seeded({ make, image })
    const read = modelOf(await parseCheckpoint(await write(model), 'net.onnx')), images = imagesOf(image, 2)
    const folded = foldBatchNorm(model, [2, ...image])
    const [, classes] = model.call(images).shape, targets = oneHot([1, 0], classes)
    for (const method of [gradientTimesInput, lrp(epsilonPlus)]) {
      const [a, b] = await Promise.all([folded, read].map((network) => method(network, images, targets).input.data()))
      const size = Math.max(...a.map(Math.abs))
      expect(size).toBeGreaterThan(0)
      expect(Math.max(...a.map((value, i) => Math.abs(value - b[i]))) / size).toBeLessThan(1e-3)
    }
  })
})

describe('graphs of networks that there is none of here', () => {
  test.each(Object.keys(graphCases))(
    '%s: the same in each opset, and sliced = masked without three of ten',
    async (name) => {
      const image = [3, 32, 32], input = [1, ...image], [first, ...others] = graphOpsets
      const read = async (opset: number) => modelOf(await parseCheckpoint(graphCases[name](opset), 'net.onnx'))
      const model = await read(first)
      for (const opset of others) expect(await difference(model, await read(opset), image, 2)).toBeLessThan(1e-5)
      const found = units(model, input),
        mine = found.filter(({ prunable, exact }) => prunable === true && exact === true)
      expect(mine.length).toBeGreaterThan(0)
      const plan = new Map(
        mine.map(({ name, size }) => [name, Uint8Array.from({ length: size }, (_, i) => Number(i % 10 < 7))]),
      )
      const small = await sliceModel(model, input, plan, { found })
      maskModel(model, found, plan)
      expect(await difference(model, small, image, 2)).toBeLessThan(1e-5)
    },
  )

  test('layer norms are found in every opset', async () => {
    for (const opset of graphOpsets) {
      const { architecture } = await parseCheckpoint(graphCases["timm's convnext"](opset), 'net.onnx')
      const kinds = (architecture.steps as { kind: string }[]).map(({ kind }) => kind)
      expect(kinds.filter((kind) => kind === 'layer-norm'), `opset ${opset}`).toHaveLength(4)
    }
  })
})

// Networks as ONNX against ONNX Runtime on the cores, where `npm run peers` installed it: every family, each kind of
// unit at rates that leave odd numbers, one and several images; and graphs in the style of other exporters.
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { requirePeer } from '../../bench/rivals/peer.ts'
import { close, fillUniform, init, type Model, modelOf, parseCheckpoint, patternOf, sliceModel, sparsify, tensor,
  unitKinds, units } from '../../src/index.ts'
import { encodeNetwork } from '../../src/onnx/network.ts'
import { foreignCases } from '../support/onnx-foreign.ts'
import { graphCases, graphOpsets } from '../support/onnx-graphs.ts'
import { type OnnxCase, onnxCases, seeded } from '../support/onnx-cases.ts'

interface Session {
  run(feeds: object): Promise<Record<string, { data: Float32Array, dims: readonly number[] }>>
}
interface Runtime {
  InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> }
  Tensor: new(type: string, data: Float32Array, shape: readonly number[]) => object
}

const here = existsSync('bench/peers/node_modules/onnxruntime-node')
let ort: Runtime
beforeAll(async () => {
  if (here) ort = requirePeer()('onnxruntime-node') as Runtime
  await init({ adapter: 'cpu', threads: 1, fixedVariants: true })
})
afterAll(close)

/** The largest difference from ONNX Runtime over the largest logit. */
async function difference(
  model: Model,
  { image }: OnnxCase,
  batch: 'dynamic' | number,
  images: readonly number[],
): Promise<number> {
  const { bytes } = await encodeNetwork(model, image, { batch })
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 })
  let worst = 0
  for (const n of images) {
    const x = fillUniform(new Float32Array(n * image.reduce((a, b) => a * b)), n, 'images', -1, 1),
      shape = [n, ...image]
    const ours = await model.call(tensor(x, shape)).data()
    const { logits } = await session.run({ images: new ort.Tensor('float32', x, shape) })
    expect(logits.dims.map(Number)).toEqual([n, ours.length / n])
    worst = Math.max(worst, apart(ours as Float32Array, logits.data))
  }
  return worst
}

/** The largest difference over the largest logit. */
function apart(ours: Float32Array, theirs: Float32Array): number {
  const size = Math.max(...ours.map(Math.abs))
  return Math.max(...ours.map((value, i) => Math.abs(value - theirs[i]))) / size
}

describe.skipIf(!here)('as ONNX Runtime computes it', () => {
  test.each(Object.keys(onnxCases))('%s', async (name) => {
    const each = onnxCases[name], model = seeded(each)
    expect(await difference(model, each, 'dynamic', [1, 3])).toBeLessThan(1e-5)
    expect(await difference(model, each, 2, [2])).toBeLessThan(1e-5)
  }, 120_000)

  for (const residual of ['closing', 'coupled'] as const) {
    test.each(Object.keys(onnxCases))(`%s, each kind of unit cut (${residual})`, async (name) => {
      const each = onnxCases[name], model = seeded(each), found = units(model, [1, ...each.image], { residual })
      for (const kind of unitKinds) {
        const mine = found.filter((unit) =>
          unit.kind === kind && unit.prunable === true && unit.size > 2 && unit.outer === null
        )
        if (!mine.length) continue
        const plan = new Map(mine.map(({ name, shape: [outer, inner = 0], size }) => {
          // Of heads that keep channels each, as many in each.
          const keep = (i: number, n: number) => i % 3 !== 1 || n < 3
          return [
            name,
            Uint8Array.from({ length: size }, (_, i) => Number(inner ? keep(i % inner, inner) : keep(i, outer))),
          ]
        }))
        const small = await sliceModel(model, [1, ...each.image], plan, { found, residual })
        expect(await difference(small, each, 'dynamic', [1, 2]), kind).toBeLessThan(1e-5)
      }
    }, 240_000)
  }

  test.each(Object.keys(foreignCases))('%s, read', async (name) => {
    const { make, write, image } = foreignCases[name], bytes = await write(seeded({ make, image }))
    const read = modelOf(await parseCheckpoint(bytes, 'net.onnx'))
    const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 })
    for (const n of [1, 3]) {
      const x = fillUniform(new Float32Array(n * image.reduce((a, b) => a * b)), n, 'images', -1, 1),
        shape = [n, ...image]
      const [theirs] = Object.values(await session.run({ input: new ort.Tensor('float32', x, shape) }))
      expect(apart(await read.call(tensor(x, shape)).data() as Float32Array, theirs.data)).toBeLessThan(1e-5)
    }
  }, 120_000)

  test.each(Object.keys(graphCases))('%s, read in every opset', async (name) => {
    for (const opset of graphOpsets) {
      const bytes = graphCases[name](opset), read = modelOf(await parseCheckpoint(bytes, 'net.onnx'))
      const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 }), shape = [3, 3, 32, 32]
      const x = fillUniform(new Float32Array(3 * 3 * 32 * 32), opset, 'images', -1, 1)
      const [theirs] = Object.values(await session.run({ input: new ort.Tensor('float32', x, shape) }))
      const worst = apart(await read.call(tensor(x, shape)).data() as Float32Array, theirs.data)
      if (process.env.SHOW) console.log(name, opset, worst)
      expect(worst, `opset ${opset}`).toBeLessThan(1e-5)
    }
  }, 120_000)

  test.each(['vit', 'vgg', 'mlp'])('%s with packed weights', async (name) => {
    const each = onnxCases[name]
    const model = await sparsify(seeded(each), [1, ...each.image], { pattern: patternOf('unstructured'), density: 0.5 })
    expect(await difference(model, each, 'dynamic', [1, 3])).toBeLessThan(1e-5)
  }, 120_000)
})

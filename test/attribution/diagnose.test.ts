// Relevance that is no number is told by the op and the layer that made it first, forward or on the way back.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildModel } from '../../models/registry.ts'
import { attribute, type AttributionMethod, oneHot, scoreUnits } from '../../src/attribution/relevance.ts'
import { attributionMethodOf } from '../../src/attribution/methods.ts'
import { on } from '../../src/attribution/composite.ts'
import { close, disposeTree, firstNonFiniteRelevance, init, initialize, leaves, scale,
  tensor } from '../../src/index.ts'

beforeAll(async () => {
  await init({ adapter: 'cpu' })
})
afterAll(close)

const architecture = { type: 'vit', image: 16, patch: 4, width: 16, heads: 2, depth: 2, hidden: 32, classes: 4 }
const made = () => initialize(buildModel(architecture, 'test'), 3)
const weight = (model: ReturnType<typeof made>, path: string) => leaves(model).find(([name]) => name === path)![1]
const picture = () => tensor(Float32Array.from({ length: 2 * 3 * 16 * 16 }, (_, i) => Math.sin(i / 7)), [2, 3, 16, 16])
const usual = attributionMethodOf('attn-lrp')

/** Infinite where relevance passes the second block's first linear layer on its way back. */
const overflowing: AttributionMethod = (model, images, targets, request) =>
  attribute(model, images, targets, {
    seed: 'unit',
    read: 'relevance',
    composite: [
      on('linear', 'blocks.1.mlp.fc1.weight', (call, c) => call.op.vjp(call, scale(c, { by: Infinity }))),
    ],
  }, request)

test.each<[string, (model: ReturnType<typeof made>) => void, AttributionMethod, RegExp]>([
  [
    'a weight',
    (model) => {
      const gain = weight(model, 'blocks.1.norm2.gain')
      gain.write(new Float32Array(gain.size).fill(NaN))
    },
    usual,
    /the model's own 'blocks\.1\.norm2\.gain' holds NaN/,
  ],
  [
    'an activation',
    (model) => {
      const fc1 = weight(model, 'blocks.0.mlp.fc1.weight')
      fc1.write(new Float32Array(fc1.size).fill(3e38))
    },
    usual,
    /the first bad value is .* from 'linear'.*layer of 'blocks\.0\.mlp\.fc1\.(weight|bias)'/,
  ],
  ['the walk back', () => {}, overflowing, /relevance first ceases to be finite at 'linear' .*'blocks\.1\.mlp\.fc1/],
])('%s', async (_, damage, method, where) => {
  const model = made()
  damage(model)
  const batch = () => ({ images: picture(), targets: oneHot([1, 2], 4) })
  const { images, targets } = batch()
  expect(await firstNonFiniteRelevance(model, images, targets, method)).toMatch(where)
  await expect(scoreUnits(model, [batch()], method)).rejects.toThrow(where)
  await expect(scoreUnits(model, [batch()], method)).rejects.toThrow(/^relevance of \S+, unit \d+, is .* for image 0: /)
  disposeTree([images, targets, model])
})

test('nothing is told of a network without such values', async () => {
  const model = made()
  const images = picture()
  const targets = oneHot([1, 2], 4)
  expect(await firstNonFiniteRelevance(model, images, targets, usual)).toBeNull()
  disposeTree([images, targets, model])
})

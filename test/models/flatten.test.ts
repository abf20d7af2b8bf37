// FLatten-DeiT and FLatten-PVT. No reference exists for either, so what can be known without one: shapes, that they
// learn, that every token reaches the result, that what is sliced computes what the masked network computes, and that
// files keep them.
import { expect, test } from 'vitest'
import { type Architecture, buildModel, checkArchitecture, preprocessingFor } from '../../models/index.ts'
import { encodeCheckpoint, modelOf, parseCheckpoint } from '../../src/checkpoint/checkpoint.ts'
import { adamW, crossEntropy, initialize, leaves, maskModel, parameters, type Plan, scope, sliceModel, tensor,
  type Tensor, unmaskModel, units, valueAndGrad } from '../../src/index.ts'
import { InputError } from '../../src/base/errors.ts'
import { fillNormal } from '../../src/base/random.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { describeDevice } from '../support/device.ts'
import { relativeError } from '../reference/nd.ts'

const small: Architecture[] = [
  { type: 'flatten-deit-tiny', image: 16, patch: 4, width: 24, depth: 2, heads: 2, hidden: 32, classes: 5 },
  {
    type: 'flatten-pvt',
    image: 32,
    patches: [4, 2],
    widths: [8, 24],
    depths: [1, 2],
    heads: [1, 3],
    ratios: [2, 2],
    classes: 5,
  },
]
const batch = 4
const pictures = (side: number) =>
  tensor(fillNormal(new Float32Array(batch * 3 * side * side), 5, 'pictures'), [batch, 3, side, side])

describeDevice('FLatten without a reference', () => {
  test.each(small)('$type: shapes, and steps of training lower the loss', async (architecture) => {
    const model = initialize(buildModel(architecture), 1, 'mimetic')
    const images = pictures(Number(architecture.image))
    const labels = tensor(Int32Array.of(0, 1, 2, 4))
    const optimizer = adamW(model, { rate: 2e-3 })
    const logits = scope(() => model.call(images))
    expect(logits.shape).toEqual([batch, 5])
    const losses: number[] = []
    for (let step = 0; step < 4; step++) {
      const [loss, grads] = valueAndGrad((m: typeof model, x: Tensor) => crossEntropy(m.call(x), labels))(model, images)
      if (step === 0) {
        const found = new Map(leaves(grads))
        for (const [path] of parameters(model)) {
          expect(await largest(found.get(path)!), `gradient of ${path}`).toBeGreaterThan(0)
        }
      }
      optimizer.update(model, grads)
      losses.push(await loss.item())
      disposeTree([loss, grads])
    }
    for (const [i, loss] of losses.slice(1).entries()) expect(loss).toBeLessThan(losses[i])
    optimizer.dispose()
    disposeTree([model, logits, images, labels])
  })

  test.each(small)('$type: masked and sliced give the same, and a file holds all of it', async (architecture) => {
    const side = Number(architecture.image)
    const model = initialize(buildModel(architecture), 2, 'mimetic')
    const images = pictures(side)
    const found = units(model, images.shape)
    const kinds = new Set(found.map(({ name }) => name.split('.').at(-1)))
    for (const kind of ['stream', 'queries', 'values', 'queryHeads', 'hidden']) expect([...kinds]).toContain(kind)
    // Every second entry of each unit that slices exactly; of [head, dim] units the same count in every head.
    const plan: Plan = new Map(
      found.filter(({ exact, prunable }) => exact === true && prunable === true)
        .map((unit) => [
          unit.name,
          Uint8Array.from({ length: unit.size }, (_, i) => Number(i % (unit.shape.at(-1)!) % 2 === 0)),
        ]),
    )
    expect(plan.size).toBeGreaterThan(0)
    maskModel(model, found, plan)
    const masked = await logitsOf(model, images)
    unmaskModel(model)
    const sliced = await sliceModel(model, images.shape, plan)
    expect(relativeError(await logitsOf(sliced, images), masked)).toBeLessThanOrEqual(1e-4)
    expect(sizeOf(sliced)).toBeLessThan(0.8 * sizeOf(model))

    const file = await encodeCheckpoint(model, {
      architecture: checkArchitecture(architecture),
      preprocessing: preprocessingFor(architecture),
      naming: 'espalier',
      metadata: {},
      others: new Map(),
    })
    const again = modelOf(await parseCheckpoint(file, 'flatten.safetensors'))
    expect(await logitsOf(again, images)).toEqual(await logitsOf(model, images))
    disposeTree([model, again, images])
  })

  test('every patch reaches the result, also from far away', async () => {
    const model = initialize(buildModel(small[0]), 3, 'mimetic'), base = await pictures(16).data() as Float32Array
    const before = await logitsOf(model, tensor(base, [batch, 3, 16, 16]))
    const changed = base.slice()
    changed[15 * 16 + 15] += 3 // the last pixel of the first image
    const after = await logitsOf(model, tensor(changed, [batch, 3, 16, 16]))
    expect(after.subarray(0, 5)).not.toEqual(before.subarray(0, 5))
    expect(after.subarray(5)).toEqual(before.subarray(5))
    disposeTree(model)
  })
})

test('what cannot be built is refused', () => {
  expect(() => buildModel({ ...small[0], classToken: true })).toThrow(/set classToken to false/)
  expect(() => buildModel({ ...small[0], distilled: true })).toThrow(InputError)
  expect(() => checkArchitecture({ type: 'flatten-pvt', widths: [8, 16] })).toThrow(/name 4, 2, 4, 4, 4 stages/)
  expect(() => checkArchitecture({ type: 'flatten-pvt', image: 16 })).toThrow(/expected at least 32/)
})

async function logitsOf(model: { call(images: Tensor): Tensor }, images: Tensor): Promise<Float32Array> {
  const logits = scope(() => model.call(images))
  const values = await logits.data() as Float32Array
  logits.dispose()
  return values
}

async function largest(tensor: Tensor): Promise<number> {
  return (await tensor.data() as Float32Array).reduce((most, value) => Math.max(most, Math.abs(value)), 0)
}

const sizeOf = (model: unknown) => parameters(model).reduce((sum, [, { size }]) => sum + size, 0)

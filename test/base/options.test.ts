// A mistyped option is refused wherever options are taken, with the ones there are.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkOptions, nearest } from '../../src/base/options.ts'
import { adamW, attribute, Attention, BatchNorm, close, compile, conv2d, Conv2d, cosineRate, distilled, drawReferences,
  evaluate, fit, Gate, heatmapPng, init, integratedGradients, layerNorm, LayerNorm, linear, Linear, loadCheckpoint,
  matmul, maxPool, openDataset, prune, relu, score, sgd, sliceModel, softmax, sum, tensor,
  units } from '../../src/index.ts'
import { scoreUnits } from '../../src/attribution/relevance.ts'
import { pull } from '../../src/checkpoint/hub.ts'
import { checkAugmentation as augmentation } from '../../src/data/augment.ts'
import { defaultPreprocessing } from '../../src/data/preprocess.ts'
import { cached } from '../../src/data/subset.ts'

beforeAll(async () => {
  await init({ adapter: 'cpu' })
})
afterAll(close)

// What a program in JavaScript may pass: the type checker is not there.
const bag = (options: object) => options as never
const nothing = bag({})

const firstBatch = async (options: never, inMemory = false) => {
  const preprocessing = { ...defaultPreprocessing('cnn', 32), channels: 3 as const }
  const data = await openDataset('cifar10:models/data/cifar10/test200.bin#0-1', { preprocessing })
  return (inMemory ? await cached(data) : data).batches(options).next()
}

describe('ops', () => {
  const x = () => tensor([[1, 2], [3, 4]])
  test.each<[string, () => unknown, RegExp]>([
    [
      'sum axis',
      () => sum(x(), bag({ axis: 0 })),
      /^sum: no option 'axis' \(did you mean axes\?\); it takes axes, keep$/,
    ],
    ['sum list', () => sum(x(), bag([0])), /^sum: no option '0'; it takes axes, keep$/],
    ['sum keepdim', () => sum(x(), bag({ axes: [0], keepdim: true })), /did you mean keep\?/],
    ['softmax dim', () => softmax(x(), bag({ dim: 0 })), /^softmax: no option 'dim' \(did you mean axis\?\)/],
    ['matmul', () => matmul(x(), x(), bag({ transposeb: true })), /did you mean transposeB\?/],
    ['linear', () => linear(x(), x(), null, bag({ bias: true })), /^linear: no option 'bias'; it takes over$/],
    ['layer-norm', () => layerNorm(x(), tensor([1, 1]), tensor([0, 0]), bag({ epsilon: 1 })), /'epsilon'/],
    ['conv2d', () => conv2d(tensor([[[[1]]]]), tensor([[[[1]]]]), null, bag({ strides: 2 })), /did you mean stride\?/],
    ['max-pool', () => maxPool(tensor([[[[1]]]]), bag({ size: 1, pad: 1 })), /it takes size, stride, padding/],
    ['relu', () => relu(x(), bag({ inplace: true })), /^relu: no option 'inplace'; it takes none$/],
  ])('%s', (_, call, message) => {
    expect(call).toThrow(message)
  })
})

describe('layers, optimisers and calls', () => {
  test.each<[string, () => unknown, RegExp]>([
    ['Linear', () => new Linear(1, 1, bag({ biases: false })), /^Linear: no option 'biases' \(did you mean bias\?\)/],
    ['Conv2d', () => new Conv2d(1, 1, 1, bag({ pading: 1 })), /did you mean padding\?/],
    ['Attention', () => new Attention(4, 2, bag({ window: true })), /did you mean windowed\?/],
    ['LayerNorm', () => new LayerNorm(2, bag({ epsilon: 1 })), /it takes eps/],
    ['BatchNorm', () => new BatchNorm(2, bag({ momentun: 1 })), /did you mean momentum\?/],
    ['Gate', () => new Gate([1], bag({ at: 1 })), /it takes kind, readAt, step/],
    ['adamW', () => adamW(new Linear(1, 1), bag({ lr: 1 })), /^adamW: no option 'lr' \(did you mean rate\?\)/],
    ['sgd', () => sgd(new Linear(1, 1), bag({ rate: 1, weight_decay: 1 })), /it takes rate, decay/],
    ['cosineRate', () => cosineRate(0, bag({ steps: 1, peak: 1, warmUp: 1 })), /did you mean warmup\?/],
    ['compile', () => compile(() => 0, bag({ limits: 4 })), /did you mean limit\?/],
    ['integratedGradients', () => integratedGradients(bag({ step: 4 })), /did you mean steps\?/],
    ['drawReferences', () => drawReferences(nothing, bag({ per_class: 4 })), /did you mean perClass\?/],
    ['units', () => units(nothing, [1], bag({ residuals: 'coupled' })), /^units: no option 'residuals' .*residual\?/],
    ['distilled', () => distilled(nothing, nothing, bag({ temp: 2 })), /^distilled: no option 'temp'.*temperature/],
    ['attribute', () => attribute(nothing, nothing, nothing, bag({ rules: [] })), /it takes seed, composite, read/],
    [
      'attribute request',
      () => attribute(nothing, nothing, nothing, bag({ seed: 'unit' }), bag({ gate: true })),
      /did you mean gates\?/,
    ],
    ['augment', () => augmentation(bag({ flips: 0.5 })), /^augmentation: no option 'flips' \(did you mean flip\?\)/],
    ['heatmapPng', () => heatmapPng(nothing, bag({ widht: 4 })), /did you mean width\?/],
  ])('%s', (_, call, message) => {
    expect(call).toThrow(message)
  })

  test.each<[string, () => Promise<unknown>, RegExp]>([
    ['fit', () => fit(nothing, nothing, bag({ epoch: 1 })), /^fit: no option 'epoch' \(did you mean epochs\?\)/],
    [
      'evaluate',
      () => evaluate(nothing, nothing, bag({ batchSize: 1 })),
      /^evaluate: no option 'batchSize'.*it takes batch/,
    ],
    ['prune', () => prune(nothing, bag({ keeps: 0.5 })), /^prune: no option 'keeps' \(did you mean keep\?\)/],
    ['prune finetune', () => prune(nothing, bag({ keep: 1, finetune: { epoch: 1 } })), /did you mean epochs\?/],
    ['score', () => score(nothing, nothing, bag({ methods: 'pxp' })), /did you mean method\?/],
    ['sliceModel', () => sliceModel(nothing, nothing, nothing, bag({ weight: 1 })), /did you mean weights\?/],
    ['openDataset', () => openDataset('folder:x', bag({ class: 1 })), /it takes preprocessing, classes, files/],
    ['loadCheckpoint', () => loadCheckpoint('x', bag({ architecture: 'x' })), /it takes arch, masks, files, name/],
    ['scoreUnits', () => scoreUnits(nothing, [], nothing, bag({ aggregate: 'signed' })), /it takes aggregation, gates/],
    [
      'batches',
      () => firstBatch(bag({ size: 1, shufle: true })),
      /^batches: no option 'shufle' \(did you mean shuffle/,
    ],
    ['batches in memory', () => firstBatch(bag({ size: 1, dropEnd: true }), true), /^batches: no option 'dropEnd'/],
    ['batches, augment', () => firstBatch(bag({ size: 1, augment: { mirror: 1 } })), /no option 'mirror'/],
    ['augment in memory', () => firstBatch(bag({ size: 1, augment: { flip: 1 } }), true), /not augmented any more/],
    ['pull', () => pull('x', bag({ overwrit: true })), /did you mean overwrite\?/],
  ])('%s', async (_, call, message) => {
    await expect(call()).rejects.toThrow(message)
  })
})

test('keys of a prototype are options too, and are no way around', () => {
  const options: object = Object.create({ bta: 1 })
  expect(() => {
    checkOptions('f', options, { beta: true })
  }).toThrow("f: no option 'bta' (did you mean beta?); it takes beta")
  expect(() => {
    checkOptions('f', { toString: 1 }, { beta: true })
  }).toThrow(/no option 'toString'/)
  checkOptions('f', undefined, { beta: true })
  expect(nearest('constructor', ['beta'])).toBeUndefined()
})

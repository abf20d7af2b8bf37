// Parameters and multiply-adds from the traced calls, against published counts. No device is open.
import { describe, expect, test } from 'vitest'
import { architectures, buildModel, checkArchitecture, classesOf, fitToData, inputOf,
  preprocessingFor } from '../../models/index.ts'
import { InputError } from '../../src/base/errors.ts'
import { costOf } from '../../src/nn/macs.ts'
import { withoutDevice } from '../../src/core/tensor.ts'

const cost = (architecture: { type: string, [option: string]: unknown }) =>
  costOf(withoutDevice(() => buildModel(architecture)), inputOf(architecture))

describe('published counts', () => {
  // name, G multiply-adds, M parameters; DeiT paper, Swin paper, FLatten paper, torchvision's table.
  // FLatten-DeiT and -PVT as the paper prints them, with two digits: their own code is not at hand.
  test.each([
    ['flatten-deit-tiny', 1.1, 6.1],
    ['flatten-pvt-tiny', 2.0, 12.2],
    ['flatten-pvt-small', 4.0, 21.7],
  ])('%s, unverified', (type, macs, params) => {
    const found = cost({ type })
    expect(Math.abs(found.macs / 1e9 - macs)).toBeLessThan(0.06)
    expect(Math.abs(found.params / 1e6 - params)).toBeLessThan(0.1)
  })

  test.each([
    ['deit-tiny', 1.254, 5.717],
    ['deit-small', 4.6, 22.05],
    ['deit-base', 17.58, 86.57],
    ['swin-tiny', 4.491, 28.29],
    ['flatten-swin-tiny', 4.483, 29.19],
    ['resnet18', 1.814, 11.690],
    ['resnet50', 4.09, 25.557],
    ['vgg16', 15.47, 138.358],
    ['vgg11-bn', 7.61, 132.869],
    ['resnet20', 0.0406, 0.2697],
  ])('%s', (type, macs, params) => {
    const found = cost({ type })
    expect(Math.abs(found.macs / 1e9 - macs) / macs).toBeLessThan(0.002)
    expect(Math.abs(found.params / 1e6 - params) / params).toBeLessThan(0.002)
  })
})

test('layers add up, and a layer is the owner of the weight that was read', () => {
  const { layers, params, macs } = cost({ type: 'deit-tiny' })
  expect(params).toBe(5_717_416)
  expect(layers.reduce((sum, layer) => sum + layer.macs, 0)).toBe(macs)
  const tokens = 197, width = 192
  expect(layers.find(({ name }) => name === 'patches.projection')).toMatchObject({
    macs: 196 * 768 * width,
    params: 768 * width + width,
  })
  // four projections and two products of [197 x 197] with the head channels
  expect(layers.find(({ name }) => name === 'blocks.3.attention')).toMatchObject({
    macs: 4 * tokens * width ** 2 + 2 * tokens ** 2 * width,
    output: [1, tokens, width],
  })
  expect(layers.find(({ name }) => name === 'blocks.3.mlp.fc1')!.macs).toBe(tokens * width * 768)
  expect(layers.at(-1)!.name).toBe('head')
})

// What leaves each layer, written out from the papers: name of the layer as a pattern, and its output without the
// batch. The first pattern that matches counts.
const outputs: Record<string, [RegExp, (match: number[]) => number[]][]> = {
  resnet20: [[/^stem/, () => [16, 32, 32]], [/^stages\.(\d)/, ([s]) => [16 << s, 32 >> s, 32 >> s]], [
    /^head$/,
    () => [10],
  ]],
  resnet18: [
    [/^stem/, () => [64, 112, 112]],
    [/^stages\.(\d)/, ([s]) => [64 << s, 56 >> s, 56 >> s]],
    [/^head$/, () => [1000]],
  ],
  // Bottlenecks: the stride is in the second convolution.
  resnet50: [
    [/^stem/, () => [64, 112, 112]],
    [/^stages\.(\d)\.\d+\.(?:layers\.2|shortcut)/, ([s]) => [256 << s, 56 >> s, 56 >> s]],
    [/^stages\.([1-3])\.0\.layers\.0/, ([s]) => [64 << s, 112 >> s, 112 >> s]],
    [/^stages\.(\d)/, ([s]) => [64 << s, 56 >> s, 56 >> s]],
    [/^head$/, () => [1000]],
  ],
  'deit-tiny': [
    [/^patches/, () => [192, 14, 14]],
    [/^classToken$/, () => [1, 192]],
    [/fc1$/, () => [197, 768]],
    [/^(positions|norm|blocks)/, () => [197, 192]],
    [/^head$/, () => [1000]],
  ],
  'swin-tiny': [
    [/^patches/, () => [96, 56, 56]],
    [/^patchNorm$/, () => [3136, 96]],
    [/^stages\.(\d)\.merging\.norm$/, ([s]) => [28 >> s, 28 >> s, 2, 2, 96 << s]],
    [/^stages\.(\d)\.merging$/, ([s]) => [28 >> s, 28 >> s, 192 << s]],
    [/^stages\.(\d)\.blocks\.\d\.attention/, ([s]) => [64 >> (2 * s), 49, 96 << s]],
    [/^stages\.(\d)\.blocks\.\d\.mlp\.fc1$/, ([s]) => [56 >> s, 56 >> s, 384 << s]],
    [/^stages\.(\d)\.blocks\.\d\.(?:norm|mlp)/, ([s]) => [56 >> s, 56 >> s, 96 << s]],
    [/^norm$/, () => [7, 7, 768]],
    [/^head$/, () => [1000]],
  ],
  'vgg11-bn': [
    [/^layers\.0\./, () => [64, 224, 224]],
    [/^layers\.2\./, () => [128, 112, 112]],
    [/^layers\.[45]\./, () => [256, 56, 56]],
    [/^layers\.[78]\./, () => [512, 28, 28]],
    [/^layers\.1[01]\./, () => [512, 14, 14]],
    [/^classifier\.[01]/, () => [4096]],
    [/^classifier\.2/, () => [1000]],
  ],
}

test.each(Object.entries(outputs))('what leaves each layer of %s', (type, patterns) => {
  const wanted = cost({ type }).layers.map(({ name }) => {
    const [pattern, shape] = patterns.find(([pattern]) => pattern.test(name)) ?? []
    return [name, shape?.(pattern!.exec(name)!.slice(1).map(Number))]
  })
  const found = cost({ type }).layers.map(({ name, output: [batch, ...output] }) => {
    // windows count as images of their own
    return [name, /attention/.test(name) && type.startsWith('swin') ? [batch, ...output] : output]
  })
  expect(found).toEqual(wanted)
})

test('an image that does not fit is the fault of the input', () => {
  expect(() => costOf(withoutDevice(() => buildModel({ type: 'mlp' })), [3, 8, 8])).toThrow(InputError)
})

describe('registry', () => {
  test.each(Object.keys(architectures))('%s builds and maps its images to classes', (type) => {
    const model = withoutDevice(() => buildModel({ type }))
    expect(costOf(model, inputOf({ type })).layers.at(-1)!.output).toEqual([1, classesOf(model)])
  })

  test.each(['vit-compact', 'swin-tiny', 'resnet20', 'tiny-vgg', 'vgg11', 'mlp'])(
    '%s takes the sizes it does not state from data',
    (type) => {
      const architecture = checkArchitecture(fitToData({ type }, [1, 64, 64], 7))
      expect(costOf(withoutDevice(() => buildModel(architecture)), [1, 64, 64]).layers.at(-1)!.output).toEqual([1, 7])
    },
  )

  test('transformers resize bicubically, CNNs bilinearly, small images not at all', () => {
    expect(preprocessingFor({ type: 'deit-tiny' })).toMatchObject({ resize: 256, crop: 224, interpolation: 'bicubic' })
    expect(preprocessingFor({ type: 'resnet50' })).toMatchObject({ resize: 256, crop: 224, interpolation: 'bilinear' })
    expect(preprocessingFor({ type: 'resnet20' })).toMatchObject({ resize: null, crop: null })
  })
})

// What configurations say of pictures, against what transformers and timm do with the same fields.
import { describe, expect, test } from 'vitest'
import { preprocessingTold } from '../../src/checkpoint/preprocessor.ts'

const told = (config: Record<string, unknown>, side = NaN) => preprocessingTold(config, side)

describe('timm', () => {
  test('resizes to floor(crop / crop_pct) and crops', () => {
    expect(told({ pretrained_cfg: { input_size: [3, 224, 224], crop_pct: 0.9, interpolation: 'bicubic' } }))
      .toEqual({ preprocessing: { crop: 224, resize: 248, squash: false, interpolation: 'bicubic' }, notes: [] })
  })

  test('takes 0.875 where nothing or nonsense is said, and squashes where asked', () => {
    expect(told({ input_size: [3, 224, 224], crop_pct: 7, crop_mode: 'squash' }).preprocessing)
      .toEqual({ crop: 224, resize: 256, squash: true })
  })

  test('a picture that is not square is left alone, with a word', () => {
    const { preprocessing, notes } = told({ input_size: [3, 224, 192], mean: [0.5, 0.5, 0.5], std: [0, 1, 1] })
    expect(preprocessing).toEqual({ mean: [0.5, 0.5, 0.5] })
    expect(notes).toEqual(['input_size 224 x 192 is not square and is left alone'])
  })
})

describe('transformers', () => {
  test('an int is both sides, the shortest edge keeps the picture', () => {
    expect(told({ size: 224, resample: 3 }).preprocessing)
      .toEqual({ resize: 224, squash: true, crop: null, interpolation: 'bicubic' })
    expect(told({ size: { shortest_edge: 256 }, crop_size: 224, resample: 2 }).preprocessing)
      .toEqual({ resize: 256, squash: false, crop: 224, interpolation: 'bilinear' })
  })

  test("ConvNeXt's processor crops by a share below 384 pixels and squashes from there on", () => {
    const type = { image_processor_type: 'ConvNextImageProcessor' }
    expect(told({ ...type, size: { shortest_edge: 224 }, crop_pct: 0.875 }).preprocessing)
      .toEqual({ resize: 256, squash: false, crop: 224 })
    expect(told({ ...type, size: { shortest_edge: 384 } }, 384).preprocessing).toMatchObject({ resize: 384 })
  })

  test('switches turn steps off', () => {
    expect(told({ do_resize: false, do_normalize: false }).preprocessing)
      .toEqual({ resize: null, mean: [0], std: [1] })
  })

  test('another rescale factor is taken into mean and deviation', () => {
    // (v * f - m) / s = (v / 255 - m / 255f) / (s / 255f)
    const { preprocessing } = told({ size: 32, image_mean: [0.5], image_std: [0.25], rescale_factor: 1 / 127.5 })
    const { mean, std } = preprocessing as { mean: number[], std: number[] }
    expect((200 / 255 - mean[0]) / std[0]).toBeCloseTo((200 / 127.5 - 0.5) / 0.25, 12)
  })

  test.each([
    'do_flip_channel_order',
    'do_pad',
    'do_convert_grayscale',
    'do_grayscale',
    'do_color_quantize',
    'offset',
    'rescale_offset',
  ])('%s is said to be ignored where it is on, and only there', (key) => {
    expect(told({ size: 8, [key]: true }).notes).toEqual([`${key} is not supported, ignored`])
    expect(told({ [key]: true }).notes).toEqual([`${key} is not supported, ignored`])
    for (const value of [false, null, undefined, 0]) expect(told({ size: 8, [key]: value }).notes).toEqual([])
  })

  test('switches alone are read too', () => {
    expect(told({ do_normalize: false }).preprocessing).toEqual({ mean: [0], std: [1] })
  })

  test('mean and deviation of bytes are refused where values are scaled to 0..1, and taken where not', () => {
    const mean = [123.675, 116.28, 103.53], std = [58.395, 57.12, 57.375]
    for (
      const config of [
        { size: 8, image_mean: mean, image_std: std },
        { size: 8, image_mean: mean, image_std: [0.2, 0.2, 0.2], do_rescale: true },
        { size: 8, image_mean: [0.5, 0.5, 0.5], image_std: std, rescale_factor: 1 / 255 },
        { size: 8, image_mean: [2.5, 0.5, 0.5], image_std: [0.2], rescale_factor: 1 / 127.5 },
        { pretrained_cfg: { input_size: [3, 8, 8], mean, std } },
        { pretrained_cfg: { mean, std } },
      ]
    ) {
      const { preprocessing, refused } = told(config)
      expect(refused).toMatch(/mean .* std .* expected 0\.\.[12],.*--mean and --std/)
      expect(preprocessing).not.toHaveProperty('mean')
      expect(preprocessing).not.toHaveProperty('std')
    }
    const { preprocessing, refused } = told({ size: 8, image_mean: mean, image_std: std, do_rescale: false })
    expect(refused).toBeUndefined()
    expect((200 / 255 - preprocessing.mean![0]) / preprocessing.std![0]).toBeCloseTo((200 - mean[0]) / std[0], 9)
    for (
      const config of [
        { image_mean: [0.5, 0.5, 0.5], image_std: [1, 1, 1] },
        { image_mean: [1, 1, 1], image_std: [1, 1, 1] },
        { image_mean: [0, 0, 0], image_std: [1, 1, 1] },
        { image_mean: mean, image_std: std, do_normalize: false },
        { do_normalize: false, rescale_factor: 1 / 256 },
        { do_normalize: false, rescale_factor: 1 / 510 },
        { pretrained_cfg: { mean: [0, 0, 0], std: [1, 1, 1] } },
      ]
    ) expect(told(config).refused).toBeUndefined()
  })

  test('a filter that is not known gives way to bicubic, with a word', () => {
    expect(told({ size: 8, resample: 'mitchell' })).toMatchObject({
      preprocessing: { interpolation: 'bicubic' },
      notes: ['interpolation "mitchell" is not supported, bicubic takes its place'],
    })
    const names = [0, 1, 2, 3, 4, 5].map((resample) => told({ size: 8, resample }))
    expect(names.map(({ preprocessing }) => preprocessing.interpolation)).toEqual(
      ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'], // PIL.Image.Resampling
    )
    expect(names.flatMap(({ notes }) => notes)).toEqual([])
  })
})

test('mean and deviation alone are taken, a deviation of zero is not', () => {
  expect(told({ mean: [0.1, 0.2, 0.3], std: [1, 0, 1] })).toEqual({
    preprocessing: { mean: [0.1, 0.2, 0.3] },
    notes: [],
  })
  expect(told({ mean: [0.1, 0.2] })).toEqual({ preprocessing: {}, notes: [] })
})

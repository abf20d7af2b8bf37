import { expect, test } from 'vitest'
import { ViT, vitTiny } from '../../models/vit.ts'
import { initialize, leaves, type Tensor } from '../../src/index.ts'
import { describeDevice } from '../support/device.ts'

const small = { image: 24, patch: 4, width: 48, depth: 2, heads: 3, hidden: 96, classes: 10 }
const valuesOf = async (model: unknown) =>
  new Map(
    await Promise.all(
      leaves(model).map(async ([path, leaf]: [string, Tensor]) => [path, await leaf.data() as Float32Array] as const),
    ),
  )
const deviation = (values: Float32Array) =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length)

describeDevice('start values', () => {
  test('the same seed gives the same model, another seed another one', async () => {
    const [a, b, c] = await Promise.all([1, 1, 2].map((seed) => valuesOf(initialize(new ViT(small), seed, 'mimetic'))))
    expect(a).toEqual(b)
    for (const path of ['blocks.1.attention.query', 'patches.projection.weight', 'head.weight']) {
      expect(a.get(path), path).not.toEqual(c.get(path))
    }
  })

  test('deviations: fixed, and by the number of inputs, of which [heads, dim, width] has width', async () => {
    const fixed = await valuesOf(initialize(vitTiny({ depth: 1, classes: 10 }), 1))
    expect(deviation(fixed.get('blocks.0.attention.query')!)).toBeCloseTo(0.02 * 0.88, 3) // cut at two deviations
    const fan = await valuesOf(initialize(new ViT(small), 1, 'fan-in'))
    for (
      const path of [
        'blocks.0.attention.query',
        'blocks.0.attention.out',
        'blocks.0.mlp.fc1.weight',
        'patches.projection.weight',
      ]
    ) {
      expect(deviation(fan.get(path)!) * Math.sqrt(48 * 3), path).toBeCloseTo(1, 1) // uniform in +-1/sqrt(48)
    }
  })

  test('mimetic: keys are queries, what attention brings is taken away, neighbouring positions are alike', async () => {
    const values = await valuesOf(initialize(new ViT(small), 3, 'mimetic')), width = 48
    const [query, key, value, out] = ['query', 'key', 'value', 'out'].map((name) =>
      values.get(`blocks.1.attention.${name}`)!
    )
    expect(key).toEqual(query)
    for (const [i, j] of [[0, 0], [5, 17], [47, 3]]) {
      expect(out[i * width + j]).toBeCloseTo(-0.4 * value[j * width + i], 6)
    }
    let trace = 0 // of out value: about -0.4 times the identity
    for (let i = 0; i < width; i++) for (let j = 0; j < width; j++) trace += out[i * width + j] * value[j * width + i]
    expect(trace / width).toBeGreaterThan(-0.45)
    expect(trace / width).toBeLessThan(-0.25)

    const table = values.get('positions')! // a class token first, then 6 x 6
    const alike = (a: number, b: number) =>
      Array.from({ length: width }, (_, c) => table[(1 + a) * width + c] * table[(1 + b) * width + c]).reduce((x, y) =>
        x + y
      )
    for (const neighbour of [1, 6]) expect(alike(0, neighbour)).toBeGreaterThan(alike(0, 3 * neighbour))
    expect(alike(0, 0)).toBeCloseTo(width / 2, 4) // sin^2 + cos^2 of every angle
    expect(deviation(table.subarray(0, width))).toBeLessThan(1)
    expect(deviation(values.get('head.weight')!)).toBeLessThan(0.03)
  })
})

import { expect, test } from 'vitest'
import { MLP } from '../../models/index.ts'
import { disposeTree, initialize, patternOf, sparseWeights } from '../../src/index.ts'
import { prunePattern, weightCriterion } from '../../src/pruning/pattern.ts'
import { describeDevice } from '../support/device.ts'

describeDevice('prunePattern', () => {
  test('packs what is largest, and computes what the masked network does', async () => {
    const model = initialize(new MLP({ inputs: 16, hidden: [12], classes: 4 }), 5)
    const { model: small, density, difference, sites } = await prunePattern(model, {
      pattern: patternOf('block:4x4'),
      density: 0.5,
      input: [1, 4, 4],
      ranking: 'per-unit',
    })
    expect(sites.map(({ path }) => path)).toEqual(sparseWeights(small).map(([path]) => path))
    expect(density).toBeCloseTo(0.5, 1)
    expect(difference).toBeLessThan(1e-5)
    disposeTree([model, small])
  })

  test('a criterion of units scores no weights', () => {
    const units = { images: false, score: () => Promise.resolve(new Map<string, Float32Array>()) }
    expect(() => weightCriterion('mine', units)).toThrow(/method 'mine': it scores no single weights.*magnitude/)
  })
})

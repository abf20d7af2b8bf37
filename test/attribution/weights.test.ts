// Relevance of weights is what goes through them: over a layer's weights it is the relevance of the layer's inputs, by
// every rule.
import { expect, test } from 'vitest'
import { attributeWeights } from '../../src/attribution/weights.ts'
import { MLP } from '../../models/index.ts'
import { attribute, compositeOf, disposeTree, initialize, oneHot, tensor } from '../../src/index.ts'
import { describeDevice } from '../support/device.ts'

describeDevice('relevance of weights', () => {
  test.each(['attn-lrp', 'z-plus', 'epsilon-alpha2-beta1', 'attn-lrp-gamma', 'pxp:gamma,alpha2-beta1,z-plus,epsilon'])(
    'sums to that of the inputs: %s',
    async (name) => {
      const model = initialize(new MLP({ inputs: 16, hidden: [12], classes: 4 }), 5, { std: 0.4 })
      const images = tensor(Float32Array.from({ length: 48 }, (_, i) => Math.sin(3 * i) + 0.3), [3, 1, 4, 4])
      const targets = oneHot([0, 1, 2], 4), composite = compositeOf(name), weight = model.layers[0].weight
      const reading = attribute(model, images, targets, { seed: 'unit', composite, read: 'relevance' })
      const found = attributeWeights(model, images, targets, { seed: 'unit', composite }, [weight])
      const [c, w] = [await found.get(weight)!.data() as Float32Array, await weight.data() as Float32Array]
      const through = w.reduce((sum, value, i) => sum + value * c[i], 0)
      const inputs = (await reading.input.data() as Float32Array).reduce((sum, value) => sum + value, 0)
      expect(Math.abs(inputs)).toBeGreaterThan(0.1)
      expect(through / inputs).toBeCloseTo(1, 4)
      disposeTree([model, images, targets, reading.input, reading.logits, ...found.values()])
    },
  )
})

// Start values. Each parameter draws from a stream named by its path, so the same seed gives the same model everywhere.
import { fillTruncatedNormal, fillUniform } from '../random.ts'
import type { Tensor } from '../tensor.ts'
import { parameters } from '../tree.ts'

/** How weights start: a fixed standard deviation (transformers: 0.02), or scaled by the number of inputs per output. */
export type Scheme = { std: number } | 'fan-in' | 'kaiming'

/**
 * Fills every weight with two or more axes; biases, gains and masks keep their values.
 * `fan-in`: uniform in +-1/sqrt(inputs), PyTorch's default for linear layers. `kaiming`: truncated normal of std sqrt(2 / inputs)
 * (He et al. 2015), for relu networks; inputs are all axes but the first.
 */
export function initialize<M>(model: M, seed: number, scheme: Scheme = { std: 0.02 }): M {
  for (const [path, weight] of parameters(model)) {
    if (weight.shape.length >= 2) weight.write(start(weight, seed, path, scheme))
  }
  return model
}

function start({ size, shape }: Tensor, seed: number, path: string, scheme: Scheme): Float32Array {
  const inputs = size / shape[0]
  const values = new Float32Array(size)
  if (scheme === 'fan-in') return fillUniform(values, seed, path, -(inputs ** -0.5), inputs ** -0.5)
  return fillTruncatedNormal(values, seed, path, scheme === 'kaiming' ? Math.sqrt(2 / inputs) : scheme.std)
}

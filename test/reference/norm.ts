/** Layer norm and batch norm; both normalise with the biased variance. */
import { build, nd, sizeOf } from './nd.ts'
import type { Nd } from './nd.ts'
import { mean, variance } from './reduce.ts'

/**
 * y = (x - mean) / sqrt(variance + eps) gain + bias, statistics over the trailing axes that gain has: gain and bias [C]
 * on [..., C], or [2, 2, C] on [..., 2, 2, C].
 */
export function layerNorm(x: Nd, gain: Nd, bias: Nd, { eps = 1e-5 }: { eps?: number } = {}): Nd {
  const width = sizeOf(gain.shape)
  const out = nd(x.shape)
  for (let row = 0; row < x.data.length; row += width) {
    let centre = 0, spread = 0
    for (let c = 0; c < width; c++) centre += x.data[row + c] / width
    for (let c = 0; c < width; c++) spread += (x.data[row + c] - centre) ** 2 / width
    for (let c = 0; c < width; c++) {
      out.data[row + c] = (x.data[row + c] - centre) / Math.sqrt(spread + eps) * gain.data[c] + bias.data[c]
    }
  }
  return out
}

/** y = (x - mean_c) / sqrt(variance_c + eps) gain_c + bias_c with the given statistics; x [N, C, ...], the rest [C]. */
export const batchNormEval = (
  x: Nd,
  gain: Nd,
  bias: Nd,
  centre: Nd,
  spread: Nd,
  { eps = 1e-5 }: { eps?: number } = {},
): Nd =>
  build(x.shape, (at) => {
    const c = at[1], value = x.data[at.reduce((flat, j, axis) => flat * x.shape[axis] + j, 0)]
    return (value - centre.data[c]) / Math.sqrt(spread.data[c] + eps) * gain.data[c] + bias.data[c]
  })

const allButChannel = (x: Nd): number[] => x.shape.map((_, axis) => axis).filter((axis) => axis !== 1)

/** Batch norm with the statistics of x itself, over every axis but the channel: the training form. */
export const batchNormTrain = (x: Nd, gain: Nd, bias: Nd, options: { eps?: number } = {}): Nd =>
  batchNormEval(x, gain, bias, mean(x, { axes: allButChannel(x) }), variance(x, { axes: allButChannel(x) }), options)

/**
 * Running statistics after a training step: r (1 - momentum) + momentum s, with s the batch mean, and for the variance
 * the unbiased one, n / (n - 1) times what the step itself divided by. All [C].
 */
export function batchNormRunning(
  x: Nd,
  runningMean: Nd,
  runningVariance: Nd,
  { momentum = 0.1 }: { momentum?: number } = {},
): { mean: Nd, variance: Nd } {
  const axes = allButChannel(x)
  const count = x.data.length / x.shape[1]
  const mix = (old: Nd, fresh: Nd, factor: number) =>
    nd(old.shape, old.data.map((value, c) => (1 - momentum) * value + momentum * factor * fresh.data[c]))
  return {
    mean: mix(runningMean, mean(x, { axes }), 1),
    variance: mix(runningVariance, variance(x, { axes }), count / (count - 1)),
  }
}

// Pixel-flipping (Samek et al. 2017): patches of the image are replaced by the mean colour, most relevant first, and
// the class's probability is followed. A better explanation finds what the network relied on, so its curve falls sooner
// and has less area.
import { ShapeError } from '../base/errors.ts'
import type { Model } from '../nn/model.ts'
import type { Draw } from '../base/random.ts'
import { tensor } from '../core/tensor.ts'
import { inference } from '../core/transform.ts'

/** Numbers of the square patches of a map [height, width], from the largest sum to the smallest; row by row. */
export function patchOrder(values: ArrayLike<number>, height: number, width: number, patch: number): number[] {
  const columns = width / patch, rows = height / patch
  if (!Number.isInteger(columns) || !Number.isInteger(rows)) {
    throw new ShapeError(`patchOrder: patches of ${patch} do not fill ${height} x ${width}`)
  }
  const sums = new Float64Array(rows * columns)
  for (let i = 0; i < height * width; i++) {
    sums[Math.floor(i / width / patch) * columns + Math.floor(i % width / patch)] += values[i]
  }
  return [...sums.keys()].sort((a, b) => sums[b] - sums[a])
}

/**
 * The probability of a class as more and more patches are replaced by 0, the mean colour of normalised images: `steps`
 * + 1 values, from the whole image to none. `image` [channels, height, width] is normalised; all its versions run as
 * one batch.
 */
export async function flippingCurve(
  model: Model,
  image: Float32Array,
  [channels, height, width]: readonly [number, number, number],
  target: number,
  order: readonly number[],
  { patch, steps }: { patch: number, steps: number },
): Promise<number[]> {
  const columns = width / patch
  const versions = new Float32Array((steps + 1) * image.length)
  const current = Float32Array.from(image)
  versions.set(current)
  for (let step = 1, done = 0; step <= steps; step++) {
    for (const end = Math.round(order.length * step / steps); done < end; done++) {
      const top = Math.floor(order[done] / columns) * patch, left = order[done] % columns * patch
      for (let c = 0; c < channels; c++) {
        for (let y = top; y < top + patch; y++) {
          current.fill(0, (c * height + y) * width + left, (c * height + y) * width + left + patch)
        }
      }
    }
    versions.set(current, step * image.length)
  }
  const images = tensor(versions, [steps + 1, channels, height, width])
  const logits = inference(() => model.call(images))
  const values = await logits.data() as Float32Array, classes = logits.shape[1]
  images.dispose()
  logits.dispose()
  return Array.from({ length: steps + 1 }, (_, step) => {
    const row = values.subarray(step * classes, (step + 1) * classes), largest = Math.max(...row)
    return Math.exp(row[target] - largest) / row.reduce((sum, value) => sum + Math.exp(value - largest), 0)
  })
}

/** Area under a curve over 0..1, by trapezoids. */
export function areaUnder(curve: readonly number[]): number {
  return curve.slice(1).reduce((sum, value, i) => sum + (value + curve[i]) / 2, 0) / (curve.length - 1)
}

/** A mean and its interval. */
export interface Interval {
  mean: number
  low: number
  high: number
}

/** The mean of paired differences, and the percentile bootstrap interval of `level` from resamples of the pairs. */
export function pairedBootstrap(
  differences: readonly number[],
  draw: Draw,
  { level = 0.95, resamples = 10000 } = {},
): Interval {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length
  const resample = () => differences.map(() => differences[draw.integer(differences.length)])
  const means = Array.from({ length: resamples }, () => mean(resample())).sort((a, b) => a - b)
  const at = (quantile: number) => means[Math.min(resamples - 1, Math.floor(quantile * resamples))]
  return { mean: mean(differences), low: at((1 - level) / 2), high: at((1 + level) / 2) }
}

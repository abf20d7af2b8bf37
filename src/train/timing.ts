// How long a forward pass takes, from handing a batch to the device to having its logits. Networks that are to be
// compared take turns.
import { fillNormal } from '../base/random.ts'
import { sizeOf } from '../base/shape.ts'
import { compareTurns, spreadOf, takeTurns, type TurnOptions } from '../base/turns.ts'
import { compile } from '../core/compile.ts'
import { tensor, type Tensor } from '../core/tensor.ts'
import { inference } from '../core/transform.ts'
import { tuned } from '../gpu/tune.ts'
import type { Model } from '../nn/model.ts'

/** Time per image: the median, and the median absolute deviation from it, in milliseconds. */
export interface Timing {
  msPerImage: number
  msPerImageMad: number
  imagesPerSecond: number
}

/** A pruned network's time as a share of the dense one's, by turns, and between what it lies with 95 % confidence. */
export interface TimeShare {
  timeShare: number
  timeShareLow: number
  timeShareHigh: number
}

/** Times per image, in milliseconds, as `Timing`. */
export function timingOf(times: readonly number[]): Timing {
  const { median, mad } = spreadOf(times)
  return { msPerImage: median, msPerImageMad: mad, imagesPerSecond: 1000 / median }
}

/**
 * Milliseconds of forward passes over noise of `shape`, network by network, round by round. Each network first runs
 * once op by op, so that the tuner sees its shapes; what it finds is waited for, and then what is captured runs twice
 * uncounted.
 */
export async function timeInTurns(
  models: readonly Model[],
  shape: readonly number[],
  options: Pick<TurnOptions, 'rounds' | 'patience' | 'least' | 'onRound'> = {},
): Promise<number[][]> {
  const images = tensor(fillNormal(new Float32Array(sizeOf(shape)), 0, 'latency'), shape)
  const captured = models.map((model) => compile((input: Tensor) => inference(() => model.call(input))))
  try {
    for (const model of models) {
      const logits = inference(() => model.call(images))
      await logits.data()
      logits.dispose()
    }
    await tuned()
    return await takeTurns(
      captured.map((forward) => async () => {
        const start = performance.now(), logits = forward(images)
        await logits.data()
        const ms = performance.now() - start
        logits.dispose()
        return ms
      }),
      { patience: 2000, ...options },
    )
  } finally {
    for (const forward of captured) forward.clear()
    images.dispose()
  }
}

/** Time per image of one network alone. */
export async function timeOf(model: Model, shape: readonly number[]): Promise<Timing> {
  const [times] = await timeInTurns([model], shape)
  return timingOf(times.map((ms) => ms / shape[0]))
}

/** The dense and the smaller network in turns: time per image of both, and the smaller one's share. */
export async function timeBoth(
  dense: Model,
  small: Model,
  shape: readonly number[],
): Promise<{ before: Timing, after: Timing & TimeShare }> {
  const [first, second] = (await timeInTurns([dense, small], shape)).map((times) => times.map((ms) => ms / shape[0]))
  const { ratio, low, high } = compareTurns(first, second)
  return {
    before: timingOf(first),
    after: { ...timingOf(second), timeShare: ratio, timeShareLow: low, timeShareHigh: high },
  }
}

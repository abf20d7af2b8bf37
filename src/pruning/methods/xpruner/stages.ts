// The two stages that learn. Masks first, through frozen weights: an image of a class passes under that class's masks.
// Then thresholds, with the masks' scores as they are: gates are the same for all images, no label reaches the network.
import type { Tensor } from '../../../core/tensor.ts'
import { tensor } from '../../../core/tensor.ts'
import { copyInto, full } from '../../../core/fill.ts'
import { scope } from '../../../core/transform.ts'
import { disposeTree } from '../../../core/tree.ts'
import { withMasks } from '../../../nn/masks.ts'
import type { Model } from '../../../nn/model.ts'
import { add, scale } from '../../../ops/elementwise.ts'
import type { FitHook } from '../../../train/hooks.ts'
import { sgd } from '../../../train/optim.ts'
import { ascending, constraintLoss } from '../../learning/dual.ts'
import { GateMasks } from '../../learning/gate-masks.ts'
import type { StageRecord } from '../../learning/record.ts'
import { learnStage } from '../../learning/stage.ts'
import type { RateTarget } from '../../learning/target.ts'
import type { Scores } from '../../scores/criterion.ts'
import type { PruningJob } from '../method.ts'
import { gateOf, globalRate } from './gates.ts'
import { type ClassMasks, rowsOf } from './masks.ts'
import { layerRate, quantile } from './scores.ts'
import type { Settings } from './settings.ts'
import { smoothness, sparsity } from './terms.ts'

/** Learns masks in place; the network is only looked through. */
export async function learnMasks(job: PruningJob, masks: ClassMasks, set: Settings): Promise<StageRecord> {
  const { maskEpochs, maskOptimizer, maskRate, sparse, smooth } = set, all = [...masks.values()]
  const gates = new GateMasks(job.units)
  try {
    return await learnStage<Model, { masks: ClassMasks }>(job, job.model, {
      name: 'masks',
      epochs: maskEpochs,
      extra: { masks },
      forward: (model, examples, context) =>
        withMasks(model, gates.at(rowsOf(context.extra.masks, examples)), () => model.call(examples.images, context)),
      ...(sparse !== 'none' || smooth !== 'none') && { penalty: () => penaltyOf(all, set) },
      groups: [
        {
          name: 'masks',
          parameters: all,
          rate: maskRate,
          decay: 0,
          ...maskOptimizer === 'sgd'
            && { optimizer: (parameters, options) => sgd(parameters, { ...options, momentum: 0.9 }) },
        },
        { name: 'weights', frozen: true },
      ],
      recipe: {
        masks: [maskOptimizer, maskRate, sparse, set.sparsity, smooth, set.smoothness, set.init, set.initImages],
      },
    })
  } finally {
    gates.dispose()
  }
}

/** lambda_sp x sparsity + lambda_sm x smoothness, one number. */
function penaltyOf(masks: readonly Tensor[], set: Settings): Tensor {
  const terms = [[sparsity(masks, set.sparse), set.sparsity], [smoothness(masks, set.smooth), set.smoothness]] as const
  const weighted = terms.flatMap(([term, by]) => term ? [scale(term, { by })] : [])
  return weighted.length ? weighted.reduce((a, b) => add(a, b)) : full([], 0)
}

/** Thresholds of a network whose weights learnt along, and its rates in the end. */
export interface Gated {
  thresholds: Map<string, number>
  record: StageRecord
}

/** Learns a threshold for each unit and the weights of `model`, in place, until the rate is that of the target. */
export async function learnThresholds(
  job: PruningJob,
  model: Model,
  scores: Scores,
  target: RateTarget,
  set: Settings,
): Promise<Gated> {
  const learned = set.thresholds === 'learned', { units } = job
  const shapes = new Map(units.map(({ name, shape }) => [name, shape]))
  // Where the gate of some elements is neither open nor shut, else nothing would move a threshold.
  const first = learned ? Math.min(0.1, target.alpha) : target.alpha
  const thresholds = new Map([...scores].map(([name, score]) => [name, tensor([quantile(score, first)])]))
  const fixed = new Map([...scores].map(([name, score]) => [name, tensor(score.slice(), shapes.get(name))]))
  const gamma = tensor([0]), sharpness = tensor([set.sharpness]), places = new GateMasks(units)
  const opened = () =>
    new Map([...fixed].map(([name, score]) => [name, gateOf(score, thresholds.get(name)!, sharpness)]))
  const steps = set.gateEpochs * Math.ceil(job.data!.length / job.batch)
  const factor = (set.sharpnessEnd / set.sharpness) ** (1 / Math.max(1, steps))
  const anneal: FitHook = {
    name: 'sharpness',
    tensors: { sharpness },
    ...factor !== 1 && {
      afterUpdate: () => {
        scope(() => {
          copyInto(scale(sharpness, { by: factor }), sharpness)
        })
      },
    },
  }
  const read = async () => {
    const now = new Map<string, number>()
    for (const [name, theta] of thresholds) now.set(name, await theta.item())
    return now
  }
  try {
    const record = await learnStage(job, model, {
      name: 'thresholds',
      epochs: set.gateEpochs,
      clip: 1,
      extra: { thresholds, gamma },
      forward: (network, { images }, context) =>
        withMasks(network, places.at(opened()), () => network.call(images, context)),
      ...learned && {
        penalty: () =>
          constraintLoss(globalRate(opened(), target.weights), { target: target.alpha, beta: set.beta, gamma }),
      },
      groups: [
        ...learned
          ? [ascending(gamma, set.dualRate), {
            name: 'thresholds',
            parameters: [...thresholds.values()],
            // To the last step, so that they can follow their multiplier.
            schedule: () => set.thresholdRate,
            decay: 0,
          }]
          : [{ name: 'thresholds', parameters: [gamma, ...thresholds.values()], frozen: true }],
        { name: 'weights', rate: set.weightRate },
      ],
      hooks: [anneal],
      average: set.ema || undefined,
      distill: set.distill === 'none' ? null : { kind: set.distill, temperature: set.temperature },
      recipe: {
        gates: [
          set.thresholds,
          set.scores,
          set.sharpness,
          set.sharpnessEnd,
          set.beta,
          set.dualRate,
          set.thresholdRate,
          set.weightRate,
        ],
        target: { alpha: target.alpha, weights: [...target.weights] },
      },
      async measure() {
        const [n, now] = [await sharpness.item(), await read()]
        const rates = Object.fromEntries(
          [...scores].map(([name, score]) => [name, layerRate(score, now.get(name)!, n)]),
        )
        const rate = [...target.weights].reduce((sum, [name, weight]) => sum + weight * rates[name], 0)
        return { rate, multiplier: await gamma.item(), ...rates }
      },
      note: ({ rate }) => `rate ${rate.toFixed(3)} of ${target.alpha.toFixed(3)}`,
    })
    return { thresholds: await read(), record }
  } finally {
    disposeTree([[...thresholds.values()], [...fixed.values()], gamma, sharpness])
    places.dispose()
  }
}

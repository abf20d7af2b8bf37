// The stage that learns: weights, scores of channels and factors of what they give, all together, until the cost is
// that of the budget; then the masks are frozen and the rest goes on.
import type { Tensor } from '../../../core/tensor.ts'
import { tensor } from '../../../core/tensor.ts'
import { disposeTree } from '../../../core/tree.ts'
import type { Dataset } from '../../../data/datasets.ts'
import { withMasks } from '../../../nn/masks.ts'
import type { Model } from '../../../nn/model.ts'
import type { MaskOf } from '../../../nn/gate.ts'
import { mul } from '../../../ops/elementwise.ts'
import { sum } from '../../../ops/reduce.ts'
import type { FitHook } from '../../../train/hooks.ts'
import { costAt, type CostPolynomial, goneShare } from '../../learning/cost.ts'
import { ascending, constraintLoss } from '../../learning/dual.ts'
import { GateMasks } from '../../learning/gate-masks.ts'
import type { StageRecord } from '../../learning/record.ts'
import { learnStage } from '../../learning/stage.ts'
import type { RateTarget } from '../../learning/target.ts'
import type { Scores } from '../../scores/criterion.ts'
import type { PruningJob } from '../method.ts'
import { similarity } from './calibration.ts'
import { Excitations } from './excitation.ts'
import { Indicators } from './indicators.ts'
import { foldFactors, startFactors } from './reweight.ts'
import type { Settings } from './settings.ts'
import { unevenness } from './shares.ts'
import { runningAverage } from './similarity.ts'

/** What the search came to. */
export interface Found {
  /** How far each element is above 0.5 after the adjustment. */
  scores: Scores
  record: StageRecord
  /** The epoch after which masks were frozen; null where the budget was not reached. */
  frozen: number | null
  /** Share of the cost that is gone. */
  rate: number
  /** What else there is to say. */
  notes: string[]
}

/**
 * Searches, with the weights of `model` in place; factors are folded in the end. `begun`: the job's store has a state
 * to go on from, which replaces what the search starts with.
 */
export async function search(
  job: PruningJob,
  model: Model,
  start: Scores,
  images: Dataset,
  cost: CostPolynomial,
  target: Pick<RateTarget, 'what' | 'share'>,
  set: Settings,
  begun: boolean,
): Promise<Found> {
  const { units } = job, { multipleOf = 4, minimum = 1 } = job.select, alpha = 1 - target.share
  const indicators = new Indicators(units, start, {
    adjust: set.adjust,
    sharedValues: set.vIndex === 'shared',
    multipleOf,
    minimum,
  })
  const whole = costAt(cost, new Map(units.map(({ name, size }) => [name, size])))
  const reweighted = set.reweight ? startFactors(model, units) : new Map<string, Tensor>()
  const excited = set.excitation ? new Excitations(units, [...reweighted.keys()], job.seed) : null
  const factors = excited ? new Map<string, Tensor>() : reweighted
  if (excited) disposeTree([...reweighted.values()])
  const gamma = tensor([0]), places = new GateMasks(units)
  let made = new Map<string, Tensor>() // of the step: its penalty counts what its forward pass saw
  const masked = (network: Model, masks: ReadonlyMap<string, Tensor>, input: Tensor, work: () => Tensor) => {
    const all = [...masks].map(([name, mask]): [string, Tensor] => {
      const factor = factors.get(name)
      return [name, factor ? mul(mask, factor) : mask]
    })
    const placed: Map<string, Tensor | MaskOf> = places.at(new Map(all))
    for (const [path, own] of excited?.at(masks, input.shape[0]) ?? []) placed.set(path, own)
    return withMasks(network, placed, work)
  }
  const state = { frozen: null as number | null, rate: 0, rates: {} as Record<string, number> }
  const forward = (batch: Tensor) => masked(model, indicators.masks(), batch, () => model.call(batch))
  const compare = (momentum: number) => set.similarity ? weigh(job, images, indicators, forward, momentum, model) : null
  // After every epoch: similarity weights, the cost that is left, and whether masks are frozen from here on.
  const settle: FitHook<Model> = {
    name: 'search',
    tensors: { weights: indicators.weights },
    async afterEpoch({ state: { epoch } }) {
      if (state.frozen === null) await compare(set.momentum)
      const { keep } = await indicators.read()
      const counts = new Map([...keep].map(([name, flags]) => [name, flags.reduce((a, b) => a + b, 0)]))
      state.rate = 1 - costAt(cost, counts) / whole
      state.rates = Object.fromEntries(units.map(({ name, size }) => [name, 1 - counts.get(name)! / size]))
      const close = Math.abs(state.rate - alpha) <= set.freeze
      if (close && epoch >= set.freezeAfter * set.searchEpochs) state.frozen ??= epoch
    },
    save: () => state,
    load: (saved) => Object.assign(state, saved),
  }
  try {
    if (!begun) await compare(0)
    const record = await learnStage(job, model, {
      name: 'search',
      epochs: set.searchEpochs,
      clip: 1,
      extra: { scores: indicators.scores, factors, gamma, ...excited && { excitations: excited.weights } },
      forward: (network, { images: batch }, context) => {
        made = indicators.masks()
        return masked(network, made, batch, () => network.call(batch, context))
      },
      penalty: () => {
        const counts = new Map([...made].map(([name, mask]) => [name, sum(mask)]))
        return constraintLoss(goneShare(cost, counts, whole), { target: alpha, beta: set.lambda, gamma })
      },
      groups: [
        set.dualRate
          ? ascending(gamma, set.dualRate)
          : { name: 'multiplier', parameters: [gamma], frozen: true },
        {
          name: 'scores',
          parameters: [...indicators.scores.values()],
          schedule: () => state.frozen === null ? set.scoreRate : 0,
          decay: 0,
        },
        { name: 'weights', rate: set.weightRate },
      ],
      hooks: [settle],
      distill: set.distill === 'none' ? null : { kind: set.distill, temperature: set.temperature },
      recipe: { search: { ...set, images: images.length }, target: { ...target, multipleOf, minimum } },
      measure: async () => ({ rate: state.rate, multiplier: await gamma.item(), ...state.rates }),
      note: ({ rate }) => `rate ${rate.toFixed(3)} of ${alpha.toFixed(3)}`,
    })
    const { scores, keep } = await indicators.read()
    const notes: string[] = [], apart = unevenness(units, keep)
    if (apart) {
      notes.push(
        `heads ended with different counts (${apart.unit}: ${apart.least} to ${apart.most} of ${apart.dim} channels), `
          + `a shape that no network has: the cut evens them out and decides ${
            (100 * apart.moved).toFixed(1)
          } % of the channels of `
          + 'heads otherwise than the search; leave out adjust=off',
      )
    }
    if (excited) {
      const { factors: means, note } = await excited.means(images, job.batch, forward)
      foldFactors(model, units, means)
      disposeTree([...means.values()])
      if (note) notes.push(note)
    } else foldFactors(model, units, factors)
    return {
      scores: new Map([...scores].map(([name, values]) => [name, values.map((value) => value - 0.5)])),
      record,
      frozen: state.frozen,
      rate: state.rate,
      notes,
    }
  } finally {
    indicators.dispose()
    disposeTree([[...factors.values()], gamma])
    excited?.dispose()
    places.dispose()
  }
}

/** Brings similarity weights up to what the network, under its masks, does on images now. */
async function weigh(
  job: PruningJob,
  images: Dataset,
  { weights }: Indicators,
  forward: (images: Tensor) => Tensor,
  momentum: number,
  model: Model,
): Promise<void> {
  if (!weights.size) return
  const now = await similarity(job, model, images, forward)
  for (const [name, old] of weights) {
    const found = now.get(name)
    if (found) old.write(runningAverage(await old.data(), found, momentum))
  }
}

// What a plan costs and how good the network still is. Sliced where slicing is exact, so that time is what a user would
// get; masked where a layer vanishes altogether.
import { type Accuracy, accuracyOf, type EvaluateOptions } from '../train/evaluate.ts'
import { timeBoth, timeOf, type TimeShare, type Timing } from '../train/timing.ts'
import type { Model } from '../nn/model.ts'
import type { Dataset } from '../data/datasets.ts'
import { costOf } from '../nn/macs.ts'
import { maskModel, unmaskModel } from './plan/mask.ts'
import { keepsAny, onlyCuts } from './plan/select.ts'
import { disposeTree } from '../core/tree.ts'
import { type HostTensor, hostWeights, type Plan, sliceModel, sliceShapes } from './plan/slice.ts'
import type { Unit } from './units/units.ts'

/**
 * Figures of one plan. `how` says what ran; only what was sliced has a time, taken in turns with the dense network, and
 * its share of the dense network's.
 */
export interface TrialResult
  extends Pick<Accuracy, 'top1' | 'top5' | 'loss' | 'images'>, Partial<Timing>, Partial<TimeShare>
{
  params: number
  macs: number
  how: 'sliced' | 'masked'
}

/** How plans are tried; `clock: false` leaves out times. */
export interface TrialOptions extends EvaluateOptions {
  clock?: boolean
}

/** Tries plans on one network, whose weights are read once. */
export class Trials {
  readonly model: Model
  readonly found: readonly Unit[]
  private readonly input: readonly [number, number, number]
  private readonly test: Dataset
  private readonly options: TrialOptions
  private weights: ReadonlyMap<string, HostTensor> | null = null

  /** `found` are all units of the model for images [channels, height, width]. */
  constructor(
    model: Model,
    found: readonly Unit[],
    input: readonly [number, number, number],
    test: Dataset,
    options: TrialOptions = {},
  ) {
    this.model = model
    this.found = found
    this.input = input
    this.test = test
    this.options = options
  }

  /** Evaluates the network as the plan leaves it. The model itself is unchanged afterwards. */
  async run(plan: Plan): Promise<TrialResult> {
    const cost = planCost(this.model, this.found, plan, this.input)
    const how = canSlice(this.found, plan) ? 'sliced' : 'masked'
    const { top1, top5, loss, images, ...times } = await this[how](plan)
    return { top1, top5, loss, images, ...times, ...cost, how }
  }

  private async sliced(plan: Plan): Promise<Tried> {
    const cuts = onlyCuts(plan), { clock = true, batch = 16 } = this.options
    const shape = [batch, ...this.input]
    if (!cuts.size) {
      return { ...await this.accuracy(this.model), ...clock && { ...await timeOf(this.model, shape), ...same } }
    }
    this.weights ??= await hostWeights(this.model)
    const small = await sliceModel(this.model, [1, ...this.input], cuts, { found: this.found, weights: this.weights })
    try {
      return { ...await this.accuracy(small), ...clock && (await timeBoth(this.model, small, shape)).after }
    } finally {
      disposeTree(small)
    }
  }

  /** A masked network takes as long as the dense one, which says nothing about the sliced one. */
  private async masked(plan: Plan): Promise<Tried> {
    maskModel(this.model, this.found, plan)
    try {
      return await this.accuracy(this.model)
    } finally {
      unmaskModel(this.model)
    }
  }

  private async accuracy(model: Model): Promise<Omit<Accuracy, 'predictions'>> {
    const { clock: _clock, ...options } = this.options
    const { predictions: _, ...found } = await accuracyOf(model, this.test, options)
    return found
  }
}

/** The dense network beside itself. */
const same: TimeShare = { timeShare: 1, timeShareLow: 1, timeShareHigh: 1 }

type Tried = Omit<Accuracy, 'predictions'> & Partial<Timing> & Partial<TimeShare>

/**
 * Parameters and multiply-adds of the sliced network, by its shapes. Where nothing of a tensor would stay, one element
 * is counted.
 */
export function planCost(
  model: Model,
  found: readonly Unit[],
  plan: Plan,
  input: readonly [number, number, number],
): { params: number, macs: number } {
  const { params, macs } = costOf(sliceShapes(model, found, leastSlice(found, onlyCuts(plan))), input)
  return { params, macs }
}

/** Whether something stays of every tensor that a plan cuts. */
export const canSlice = (found: readonly Unit[], plan: Plan): boolean =>
  found.every((unit) => {
    const keep = plan.get(unit.name)
    return !keep
      || (keep.includes(1) && (unit.shape.length > 1 || unit.members.every(({ element }) => keepsAny(element, keep))))
  })

/** The plan with one element more wherever nothing would stay. */
function leastSlice(found: readonly Unit[], plan: Plan): Plan {
  return new Map(found.flatMap((unit): [string, Uint8Array][] => {
    const old = plan.get(unit.name)
    if (!old) return []
    const keep = old.slice(), dim = unit.shape.at(-1)!
    if (!keep.includes(1)) { for (let i = 0; i < unit.size; i += dim) keep[i] = 1 }
    if (unit.shape.length === 1) {
      for (const { element } of unit.members) if (!keepsAny(element, keep)) keep[element[0]] = 1
    }
    return [[unit.name, keep]]
  }))
}

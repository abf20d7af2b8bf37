// What a plan costs and how good the network still is. Sliced where slicing is exact, so that time is what a user would get; masked
// where a layer vanishes altogether.
import { evaluate, type Evaluation, type EvaluateOptions, type Model } from '../evaluation.ts'
import type { Dataset } from '../io/datasets.ts'
import { costOf } from '../macs.ts'
import { maskModel, unmaskModel } from './mask.ts'
import { onlyCuts } from './select.ts'
import { freeModel, type HostTensor, hostWeights, type Plan, sliceModel, sliceShapes } from './slice.ts'
import type { Unit } from './units.ts'

/** Figures of one plan. `how` says what ran. */
export interface TrialResult extends Omit<Evaluation, 'predictions'> { params: number, macs: number, how: 'sliced' | 'masked' }

/** Tries plans on one network, whose weights are read once. */
export class Trials {
  readonly model: Model
  readonly found: readonly Unit[]
  private readonly input: readonly [number, number, number]
  private readonly test: Dataset
  private readonly options: EvaluateOptions
  private weights: ReadonlyMap<string, HostTensor> | null = null

  /** `found` are all units of the model for images [channels, height, width]. */
  constructor(model: Model, found: readonly Unit[], input: readonly [number, number, number], test: Dataset, options: EvaluateOptions = {}) {
    this.model = model
    this.found = found
    this.input = input
    this.test = test
    this.options = options
  }

  /** Evaluates the network as the plan leaves it. The model itself is unchanged afterwards. */
  async run(plan: Plan): Promise<TrialResult> {
    const cost = planCost(this.model, this.found, plan, this.input)
    const sliceable = [...plan.values()].every((keep) => keep.includes(1))
    const { predictions: _, ...figures } = sliceable ? await this.sliced(plan) : await this.masked(plan)
    return { ...figures, ...cost, how: sliceable ? 'sliced' : 'masked' }
  }

  private async sliced(plan: Plan): Promise<Evaluation> {
    const cuts = onlyCuts(plan)
    if (!cuts.size) return evaluate(this.model, this.test, this.options)
    this.weights ??= await hostWeights(this.model)
    const small = await sliceModel(this.model, [1, ...this.input], cuts, { found: this.found, weights: this.weights })
    try {
      return await evaluate(small, this.test, this.options)
    } finally {
      freeModel(small)
    }
  }

  private async masked(plan: Plan): Promise<Evaluation> {
    maskModel(this.model, this.found, plan)
    try {
      return await evaluate(this.model, this.test, this.options)
    } finally {
      unmaskModel(this.model)
    }
  }
}

/** Parameters and multiply-adds of the sliced network, by its shapes. Of a unit that vanishes one element is counted. */
export function planCost(model: Model, found: readonly Unit[], plan: Plan, input: readonly [number, number, number]): { params: number, macs: number } {
  const sliceable = new Map([...onlyCuts(plan)].map(([name, keep]) => [name, keep.includes(1) ? keep : oneOf(found.find((unit) => unit.name === name)!)]))
  const { params, macs } = costOf(sliceShapes(model, found, sliceable), input)
  return { params, macs }
}

const oneOf = ({ size, shape }: Unit) => Uint8Array.from({ length: size }, (_, i) => Number(i % shape.at(-1)! === 0))

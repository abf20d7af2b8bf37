// Groups of parameters, each with an optimiser, a rate over time and decay of its own. What a method learns beside the
// weights (masks, thresholds, multipliers) is in a group like any weight.
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { InputError } from '../base/errors.ts'
import type { Tensor } from '../core/tensor.ts'
import { describedLeaves, parameters } from '../core/tree.ts'
import { isDecayed } from '../core/traits.ts'
import { adamW, cosineRate, type Optimizer, type OptimizerOptions } from './optim.ts'

const groupKeys: OptionKeys<ParameterGroup> = {
  name: true,
  parameters: true,
  frozen: true,
  optimizer: true,
  rate: true,
  schedule: true,
  decay: true,
  decays: true,
  clip: true,
  ascent: true,
}

/** Where training is. Steps count from 0 over the whole run. */
export interface Moment {
  step: number
  steps: number
  epoch: number
  epochs: number
  stepsPerEpoch: number
}

/** Parameters that are optimised alike. What a group leaves out has the default of `fit`'s own option. */
export interface ParameterGroup {
  /** What errors call it. */
  name?: string
  /**
   * Which parameters: by path (`blocks.0.mlp.up.weight`; those of `extra` start with `extra.`), or the tensors
   * themselves. The first group that wants a parameter has it; default all that are left. Parameters that no group
   * wants are frozen.
   */
  parameters?: ((path: string, parameter: Tensor) => boolean) | readonly Tensor[]
  /** Its parameters stay as they are, and no gradient is computed for them. */
  frozen?: boolean
  /** Default AdamW; e.g. `(parameters, options) => sgd(parameters, { ...options, momentum: 0.9 })`. */
  optimizer?: (parameters: ReadonlyMap<string, Tensor>, options: OptimizerOptions) => Optimizer
  /** Peak learning rate, which rises and falls as `fit` has it. */
  rate?: number
  /** The learning rate of each step instead. */
  schedule?: (at: Moment) => number
  decay?: number
  decays?: (path: string, parameter: Tensor) => boolean
  /** Greatest norm of the group's gradient. */
  clip?: number
  /** Goes up the gradient: a multiplier of a constraint (dual ascent). */
  ascent?: boolean
}

/** Defaults of all groups. */
export interface GroupDefaults {
  rate: number
  warmup: number
  decay: number
  clip: number
}

/** A group with its parameters and optimiser. */
export interface OpenGroup {
  name: string
  parameters: ReadonlyMap<string, Tensor>
  optimizer: Optimizer
  ascent: boolean
  rateAt(moment: Moment): number
}

/** All that can be trained, by path: the model's parameters, and every f32 tensor of `extra`. */
export function trainable(model: unknown, extra: unknown): Map<string, Tensor> {
  return new Map([...parameters(model), ...parameters({ extra }).filter(([, { dtype }]) => dtype === 'f32')])
}

/** @throws InputError for a group that no parameter is left for. */
export function openGroups(
  model: unknown,
  extra: unknown,
  groups: readonly ParameterGroup[],
  defaults: GroupDefaults,
): OpenGroup[] {
  const left = trainable(model, extra)
  const traits = new Map(describedLeaves(model).map(([path, , said]) => [path, said]))
  // Weights decay; biases, gains, position tables, masks and what is no weight of the model do not.
  const decays = (path: string, parameter: Tensor) => traits.has(path) && isDecayed(traits.get(path)!, parameter)
  return groups.flatMap((group, i) => {
    checkOptions(`group ${i + 1} of fit`, group, groupKeys)
    const { name = `group ${i}`, parameters: wanted = () => true, frozen = false, ascent = false } = group
    const wants = typeof wanted === 'function' ? wanted : (_: string, tensor: Tensor) => wanted.includes(tensor)
    const mine = new Map([...left].filter(([path, tensor]) => wants(path, tensor)))
    if (!mine.size && group.parameters) {
      throw new InputError(
        `fit: ${name} has no parameters; expected some of ${[...left.keys()].slice(0, 6).join(', ')}`,
      )
    }
    for (const path of mine.keys()) left.delete(path)
    if (frozen || !mine.size) return []
    const { optimizer = adamW, rate = defaults.rate, decay = defaults.decay, clip = defaults.clip } = group
    const schedule = group.schedule
      ?? (({ step, steps, stepsPerEpoch }: Moment) =>
        cosineRate(step, { steps, peak: rate, warmup: defaults.warmup * stepsPerEpoch }))
    return [{
      name,
      parameters: mine,
      optimizer: optimizer(mine, { rate, decay, decays: group.decays ?? decays, clip }),
      ascent,
      rateAt: schedule,
    }]
  })
}

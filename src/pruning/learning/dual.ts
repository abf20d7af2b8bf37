// A share that must go as a constraint: its multiplier is learnt by going up the gradient, the rest by going down. With
// descent on both the multiplier runs away and nothing is pruned.
import { InputError } from '../../base/errors.ts'
import type { Tensor } from '../../core/tensor.ts'
import { add, mul, offset, scale, square } from '../../ops/elementwise.ts'
import { sum } from '../../ops/reduce.ts'
import type { ParameterGroup } from '../../train/groups.ts'
import { sgd } from '../../train/optim.ts'

/** A rate R that is to come to `target`. */
export interface RateConstraint {
  /** alpha, 0 to 1. */
  target: number
  /** The weight of the square, which damps. */
  beta: number
  /** [1], the multiplier; starts at 0. */
  gamma: Tensor
}

/** beta (alpha - R)^2 + gamma (alpha - R), one number, for a rate R of one element. */
export function constraintLoss(rate: Tensor, { target, beta, gamma }: RateConstraint): Tensor {
  const missing = offset(scale(rate, { by: -1 }), { by: target })
  return sum(add(scale(square(missing), { by: beta }), mul(gamma, missing)))
}

/** The group of the multiplier: plain steps up its gradient alpha - R, all alike. @throws InputError. */
export function ascending(gamma: Tensor, rate: number): ParameterGroup {
  if (!(rate > 0)) throw new InputError(`a multiplier learns at a rate above 0, got ${rate}`)
  return { name: 'multiplier', parameters: [gamma], ascent: true, optimizer: sgd, schedule: () => rate, decay: 0 }
}

// Differentiable pruning: the gate that a threshold opens and shuts, and the rate of the whole network.
import type { Tensor } from '../../../core/tensor.ts'
import { add, mul, offset, scale, sub, tanh } from '../../../ops/elementwise.ts'
import { mean } from '../../../ops/reduce.ts'

/** g = (1 + tanh(n (s - theta))) / 2 of scores s; theta and the sharpness n are tensors of one element. */
export const gateOf = (scores: Tensor, theta: Tensor, sharpness: Tensor): Tensor =>
  scale(offset(tanh(mul(sub(scores, theta), sharpness)), { by: 1 }), { by: 0.5 })

/** R = sum over layers of weight x (1 - mean g), one number; the weights sum to 1. */
export function globalRate(gates: ReadonlyMap<string, Tensor>, weights: ReadonlyMap<string, number>): Tensor {
  const kept = [...gates].map(([name, gate]) => scale(mean(gate), { by: -weights.get(name)! }))
  return offset(kept.reduce((a, b) => add(a, b)), { by: 1 })
}

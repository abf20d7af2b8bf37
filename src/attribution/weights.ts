// Relevance of weights: what goes through each of them. In the gauge of the walk a weight's coefficient is its gradient
// under the layer's rule, and its relevance is the weight times it; over a layer's weights that sums to the relevance
// of the layer's inputs.
import { ShapeError } from '../base/errors.ts'
import { withPrecision } from '../core/precision.ts'
import { type Call, pullback, record } from '../core/tape.ts'
import type { Tensor } from '../core/tensor.ts'
import { scope } from '../core/transform.ts'
import type { Model } from '../nn/model.ts'
import { type LrpRule, rulesFor } from './composite.ts'
import { Network } from './network.ts'
import { pathsOf, seedOf, type Walk } from './relevance.ts'
import { epsilon } from './rules.ts'

/**
 * The coefficients of some weights of a model for these images together, by weight; a weight that relevance does not
 * reach has none. They are the caller's to free. @throws ShapeError if targets [B, classes] do not fit the logits.
 */
export function attributeWeights(
  model: Model,
  images: Tensor,
  targets: Tensor,
  { seed, composite }: Pick<Walk, 'seed' | 'composite'>,
  weights: readonly Tensor[],
): Map<Tensor, Tensor> {
  const names = pathsOf(model), wanted = new Set(weights)
  const found = withPrecision('high', () =>
    scope(() => {
      const { result: logits, calls } = record(() => model.call(images), [images, ...weights])
      if (logits.shape.join() !== targets.shape.join()) {
        throw new ShapeError(
          `attributeWeights: targets [${targets.shape}] do not fit logits [${logits.shape}]; `
            + 'give a 1 for the class of each image',
        )
      }
      const chosen = composite ? rulesFor(composite, new Network(calls, [images], names.leaves)) : null
      const ruleFor = (call: Call): LrpRule => {
        const rule = chosen?.(call) ?? call.op.vjp
        const at = call.op.weight, own = at === null ? null : call.args[at]
        if (!own || !wanted.has(own)) return rule
        return (call, c) => {
          const parts = [...rule(call, c)]
          // A rule for the first layer says nothing of weights.
          parts[at!] ??= epsilon()({ ...call, needs: call.needs.map((need, i) => need && i === at) }, c)[at!] ?? null
          return parts
        }
      }
      const coefficients = pullback(calls, [[logits, seedOf(logits, targets, seed)]], {
        ruleFor,
        wanted: weights,
        releaseExcept: new Set([images, logits, targets]),
      })
      return { coefficients }
    }))
  return found.coefficients
}

// Relevance at the gates: Pruning by eXplaining (Hatefi et al., arXiv 2408.12568). The relevance of a class
// is seeded with 1 / logit, so images weigh equally; filters sum over their map before the absolute value, neurons and
// heads do not.
import { compositeOf } from '../../attribution/composites.ts'
import { attributionMethodOf } from '../../attribution/methods.ts'
import type { Aggregation } from '../../attribution/relevance.ts'
import { foldBatchNorm } from '../../nn/fold.ts'
import { disposeTree } from '../../core/tree.ts'
import { hostEntries } from '../../sparse/sparsify.ts'
import { readWeights } from './weights.ts'
import { type Criteria, gateScores, type ImportanceCriterion, inParts, referencesOf, sumGates } from './criterion.ts'

/**
 * Relevance by a composite (`attn-lrp`, `z-plus`, `pxp:<low>,<middle>,<high>,<classifier>[,<softmax>]`, ...); a fixed
 * aggregation stands over the caller's.
 */
export function relevance(composite: string, aggregation?: Aggregation): ImportanceCriterion {
  const reading = { softmax: true, aggregation }
  return {
    ...inParts({
      async sum(scoring) {
        const references = referencesOf(scoring)
        // Rules by sign need batch norms folded into their weights; gates and their paths survive that.
        const folded = foldBatchNorm(scoring.model, [1, ...await references.inputShape()])
        try {
          const method = attributionMethodOf(composite, references.preprocessing)
          return await sumGates({ ...scoring, model: folded }, method, reading)
        } finally {
          disposeTree(folded)
        }
      },
      scores: (scoring, sums) => Promise.resolve(gateScores(scoring, sums, reading)),
    }),
    async weights(scoring) {
      const references = referencesOf(scoring)
      const folded = foldBatchNorm(scoring.model, [1, ...await references.inputShape()])
      try {
        // What goes through a weight does not depend on how the norm after it is written down.
        const values = await hostEntries(folded, scoring.sites)
        return await readWeights(
          { ...scoring, model: folded, values, aggregation: aggregation ?? scoring.aggregation },
          { seed: 'unit', composite: compositeOf(composite, references.preprocessing), read: 'relevance' },
        )
      } finally {
        disposeTree(folded)
      }
    },
  }
}

/** By name. */
export const criteria: Criteria = {
  'pxp': {
    summary: 'relevance, epsilon rule everywhere (Pruning by eXplaining, arXiv 2408.12568)',
    ...relevance('epsilon'),
  },
  'yeom': {
    summary: 'relevance, z-plus rule (Yeom et al., arXiv 1912.08881)',
    ...relevance('z-plus', 'mean-of-abs-everywhere'),
  },
}

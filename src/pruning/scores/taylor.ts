// First-order Taylor: activation times gradient of the loss (Molchanov et al. 2017), absolute per image after the sum
// over a unit's map.
import { taylor as attribution } from '../../attribution/methods.ts'
import { readWeights } from './weights.ts'
import { atGates, type Criteria, type ImportanceCriterion } from './criterion.ts'

/** |activation x gradient of the cross-entropy|. */
export const taylor: ImportanceCriterion = {
  ...atGates(attribution),
  weights: (scoring) => readWeights(scoring, { seed: 'loss', composite: null, read: 'relevance' }),
}

/** By name. */
export const criteria: Criteria = {
  'taylor': { summary: '|activation x gradient of the loss| (Molchanov et al., arXiv 1611.06440)', ...taylor },
}

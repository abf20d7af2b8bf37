// The gradient of the class's logit at a unit.
import { gradient as attribution } from '../../attribution/methods.ts'
import { readWeights } from './weights.ts'
import { atGates, type Criteria, type ImportanceCriterion } from './criterion.ts'

/** |gradient of the logit|. */
export const gradient: ImportanceCriterion = {
  ...atGates(attribution),
  weights: (scoring) => readWeights(scoring, { seed: 'logit', composite: null, read: 'coefficient' }),
}

/** By name. */
export const criteria: Criteria = {
  'gradient': { summary: "|gradient of the class's logit|", ...gradient },
}

// Integrated gradients at the gates, from the mean colour in 20 steps: true, with the change of the activation, or
// averaged gradients alone, as the published code of Pruning by eXplaining has its baseline.
import { integratedGradients as attribution } from '../../attribution/methods.ts'
import { atGates, type Criteria, type ImportanceCriterion } from './criterion.ts'

/** Integrated gradients of the class's logit. */
export const integratedGradients = (kind: 'true' | 'averaged'): ImportanceCriterion =>
  atGates(attribution({ kind, steps: 20 }))

/** By name. */
export const criteria: Criteria = {
  'integrated-gradients': {
    summary: 'integrated gradients from the mean colour, 20 steps',
    ...integratedGradients('true'),
  },
  'averaged-gradients': { summary: 'their gradients alone, averaged', ...integratedGradients('averaged') },
}

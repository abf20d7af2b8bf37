// Integrated gradients at the gates, from the mean colour in 20 steps: true, with the change of the activation, or
// averaged gradients alone, as the published code of Pruning by eXplaining has its baseline.
import { integratedGradients as criterion } from '../../attribution/criteria.ts'
import { readGates, type Score } from './score.ts'

/** Integrated gradients of the class's logit. */
export const integratedGradients = (kind: 'true' | 'averaged'): Score => ({
  images: true,
  score: (scoring) => readGates(scoring, criterion({ kind, steps: 20 })),
})

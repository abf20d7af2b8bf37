// First-order Taylor: activation times gradient of the loss (Molchanov et al. 2017), absolute per image after the sum
// over a unit's map.
import { taylor as criterion } from '../../attribution/criteria.ts'
import { readGates, type Score } from './score.ts'

/** |activation x gradient of the cross-entropy|. */
export const taylor: Score = { images: true, score: (scoring) => readGates(scoring, criterion) }

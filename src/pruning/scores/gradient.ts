// The gradient of the class's logit at a unit.
import { gradient as criterion } from '../../attribution/criteria.ts'
import { readGates, type Score } from './score.ts'

/** |gradient of the logit|. */
export const gradient: Score = { images: true, score: (scoring) => readGates(scoring, criterion) }

// An importance criterion as a method: score, put in order, cut the least important within the budget; with several
// steps the network is scored anew with what has gone masked (Yeom et al., arXiv 1912.08881, sections 3 and 4).
import { quoted } from '../../base/quote.ts'
import { maskModel, unmaskModel } from '../plan/mask.ts'
import { rank } from '../plan/select.ts'
import type { Plan } from '../plan/slice.ts'
import { InputError } from '../../base/errors.ts'
import type { ScoreSums } from '../../attribution/relevance.ts'
import type { ImportanceCriterion, ScoreParts, Scores, Scoring } from '../scores/criterion.ts'
import type { Method, PruningJob } from './method.ts'

/** A method that prunes by an importance criterion. */
export const byCriterion = (criterion: ImportanceCriterion, summary: string): Method => ({
  summary,
  reads: criterion.images ? 'references' : 'nothing',
  criterion,
  async prune(job) {
    const rankBy = (scores: Scores) => rank(job.units, scores, job.select)
    let scores = await scoreUnitsBy(criterion, job)
    let choice = await job.choose(scores)
    for (let step = 1; step < job.steps; step++) {
      const gone = rankBy(scores).plan(Math.round(choice.count * step / job.steps))
      scores = goneFirst(await scoreUnitsBy(criterion, job, gone), gone)
      if (step === job.steps - 1) choice = await job.choose(scores)
    }
    return { plan: choice.plan, scores, notes: choice.notes }
  },
})

/** What scoring needs of a job. */
export type ScoringJob = Pick<
  PruningJob,
  | 'name'
  | 'model'
  | 'found'
  | 'units'
  | 'references'
  | 'classes'
  | 'batch'
  | 'seed'
  | 'aggregation'
  | 'sums'
  | 'onProgress'
>

/** What a criterion is given for a job. */
function scoringOf(job: ScoringJob): Scoring {
  const { name, model, units, references, classes, batch, seed, aggregation } = job
  return {
    model,
    units,
    references,
    classes,
    batch: Math.min(batch, 16),
    seed,
    aggregation,
    onProgress: (images) => job.onProgress?.(`scoring by ${name}`, images, references?.length ?? images),
  }
}

/** How a criterion scores by sums over images. @throws InputError for one that does not. */
export function partsOf(name: string, { images, parts }: ImportanceCriterion): ScoreParts {
  if (parts) return parts
  throw new InputError(
    `method ${quoted(name)}: expected scores that follow from sums over images, found ${
      images ? 'a criterion without parts' : 'one that reads no images'
    }; score it in one go`,
  )
}

/** What the references of a job say, summed up. @throws InputError for a criterion that does not sum up. */
export const sumBy = (criterion: ImportanceCriterion, job: ScoringJob): Promise<ScoreSums> =>
  partsOf(job.name, criterion).sum(scoringOf(job))

/**
 * Scores of a network as it is, by the sums of the job if it has them, or with a plan's masks on; masks are taken away
 * again.
 */
export async function scoreUnitsBy(criterion: ImportanceCriterion, job: ScoringJob, masks?: Plan): Promise<Scores> {
  const { name, model, found, sums } = job
  if (sums && !masks) return partsOf(name, criterion).scores(scoringOf(job), sums)
  if (masks) maskModel(model, found, masks)
  try {
    return await criterion.score(scoringOf(job))
  } finally {
    if (masks) unmaskModel(model)
  }
}

/** Elements that are gone already stay in front of everything. */
export function goneFirst(scores: Scores, plan: Plan): Scores {
  return new Map([...scores].map(([name, values]) => {
    const keep = plan.get(name)
    return [name, keep ? values.map((value, i) => keep[i] ? value : -3e38) : values]
  }))
}

// The steps of pruning one by one, for those who want to look in between: units, score, select, slice. `prune` is all
// of them in one call.
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { plain } from '../base/quote.ts'
import type { Aggregation, ScoreSums } from '../attribution/relevance.ts'
import type { Dataset } from '../data/datasets.ts'
import { trace } from '../core/transform.ts'
import { withAnyClass } from '../nn/masks.ts'
import type { Model } from '../nn/model.ts'
import { InputError } from '../base/errors.ts'
import { scoreUnitsBy, type ScoringJob, sumBy } from './methods/by-criterion.ts'
import { criterionOf } from './methods/index.ts'
import { countAt, rank, type SelectOptions } from './plan/select.ts'
import type { Plan } from './plan/slice.ts'
import type { OnProgress } from './progress.ts'
import type { ImportanceCriterion, Scores } from './scores/criterion.ts'
import { chooseUnits } from './units/kinds.ts'
import type { Unit } from './units/units.ts'

const scoreKeys: OptionKeys<ScoreOptions> = {
  method: true,
  data: true,
  kinds: true,
  aggregation: true,
  batch: true,
  seed: true,
  onProgress: true,
}

/** How to score. */
export interface ScoreOptions {
  /** An importance criterion or the name of one (default `pxp`). */
  method?: string | ImportanceCriterion
  /** Labelled images; criteria of weights alone need none. */
  data?: Dataset
  /** Kinds of units, as `chooseUnits` takes them. */
  kinds?: readonly string[]
  aggregation?: Aggregation
  batch?: number
  seed?: number
  onProgress?: OnProgress
}

/**
 * What each element of the units that may go matters: one vector per unit, the least important lowest.
 * @throws InputError for a criterion that needs images and has none, or if nothing can be cut.
 */
export async function score(model: Model, found: readonly Unit[], options: ScoreOptions = {}): Promise<Scores> {
  checkOptions('score', options, scoreKeys)
  const { criterion, job } = await scoringJob(model, found, options)
  return scoreUnitsBy(criterion, job)
}

/**
 * What `data` says of the elements, summed up in doubles. `data` may be a part of the images (`partOf`): the sums of
 * all parts, put together by `addSums`, lead to the scores by `scoresFrom`, or to a smaller network by
 * `prune(model, { sums })`. So machines share the work of scoring. @throws InputError for a criterion whose scores do
 * not follow from sums over images, and as `score` does.
 */
export async function scoreSums(model: Model, found: readonly Unit[], options: ScoreOptions = {}): Promise<ScoreSums> {
  checkOptions('scoreSums', options, scoreKeys)
  const { criterion, job } = await scoringJob(model, found, options)
  return sumBy(criterion, job)
}

/**
 * Sums of parts of the images as those of all: added one after the other, so that the order in which they are given
 * decides the last bits, and nothing else does. @throws InputError for none, and where parts are of other places.
 */
export function addSums(parts: readonly ScoreSums[]): ScoreSums {
  if (!parts.length) throw new InputError('addSums: expected sums of one or more parts, found none')
  const sums = new Map([...parts[0].sums].map(([name, values]) => [name, new Float64Array(values.length)]))
  let images = 0
  for (const [i, part] of parts.entries()) {
    images += part.images
    for (const name of new Set([...sums.keys(), ...part.sums.keys()])) {
      const total = sums.get(name), values = part.sums.get(name)
      if (!total || total.length !== values?.length) {
        throw new InputError(
          `addSums: part ${i} has ${values?.length ?? 'no'} sums of ${plain(name)}, part 0 has ${
            total?.length ?? 'none'
          }; they are of different networks, units or methods`,
        )
      }
      values.forEach((value, at) => {
        total[at] += value
      })
    }
  }
  return { images, sums }
}

/** The scores that sums over all images lead to; options as they were for the sums. @throws InputError as `score`. */
export async function scoresFrom(
  model: Model,
  found: readonly Unit[],
  sums: ScoreSums,
  options: ScoreOptions = {},
): Promise<Scores> {
  checkOptions('scoresFrom', options, scoreKeys)
  const { criterion, job } = await scoringJob(model, found, options)
  return scoreUnitsBy(criterion, { ...job, sums })
}

async function scoringJob(
  model: Model,
  found: readonly Unit[],
  options: ScoreOptions,
): Promise<{ criterion: ImportanceCriterion, job: ScoringJob }> {
  const { method = 'pxp', data = null, kinds, aggregation = 'mean-of-abs', batch = 16, seed = 0, onProgress } = options
  const criterion = typeof method === 'string' ? criterionOf(method) : method
  const input = await data?.inputShape()
  const classes = input
    ? trace((image) => withAnyClass(model, 1, () => model.call(image([1, ...input])))).result.shape.at(-1)!
    : 0
  const job = {
    name: typeof method === 'string' ? method : 'a criterion',
    model,
    found,
    units: chooseUnits(found, kinds),
    references: data,
    classes,
    batch,
    seed,
    aggregation,
    onProgress,
  }
  return { criterion, job }
}

/** The plan that keeps a share (0 to 1) of the elements that were scored, those that matter most. */
export function select(
  found: readonly Unit[],
  scores: Scores,
  { keep, ...options }: SelectOptions & { keep: number },
): Plan {
  const ranking = rank(found.filter(({ name }) => scores.has(name)), scores, options)
  return ranking.plan(countAt(1 - keep, ranking.total))
}

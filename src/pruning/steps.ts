// The steps of pruning one by one, for those who want to look in between: units, score, select, slice. `prune` is all
// of them in one call.
import { checkOptions, type OptionKeys } from '../base/options.ts'
import type { Aggregation } from '../attribution/relevance.ts'
import type { Dataset } from '../data/datasets.ts'
import { trace } from '../core/transform.ts'
import { withAnyClass } from '../nn/masks.ts'
import type { Model } from '../nn/model.ts'
import { scoreUnitsBy } from './methods/by-criterion.ts'
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
  const { method = 'pxp', data = null, kinds, aggregation = 'mean-of-abs', batch = 16, seed = 0, onProgress } = options
  const criterion = typeof method === 'string' ? criterionOf(method) : method
  const input = await data?.inputShape()
  const classes = input
    ? trace((image) => withAnyClass(model, 1, () => model.call(image([1, ...input])))).result.shape.at(-1)!
    : 0
  return scoreUnitsBy(criterion, {
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
  })
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

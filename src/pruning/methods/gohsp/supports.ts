// How many heads and neurons stay of each unit, so that a budget is met: heads first, whose steps are coarse, then as
// many neurons as it leaves.
import { InputError } from '../../../base/errors.ts'
import type { RateTarget } from '../../learning/target.ts'
import { rank, type Ranking, type SelectOptions, withinBudget } from '../../plan/select.ts'
import type { Plan } from '../../plan/slice.ts'
import type { Scores } from '../../scores/criterion.ts'
import type { Unit } from '../../units/units.ts'
import { scaledToMean } from '../graph.ts'
import type { Settings } from './settings.ts'

/** What stays: of heads once and for all, of neurons by their norms of the moment. */
export interface Supports {
  heads: Plan
  /** Of the norms of all elements; scaled to a mean of 1 in each unit where units compare. */
  of(norms: Scores): Plan
}

/** What a choice goes by. */
export interface SupportJob {
  units: readonly Unit[]
  target: RateTarget
  /** Scores of the elements of units of heads. */
  ranks: Scores
  select: SelectOptions
  set: Pick<Settings, 'heads' | 'neurons' | 'headSpread' | 'neuronSpread'>
}

/** @throws InputError where the shares that are given cannot meet the budget. */
export function supportsWithin({ units, target: { alpha, weights }, ranks, select, set }: SupportJob): Supports {
  const { multipleOf, minimum } = select
  const heads = units.filter(({ kind }) => kind === 'heads'), rest = units.filter(({ kind }) => kind !== 'heads')
  const order = (own: readonly Unit[], scores: Scores, spread: 'uniform' | 'global') =>
    rank(own, scores, { multipleOf, minimum, ranking: spread === 'uniform' ? 'per-unit' : 'global' })
  const left = (plan: Plan, own: readonly Unit[]) =>
    own.reduce((sum, { name, size }) => sum + weights.get(name)! * kept(plan.get(name)!) / size, 0)
  const most = 1 - alpha + 1e-9, total = (own: readonly Unit[]) => own.reduce((sum, { size }) => sum + size, 0)
  const byRank = order(heads, ranks, set.headSpread)
  const any = new Map(rest.map(({ name, size }) => [name, new Float32Array(size)]))
  const without = order(rest, any, 'uniform')
  const neuronsAt = (share: number) => left(without.plan(Math.round((1 - share) * total(rest))), rest)
  const headsAt = (count: number) => left(byRank.plan(count), heads)
  // What heads have to leave at least, and at most if all is to be used.
  const [least, all] = set.neurons === null ? [neuronsAt(0), neuronsAt(1)] : [neuronsAt(set.neurons), Infinity]
  let gone = set.neurons === null ? goneAt(heads, set.heads ?? 1 - alpha) : 0
  if (set.heads === null) {
    while (gone < total(heads) && headsAt(gone) + least > most) gone++
    while (gone > 0 && headsAt(gone) + all < most && headsAt(gone - 1) + least <= most) gone--
  }
  const plan = byRank.plan(gone), budget = most - left(plan, heads)
  if (least > budget) {
    const given = set.heads === null ? set.neurons === null ? '' : `neurons=${set.neurons}: ` : `heads=${set.heads}: `
    throw new InputError(
      `method 'gohsp': ${given}leaves ${percent(left(plan, heads) + least)} of what may go at the least, `
        + `and the budget ${percent(1 - alpha)}; raise the budget${given && ', or lower that share'}`,
    )
  }
  return {
    heads: plan,
    of(norms) {
      if (!rest.length) return plan
      const own = new Map(rest.map(({ name }) => [name, norms.get(name)!]))
      const ranking = order(rest, set.neuronSpread === 'global' ? scaledToMean(own) : own, set.neuronSpread)
      return new Map([...plan, ...neuronsOf(ranking, own)])
    },
  }

  function neuronsOf(ranking: Ranking, own: Scores): Plan {
    if (set.neurons !== null) return ranking.plan(Math.round((1 - set.neurons) * total(rest)))
    return withinBudget(ranking, (each) => left(each, rest), budget, `of ${own.size} units`).plan
  }
}

/** Heads that go where each unit keeps the same share, at least one of each. */
const goneAt = (heads: readonly Unit[], share: number) =>
  heads.reduce((sum, { size }) => sum + size - Math.max(1, Math.round(share * size)), 0)

const kept = (keep: Uint8Array) => keep.reduce((a, b) => a + b, 0)
const percent = (share: number) => `${(100 * share).toFixed(1)} %`

// What a budget asks of methods that aim at it while they train: which share of what may go must go, and how much of it
// each unit is.
import { InputError } from '../../base/errors.ts'
import { costOf } from '../../nn/macs.ts'
import type { Budget } from '../budget.ts'
import type { PruningJob } from '../methods/method.ts'
import { scoreUnitsBy } from '../methods/by-criterion.ts'
import { magnitude } from '../scores/magnitude.ts'
import { planCost } from '../trial.ts'
import { unitCosts } from '../units/unit-cost.ts'

/** The rate R = sum of weight x (1 - mean gate) over units is to come to `alpha`. */
export interface RateTarget {
  /** Share of the cost of all that may go that must go, 0 to 1. */
  alpha: number
  /** What a whole unit is of that cost, by name; the sum is 1. */
  weights: ReadonlyMap<string, number>
  /** What is counted: elements, or the share of multiply-adds or parameters that may stay. */
  what: 'keep' | 'macs' | 'params'
  share: number
}

/**
 * The target of a job. Elements, multiply-adds and parameters are aimed at as they are; bytes as the parameters, and
 * milliseconds as the multiply-adds of the plan that magnitude would cut for them. What is cut in the end is within the
 * budget itself. @throws InputError for a budget that cannot be met, before anything is trained.
 */
export async function rateTarget(job: PruningJob): Promise<RateTarget> {
  const { budget, model, found, input, units } = job
  // What was measured once holds for every attempt, else a stage would not go on.
  const stored = job.budget.kind === 'ms' ? await job.store.read('target') : null
  const { plan } = await job.choose(
    await scoreUnitsBy(magnitude('l1'), { ...job, name: 'magnitude', onProgress: undefined }),
  )
  const what = aimOf(budget), whole = what === 'keep' ? null : costOf(model, input)[what]
  const share = budget.kind === what || whole === null
    ? budget.limit
    : stored
    ? Number(new TextDecoder().decode(stored))
    : planCost(model, found, plan, input)[what as 'macs' | 'params'] / whole
  if (budget.kind === 'ms' && !stored) await job.store.write('target', new TextEncoder().encode(String(share)))
  const costs = whole === null ? null : unitCosts(model, input, found)
  const each = new Map(units.map(({ name, size }) => [
    name,
    costs ? size * (costs.get(name)?.mean[what as 'macs' | 'params'] ?? 0) : size,
  ]))
  const all = [...each.values()].reduce((sum, cost) => sum + cost, 0)
  if (!(all > 0)) throw new InputError(`method '${job.name}': nothing that may go has ${what}; prune other units`)
  return {
    alpha: Math.min(1, (1 - share) * (whole ?? all) / all),
    weights: new Map([...each].map(([name, cost]) => [name, cost / all])),
    what,
    share,
  }
}

const aimOf = ({ kind }: Budget): RateTarget['what'] =>
  kind === 'keep' ? 'keep' : kind === 'params' || kind === 'bytes' ? 'params' : 'macs'

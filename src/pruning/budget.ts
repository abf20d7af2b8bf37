// How much may stay, and the plan that keeps the most within it: by shapes for elements, multiply-adds and parameters,
// by the size of the file, or by time, which is measured.
import { InputError } from '../base/errors.ts'
import { costOf } from '../nn/macs.ts'
import type { Model } from '../nn/model.ts'
import { forwardTime, latencyTable } from './latency.ts'
import { countAt, onlyCuts, type Ranking, withinBudget } from './plan/select.ts'
import { disposeTree } from '../core/tree.ts'
import { type Plan, sliceModel } from './plan/slice.ts'
import type { OnProgress } from './progress.ts'
import { planCost } from './trial.ts'
import type { Unit } from './units/units.ts'

/**
 * How much may stay: a share (0 to 1) of the elements, multiply-adds or parameters; bytes of the file; or milliseconds
 * per image on this device.
 */
export interface Budget {
  kind: 'keep' | 'macs' | 'params' | 'bytes' | 'ms'
  limit: number
}

/** A plan within a budget, and how far along the ranking it lies. */
export interface Choice {
  plan: Plan
  count: number
  notes: string[]
}

/** What a budget is reckoned on. */
export interface BudgetContext {
  model: Model
  input: readonly [number, number, number]
  found: readonly Unit[]
  units: readonly Unit[]
  /** Images at once, for time. */
  batch: number
  /** The size of the file that a plan leads to, at most; needed for a budget in bytes. */
  fileBytes?: (plan: Plan) => number
  onProgress?: OnProgress
}

/** The plan that keeps the most within the budget. @throws InputError if there is none. */
export async function planWithin(ranking: Ranking, { kind, limit }: Budget, context: BudgetContext): Promise<Choice> {
  const { model, input, found, fileBytes } = context
  const cost = (what: 'macs' | 'params') => (plan: Plan) => planCost(model, found, plan, input)[what]
  const within = (price: (plan: Plan) => number, most: number, what: string): Choice => ({
    ...withinBudget(ranking, price, most, what),
    notes: [],
  })
  switch (kind) {
    case 'keep': {
      const count = countAt(1 - limit, ranking.total)
      return { plan: ranking.plan(count), count, notes: [] }
    }
    case 'macs':
      return within(cost('macs'), limit * costOf(model, input).macs, 'multiply-adds')
    case 'params':
      return within(cost('params'), limit * costOf(model, input).params, 'parameters')
    case 'bytes':
      if (!fileBytes) throw new InputError('budget: bytes need the size of a file, which nothing here estimates')
      return within(fileBytes, limit, 'bytes')
    case 'ms':
      return withinTime(ranking, limit, context)
  }
}

/**
 * The table adds up layers measured apart; what it leaves out is made good by measuring its choice and correcting.
 * @throws InputError.
 */
async function withinTime(
  ranking: Ranking,
  limit: number,
  { model, input, found, units, batch, onProgress }: BudgetContext,
): Promise<Choice> {
  const shape = [batch, ...input], most = limit * batch, each = (ms: number) => `${(ms / batch).toFixed(3)} ms`
  const table = await latencyTable(model, found, units, shape, {
    onProgress: (done, total) => onProgress?.('measuring widths', done, total),
  })
  const notes = [`dense ${each(table.dense)} per image at batch ${batch}`]
  let fastest = Infinity
  for (let round = 0, factor = 1; round < 5; round++) {
    const choice = withinBudget(ranking, (plan) => factor * table.predict(plan) / batch, limit, 'ms per image')
    const predicted = table.predict(choice.plan), cuts = onlyCuts(choice.plan)
    const small = await sliceModel(model, [1, ...input], cuts, { found })
    const real = await forwardTime(small, shape)
    disposeTree(small)
    notes.push(`chosen by the table for ${each(factor * predicted)}, measured ${each(real)}`)
    if (real <= most) return { ...choice, notes }
    fastest = Math.min(fastest, real)
    factor = Math.max(1.02 * factor, 1.01 * real / predicted)
  }
  throw new InputError(
    `--ms ${limit}: five plans were measured and the fastest took ${
      each(fastest)
    } per image; the device may be busy, or give it more time`,
  )
}

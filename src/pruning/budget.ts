// How much may stay, and the plan that keeps the most within it: by shapes for elements, multiply-adds and parameters,
// by the size of the file, or by time, which is measured.
import { InputError } from '../base/errors.ts'
import { compareTurns, spreadOf } from '../base/turns.ts'
import { costOf } from '../nn/macs.ts'
import type { Model } from '../nn/model.ts'
import { timeInTurns } from '../train/timing.ts'
import { latencyTable } from './latency.ts'
import { countAt, onlyCuts, type Ranking, withinBudget } from './plan/select.ts'
import { disposeTree } from '../core/tree.ts'
import { type Plan, sliceModel } from './plan/slice.ts'
import type { OnProgress } from './progress.ts'
import { canSlice, planCost } from './trial.ts'
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
 * The table adds up layers measured apart; what it leaves out is made good by measuring its choice and correcting. A
 * choice takes turns with the dense network, and what counts is its share of the dense network's time over the whole
 * search, so that a machine that is busy for a while does not decide.
 * @throws InputError if the budget cannot be met, or the dense network's times lie too far apart to tell.
 */
async function withinTime(
  ranking: Ranking,
  limit: number,
  { model, input, found, units, batch, onProgress }: BudgetContext,
): Promise<Choice> {
  const shape = [batch, ...input], each = (ms: number) => `${Number((ms / batch).toPrecision(3))} ms`
  const table = await latencyTable(model, found, units, shape, {
    onProgress: (done, total) => onProgress?.('measuring widths', done, total),
  })
  const times = [...table.denseTimes]
  const dense = () => spreadOf(times), spread = () => `${each(dense().median)} ± ${each(dense().mad)}`
  const measure = async (plan: Plan) => {
    const small = await sliceModel(model, [1, ...input], onlyCuts(plan), { found })
    const [whole, cut] = await timeInTurns([model, small], shape).finally(() => {
      disposeTree(small)
    })
    times.push(...whole)
    const { ratio, low, high } = compareTurns(whole, cut), { median } = dense()
    return { ms: ratio * median, text: `${each(ratio * median)} (${each(low * median)} to ${each(high * median)})` }
  }
  const most = ranking.plan(ranking.total), notes: string[] = []
  let factor = 1
  if (table.predict(most) > limit * batch && canSlice(found, most)) {
    // Before it is refused, what goes furthest is measured itself.
    const { ms, text } = await measure(most)
    checkSteady(limit, ms / batch, times, spread())
    if (ms > limit * batch) {
      throw new InputError(
        `--ms ${limit}: cannot be met: with all that may go gone, an image takes ${text}; `
          + `the dense network takes ${spread()}; `
          + 'raise it, or prune more kinds of units',
      )
    }
    factor = ms / table.predict(most)
  }
  let fastest = Infinity, said = ''
  for (let round = 0; round < 5; round++) {
    const choice = withinBudget(ranking, (plan) => factor * table.predict(plan) / batch, limit, 'ms per image')
    const predicted = table.predict(choice.plan), { ms, text } = await measure(choice.plan)
    notes.push(`chosen by the table for ${each(factor * predicted)}, measured ${text}`)
    checkSteady(limit, ms / batch, times, spread())
    if (ms <= limit * batch) {
      return {
        ...choice,
        notes: [`dense ${each(dense().median)} per image at batch ${batch}`, ...notes, `dense in turns: ${spread()}`],
      }
    }
    if (ms < fastest) said = text
    fastest = Math.min(fastest, ms)
    factor = Math.min(Math.max(1.02 * factor, 1.01 * ms / predicted), 0.999 * limit * batch / table.predict(most))
  }
  throw new InputError(
    `--ms ${limit}: five plans were measured and the fastest took ${said} per image, the dense network ${spread()}; `
      + 'the device may be busy, or give it more time',
  )
}

/** Times whose middle half is this wide say nothing about a budget in milliseconds. */
const unsteady = 0.3

/** @throws InputError where the dense network itself did not take about the same time all along. */
function checkSteady(limit: number, found: number, times: readonly number[], said: string) {
  const { median, mad, runs } = spreadOf(times)
  // Where the budget is far off, no noise decides.
  if (mad <= unsteady * median || found > 2 * limit || found < limit / 2) return
  throw new InputError(
    `--ms ${limit}: the dense network took ${said} per image over ${runs} runs, `
      + `too uneven to tell what ${limit} ms hold; `
      + 'try again when the machine has less to do, or give --macs',
  )
}

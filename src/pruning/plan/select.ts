// Scores to a plan. Everything that may go is put in one order, least important first; a plan is how far along it one
// goes, so plans of higher rates contain those of lower ones.
import { checkOptions, type OptionKeys } from '../../base/options.ts'
import { InputError } from '../../base/errors.ts'
import { scoresOf } from '../../base/scores.ts'
import type { Plan } from './slice.ts'
import type { Unit } from '../units/units.ts'
import type { Scores } from '../scores/criterion.ts'

const selectKeys: OptionKeys<SelectOptions> = { ranking: true, multipleOf: true, minimum: true }

/** How elements of different units compare, and which widths are allowed. */
export interface SelectOptions {
  /**
   * `global`: by score over the whole network, no layer protected (default). `per-unit`: the same share of every unit.
   */
  ranking?: 'global' | 'per-unit'
  /**
   * Widths are rounded to multiples of this, so that rows stay vec4f (default 4; a unit with a step of its own, such as
   * whole heads, keeps to that). At least one multiple stays, and a unit that is narrower than one stays whole.
   */
  multipleOf?: number
  /**
   * At least so many elements of each unit stay, rounded up to a multiple (default 1; 0 lets a mask take all of a layer
   * away).
   */
  minimum?: number
}

/** What goes in one step: an element, or of a two-axis unit one channel of every head. */
interface Item {
  unit: Unit
  elements: number[]
  score: number
}

/** The order in which a network is pruned. */
export interface Ranking {
  /** Elements of all units. */
  total: number
  /** The plan without the first elements of the order, about `count` of them. */
  plan(count: number): Plan
  /** The plan at a pruning rate of 0..1: `floor(rate * total)` elements go, computed in exact decimals. */
  at(rate: number): Plan
}

/**
 * Puts the elements of units in order; ties stay in the order of the network. @throws ShapeError if a unit has no
 * scores of its size; NumericError for a score that is no finite number.
 */
export function rank(
  units: readonly Unit[],
  scores: Scores,
  options: SelectOptions = {},
): Ranking {
  checkOptions('rank', options, selectKeys)
  const { ranking = 'global', multipleOf = 4, minimum = 1 } = options
  const lists = units.map((unit) => itemsOf(unit, scoresOf(scores, unit.name, unit.size)))
  // The least of a list has rank 0; equal ranks of units compare by how far along their unit they are.
  const keyed = lists.flatMap((list) =>
    list.map((item, i) => ({ item, key: ranking === 'global' ? item.score : i / list.length }))
  )
  const order = keyed.sort((a, b) => a.key - b.key).map(({ item }) => item)
  const total = units.reduce((sum, { size }) => sum + size, 0)
  const plan = (count: number): Plan => {
    const gone = new Map(units.map(({ name }) => [name, 0]))
    let left = Math.min(count, total)
    for (const { unit, elements } of order) {
      if (elements.length > left) break
      left -= elements.length
      gone.set(unit.name, gone.get(unit.name)! + 1)
    }
    return new Map(units.map((unit, u) => {
      const list = lists[u], stays = rounded(unit, list.length - gone.get(unit.name)!, multipleOf, minimum)
      const keep = new Uint8Array(unit.size).fill(1)
      for (const { elements } of list.slice(0, list.length - stays)) for (const element of elements) keep[element] = 0
      if (minimum > 0) leaveSomeEverywhere(unit, keep, list, stepOf(unit, multipleOf))
      return [unit.name, keep]
    }))
  }
  return { total, plan, at: (rate) => plan(countAt(rate, total)) }
}

/** `floor(rate * total)` without the error of binary fractions: 0.15 of 20 is 3. */
export const countAt = (rate: number, total: number): number => Math.floor(Math.round(rate * 1e6) * total / 1e6)

/**
 * What can go of a unit, least first. A head keeps channels of its own, and all keep as many: the j-th least of every
 * head go together.
 */
function itemsOf(unit: Unit, score: Float32Array): Item[] {
  const [heads, dim] = unit.shape.length > 1 ? unit.shape : [1, unit.size]
  const perHead = Array.from(
    { length: heads },
    (_, head) => Array.from({ length: dim }, (_, i) => head * dim + i).sort((a, b) => score[a] - score[b]),
  )
  return Array.from({ length: dim }, (_, j) => {
    const elements = perHead.map((order) => order[j])
    return { unit, elements, score: elements.reduce((sum, each) => sum + score[each], 0) / heads }
  })
}

/** Whether a tensor with these elements of a unit (-1: something that does not go) keeps any. */
export const keepsAny = (element: readonly number[], keep: Uint8Array): boolean =>
  element.some((each) => each < 0 || keep[each] !== 0)

/**
 * A tensor that has only some of a unit's elements (a stage before option-A shortcuts widen the stream) keeps the best
 * of those; the unit is then filled up to the next multiple with the best of what would go.
 */
function leaveSomeEverywhere(
  { shape, members, size }: Unit,
  keep: Uint8Array,
  list: readonly Item[],
  step: number,
): void {
  if (shape.length > 1) return
  let added = 0
  for (const { element } of members) {
    if (!element.length || keepsAny(element, keep)) continue
    const own = new Set(element)
    keep[list.findLast(({ elements: [each] }) => own.has(each))!.elements[0]] = 1
    added++
  }
  let stays = keep.reduce((a, b) => a + b, 0)
  for (let i = list.length - 1; added && i >= 0 && stays % step && stays < size; i--) {
    const [each] = list[i].elements
    if (!keep[each]) stays++
    keep[each] = 1
  }
}

/** What the width of a unit is rounded to; whole heads are counted one by one. */
const stepOf = ({ step }: Unit, multipleOf: number) => step ?? multipleOf

function rounded(unit: Unit, stays: number, multipleOf: number, minimum: number): number {
  const size = unit.shape.at(-1)!, step = stepOf(unit, multipleOf)
  if (stays === size) return stays // what loses nothing keeps its odd width
  if (step > size) return stays === 0 && minimum === 0 ? 0 : size
  const least = Math.ceil(minimum / step) * step
  return Math.min(size, Math.max(least, Math.round(stays / step) * step))
}

/** Units that are narrower than a multiple, which therefore stay whole. */
export const narrowerThan = (units: readonly Unit[], multipleOf: number): Unit[] =>
  units.filter((unit) => stepOf(unit, multipleOf) > unit.shape.at(-1)!)

/**
 * The plan that keeps the most within a budget: the shortest way along the order whose cost is at most `most`.
 * @throws InputError naming the least that can be reached.
 */
export function withinBudget(
  ranking: Ranking,
  cost: (plan: Plan) => number,
  most: number,
  what: string,
): { plan: Plan, count: number } {
  let low = 0, high = ranking.total
  const least = cost(ranking.plan(high))
  if (least > most) {
    throw new InputError(
      `a budget of ${shortly(most)} ${what} cannot be met: with all that may go gone, ${
        shortly(least)
      } are left; raise it, or prune more kinds of units`,
    )
  }
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (cost(ranking.plan(middle)) <= most) high = middle
    else low = middle + 1
  }
  return { plan: ranking.plan(low), count: low }
}

/** Whole numbers as they are, others with four digits: nobody measures more. */
const shortly = (value: number): string => Number.isInteger(value) ? String(value) : String(+value.toPrecision(4))

/** Elements of a plan that stay. */
export const keptOf = (plan: Plan): number =>
  [...plan.values()].reduce((sum, keep) => sum + keep.reduce((a, b) => a + b, 0), 0)

/** A plan that names only units it cuts, which is what slicing needs. */
export const onlyCuts = (plan: Plan): Plan => new Map([...plan].filter(([, keep]) => keep.includes(0)))

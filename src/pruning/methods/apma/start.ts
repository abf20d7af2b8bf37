// How scores start: all within 0.5 to 0.7, so that everything stays at first, in the order of an importance within each
// head.
import { sizeOf } from '../../../base/shape.ts'
import { describedLeaves } from '../../../core/tree.ts'
import { isMeasured } from '../../../core/traits.ts'
import type { Dataset } from '../../../data/datasets.ts'
import type { Model } from '../../../nn/model.ts'
import { hostWeights } from '../../plan/slice.ts'
import type { Scores } from '../../scores/criterion.ts'
import { relevance } from '../../scores/relevance.ts'
import { taylor } from '../../scores/taylor.ts'
import type { Member, Unit } from '../../units/units.ts'
import { scoreUnitsBy } from '../by-criterion.ts'
import type { PruningJob } from '../method.ts'
import { attentionImportance } from './calibration.ts'
import type { Start } from './settings.ts'

/** Where all start without an order. */
const middle = 0.6

/** s = 0.6 + 0.2 (rank - 0.5), ranks from 0 to 1 within each row of `dim`, none of them quite 0 or 1. */
export function rankedScores(importance: ArrayLike<number>, dim: number): Float32Array {
  const scores = new Float32Array(importance.length)
  for (let row = 0; row < importance.length; row += dim) {
    const order = Array.from({ length: dim }, (_, c) => row + c).sort((a, b) => importance[a] - importance[b])
    order.forEach((at, rank) => {
      scores[at] = middle + 0.2 * ((rank + 0.5) / dim - 0.5)
    })
  }
  return scores
}

/** Scores as they start, by unit; `images` are for importances that look at some. */
export async function startScores(job: PruningJob, start: Start, images: Dataset): Promise<Scores> {
  const importance = new Map<string, Float32Array>()
  const take = (found: Scores) => {
    for (const [name, values] of found) importance.set(name, values)
  }
  if (start === 'relevance' || start === 'taylor') {
    const criterion = start === 'taylor' ? taylor : relevance('epsilon')
    take(await scoreUnitsBy(criterion, { ...job, name: start, references: images }))
  } else if (start !== 'uniform') {
    take(await weightProducts(job.model, job.units))
    if (start !== 'weights') take(await attentionImportance(job, images, start))
  }
  return new Map(job.units.map(({ name, size, shape }) => [
    name,
    start === 'uniform' ? new Float32Array(size).fill(middle) : rankedScores(importance.get(name)!, shape.at(-1)!),
  ]))
}

/** ||in|| x ||out|| of each element: its slices of the value and the output projection, else of all matrices. */
export async function weightProducts(model: Model, units: readonly Unit[]): Promise<Scores> {
  const weights = await hostWeights(model)
  const traits = new Map(
    describedLeaves(model).flatMap(([path, leaf, each]) => isMeasured(each, leaf) ? [[path, each.role]] : []),
  )
  return new Map(units.map(({ name, size, shape, members }) => {
    const all = members.filter(({ path }) => traits.has(path) && !['bias', 'gain'].includes(traits.get(path) ?? ''))
    const own = all.filter(({ path }) => ['value', 'projection'].includes(traits.get(path) ?? ''))
    const product = new Float64Array(size).fill(1)
    for (const member of own.length ? own : all) {
      const { shape: sizes, data } = weights.get(member.path)!
      const norms = normsOf(member, sizes, data!, shape)
      for (let i = 0; i < size; i++) product[i] *= norms[i]
    }
    return [name, Float32Array.from(product)]
  }))
}

/** Euclidean norm of each element's slices of one tensor; what has no axis of heads counts for all. */
function normsOf(
  { axis, element, outer }: Member,
  sizes: readonly number[],
  data: ArrayLike<number>,
  shape: readonly number[],
): Float64Array {
  const heads = shape.length > 1 ? shape[0] : 1, dim = shape.at(-1)!, squares = new Float64Array(heads * dim)
  const inner = sizeOf(sizes.slice(axis + 1)), outerInner = outer === null ? 1 : sizeOf(sizes.slice(outer + 1))
  for (let i = 0; i < data.length; i++) {
    const at = element[Math.floor(i / inner) % sizes[axis]]
    if (at < 0) continue
    const only = outer === null ? null : Math.floor(i / outerInner) % sizes[outer]
    for (let head = only ?? 0; head <= (only ?? heads - 1); head++) squares[head * dim + at] += data[i] ** 2
  }
  return squares.map(Math.sqrt)
}

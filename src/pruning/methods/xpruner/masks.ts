// Masks of classes: how they start, and how an image is seen through the row of its class.
//   B images, C classes, M [C, ...shape of the unit]
import { type Tensor, tensor } from '../../../core/tensor.ts'
import { cached, ofClasses } from '../../../data/subset.ts'
import type { Dataset } from '../../../data/datasets.ts'
import { gather } from '../../../ops/gather.ts'
import { matmul } from '../../../ops/matmul/matmul.ts'
import { reshape } from '../../../ops/reshape.ts'
import type { Examples } from '../../../train/objective.ts'
import type { ImportanceCriterion } from '../../scores/criterion.ts'
import { relevance } from '../../scores/relevance.ts'
import { taylor } from '../../scores/taylor.ts'
import { scoreUnitsBy } from '../by-criterion.ts'
import type { PruningJob } from '../method.ts'

/** A mask for each unit, by its name. */
export type ClassMasks = ReadonlyMap<string, Tensor>

/**
 * The rows of the images' classes, [B, ...shape]; where labels are soft (mixup), rows are mixed as they are. Only rows
 * are copied, never an activation.
 */
export const rowsOf = (masks: ClassMasks, { labels, soft }: Pick<Examples, 'labels' | 'soft'>): Map<string, Tensor> =>
  new Map([...masks].map(([name, mask]) => {
    if (!soft) return [name, gather(mask, labels, { axis: 0 })]
    const [classes, ...shape] = mask.shape, flat = reshape(mask, { shape: [classes, -1] })
    return [name, reshape(matmul(soft, flat), { shape: [soft.shape[0], ...shape] })]
  }))

/**
 * Masks as they start: 1 everywhere, or by relevance or Taylor of `images` images of each class. Then an element has
 * 0.5 to 1.5 by its rank within its unit, since scores themselves span decades; classes without images have 1.
 */
export async function startMasks(
  job: PruningJob,
  start: 'one' | 'relevance' | 'taylor',
  images: number,
): Promise<Map<string, Tensor>> {
  const rows = new Map(job.units.map(({ name, size }) => [name, new Float32Array(job.classes * size).fill(1)]))
  if (start !== 'one') {
    const criterion = start === 'taylor' ? taylor : relevance('epsilon')
    const source = job.references ?? job.data!
    for (const label of new Set(source.labels)) {
      const scores = await scoresOfClass(job, source, criterion, label, images)
      for (const { name, size } of job.units) rows.get(name)!.set(byRank(scores.get(name)!), label * size)
    }
  }
  return new Map(job.units.map(({ name, shape }) => [name, tensor(rows.get(name)!, [job.classes, ...shape])]))
}

async function scoresOfClass(
  job: PruningJob,
  source: Dataset,
  criterion: ImportanceCriterion,
  label: number,
  images: number,
) {
  const references = await cached(source, ofClasses(source, [label]).slice(0, images))
  return scoreUnitsBy(criterion, { ...job, name: `class ${label}`, references })
}

/** 0.5 for the least to 1.5 for the most; 1 for all of a unit that has one element. */
export function byRank(score: Float32Array): Float32Array {
  const out = new Float32Array(score.length).fill(1), last = score.length - 1
  if (last < 1) return out
  const order = [...score.keys()].sort((a, b) => score[a] - score[b])
  order.forEach((element, rank) => {
    out[element] = 0.5 + rank / last
  })
  return out
}

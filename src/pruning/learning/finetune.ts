// Training after the cut, the last stage of every method.
import { InputError } from '../../base/errors.ts'
import type { OptionKeys } from '../../base/options.ts'
import { permutation } from '../../base/random.ts'
import { partOf } from '../../data/subset.ts'
import type { Model } from '../../nn/model.ts'
import { fitKeys, type FitOptions } from '../../train/fit.ts'
import { keepBest } from '../../train/keep-best.ts'
import type { Distillation } from '../../train/objective.ts'
import type { PruningJob } from '../methods/method.ts'
import type { Plan } from '../plan/slice.ts'
import type { StageRecord } from './record.ts'
import { learnStage } from './stage.ts'

/** Training after the cut: as `fit`, at a rate of 1e-4 where none is said. */
export interface FinetuneOptions extends Partial<Omit<FitOptions, 'classes' | 'resume'>> {
  epochs: number
  /** The dense network teaches too. */
  distill?: Omit<Distillation, 'teacher'>
  /** Holds out this share of the images (0 to 1), and takes the epoch that is best on them. */
  best?: number
}

const { classes: _classes, resume: _resume, ...trainKeys } = fitKeys
/** The keys of `FinetuneOptions`. */
export const finetuneKeys: OptionKeys<FinetuneOptions> = { ...trainKeys, distill: true, best: true }

/** Trains a network that was cut by `plan`, in place. @throws InputError as `fit`. */
export async function finetune(
  model: Model,
  job: PruningJob,
  plan: Plan,
  { best, distill, ...options }: FinetuneOptions,
  notes: string[],
): Promise<StageRecord> {
  const data = job.data!, { hooks = [] } = options
  const order = permutation(data.length, job.seed, 'held out'), count = Math.round((best ?? 0) * data.length)
  if (best !== undefined && (count < 1 || count >= data.length)) {
    throw new InputError(`prune: holding out ${best} of ${data.length} images leaves none; give another share`)
  }
  const held = count ? keepBest(model, partOf(data, order.slice(0, count).toSorted()), { batch: job.batch }) : null
  const record = await learnStage({ ...job, data: count ? partOf(data, order.slice(count).toSorted()) : data }, model, {
    rate: 1e-4,
    clip: 1,
    ...options,
    distill,
    name: 'fine-tuning',
    hooks: held ? [...hooks, held] : hooks,
    recipe: { plan: digestOf(plan), best: best ?? null },
    onNote: (note) => notes.push(note),
  })
  if (!held) return record
  held.restore(model)
  notes.push(
    `epoch ${held.epoch} of ${record.epochs} is the best on ${count} images that were held out: `
      + `${(100 * held.accuracies[held.epoch - 1]).toFixed(1)} %`,
  )
  return { ...record, curves: { ...record.curves, 'held-out top-1': [...held.accuracies] } }
}

/** What is kept of a plan, as short text: FNV-1a over names and flags. */
function digestOf(plan: Plan): string {
  let hash = 0x811c9dc5
  const mix = (byte: number) => {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  }
  for (const [name, keep] of plan) {
    for (let i = 0; i < name.length; i++) mix(name.charCodeAt(i))
    keep.forEach(mix)
  }
  return hash.toString(16)
}

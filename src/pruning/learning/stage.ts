// One stage of a method that learns: the training loop with its state in the job's store, progress, curves by epoch,
// and the dense network as teacher where asked.
import { copyInto } from '../../core/fill.ts'
import { disposeTree, leaves } from '../../core/tree.ts'
import type { Model } from '../../nn/model.ts'
import type { FitOptions } from '../../train/fit.ts'
import type { FitHook, FitRun } from '../../train/hooks.ts'
import type { Distillation } from '../../train/objective.ts'
import { fitStage } from '../../train/resume.ts'
import type { PruningJob } from '../methods/method.ts'
import type { StageRecord } from './record.ts'

/** How a stage learns: as `fit`; batch, seed and augmentation are the job's where nothing else is said. */
export interface StageOptions<M extends Model, X> extends Omit<FitOptions<M, X>, 'classes' | 'resume'> {
  /** In the store, in progress and in reports. */
  name: string
  /** Settings beyond the loop's own that must not change between two attempts. */
  recipe?: Record<string, unknown>
  /** Learns from the dense network too. */
  distill?: Omit<Distillation, 'teacher'> | null
  /** Values after an epoch, by the name of their curve. */
  measure?: (run: FitRun<M>) => Promise<Record<string, number>> | Record<string, number>
  /** What curves named after a unit are. */
  layers?: string
  /** What progress says beside the loss, of the last epoch measured. */
  note?: (measured: Readonly<Record<string, number>>) => string
}

/** What a stage needs of a job. */
export type LearningJob = Pick<
  PruningJob,
  'model' | 'data' | 'classes' | 'batch' | 'seed' | 'augment' | 'store' | 'onProgress'
>

/**
 * Runs a stage, or goes on with it. With an average (`average`) the model has that at the end.
 * @throws as `fitStage`.
 */
export async function learnStage<M extends Model, X = unknown>(
  job: LearningJob,
  model: M,
  options: StageOptions<M, X>,
): Promise<StageRecord> {
  const { name, recipe = {}, distill = null, measure, note, layers, hooks = [], onNote, onStep, ...fitting } = options
  const data = job.data!, curves: Record<string, number[]> = {}
  let last: Record<string, number> | null = null
  const watch: FitHook<M> = {
    name: 'curves',
    async afterEpoch(run) {
      last = await measure?.(run) ?? null
      for (const [curve, value] of Object.entries(last ?? {})) (curves[curve] ??= []).push(value)
    },
    save: () => curves,
    load(saved) {
      Object.assign(curves, saved)
      last = Object.fromEntries(Object.entries(curves).map(([curve, values]) => [curve, values.at(-1)!]))
    },
  }
  const all = fitting.epochs * data.length
  const state = await fitStage<M, X>(model, data, {
    batch: job.batch,
    seed: job.seed,
    augment: job.augment,
    ...distill && { distillation: { teacher: job.model, ...distill } },
    ...fitting,
    classes: job.classes,
    hooks: [...hooks, watch],
    onNote,
    onStep(images, loss, epoch) {
      const said = last && note ? `, ${note(last)}` : ''
      job.onProgress?.(name, epoch * data.length + images, all, `loss ${loss.toFixed(4)}${said}`)
      onStep?.(images, loss, epoch)
    },
  }, { store: job.store, stage: name, recipe: { ...recipe, distill, augment: fitting.augment ?? job.augment ?? null } })
  if (state.average) {
    const averages = new Map(leaves(state.average))
    for (const [path, leaf] of leaves(model)) copyInto(averages.get(path)!, leaf)
    disposeTree(state.average)
  }
  for (const { optimizer } of state.groups) optimizer.dispose()
  state.random.dispose()
  return { name, epochs: state.epoch, images: data.length, losses: state.losses, curves, ...layers && { layers } }
}

// `prune --dry-run`: what a run would do, with what it would take, and nothing written.
import { trace } from '../core/transform.ts'
import { parameters } from '../core/tree.ts'
import { withAnyClass } from '../nn/masks.ts'
import { costOf } from '../nn/macs.ts'
import type { Model } from '../nn/model.ts'
import type { Method, PlannedStage, PruningJob } from '../pruning/methods/method.ts'
import { timeOf } from '../train/timing.ts'
import { bytes } from '../report/format.ts'
import { large, table } from './model.ts'

/** A stage as it is planned, with what it takes. */
export interface DryStage extends PlannedStage {
  images: number
  steps: number
  /** Of the device, about: weights, gradients, moments and the activations of a batch. */
  bytes: number
  /** About: a training step takes three forward passes, timed at `timedAt` images. */
  seconds: number
}

/** What a dry run found. */
export interface DryRun {
  stages: DryStage[]
  timedAt: number
  msPerImage: number
}

/** Looks at a job without training: shapes alone, and the time of a forward pass on this device. */
export async function dryRun(job: PruningJob, method: Method, finetune: number): Promise<DryRun> {
  const { model, data, batch, input } = job, images = data?.length ?? 0
  const weights = parameters(model).reduce((sum, [, { size }]) => sum + size, 0)
  const timedAt = Math.min(batch, 4), { msPerImage } = await timeOf(model, [timedAt, ...input])
  const activations = activationBytes(model, [batch, ...input])
  const planned = [
    ...method.stages?.(job) ?? [],
    ...finetune ? [{ name: 'fine-tuning', epochs: finetune, parameters: costOf(model, input).params, moments: 2 }] : [],
  ]
  return {
    timedAt,
    msPerImage,
    stages: planned.map((stage) => ({
      ...stage,
      images,
      steps: stage.epochs * Math.ceil(images / batch),
      bytes: 4 * (weights + stage.parameters * (2 + stage.moments)) + activations,
      seconds: 3 * msPerImage * images * stage.epochs / 1000,
    })),
  }
}

/** What a step keeps for its way back: the results of all ops. */
function activationBytes(model: Model, shape: readonly number[]): number {
  const { calls } = trace((input) => withAnyClass(model, shape[0], () => model.call(input(shape))))
  return calls.reduce((sum, { out }) => sum + 4 * out.size, 0)
}

/** For people. */
export function dryText({ stages, timedAt, msPerImage }: DryRun, out: string): string {
  if (!stages.length) return `dry run: nothing is trained; ${out} was not written`
  return [
    table(
      ['stage', 'epochs', 'images', 'steps', 'learns', 'memory, about', 'time, about'],
      stages.map(({ name, epochs, images, steps, parameters: learns, bytes: memory, seconds }) => [
        name,
        String(epochs),
        String(images),
        String(steps),
        `${large(learns)}`,
        bytes(memory),
        duration(seconds),
      ]),
    ),
    `times are three forward passes an image, measured here at ${timedAt} images (${msPerImage.toFixed(1)} ms each); `
    + `${out} was not written`,
  ].join('\n')
}

/** Seconds for people: '40 s', '12 min', '3.1 h', '2.4 days'. */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} days`
}

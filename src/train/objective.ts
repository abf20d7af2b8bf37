// What is minimised: the loss of a batch. Classification is the usual one, alone or with what a second model says
// (distillation); a method brings its own where it must see the labels on the way through the network.
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { InputError } from '../base/errors.ts'
import type { Batch } from '../data/datasets.ts'
import type { Context } from '../nn/context.ts'
import type { Model } from '../nn/model.ts'
import { crossEntropy, softCrossEntropy } from '../ops/cross-entropy.ts'
import { add, div, equal, scale, sub } from '../ops/elementwise.ts'
import { max, sum } from '../ops/reduce.ts'
import { softmax } from '../ops/softmax.ts'
import { tensor, type Tensor } from '../core/tensor.ts'
import { inference, stopGradient } from '../core/transform.ts'

const classificationKeys: OptionKeys<ClassificationOptions> = { smoothing: true, distillation: true, forward: true }

/**
 * A batch on the device: images [B, C, Y, X], labels i32 [B], and soft labels [B, classes] where mixup made them so.
 */
export interface Examples {
  images: Tensor
  labels: Tensor
  soft: Tensor | null
}

/** What a loss or a penalty is given beside model and batch; a model's `call` takes it as it is. */
export interface LossContext<X = unknown> extends Context {
  readonly training: true
  readonly random: Tensor
  /** Parameters beside the model's: the `extra` that `fit` was given. */
  readonly extra: X
  /**
   * Logits [B, classes] of the teacher for these images; null without `distillation`. Constant in the backward pass.
   */
  readonly teacher: Tensor | null
}

/** The loss of a batch, one number. It runs under the tape and is captured: it launches, and looks at no value. */
export type BatchLoss<M = Model, X = unknown> = (model: M, examples: Examples, context: LossContext<X>) => Tensor

/** How a second model teaches. */
export interface Distillation {
  /** Runs in inference, and stays as it is. */
  teacher: Model
  /**
   * `soft` (default): temperature^2 KL(teacher || student) of softmaxes at the temperature (Hinton et al., arXiv
   * 1503.02531); `hard`: the cross-entropy with the teacher's decision (Touvron et al., arXiv 2012.12877).
   */
  kind?: 'soft' | 'hard'
  /** Share of the teacher in the loss, 0 to 1 (0.5). */
  alpha?: number
  /** Temperature of `soft` (1). */
  temperature?: number
}

/** How the default loss is made. */
export interface ClassificationOptions<M = Model, X = unknown> {
  /** Label smoothing (0). */
  smoothing?: number
  distillation?: Distillation
  /** The logits of a batch; default `model.call(images, context)`. A method masks by label here. */
  forward?: BatchLoss<M, X>
}

/** Cross-entropy with hard or soft labels; with a teacher, (1 - alpha) of it and alpha of what the teacher says. */
export function classification<M extends Model, X = unknown>(
  options: ClassificationOptions<M, X>,
): BatchLoss<M, X> {
  checkOptions('classification', options, classificationKeys)
  const { smoothing = 0, distillation, forward = (model, { images }, context) => model.call(images, context) } = options
  const alpha = distillation?.alpha ?? 0.5
  const kind = distillation?.kind, temperature = distillation?.temperature
  return (model, examples, context) => {
    const logits = forward(model, examples, context)
    const own = examples.soft
      ? softCrossEntropy(logits, examples.soft, { smoothing })
      : crossEntropy(logits, examples.labels, { smoothing })
    if (!distillation || !context.teacher) return own
    const taught = distilled(logits, context.teacher, { kind, temperature })
    return add(scale(own, { by: 1 - alpha }), scale(taught, { by: alpha }))
  }
}

/** What logits [B, classes] lack of a teacher's, one number: see `Distillation`. */
export function distilled(
  logits: Tensor,
  teacher: Tensor,
  options: Pick<Distillation, 'kind' | 'temperature'> = {},
): Tensor {
  checkOptions('distilled', options, { kind: true, temperature: true })
  const { kind = 'soft', temperature = 1 } = options
  if (kind === 'hard') {
    return softCrossEntropy(
      logits,
      stopGradient(() => decision(teacher)),
    )
  }
  const [targets, entropy] = stopGradient(() => {
    const cooled = scale(teacher, { by: 1 / temperature }), targets = softmax(cooled)
    return [targets, softCrossEntropy(cooled, targets)] as const
  })
  const cross = softCrossEntropy(scale(logits, { by: 1 / temperature }), targets)
  return scale(sub(cross, entropy), { by: temperature ** 2 })
}

/** One-hot rows at the largest logit; those that tie share it. */
function decision(logits: Tensor): Tensor {
  const hits = equal(logits, max(logits, { axes: [-1], keep: true }))
  return div(hits, sum(hits, { axes: [-1], keep: true }))
}

/** @throws InputError for numbers out of range. */
export function checkDistillation({ alpha = 0.5, temperature = 1 }: Distillation): void {
  if (!(alpha >= 0 && alpha <= 1)) throw new InputError(`distillation: expected an alpha from 0 to 1, got ${alpha}`)
  if (!(temperature > 0 && temperature < Infinity)) {
    throw new InputError(`distillation: expected a temperature above 0, got ${temperature}`)
  }
}

/** The teacher's logits, off the tape. */
export const taught = (teacher: Model, images: Tensor): Tensor =>
  stopGradient(() => inference(() => teacher.call(images)))

/** A batch as tensors. */
export function onDevice({ images, shape, labels, soft }: Batch): Examples {
  return {
    images: tensor(images, shape),
    labels: tensor(labels),
    soft: soft ? tensor(soft, [shape[0], soft.length / shape[0]]) : null,
  }
}

// The training loop: from scratch, fine-tuning, and what pruning methods learn. A step is captured and replayed.
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { compile } from '../core/compile.ts'
import { firstNonFinite } from '../core/diagnose.ts'
import { InputError, NumericError } from '../base/errors.ts'
import { withAnyClass } from '../nn/masks.ts'
import type { Model } from '../nn/model.ts'
import { copyInto, copyOf } from '../core/fill.ts'
import { gpu } from '../gpu/device.ts'
import { tuned, tuning } from '../gpu/tune.ts'
import { type Augmentation } from '../data/augment.ts'
import type { Batch, Dataset } from '../data/datasets.ts'
import { add, scale } from '../ops/elementwise.ts'
import { batchNormTrain } from '../ops/batchnorm.ts'
import { randomState } from '../ops/dropout.ts'
import { type GroupDefaults, type Moment, type OpenGroup, openGroups, type ParameterGroup } from './groups.ts'
import type { FitHook, FitRun, Gradients } from './hooks.ts'
import { type BatchLoss, checkDistillation, classification, type Distillation, type Examples, type LossContext,
  onDevice, taught } from './objective.ts'
import { checkLabels } from '../data/labels.ts'
import { updateAverage } from './optim.ts'
import type { Tensor } from '../core/tensor.ts'
import { trace, valueAndGrad } from '../core/transform.ts'
import { disposeTree, leaves, mapTree, parameters } from '../core/tree.ts'

/** The keys of `FitOptions`. */
export const fitKeys: OptionKeys<FitOptions> = {
  epochs: true,
  batch: true,
  rate: true,
  warmup: true,
  decay: true,
  clip: true,
  smoothing: true,
  seed: true,
  augment: true,
  classes: true,
  average: true,
  extra: true,
  groups: true,
  distillation: true,
  forward: true,
  loss: true,
  penalty: true,
  hooks: true,
  onNote: true,
  onStep: true,
  onEpoch: true,
  resume: true,
}

/** How to train. `M` is the model, `X` what is learnt beside it. */
export interface FitOptions<M extends Model = Model, X = unknown> {
  epochs: number
  batch?: number
  /** Peak learning rate; it rises over `warmup` epochs and falls along a cosine. */
  rate?: number
  warmup?: number
  /** Weight decay (0.05) of weights with two axes and more. */
  decay?: number
  /** Greatest global gradient norm. */
  clip?: number
  smoothing?: number
  seed?: number
  augment?: Augmentation
  classes: number
  /** Factor of a moving average of the weights, e.g. 0.999; without it none is kept. */
  average?: number
  /** Parameters beside the model's, any tree of f32 tensors: masks, thresholds, multipliers. Handed to the losses. */
  extra?: X
  /** Who optimises which parameters; default one group of all, by AdamW. */
  groups?: readonly ParameterGroup[]
  /** A second model that teaches. A `loss` of one's own finds its logits in the context. */
  distillation?: Distillation
  /** How a batch becomes logits, e.g. through masks chosen by label; default `model.call`. */
  forward?: BatchLoss<M, X>
  /** The loss of a batch; default the cross-entropy of `forward`, smoothed and distilled as said. */
  loss?: BatchLoss<M, X>
  /** Is added to the loss. */
  penalty?: BatchLoss<M, X>
  hooks?: readonly FitHook<M>[]
  /** Told what is done otherwise than asked, in a sentence. */
  onNote?: (note: string) => void
  /** Called after each step with the number of images of this epoch seen and the loss of an earlier step. */
  onStep?: (images: number, loss: number, epoch: number) => void
  /** Called after each epoch; what it returns is awaited, so it may evaluate and save. `true` ends the training. */
  onEpoch?: (state: TrainingState) => Promise<boolean | void> | boolean | void
  /** Where an earlier run stopped. */
  resume?: { epoch: number, load: (state: TrainingState) => Promise<void> | void }
}

/** What a checkpoint holds beside the weights. */
export interface TrainingState {
  /** Epochs finished. */
  epoch: number
  /** Whether a hook ended the training before the last epoch. */
  finished: boolean
  /** Mean loss of each epoch of this run, and of each step; penalties are in them. */
  losses: number[]
  steps: number[]
  groups: readonly Pick<OpenGroup, 'name' | 'optimizer'>[]
  random: Tensor
  /** The moving average of the model, if one is kept. */
  average: Model | null
  /** Parameters beside the model's. */
  extra: unknown
  hooks: readonly FitHook<never>[]
}

/**
 * Trains a model in place. The same seed gives the same losses on the same adapter.
 * @throws NumericError when a loss is not finite; InputError for groups, hooks or a distillation that make no sense,
 * labels the network has no logit for, or batches of one image that batch norm cannot train on.
 */
export async function fit<M extends Model, X = unknown>(
  model: M,
  data: Dataset,
  options: FitOptions<M, X>,
): Promise<TrainingState> {
  checkOptions('fit', options, fitKeys)
  const { epochs, batch = 64, seed = 0, augment, classes, average, hooks = [], resume } = options
  const groups = groupsOf(model, options)
  checkHooks(hooks)
  const random = randomState(seed)
  const state: TrainingState = {
    epoch: resume?.epoch ?? 0,
    finished: false,
    losses: [],
    steps: [],
    groups,
    random,
    average: average === undefined ? null : mapTree(model, (leaf) => copyOf(leaf, true)),
    extra: options.extra,
    hooks,
  }
  await resume?.load(state)
  const loss = objective(model, random, options)
  const trained = new Map(groups.flatMap(({ parameters }) => [...parameters]))
  const step = compile((examples: Examples) => {
    const [value, found] = valueAndGrad((_: typeof trained, given: Examples) => loss(given))(trained, examples)
    let gradients: Gradients = found
    for (const hook of hooks) gradients = hook.beforeUpdate?.(gradients, model) ?? gradients
    for (const group of groups) update(group, gradients)
    for (const hook of hooks) hook.afterUpdate?.(model)
    if (state.average) updateAverage(state.average, model, average!)
    return value
  })
  const run: FitRun<M> = { model, state, recapture: () => step.clear() }
  const watched = hooks.some(({ afterStep }) => afterStep)
  const dropLast = await checkData(model, data, batch, random, options)
  const stepsPerEpoch = dropLast ? Math.floor(data.length / batch) : Math.ceil(data.length / batch)
  const sizes = new Set<number>(), variants = () => JSON.stringify(tuning(gpu()))
  try {
    for (let number = state.epoch * stepsPerEpoch; !state.finished && state.epoch < epochs;) {
      let sum = 0, seen = 0
      // The loss of a step is read while the next one is prepared, so that the device never waits for the host.
      let pending: { value: Tensor, batch: Batch, at: Moment } | null = null
      const settle = async () => {
        if (!pending) return
        const { value, batch, at } = pending
        pending = null
        const number = await value.item()
        value.dispose()
        if (!Number.isFinite(number)) throw await explain(model, batch, loss, number)
        const count = batch.shape[0]
        state.steps.push(number)
        sum += number * count
        seen += count
        options.onStep?.(seen, number, state.epoch)
        for (const hook of hooks) await hook.afterStep?.(run, at, number)
      }
      for await (
        const given of data.batches({
          size: batch,
          shuffle: true,
          seed,
          epoch: state.epoch,
          augment,
          classes,
          dropLast,
        })
      ) {
        const at = { step: number++, steps: epochs * stepsPerEpoch, epoch: state.epoch, epochs, stepsPerEpoch }
        for (const { optimizer, rateAt } of groups) optimizer.setRate(rateAt(at))
        const examples = onDevice(given)
        const value = step(examples), captured = sizes.has(given.shape[0]) ? null : variants()
        disposeTree(examples)
        await settle()
        pending = { value, batch: given, at }
        if (watched) await settle()
        // After the first batch of a size, which the tuner learns its products from: what it found faster needs another
        // capture.
        if (captured !== null) {
          sizes.add(given.shape[0])
          await settle()
          await tuned()
          if (variants() !== captured) step.clear()
        }
      }
      await settle()
      state.losses.push(sum / seen)
      state.epoch++
      if (state.average) copyStatistics(model, state.average)
      for (const hook of hooks) if (await hook.afterEpoch?.(run)) state.finished = true
      if (await options.onEpoch?.(state)) break
    }
  } finally {
    step.clear()
  }
  return state
}

function groupsOf<M extends Model, X>(model: M, options: FitOptions<M, X>): OpenGroup[] {
  const { rate = 1e-3, warmup = 0, decay = 0.05, clip = 1e30, extra, groups = [{}] } = options
  const defaults: GroupDefaults = { rate, warmup, decay, clip }
  const open = openGroups(model, extra, groups, defaults)
  if (!open.length) throw new InputError('fit: all parameters are frozen; expected a group that is trained')
  return open
}

/** @throws InputError for hooks of one name, whose state could not be told apart. */
function checkHooks(hooks: readonly { name: string }[]): void {
  const twice = hooks.find(({ name }, i) => hooks.findIndex((other) => other.name === name) < i)
  if (twice) throw new InputError(`fit: two hooks are called '${twice.name}'; give each a name of its own`)
}

/**
 * Looks at labels and sizes before anything is trained. @returns whether a last batch of one image is left out, because
 * batch norm would see one value per channel.
 * @throws InputError for labels that the network has no logit for, and where every batch is such a one.
 */
async function checkData<M extends Model, X>(
  model: M,
  data: Dataset,
  batch: number,
  random: Tensor,
  { loss, onNote }: FitOptions<M, X>,
): Promise<boolean> {
  const shape = await data.inputShape()
  const { result, calls } = trace((input) =>
    withAnyClass(model, 2, () => model.call(input([2, ...shape]), { training: true, random }))
  )
  if (!loss) checkLabels('fit', data, result.shape[1])
  const alone = calls.some(({ op, args }) => op === batchNormTrain.op && args[0]!.size === 2 * args[0]!.shape[1])
  if (!alone || (batch > 1 && data.length % batch !== 1)) return false
  if (batch === 1 || data.length === 1) {
    throw new InputError(
      `fit: ${batch === 1 ? 'a batch' : data.name} of one image gives batch norm one value per channel, `
        + 'expected at least two to take a variance of; use a larger batch or larger images',
    )
  }
  onNote?.(
    'the last batch of each epoch is left out: of one image, '
      + `it would give batch norm one value per channel (${data.length} images in batches of ${batch})`,
  )
  return true
}

/** Loss and penalty of a batch. */
function objective<M extends Model, X>(model: M, random: Tensor, options: FitOptions<M, X>) {
  const { smoothing, distillation, forward, penalty, extra } = options
  if (distillation) checkDistillation(distillation)
  const loss = options.loss ?? classification<M, X>({ smoothing, distillation, forward })
  return (examples: Examples): Tensor => {
    const teacher = distillation ? taught(distillation.teacher, examples.images) : null
    const context: LossContext<X> = { training: true, random, teacher, extra: extra as X }
    const value = loss(model, examples, context)
    return penalty ? add(value, penalty(model, examples, context)) : value
  }
}

/** One step of a group along its gradients, or against them. */
function update({ parameters, optimizer, ascent }: OpenGroup, gradients: Gradients): void {
  const mine = new Map([...parameters.keys()].map((path) => {
    const gradient = gradients.get(path) ?? null
    return [path, gradient && ascent ? scale(gradient, { by: -1 }) : gradient]
  }))
  optimizer.update(parameters, mine)
}

/** Running statistics are no parameters, so the average takes them over as they are. */
function copyStatistics(model: Model, average: Model): void {
  const trained = new Set(parameters(model).map(([path]) => path)), to = new Map(leaves(average))
  for (const [path, leaf] of leaves(model)) if (!trained.has(path)) copyInto(leaf, to.get(path)!)
}

/**
 * Runs the forward pass that went wrong again (its step left the weights alone) and says where the first bad value is.
 */
async function explain(
  model: Model,
  batch: Batch,
  loss: (examples: Examples) => Tensor,
  value: number,
): Promise<NumericError> {
  const examples = onDevice(batch)
  const where = await firstNonFinite(model, () => loss(examples))
  return new NumericError(
    `the loss is ${value}: ${
      where ?? 'its forward pass is finite when run again; the damage came from running statistics'
    }; `
      + 'lower the learning rate, clip gradients, or check the data',
  )
}

// The training loop: from scratch, fine-tuning, and between pruning steps. A step is captured and replayed.
import { compile } from '../core/compile.ts'
import { firstNonFinite } from '../core/diagnose.ts'
import { NumericError } from '../base/errors.ts'
import type { Model } from '../nn/model.ts'
import { copyInto, copyOf } from '../core/fill.ts'
import { gpu } from '../gpu/device.ts'
import { tuned, tuning } from '../gpu/tune.ts'
import { type Augmentation } from '../data/augment.ts'
import type { Batch, Dataset } from '../data/datasets.ts'
import { crossEntropy, softCrossEntropy } from '../ops/cross-entropy.ts'
import { randomState } from '../ops/dropout.ts'
import { adamW, cosineRate, type Optimizer, updateAverage } from './optim.ts'
import { tensor, type Tensor } from '../core/tensor.ts'
import { valueAndGrad } from '../core/transform.ts'
import { disposeTree, leaves, mapTree, parameters } from '../core/tree.ts'

/** How to train. */
export interface FitOptions {
  epochs: number
  batch?: number
  /** Peak learning rate; it rises over `warmup` epochs and falls along a cosine. */
  rate?: number
  warmup?: number
  decay?: number
  /** Greatest global gradient norm. */
  clip?: number
  smoothing?: number
  seed?: number
  augment?: Augmentation
  classes: number
  /** Factor of a moving average of the weights, e.g. 0.999; without it none is kept. */
  average?: number
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
  /** Mean loss of each epoch of this run, and of each step. */
  losses: number[]
  steps: number[]
  optimizer: Optimizer
  random: Tensor
  /** The moving average of the model, if one is kept. */
  average: Model | null
}

/** Weights decay, biases, gains and position tables do not: the usual choice for transformers. */
const decays = (_: string, { shape }: Tensor) => shape.length > 1

/**
 * Trains a model in place with AdamW. The same seed gives the same losses on the same adapter.
 * @throws NumericError when a loss is not finite.
 */
export async function fit(model: Model, data: Dataset, options: FitOptions): Promise<TrainingState> {
  const {
    epochs,
    batch = 64,
    rate = 1e-3,
    warmup = 0,
    decay = 0.05,
    clip = 1e30,
    smoothing = 0,
    seed = 0,
    augment,
    classes,
    average,
    resume,
  } = options
  const optimizer = adamW(model, { rate, decay, decays, clip })
  const random = randomState(seed)
  const state: TrainingState = {
    epoch: resume?.epoch ?? 0,
    losses: [],
    steps: [],
    optimizer,
    random,
    average: average === undefined ? null : mapTree(model, (leaf) => copyOf(leaf, true)),
  }
  await resume?.load(state)
  const loss = (m: Model, images: Tensor, targets: Tensor) => {
    const logits = m.call(images, { training: true, random })
    return targets.dtype === 'i32'
      ? crossEntropy(logits, targets, { smoothing })
      : softCrossEntropy(logits, targets, { smoothing })
  }
  const step = compile((images: Tensor, targets: Tensor) => {
    const [value, grads] = valueAndGrad(loss)(model, images, targets)
    optimizer.update(model, grads)
    if (state.average) updateAverage(state.average, model, average!)
    return value
  })
  const stepsPerEpoch = Math.ceil(data.length / batch)
  const schedule = { steps: epochs * stepsPerEpoch, peak: rate, warmup: warmup * stepsPerEpoch }
  const sizes = new Set<number>(), variants = () => JSON.stringify(tuning(gpu()))
  try {
    for (let number = state.epoch * stepsPerEpoch; state.epoch < epochs;) {
      let sum = 0, seen = 0
      // The loss of a step is read while the next one is prepared, so that the device never waits for the host.
      let pending: { value: Tensor, batch: Batch } | null = null
      const settle = async () => {
        if (!pending) return
        const { value, batch } = pending
        pending = null
        const number = await value.item()
        value.dispose()
        if (!Number.isFinite(number)) throw await explain(model, batch, loss, number)
        const count = batch.shape[0]
        state.steps.push(number)
        sum += number * count
        seen += count
        options.onStep?.(seen, number, state.epoch)
      }
      for await (
        const given of data.batches({ size: batch, shuffle: true, seed, epoch: state.epoch, augment, classes })
      ) {
        optimizer.setRate(cosineRate(number++, schedule))
        const [input, targets] = onDevice(given)
        const value = step(input, targets), captured = sizes.has(given.shape[0]) ? null : variants()
        disposeTree([input, targets])
        await settle()
        pending = { value, batch: given }
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
      if (await options.onEpoch?.(state)) break
    }
  } finally {
    step.clear()
  }
  return state
}

/** Running statistics are no parameters, so the average takes them over as they are. */
function copyStatistics(model: Model, average: Model): void {
  const trained = new Set(parameters(model).map(([path]) => path)), to = new Map(leaves(average))
  for (const [path, leaf] of leaves(model)) if (!trained.has(path)) copyInto(leaf, to.get(path)!)
}

function onDevice({ images, shape, labels, soft }: Batch): [images: Tensor, targets: Tensor] {
  return [tensor(images, shape), soft ? tensor(soft, [shape[0], soft.length / shape[0]]) : tensor(labels)]
}

/**
 * Runs the forward pass that went wrong again (its step left the weights alone) and says where the first bad value is.
 */
async function explain(
  model: Model,
  batch: Batch,
  loss: (m: Model, images: Tensor, targets: Tensor) => Tensor,
  value: number,
): Promise<NumericError> {
  const [images, targets] = onDevice(batch)
  const where = await firstNonFinite(model, () => loss(model, images, targets))
  return new NumericError(
    `the loss is ${value}: ${
      where ?? 'its forward pass is finite when run again; the damage came from running statistics'
    }; `
      + 'lower the learning rate, clip gradients, or check the data',
  )
}

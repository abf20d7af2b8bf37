// How good a network is on a data set: top-1, top-5, loss, and how long an image takes.
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { compile } from '../core/compile.ts'
import { firstNonFinite } from '../core/diagnose.ts'
import { NumericError } from '../base/errors.ts'
import { checkLabels } from '../data/labels.ts'
import { type Batch, type Dataset, pictureName } from '../data/datasets.ts'
import type { Model } from '../nn/model.ts'
import { tensor, type Tensor } from '../core/tensor.ts'
import { inference } from '../core/transform.ts'
import { disposeTree } from '../core/tree.ts'
import { tuned } from '../gpu/tune.ts'
import { type Timing, timingOf } from './timing.ts'

const evaluateKeys: OptionKeys<EvaluateOptions> = { batch: true, classes: true, foreign: true, onProgress: true }

/** How good a network is. Fractions are 0..1. */
export interface Accuracy {
  top1: number
  top5: number
  loss: number
  images: number
  /** The predicted class of each image, in the order of the data set. */
  predictions: Int32Array
}

/**
 * Figures over a data set. Times are milliseconds per image, from handing a batch of normalised images to the device to
 * having its logits on the host; reading, decoding and resizing of images is not in them. They are the median over
 * batches and its spread. The first batch, which compiles and tunes, the second, whose launches are captured, and a
 * last one of another size do not count; where fewer than five are left, the first batch is run again and counted.
 */
export interface Evaluation extends Accuracy, Timing {}

/** Options of `evaluate`. */
export interface EvaluateOptions {
  batch?: number
  /** Tells only these classes apart; every label must be one of them. */
  classes?: readonly number[]
  /**
   * What becomes of the other logits then: left out of the comparison (default), or set to 0 as the published code of
   * Pruning by eXplaining does, where an image whose own logits are all negative counts as wrong.
   */
  foreign?: 'excluded' | 'zero'
  /** Called after each batch with the number of images done. */
  onProgress?: (done: number) => void
}

/**
 * Runs the network over a data set, and says what an image takes.
 * @throws NumericError naming the first image whose logits are not finite; InputError for a label that has no logit.
 */
export async function evaluate(model: Model, data: Dataset, options: EvaluateOptions = {}): Promise<Evaluation> {
  const times: number[] = []
  const accuracy = await pass(model, data, options, times)
  return { ...accuracy, ...timingOf(times) }
}

/** As `evaluate`, without a clock: no batch is run that accuracy does not need. @throws as `evaluate`. */
export const accuracyOf = (model: Model, data: Dataset, options: EvaluateOptions = {}): Promise<Accuracy> =>
  pass(model, data, options, null)

const leastTimes = 5, patience = 2000 // milliseconds of batches that are run for their time alone

/** Notes the time per image of warm batches in `times`, if given. */
async function pass(
  model: Model,
  data: Dataset,
  options: EvaluateOptions,
  times: number[] | null,
): Promise<Accuracy> {
  checkOptions('evaluate', options, evaluateKeys)
  const { batch = 16, classes: subset, foreign = 'excluded', onProgress } = options
  const own = subset && new Set(subset)
  const eager = (images: Tensor) => inference(() => model.call(images))
  const forward = compile(eager)
  const logitsOf = async (run: typeof eager, { images, shape }: Pick<Batch, 'images' | 'shape'>) => {
    const start = performance.now()
    const input = tensor(images, shape), output = run(input)
    const logits = await output.data() as Float32Array
    const ms = (performance.now() - start) / shape[0]
    disposeTree([input, output])
    return { logits, ms }
  }
  const predictions = new Int32Array(data.length)
  let top1 = 0, top5 = 0, loss = 0, done = 0, passes = 0
  let first: Pick<Batch, 'images' | 'shape'> | null = null
  try {
    for await (const { images, shape, labels } of data.batches({ size: batch })) {
      // Run op by op, the first batch shows the tuner what there is; what it finds is in what is captured afterwards.
      const { logits, ms } = await logitsOf(times && !first ? eager : forward, { images, shape })
      if (!first) {
        first = { images, shape }
        if (times) await tuned()
      } else if (shape[0] === first.shape[0] && passes++ > 0) times?.push(ms)
      const classes = logits.length / shape[0]
      checkLabels('evaluate', { name: data.name, nameOf: data.nameOf, labels }, classes, done)
      if (!logits.every(Number.isFinite)) await explainDamage(model, images, shape, logits, data, done)
      labels.forEach((label, i) => {
        const row = logits.subarray(i * classes, (i + 1) * classes)
        if (own) restrict(row, own, foreign)
        const { best, rank, negativeLogLikelihood } = judge(row, label, pictureName(data, done + i))
        predictions[done + i] = best
        top1 += Number(best === label)
        top5 += Number(rank < 5)
        loss += negativeLogLikelihood
      })
      done += shape[0]
      onProgress?.(done)
    }
    const start = performance.now()
    while (times && first && times.length < leastTimes && !(times.length && performance.now() - start > patience)) {
      const { ms } = await logitsOf(forward, first)
      if (passes++ > 0) times.push(ms)
    }
  } finally {
    forward.clear()
  }
  return {
    top1: top1 / done,
    top5: top5 / done,
    loss: loss / done,
    images: done,
    predictions,
  }
}

/**
 * @throws NumericError saying which image has a logit that is not finite, and which op of which layer made it first.
 */
async function explainDamage(
  model: Model,
  images: Float32Array,
  shape: Batch['shape'],
  logits: Float32Array,
  data: Dataset,
  done: number,
): Promise<never> {
  const at = logits.findIndex((logit) => !Number.isFinite(logit)), classes = logits.length / shape[0]
  const input = tensor(images, shape)
  const where = await firstNonFinite(model, () => model.call(input)).finally(() => {
    input.dispose()
  })
  throw new NumericError(
    `${pictureName(data, done + Math.floor(at / classes))}: the logit of class ${at % classes} is ${
      logits[at]
    }; the weights or the input are damaged: ${where ?? 'run again, every value is finite'}`,
  )
}

/**
 * Takes the logits of other classes out of the comparison; minus infinity would be no number to the check for damage.
 */
function restrict(row: Float32Array, own: ReadonlySet<number>, foreign: 'excluded' | 'zero') {
  for (let c = 0; c < row.length; c++) {
    if (!own.has(c) && Number.isFinite(row[c])) {
      row[c] = foreign === 'zero'
        ? 0
        : -3e38
    }
  }
}

/** The best class (the first among equals), how many classes beat the label, and minus the log of its probability. */
function judge(
  logits: Float32Array,
  label: number,
  what: string,
): { best: number, rank: number, negativeLogLikelihood: number } {
  let best = 0, rank = 0
  for (let c = 0; c < logits.length; c++) {
    if (!Number.isFinite(logits[c])) {
      throw new NumericError(`${what}: the logit of class ${c} is ${logits[c]}; the weights or the input are damaged`)
    }
    if (logits[c] > logits[best]) best = c
    if (logits[c] > logits[label] || (logits[c] === logits[label] && c < label)) rank++
  }
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - logits[best])
  return { best, rank, negativeLogLikelihood: logits[best] + Math.log(sum) - logits[label] }
}

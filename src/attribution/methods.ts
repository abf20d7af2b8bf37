// Attribution methods, all of one signature: relevance by a composite, gradients, Taylor, integrated gradients,
// attention rollout.
import { checkOptions } from '../base/options.ts'
import { InputError, ShapeError } from '../base/errors.ts'
import { zeros } from '../core/fill.ts'
import { attention, type AttentionOptions } from '../ops/attention/attention.ts'
import { add, expanded, mul, scale, sub } from '../ops/elementwise.ts'
import { matmul } from '../ops/matmul/matmul.ts'
import { permute, slice } from '../ops/permute.ts'
import { mean } from '../ops/reduce.ts'
import { softmax } from '../ops/softmax.ts'
import { type Call, record, unrecorded } from '../core/tape.ts'
import { type Tensor, tensor, unscoped } from '../core/tensor.ts'
import { scope } from '../core/transform.ts'
import { disposeTree } from '../core/tree.ts'
import type { Composite } from './composite.ts'
import { compositeNames, compositeOf } from './composites.ts'
import { attribute, type AttributionMethod, type Reading, type Request, type ToUnits } from './relevance.ts'

/** Layer-wise relevance propagation by a composite; every image's relevance is 1 at its logit. */
export const lrp = (composite: Composite): AttributionMethod => (model, images, targets, request) =>
  attribute(model, images, targets, { seed: 'unit', composite, read: 'relevance' }, request)

/** The gradient of the logit, as it is. */
export const gradient: AttributionMethod = (model, images, targets, request) =>
  attribute(model, images, targets, { seed: 'logit', composite: null, read: 'coefficient' }, request)

/** Activation times gradient of the logit. */
export const gradientTimesInput: AttributionMethod = (model, images, targets, request) =>
  attribute(model, images, targets, { seed: 'logit', composite: null, read: 'relevance' }, request)

/**
 * Activation times gradient of the cross-entropy: to first order, what the loss would fall if the activation were 0.
 */
export const taylor: AttributionMethod = (model, images, targets, request) =>
  attribute(model, images, targets, { seed: 'loss', composite: null, read: 'relevance' }, request)

/** What integrated gradients gather at one place. */
interface Gathered {
  sum: Tensor
  activation: Tensor
  coefficient: Tensor
  toUnits: ToUnits
}

/**
 * Integrated gradients (Sundararajan et al. 2017) from the zero tensor, which is the mean colour of normalised images.
 * `true` sums gradient times change of activation along the path (trapezoids), so that the input's values add up to the
 * change of the logit;
 * `averaged` is the mean gradient alone, as the code of Pruning by eXplaining has it. Costs `steps` passes (one more
 * for `true`).
 * @throws ShapeError for a number of steps below 1.
 */
export function integratedGradients(
  options: { steps?: number, kind?: 'true' | 'averaged' } = {},
): AttributionMethod {
  checkOptions('integratedGradients', options, { steps: true, kind: true })
  const { steps = 20, kind = 'true' } = options
  if (!Number.isInteger(steps) || steps < 1) {
    throw new ShapeError(`integratedGradients: ${steps} steps; expected a whole number of at least 1`)
  }
  const walk = { seed: 'logit', composite: null, read: 'coefficient' } as const
  return (model, images, targets, request = {}) => {
    const places = new Map<string, Gathered>()
    let input: Tensor | null = null, logits: Tensor | null = null
    for (let step = kind === 'true' ? 0 : 1; step <= steps; step++) {
      const visit: Request['visit'] = (path, activation, coefficient, toUnits) => {
        places.set(path, gather(places.get(path), activation, coefficient, toUnits, kind, steps))
      }
      const at = scale(images, { by: step / steps })
      const reading = attribute(model, at, targets, walk, {
        gates: request.gates,
        softmax: request.softmax,
        absolute: request.absolute,
        visit,
      })
      logits?.dispose()
      logits = reading.logits
      const weight = (kind === 'true' && (step === 0 || step === steps) ? 0.5 : 1) / steps
      const before: Tensor | null = input
      input = scope((): Tensor =>
        before ? add(before, scale(reading.input, { by: weight })) : scale(reading.input, { by: weight })
      )
      disposeTree([before, reading.input, at])
    }
    const average = input!
    const sites = new Map([...places].map(([path, { sum, toUnits }]) => [path, toUnits(sum)]))
    for (const { sum, activation, coefficient } of places.values()) disposeTree([sum, activation, coefficient])
    if (kind === 'averaged') return { logits: logits!, input: average, sites }
    const relevance = mul(images, average)
    average.dispose()
    return { logits: logits!, input: relevance, sites }
  }
}

/**
 * One more step at one place: the change of the activation times the mean of both ends' gradients, or the gradient's
 * part of the mean.
 */
function gather(
  before: Gathered | undefined,
  activation: Tensor,
  coefficient: Tensor,
  toUnits: ToUnits,
  kind: 'true' | 'averaged',
  steps: number,
): Gathered {
  return unscoped(() => {
    const sum = scope(() =>
      unrecorded(() => {
        if (kind === 'averaged') {
          const part = scale(coefficient, { by: 1 / steps })
          return before ? add(before.sum, part) : part
        }
        if (!before) return zeros(activation.shape)
        return add(
          before.sum,
          scale(mul(add(before.coefficient, coefficient), sub(activation, before.activation)), { by: 0.5 }),
        )
      })
    )
    if (before) disposeTree([before.sum, before.activation, before.coefficient])
    return { sum, activation, coefficient, toUnits }
  })
}

/**
 * Attention rollout (Abnar and Zuidema 2020): the product over layers of half the mean attention of the heads and half
 * the identity, read for the class token (mean over tokens without one). It scores patches, and knows neither classes
 * nor units.
 * @throws InputError where the model has no attention over all patches, or units are asked for.
 */
export const attentionRollout: AttributionMethod = (model, images, _targets, request = {}) => {
  if (request.gates || request.softmax) {
    throw new InputError(
      'attention rollout: it scores patches of the image only, no units; choose another attribution method',
    )
  }
  return scope((): Reading => {
    const { result: logits, calls } = record(() => model.call(images), [images])
    const attentions = calls.filter(({ op }) => op === attention.op)
    const embedded = calls.find(({ op }) => op.is('convolution'))?.out.shape
    const [batch, , height, width] = images.shape
    const tokens = attentions[0]?.args[0]?.shape[1] ?? 0
    const [rows, columns] = embedded?.slice(2) ?? [0, 0]
    const extra = tokens - rows * columns
    const partial = attentions.some(({ args: [q] }) => q!.shape[0] !== batch || q!.shape[1] !== tokens)
    if (extra < 0 || !rows || height % rows || width % columns || partial) {
      throw new InputError(
        'attention rollout: expected softmax attention over all patches in every block, as a ViT has it; '
          + 'choose another attribution method',
      )
    }
    return unrecorded(() => {
      const rolled = attentions.map(probabilities).reduce((below, layer) => matmul(layer, below))
      const read = extra > 0
        ? slice(rolled, { starts: [0, 0, extra], stops: [batch, 1, tokens] })
        : mean(rolled, { axes: [1], keep: true })
      const [patchHeight, patchWidth] = [height / rows, width / columns]
      const pixels = expanded(read.view([batch, 1, rows, 1, columns, 1]), [
        batch,
        images.shape[1],
        rows,
        patchHeight,
        columns,
        patchWidth,
      ], 1 / (images.shape[1] * patchHeight * patchWidth))
      return { logits, input: pixels.view(images.shape), sites: new Map<string, Tensor>() }
    })
  })
}

/** Half the mean of the heads' attention and half the identity, [B, N, N]. */
function probabilities({ args, attrs }: Call): Tensor {
  const [q, k] = args.slice(0, 2).map((x) => permute(x!, { order: [0, 2, 1, 3] }))
  const { scale: by } = attrs as AttentionOptions
  const heads = mean(softmax(scale(matmul(q, k, { transposeB: true }), { by })), { axes: [1] })
  const n = heads.shape[1]
  const identity = tensor(Float32Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0)), [n, n])
  return scale(add(heads, identity), { by: 0.5 })
}

const plain: Readonly<Record<string, () => AttributionMethod>> = {
  'gradient': () => gradient,
  'gradient-x-input': () => gradientTimesInput,
  'taylor': () => taylor,
  'integrated-gradients': () => integratedGradients(),
  'averaged-gradients': () => integratedGradients({ kind: 'averaged' }),
  'attention-rollout': () => attentionRollout,
}

/** Whether an attribution method's relevance is a share of the logit, 1 in all, rather than in units of the logit. */
export const isShareOfLogit = (name: string): boolean => !Object.hasOwn(plain, name)

/** Names that `attributionMethodOf` knows. */
export const attributionMethodNames: readonly string[] = [...compositeNames, ...Object.keys(plain)]

/**
 * An attribution method by name: a composite, or one without. `pixels` bounds the z-box. @throws InputError
 * listing the names.
 */
export function attributionMethodOf(name: string, pixels?: Parameters<typeof compositeOf>[1]): AttributionMethod {
  if (Object.hasOwn(plain, name)) return plain[name]()
  try {
    return lrp(compositeOf(name, pixels))
  } catch (error) {
    if (!(error instanceof InputError) || name.startsWith('pxp:')) throw error
    throw new InputError(
      `'${name}': expected ${attributionMethodNames.join(', ')}, or pxp:<low>,<middle>,<high>,<classifier>[,<softmax>]`,
      { cause: error },
    )
  }
}

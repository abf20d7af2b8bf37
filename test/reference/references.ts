/** The references by name, all called the same way: arrays first (optional ones may be left out), then attributes. */
import type { Nd } from './nd.ts'
import * as elementwise from './elementwise.ts'
import * as reduce from './reduce.ts'
import * as shape from './shape.ts'
import * as pool from './pool.ts'
import { attention, focus, linearAttention } from './attention.ts'
import { conv2d, depthwise } from './conv.ts'
import { linear, maskedMatmul, matmul } from './matmul.ts'
import { batchNormEval, batchNormTrain, layerNorm } from './norm.ts'
import { crossEntropy, logSoftmax, softmax } from './softmax.ts'

/** Names of everything `reference` can call. */
export type ReferenceName = keyof typeof table

const { erfOf: _, ...elementwiseOps } = elementwise

const table = {
  ...elementwiseOps,
  ...reduce,
  ...shape,
  ...pool,
  matmul,
  maskedMatmul,
  linear,
  conv2d,
  depthwise,
  softmax,
  logSoftmax,
  crossEntropy,
  attention,
  linearAttention,
  focus,
  layerNorm,
  batchNormEval,
  batchNormTrain,
}

/** How many arrays the functions with optional ones take; what a caller leaves out becomes null. */
const arrays: Partial<Record<ReferenceName, number>> = { conv2d: 3, depthwise: 3, linear: 3, attention: 5 }

/** Calls a reference: `reference('conv2d', [x, w], { stride: 2 })` is `conv2d(x, w, null, { stride: 2 })`. */
export function reference(name: ReferenceName, args: Nd[], attributes: object = {}): Nd {
  if (name === 'concat') return shape.concat(args, attributes as { axis: number })
  const optional = Array<null>(Math.max(0, (arrays[name] ?? 0) - args.length)).fill(null)
  return (table[name] as (...parts: unknown[]) => Nd)(...args, ...optional, attributes)
}

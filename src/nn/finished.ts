// A convolution with its norm, residual and relu, which inference does in one pass. Layers that are no longer what they
// were (another call, packed weights, a norm of the user's own) are called as they are.
import { Tensor } from '../core/tensor.ts'
import { conv2dFinished, type ConvFinish } from '../ops/conv2d/fused.ts'
import { add, relu } from '../ops/elementwise.ts'
import { scatterOnto } from '../ops/scatter.ts'
import type { Context } from './context.ts'
import { Conv2d } from './conv2d.ts'
import { Identity } from './fold.ts'
import { Gate } from './gate.ts'
import { BatchNorm } from './norm.ts'

/** What follows a norm: a residual of the output's shape is added, then relu. */
export type AfterNorm = Pick<ConvFinish, 'residual' | 'relu'>

/** Anything that takes a tensor: a norm, or what stands in its place. */
export interface Normalizer {
  call(x: Tensor, context?: Context): Tensor
}

/**
 * relu(norm(conv(x)) + residual), the last two where asked for: in one pass where the norm holds its statistics and no
 * tape records, else by the plain ops. x [n, in, h, w] -> [n, out, h', w'].
 * @throws ShapeError if the residual has not the shape of the output.
 */
export function convolvedNormed(
  conv: Conv2d,
  norm: Normalizer | null,
  x: Tensor,
  context: Context,
  after: AfterNorm = {},
): Tensor {
  const own = isOwn(conv, Conv2d) && (conv.weight as unknown) instanceof Tensor
  const without = norm === null || isOwn(norm, Identity)
  if (own && (without || (isOwn(norm, BatchNorm) && !context.training))) {
    const { stride, padding, dilation, groups } = conv, attrs = { stride, padding, dilation, groups }
    return conv2dFinished(x, conv.weight, conv.bias, attrs, { norm: without ? null : norm as BatchNorm, ...after })
  }
  const y = conv.call(x)
  return completed(norm ? norm.call(y, context) : y, after)
}

/** relu(gate(y) + residual), the last two where asked for: in one pass where the gate only scatters. */
export function gated(gate: Gate, y: Tensor, after: AfterNorm): Tensor {
  const found = after.residual && isOwn(gate, Gate) ? gate.scattering : null
  if (!found) return completed(gate.call(y), after)
  return scatterOnto(y, found.index, after.residual!, { ...found.attrs, relu: after.relu })
}

/** relu(y + residual), as far as asked for. */
export function completed(y: Tensor, { residual, relu: positive }: AfterNorm): Tensor {
  const sum = residual ? add(y, residual) : y
  return positive ? relu(sum) : sum
}

/** Whether a layer is of this class and calls as that does. */
function isOwn<L extends { call(...args: never[]): unknown }>(
  layer: unknown,
  type: { new(...args: never[]): L, prototype: L },
): layer is L {
  return layer instanceof type && layer.call === type.prototype.call
}

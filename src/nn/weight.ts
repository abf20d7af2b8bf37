// A layer's weight is a tensor, or an object that stands for one and knows how to multiply: a packed one of a sparsity
// pattern. Layers call these and do not ask which it is; their fields are typed as tensors, which a class makes.
import { conv2d, type ConvAttrs } from '../ops/conv2d/conv2d.ts'
import { linear, linearGelu, type LinearOptions, linears } from '../ops/matmul/linear.ts'
import { Tensor } from '../core/tensor.ts'
import { standsAsTensor } from '../core/traits.ts'
import { isBranch, nodes } from '../core/tree.ts'

/** What multiplies in the place of a tensor. Its class says `static readonly asTensor = true`. */
export interface PackedWeight {
  /** The shape of the tensor that it stands for, [...outputs, ...inputs]. */
  readonly shape: readonly number[]
  /** Entries of it that are stored. */
  readonly kept: number
  /** x [..., inputs] -> [..., outputs]. */
  apply(x: Tensor, bias: Tensor | null): Tensor
  /** gelu of that. */
  applyGelu(x: Tensor, bias: Tensor | null): Tensor
  /** x [n, channels, y, x] -> [n, filters, y', x']. @throws ShapeError for a convolution that it cannot do. */
  convolve(x: Tensor, bias: Tensor | null, options: ConvAttrs): Tensor
  /** Its values, times a factor for each output: a batch norm folded into it. */
  scaled(factors: Tensor): Tensor
}

/** What a layer multiplies by. */
export type Weight = Tensor | PackedWeight

/** `linear` with either kind of weight. */
export const applied = (x: Tensor, weight: Weight, bias: Tensor | null, options: LinearOptions = {}): Tensor =>
  weight instanceof Tensor ? linear(x, weight, bias, options) : weight.apply(x, bias)

/** `linearGelu` with either kind of weight. */
export const appliedGelu = (x: Tensor, weight: Weight, bias: Tensor | null): Tensor =>
  weight instanceof Tensor ? linearGelu(x, weight, bias) : weight.applyGelu(x, bias)

/** `linears` with either kind of weight. */
export const appliedAll = (x: Tensor, weights: readonly Weight[], biases: readonly (Tensor | null)[]): Tensor[] =>
  weights.every((weight) => weight instanceof Tensor)
    ? linears(x, weights, biases)
    : weights.map((weight, i) => applied(x, weight, biases[i]))

/** `conv2d` with either kind of weight. */
export const convolved = (x: Tensor, weight: Weight, bias: Tensor | null, options: ConvAttrs): Tensor =>
  weight instanceof Tensor ? conv2d(x, weight, bias, options) : weight.convolve(x, bias, options)

/** Every packed weight of a model with its path, in field order. */
export function packedWeights(model: unknown): [path: string, weight: PackedWeight][] {
  const found: [string, PackedWeight][] = []
  for (const { path, value } of nodes(model)) {
    if (isBranch(value) && standsAsTensor(value)) found.push([path, value as unknown as PackedWeight])
  }
  return found
}

// The op of convolutions whose weight is packed: what `conv2d` computes with the dense one, without the tiles that are
// not kept, forward and on both ways back. It is a convolution to relevance, cost counts and units, as conv2d is.
import { sizeOf } from '../base/shape.ts'
import { ShapeError } from '../base/errors.ts'
import type { Mapping } from '../core/axes.ts'
import { op, type TypedCall } from '../core/op.ts'
import type { Tensor } from '../core/tensor.ts'
import { type ConvAttrs, windowsOf } from '../ops/conv2d/conv2d.ts'
import { channelSum } from '../ops/shared/split-sum.ts'
import { convolveForward, convolveInput, convolveValues } from './convolution.ts'
import { packedArgs, type PackedArgs, packedTensors, type Packing } from './packing.ts'
import type { SparseWeight } from './weight.ts'

/** Stride, padding and dilation, one number for both axes or [y, x]; groups there are none. */
export type SparseConvAttrs = Omit<ConvAttrs, 'groups'>

interface Attributes extends SparseConvAttrs {
  packing: Packing
}

/** The shape of the dense weight, [outputs, channels, height, width]. */
function weightShape({ outputs, inputs }: Packing): readonly number[] {
  if (outputs.length !== 1 || inputs.length !== 3) {
    throw new ShapeError(
      `sparse-conv2d: a weight of outputs [${outputs}] and inputs [${inputs}]; expected outputs [filters] and inputs `
        + '[channels, height, width]: SparseWeight.of(..., { inputs: [64, 3, 3] })',
    )
  }
  return [...outputs, ...inputs]
}

function windows([x, values, bias]: PackedArgs, { packing, stride, padding, dilation }: Attributes) {
  const expected = Math.max(1, packing.slots) * sizeOf(packing.tile)
  if (values.size !== expected) {
    throw new ShapeError(
      `sparse-conv2d: ${values.size} values for ${packing.slots} tiles of ${
        packing.tile.join('x')
      }; expected ${expected}`,
    )
  }
  return windowsOf('sparse-conv2d', x.shape, weightShape(packing), bias?.shape ?? null, { stride, padding, dilation })
}

/** The batch and the bias pass; channels lie in tiles and cannot be cut. */
function axes(shapes: readonly (readonly number[] | null)[], out: readonly number[]): Mapping {
  const whole = (tensor: number, axis: number) => ({ tensor, axis, offset: 0, stride: 1 })
  const reason = 'the weight holds it in tiles of a sparsity pattern'
  return {
    links: [
      { size: out[0], a: whole(0, 0), b: whole(-1, 0) },
      ...shapes[2] ? [{ size: out[1], a: whole(2, 0), b: whole(-1, 1) }] : [],
    ],
    blocked: [{ tensor: 0, axis: 1, reason }, { tensor: -1, axis: 1, reason }],
  }
}

const packedConv2d = op<PackedArgs, Attributes>({
  name: 'sparse-conv2d',
  attrs: { packing: true, stride: true, padding: true, dilation: true },
  roles: ['convolution'],
  weight: 1,
  bias: 2,
  axes,
  dtypes: ['f32', 'f32', 'f32', 'index'],
  zero: ['keeps', 'keeps', 'breaks'],
  run(...all) {
    const args = all.slice(0, -1) as PackedArgs, attrs = all.at(-1) as Attributes, { packing } = attrs
    return convolveForward(args[0], packedTensors(args, packing), packing, args[2], windows(args, attrs))
  },
  vjp({ args, attrs, needs }: TypedCall<PackedArgs, Attributes>, dy) {
    const [x, , bias] = args, { packing } = attrs, at = windows(args, attrs), tensors = packedTensors(args, packing)
    return [
      needs[0] ? convolveInput(dy, tensors, packing, x.shape, at) : null,
      needs[1] ? convolveValues(dy, x, tensors, packing, at) : null,
      needs[2] && bias ? channelSum(dy) : null,
    ]
  },
  macs: (_, out, { packing: { shape } }) => out.size * shape[1],
  flops: (_, out, { packing: { shape, tile, slots } }) => 2 * out.size / shape[0] * slots * sizeOf(tile),
})

/**
 * conv2d(x, weight, bias) with a packed weight of outputs [filters] and inputs [channels, height, width], in one group:
 * x [N, C, H, W] -> [N, filters, H', W']. Gradients go to x, to the kept values and to the bias.
 * @throws ShapeError as `conv2d` does, or for a weight of other axes.
 */
export function sparseConv2d(
  x: Tensor,
  weight: SparseWeight,
  bias: Tensor | null,
  { stride, padding, dilation }: SparseConvAttrs = {},
): Tensor {
  const given = Object.fromEntries(
    Object.entries({ stride, padding, dilation }).filter(([, value]) => value !== undefined),
  )
  return packedConv2d(...packedArgs(x, weight, bias), { packing: weight.packing, ...given })
}

// The variants of a depthwise convolution, for its own op and for conv2d with as many groups as channels: of pixels
// times weights (forward, gradient to the input) and of pixels times gradients (gradient to the weight). To add one,
// write its kernel and launcher and a row here.
import type { Tensor } from '../../core/tensor.ts'
import { choose, type Variant, variants } from '../shared/variants.ts'
import { type DepthwiseWindows, type DepthwiseWork, rowsPixels, rowsWeight } from './depthwise-kernels.ts'
import { canStage, stagedPixels, stagedWeight } from './depthwise-staged.ts'

interface PixelsVariant extends Variant<DepthwiseWork> {
  readonly run: (work: DepthwiseWork, x: Tensor, w: Tensor, bias: Tensor | null) => Tensor
}

interface WeightVariant extends Variant<DepthwiseWork> {
  readonly run: (work: DepthwiseWork, x: Tensor, dy: Tensor) => Tensor
}

/** Pixels times weights. */
export const depthwisePixels = variants<DepthwiseWork, PixelsVariant>('depthwise pixels', [
  {
    name: 'staged',
    numeric: 'reordered',
    adapters: ['embedded'],
    runs: canStage,
    run: stagedPixels,
  },
  { name: 'rows', numeric: 'reordered', run: rowsPixels },
])

/** Pixels times gradients. */
export const depthwiseWeights = variants<DepthwiseWork, WeightVariant>('depthwise weight', [
  {
    name: 'staged',
    numeric: 'reordered',
    adapters: ['embedded'],
    runs: canStage,
    run: stagedWeight,
  },
  { name: 'rows', numeric: 'reordered', run: rowsWeight },
])

const once = [1, 1] as const

/** x [N, C, H, W] with w [C, 1, kh, kw] -> `shape` [N, C, H', W']. */
export function depthwiseForward(
  x: Tensor,
  w: Tensor,
  bias: Tensor | null,
  shape: readonly number[],
  at: DepthwiseWindows,
): Tensor {
  const products = shape.reduce((a, b) => a * b, w.shape[2] * w.shape[3])
  const work = { x: x.shape, y: shape, w: w.shape, at, step: once, reverse: false, products }
  return choose(depthwisePixels, work).run(work, x, w, bias)
}

/** Gradient to the input of `shape`. */
export function depthwiseInput(dy: Tensor, w: Tensor, shape: readonly number[], at: DepthwiseWindows): Tensor {
  const { stride: step, dilation } = at, products = dy.size * w.shape[2] * w.shape[3]
  const padding = [0, 1].map((axis) => dilation[axis] * (w.shape[axis + 2] - 1) - at.padding[axis]) as [number, number]
  const back = { stride: once, padding, dilation }
  const work = { x: dy.shape, y: shape, w: w.shape, at: back, step, reverse: true, products }
  return choose(depthwisePixels, work).run(work, dy, w, null)
}

/** Gradient to the weight of `shape` [C, 1, kh, kw]. */
export function depthwiseWeight(x: Tensor, dy: Tensor, shape: readonly number[], at: DepthwiseWindows): Tensor {
  const work = {
    x: x.shape,
    y: dy.shape,
    w: shape,
    at,
    step: once,
    reverse: false,
    products: dy.size * shape[2] * shape[3],
  }
  return choose(depthwiseWeights, work).run(work, x, dy)
}

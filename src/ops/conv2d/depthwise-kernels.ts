// Launches of depthwise convolution by rows of pixels: on every device, for kernels of every size.
import { kernel } from '../../gpu/kernel.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { sumSplits } from '../shared/split-sum.ts'

const sizes = [
  'channels',
  'height',
  'width',
  'rows',
  'columns',
  'taps_y',
  'taps_x',
  'stride_y',
  'stride_x',
  'padding_y',
  'padding_x',
  'dilation_y',
  'dilation_x',
]
const forwardKernel = kernel('conv2d/depthwise.wgsl', {
  buffers: ['x', 'w', 'bias', 'y'],
  params: ['planes', ...sizes, 'reverse', 'has_bias'],
})
const inputKernel = kernel('conv2d/depthwise-input.wgsl', { buffers: ['dy', 'w', 'dx'], params: ['planes', ...sizes] })
const weightKernel = kernel('conv2d/depthwise-weight.wgsl', {
  buffers: ['x', 'dy', 'dw'],
  params: ['jobs', 'per_split', 'batch', ...sizes],
})

/** Windows of a depthwise convolution, [y, x] each. */
export interface DepthwiseWindows {
  stride: readonly [number, number]
  padding: readonly [number, number]
  dilation: readonly [number, number]
}

/**
 * One pass: x [batch, channels, height, width] with w [channels, 1, kh, kw] to y, or x and a gradient of the shape of y
 * to w. The gradient to the input is a forward pass too, of dy with the kernel in reverse and `step` - 1 zeros between
 * its pixels.
 */
export interface DepthwiseWork {
  x: readonly number[]
  y: readonly number[]
  w: readonly number[]
  at: DepthwiseWindows
  step: readonly [number, number]
  reverse: boolean
  /** Products of the pass, those with zeros left out. */
  products: number
}

function values(
  x: readonly number[],
  y: readonly number[],
  w: readonly number[],
  { stride, padding, dilation }: DepthwiseWindows,
) {
  return {
    channels: x[1],
    height: x[2],
    width: x[3],
    rows: y[2],
    columns: y[3],
    taps_y: w[2],
    taps_x: w[3],
    stride_y: stride[0],
    stride_x: stride[1],
    padding_y: padding[0],
    padding_x: padding[1],
    dilation_y: dilation[0],
    dilation_x: dilation[1],
  }
}

function slide(
  x: Tensor,
  w: Tensor,
  bias: Tensor | null,
  shape: readonly number[],
  at: DepthwiseWindows,
  reverse: boolean,
): Tensor {
  const y = empty(shape)
  launch(
    forwardKernel,
    { x, w, bias: bias ?? w, y },
    {
      ...values(x.shape, shape, w.shape, at),
      planes: shape[0] * shape[1],
      reverse: Number(reverse),
      has_bias: bias ? 1 : 0,
    },
    grid(Math.ceil(shape[0] * shape[1] * shape[2] * Math.ceil(shape[3] / 8) / 64)),
    { flops: 2 * y.size * w.shape[2] * w.shape[3] },
  )
  return y
}

/** Convolves x, or with a step dy, into what the work says. */
export function rowsPixels(work: DepthwiseWork, x: Tensor, w: Tensor, bias: Tensor | null): Tensor {
  const { at, y: shape, reverse } = work
  if (work.step[0] === 1 && work.step[1] === 1) return slide(x, w, bias, shape, at, reverse)
  const y = empty(shape), [stride, dilation] = [work.step, at.dilation]
  const padding = [0, 1].map((axis) => dilation[axis] * (w.shape[axis + 2] - 1) - at.padding[axis]) as [number, number]
  launch(
    inputKernel,
    { dy: x, w, dx: y },
    { ...values(shape, x.shape, w.shape, { stride, padding, dilation }), planes: shape[0] * shape[1] },
    grid(Math.ceil(y.size / 64)),
    { flops: 2 * work.products },
  )
  return y
}

/** Gradient to the weight. */
export function rowsWeight({ w: shape, at, products }: DepthwiseWork, x: Tensor, dy: Tensor): Tensor {
  const imageRows = x.shape[0] * dy.shape[2]
  const jobsPerSplit = shape[0] * shape[2] * Math.ceil(shape[3] / 8)
  const perSplit = Math.ceil(
    imageRows
      / Math.min(imageRows, Math.max(1, Math.ceil(2048 / jobsPerSplit), Math.ceil(imageRows * dy.shape[3] / 4096))),
  )
  const splits = Math.ceil(imageRows / perSplit)
  const partial = empty([splits, ...shape])
  launch(
    weightKernel,
    { x, dy, dw: partial },
    { ...values(x.shape, dy.shape, shape, at), jobs: splits * jobsPerSplit, per_split: perSplit, batch: x.shape[0] },
    grid(Math.ceil(splits * jobsPerSplit / 64)),
    { flops: 2 * products },
  )
  return sumSplits(partial, shape)
}

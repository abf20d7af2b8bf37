// The gradient of a convolution to its weight as a product of operands that lie in storage as they are read: for the
// embedded device.
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { kernel } from '../../gpu/kernel.ts'
import { splitEvenly, sumSplits } from '../shared/split-sum.ts'
import { flopsOfWeight, leastSplits, type WeightWork } from './convolution.ts'

const BLOCK = 16

/** The kernel that multiplies gradients with blocks of channels. */
export const blockedWeightKernel = kernel('conv2d/blocked-weight.wgsl', {
  buffers: ['x', 'dy', 'dw'],
  params: [
    'splits',
    'per_split',
    'image_rows',
    'outputs',
    'taps',
    'taps_x',
    'blocks',
    'height',
    'width',
    'next_block',
    'image',
    'row',
    'column',
    'tap_y',
    'tap_x',
  ],
})

const orderKernel = kernel('conv2d/ordered-weight.wgsl', {
  buffers: ['parts', 'dw'],
  params: ['splits', 'outputs', 'taps', 'quads'],
})

/** Whether channels are whole blocks. */
export const fitsBlocks = ({ groups, shape }: WeightWork): boolean => groups === 1 && shape[1] % BLOCK === 0

/** Gradient to the weight. */
export function blockedWeight(work: WeightWork): Tensor {
  const { images, dy, shape, tapsY, tapsX } = work
  const [batch, outputs, height, width] = dy.shape, channels = shape[1], taps = tapsY.count * tapsX.count
  const { data, image, row, column } = images.channelBlocks(BLOCK), blocks = channels / BLOCK
  const groups = Math.ceil(outputs / 64) * Math.ceil(taps * blocks / 4)
  const { per_split, splits } = splitEvenly(batch * height, Math.max(leastSplits(work), Math.ceil(16 / groups)), 1)
  const partial = empty([splits, outputs, taps, channels])
  launch(
    blockedWeightKernel,
    { x: data, dy, dw: partial },
    {
      splits,
      per_split,
      image_rows: batch * height,
      outputs,
      taps,
      taps_x: tapsX.count,
      blocks,
      height,
      width,
      next_block: image / BLOCK,
      image: blocks * image / BLOCK,
      row: tapsY.stride * row / BLOCK,
      column: tapsX.stride * column / BLOCK,
      tap_y: tapsY.dilation * row / BLOCK,
      tap_x: tapsX.dilation * column / BLOCK,
    },
    grid(Math.ceil(outputs / 64) * Math.ceil(splits * taps * blocks / 4)),
    { flops: flopsOfWeight(work) },
  )
  if (taps === 1) return sumSplits(partial, shape)
  const dw = empty(shape), quads = channels / 4
  launch(orderKernel, { parts: partial, dw }, { splits, outputs, taps, quads }, grid(Math.ceil(outputs * quads / 64)))
  partial.dispose()
  return dw
}

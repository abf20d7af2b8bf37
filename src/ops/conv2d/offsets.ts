// Tables of addresses for the tiled convolution kernels.
import { kernel } from '../../gpu/kernel.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import type { PaddedInput, WeightOrder, Taps } from './layout.ts'

const params = [
  'size',
  'taps_y',
  'taps_x',
  'modulus',
  'plane',
  'row',
  'next_part',
  'channel_stride',
  'kernel_x',
  'first_y',
  'step_y',
  'first_x',
  'step_x',
  'height',
  'width',
  'batch_stride',
  'next_row',
  'batch_stride_y',
]
const tapsKernel = kernel('conv2d/offsets.wgsl', { entry: 'taps', buffers: ['offsets'], params })
const pixelsKernel = kernel('conv2d/offsets.wgsl', { entry: 'pixels', buffers: ['pixel_offsets'], params })
const unused = {
  taps_y: 0,
  taps_x: 0,
  modulus: 1,
  plane: 0,
  row: 0,
  next_part: 0,
  channel_stride: 0,
  kernel_x: 0,
  first_y: 0,
  step_y: 0,
  first_x: 0,
  step_x: 0,
  height: 1,
  width: 1,
  batch_stride: 0,
  next_row: 0,
  batch_stride_y: 0,
}

/**
 * For each of [channels, taps y, taps x]: how far it is from the first in the image, and its weight from an output's
 * first: u32 [.., 2].
 */
export function tapOffsets(input: PaddedInput, channels: number, tapsY: Taps, tapsX: Taps, from?: WeightOrder): Tensor {
  const offsets = empty([channels * tapsY.count * tapsX.count, 2], 'u32')
  launch(tapsKernel, { offsets }, {
    ...unused,
    size: offsets.size / 2,
    taps_y: tapsY.count,
    taps_x: tapsX.count,
    modulus: tapsX.shared === 1 ? tapsX.count : tapsX.stride,
    plane: input.plane,
    row: tapsY.dilation * input.row,
    next_part: input.nextPart,
    ...from
      && {
        channel_stride: from.channelStride,
        kernel_x: from.width,
        first_y: from.firstY,
        step_y: from.stepY,
        first_x: from.firstX,
        step_x: from.stepPart,
      },
  }, grid(Math.ceil(offsets.size / 128)))
  return offsets
}

/** The same for [channels, taps y, parts]: the first of each group of taps that share their loads. */
export function rowOffsets(
  input: PaddedInput,
  channels: number,
  tapsY: Taps,
  { parts, shared, dilation, stride }: Taps,
): Tensor {
  return tapOffsets(input, channels, tapsY, { count: parts, stride, dilation, parts, shared: 1, sharedTap: shared })
}

/**
 * Where each pixel of dy [batch, channels, height, width] begins to read, and where its gradient is: u32 [batch *
 * pixels, 2].
 */
export function pixelOffsets(input: PaddedInput, batchStride: number, dy: Tensor, tapsY: Taps): Tensor {
  const [batch, channels, height, width] = dy.shape
  const offsets = empty([batch * height * width, 2], 'u32')
  launch(pixelsKernel, { pixel_offsets: offsets }, {
    ...unused,
    size: batch * height * width,
    height,
    width,
    batch_stride: batchStride,
    next_row: tapsY.stride * input.row,
    batch_stride_y: channels * height * width,
  }, grid(Math.ceil(batch * height * width / 64)))
  return offsets
}

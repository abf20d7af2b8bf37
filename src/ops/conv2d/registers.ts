// Convolution with register tiles: many products per load, no workgroup memory. Weights come in blocks of output
// channels.
import type { Kernel } from '../../gpu/kernel.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { splitEvenly, sumSplits } from '../shared/split-sum.ts'
import { flopsOfPixels, flopsOfWeight, leastSplits, pixelParams, type PixelWork, type WeightWork,
  withConstants } from './convolution.ts'
import { blockWeights } from './layout.ts'
import { rowOffsets } from './offsets.ts'

const pixelNames = [
  'jobs',
  'groups',
  'tiles',
  'outputs',
  'rows',
  'height',
  'width',
  'row_tiles',
  'batch_stride',
  'group_stride',
  'row',
  'start',
  'height_out',
  'width_out',
  'first_y',
  'step_y',
  'first_x',
  'step_x',
  'has_bias',
]

/** The register-tiled kernel; `TM` vectors of output channels, `TN` pixels, `TAPS` taps that share loads. */
export function registersKernel(TM: number, TN: number, TAPS: number): Kernel {
  return withConstants('conv2d/registers.wgsl', ['x', 'w', 'offsets', 'bias', 'y'], pixelNames, {
    TM: 2,
    TN: 8,
    TAPS: 3,
  }, {
    TM,
    TN,
    TAPS,
  })
}

/** Pixels times weights (plus bias) into `to.out`; `small` takes the least tile, which compiles quickly. */
export function registersPixels(work: PixelWork, small = false): void {
  const { to: { images, batch, tapsY, tapsX, pixels, out, bias }, w, order } = work
  const { groups, outputs, channels } = order, input = images.planes()
  const [TM, TN] = small ? [1, 4] : [outputs <= 4 ? 1 : 2, 8]
  const blocks = blockWeights(w, order, tapsY.count, tapsX.parts, tapsX.shared, 4 * TM)
  const count = Math.ceil(outputs / (4 * TM)), rowTiles = Math.ceil(pixels[1] / TN)
  const jobs = batch * pixels[0] * rowTiles
  launch(
    registersKernel(TM, TN, tapsX.shared),
    { x: input.data, w: blocks, offsets: rowOffsets(input, channels, tapsY, tapsX), bias: bias ?? blocks, y: out },
    {
      ...pixelParams(work, input),
      jobs,
      tiles: count,
      rows: channels * tapsY.count * tapsX.parts,
      row_tiles: rowTiles,
    },
    grid(groups * count * Math.ceil(jobs / 64)),
    { flops: flopsOfPixels(work) },
  )
}

const weightParams = [
  'jobs',
  'splits',
  'per_split',
  'image_rows',
  'groups',
  'tiles',
  'outputs',
  'channel_tiles',
  'channels',
  'taps_y',
  'parts',
  'kernel_x',
  'step_tap',
  'height',
  'width',
  'batch_stride',
  'plane',
  'row',
  'next_part',
  'stride_y',
  'dilation_y',
]

/** The register-tiled kernel of the weight gradient; see its file for the constants. */
export function registersWeightKernel(TM: number, TC: number, TAPS: number, STEP: number): Kernel {
  return withConstants('conv2d/registers-weight.wgsl', ['x', 'dy', 'dw'], weightParams, {
    TM: 2,
    TC: 4,
    TAPS: 3,
    STEP: 2,
  }, {
    TM,
    TC,
    TAPS,
    STEP,
  })
}

/** Gradient to the weight; `small` takes the least tile. */
export function registersWeight(work: WeightWork, small = false): Tensor {
  const { images, dy, groups, shape, tapsY, tapsX } = work, input = images.planes()
  const [batch, , height, width] = dy.shape, outputs = shape[0] / groups, channels = shape[1]
  const [TM, TC, STEP] = small
    ? [1, 2, 1]
    : [2, channels === 1 ? 1 : tapsX.shared === 1 ? 8 : tapsX.shared <= 3 ? 4 : 2, 2]
  const rowTiles = Math.ceil(outputs / (4 * TM)), channelTiles = Math.ceil(channels / TC)
  const tiles = groups * rowTiles * channelTiles * tapsY.count * tapsX.parts
  const { per_split, splits } = splitEvenly(batch * height, Math.max(leastSplits(work), Math.ceil(1024 / tiles)), 1)
  const partial = empty([splits, ...shape])
  launch(
    registersWeightKernel(TM, TC, tapsX.shared, STEP),
    { x: input.data, dy, dw: partial },
    {
      jobs: tiles * splits,
      splits,
      per_split,
      image_rows: batch * height,
      groups,
      tiles: rowTiles,
      outputs,
      channel_tiles: channelTiles,
      channels,
      taps_y: tapsY.count,
      parts: tapsX.parts,
      kernel_x: tapsX.count,
      step_tap: tapsX.sharedTap,
      height,
      width,
      batch_stride: groups * channels * input.plane,
      plane: input.plane,
      row: input.row,
      next_part: input.nextPart,
      stride_y: tapsY.stride,
      dilation_y: tapsY.dilation,
    },
    grid(Math.ceil(tiles * splits / 64)),
    { flops: flopsOfWeight(work) },
  )
  return sumSplits(partial, shape)
}

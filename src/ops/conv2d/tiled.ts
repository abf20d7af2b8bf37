// Convolution with tiles in workgroup memory, as a matrix product whose operands are read by tables of offsets.
import type { Kernel } from '../../gpu/kernel.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { splitEvenly, sumSplits } from '../shared/split-sum.ts'
import { flopsOfPixels, flopsOfWeight, leastSplits, pixelParams, type PixelWork, type WeightWork,
  withConstants } from './convolution.ts'
import { pixelOffsets, tapOffsets } from './offsets.ts'

const tiledParams = [
  'jobs',
  'groups',
  'tiles',
  'outputs',
  'depth',
  'height',
  'width',
  'batch_stride',
  'group_stride',
  'row',
  'start',
  'weight_group',
  'weight_output',
  'height_out',
  'width_out',
  'first_y',
  'step_y',
  'first_x',
  'step_x',
  'has_bias',
]
const tiledDefaults = { TM: 2, TN: 4, X: 16, Y: 8, STEP: 16 }

/**
 * Invocations X by Y of the tiled kernels, each with `TM` vectors of output channels and `TN` of the other side; `STEP`
 * terms of the sum are staged at a time, a divisor of X Y.
 */
export interface Tile {
  TM: number
  TN: number
  X: number
  Y: number
  STEP: number
}

/** Tiles for layers with many, with fewer and with few output channels. */
export const tiles: readonly Tile[] = [tiledDefaults, { TM: 2, TN: 4, X: 32, Y: 4, STEP: 16 }, {
  TM: 1,
  TN: 8,
  X: 16,
  Y: 4,
  STEP: 16,
}]

/** The tile for so many outputs per group. */
export const tileFor = (outputs: number) => tiles[outputs > 32 ? 0 : outputs > 16 ? 1 : 2]

/** The least tile, which compiles quickly. */
export const smallTile: Tile = { TM: 1, TN: 2, X: 4, Y: 2, STEP: 4 }

/** The kernel with tiles in workgroup memory. */
export function tiledKernel(tile: Tile): Kernel {
  return withConstants('conv2d/tiled.wgsl', ['x', 'w', 'offsets', 'bias', 'y'], tiledParams, tiledDefaults, { ...tile })
}

/** Pixels times weights (plus bias) into `to.out`. */
export function tiledPixels(work: PixelWork, tile = tileFor(work.order.outputs)): void {
  const { to: { images, batch, tapsY, tapsX, pixels, out, bias }, w, order } = work
  const { groups, outputs, channels } = order, input = images.planes()
  const height = 4 * tile.TM * tile.Y
  const jobs = batch * pixels[0] * pixels[1], count = Math.ceil(outputs / height)
  launch(
    tiledKernel(tile),
    { x: input.data, w, offsets: tapOffsets(input, channels, tapsY, tapsX, order), bias: bias ?? w, y: out },
    {
      ...pixelParams(work, input),
      jobs,
      tiles: count,
      depth: channels * tapsY.count * tapsX.count,
      weight_group: order.groupStride,
      weight_output: order.outputStride,
    },
    grid(groups * count * Math.ceil(jobs / (tile.X * tile.TN))),
    { flops: flopsOfPixels(work) },
  )
}

const tiledWeightParams = [
  'splits',
  'per_split',
  'depth',
  'groups',
  'tiles',
  'outputs',
  'width_tiles',
  'width',
  'pixels',
  'group_stride',
]

/** The kernel of the weight gradient with tiles in workgroup memory. */
export function tiledWeightKernel(tile: Tile): Kernel {
  return withConstants(
    'conv2d/tiled-weight.wgsl',
    ['x', 'dy', 'pixel_offsets', 'offsets', 'dw'],
    tiledWeightParams,
    tiledDefaults,
    { ...tile },
  )
}

/** Gradient to the weight. */
export function tiledWeight(work: WeightWork, tile = tileFor(work.shape[0] / work.groups)): Tensor {
  const { images, dy, groups, shape, tapsY, tapsX } = work, input = images.planes()
  const [batch, , height, width] = dy.shape, outputs = shape[0] / groups, channels = shape[1]
  const columns = channels * tapsY.count * tapsX.count
  const rowTiles = Math.ceil(outputs / (4 * tile.TM * tile.Y)), widthTiles = Math.ceil(columns / (tile.TN * tile.X))
  const depth = batch * height * width
  const { per_split, splits } = splitEvenly(
    depth,
    Math.max(leastSplits(work), Math.ceil(256 / (groups * rowTiles * widthTiles))),
    64,
  )
  const partial = empty([splits, ...shape])
  launch(
    tiledWeightKernel(tile),
    {
      x: input.data,
      dy,
      pixel_offsets: pixelOffsets(input, groups * channels * input.plane, dy, tapsY),
      offsets: tapOffsets(input, channels, tapsY, tapsX),
      dw: partial,
    },
    {
      splits,
      per_split,
      depth,
      groups,
      tiles: rowTiles,
      outputs,
      width_tiles: widthTiles,
      width: columns,
      pixels: height * width,
      group_stride: channels * input.plane,
    },
    grid(groups * rowTiles * widthTiles * splits),
    { flops: flopsOfWeight(work) },
  )
  return sumSplits(partial, shape)
}

// The products behind a convolution: pixels times weights, and pixels times gradients. conv2d.ts says which
// product a forward or a backward pass is; here the kernel variant is chosen and launched.
import { currentGpu } from '../../gpu/device.ts'
import { kernel, type Kernel } from '../../gpu/kernel.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { type PaddedInput, blockWeights, type WeightOrder, type Taps } from './layout.ts'
import { pixelOffsets, rowOffsets, tapOffsets } from './offsets.ts'
import { sumSplits } from '../shared/split-sum.ts'

/**
 * What an output pixel (i, j) of the grid reads, and where in `out` [batch, channels, height, width] its result goes.
 */
export interface Product {
  input: PaddedInput
  batch: number
  tapsY: Taps
  tapsX: Taps
  /** Row and column of the first read. */
  start: readonly [number, number]
  /** Pixels computed. */
  pixels: readonly [number, number]
  out: Tensor
  /** Position in `out` of the first pixel, and the distance of neighbours. */
  first: readonly [number, number]
  step: readonly [number, number]
  bias: Tensor | null
}

/** `direct` keeps its tiles in registers, `tiled` in workgroup memory. */
export type ConvVariant = 'direct' | 'tiled'

let forced: ConvVariant | null = null
let small = false

/**
 * Takes this variant from now on, whatever the adapter, until called with null; `smallTiles` takes the least tiles,
 * which compile and interpret quickly. For tests and benches.
 */
export function forceConvVariant(choice: ConvVariant | null, smallTiles = false): void {
  forced = choice
  small = smallTiles
}

// Without fast workgroup memory, many products per load count most. The embedded device likes the register tiles too,
// but for the gradient to a weight with many outputs, where they are narrow.
function variant(pass: 'pixels' | 'weight', outputs: number): ConvVariant {
  const kind = currentGpu()?.adapter.kind
  if (forced) return forced
  return kind === 'gpu'
    ? outputs > 4 ? 'tiled' : 'direct'
    : kind === 'embedded' && pass === 'weight' && outputs > 16
    ? 'tiled'
    : 'direct'
}

const made = new Map<string, Kernel>()

/** A kernel file with its constants at the top set to these numbers. */
function withConstants(
  file: string,
  buffers: string[],
  params: string[],
  defaults: Record<string, number>,
  values: Record<string, number>,
): Kernel {
  const label = Object.entries(values).map(([name, value]) => `${name}=${value}`).join(' ')
  const key = `${file} ${label}`
  let found = made.get(key)
  if (!found) {
    const splice = Object.fromEntries(
      Object.entries(values).map((
        [name, value],
      ) => [`const ${name} = ${defaults[name]}u;`, `const ${name} = ${value}u;`]),
    )
    made.set(key, found = kernel(file, { buffers, params, splice, label }))
  }
  return found
}

const directParams = [
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
export function directKernel(TM: number, TN: number, TAPS: number): Kernel {
  return withConstants('conv2d/registers.wgsl', ['x', 'w', 'offsets', 'bias', 'y'], directParams, {
    TM: 2,
    TN: 8,
    TAPS: 3,
  }, {
    TM,
    TN,
    TAPS,
  })
}

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

const smallTile: Tile = { TM: 1, TN: 2, X: 4, Y: 2, STEP: 4 }

const tileFor = (outputs: number) => (small ? smallTile : tiles[outputs > 32 ? 0 : outputs > 16 ? 1 : 2])

/** The kernel with tiles in workgroup memory. */
export function tiledKernel(tile: Tile): Kernel {
  return withConstants('conv2d/tiled.wgsl', ['x', 'w', 'offsets', 'bias', 'y'], tiledParams, tiledDefaults, { ...tile })
}

/** Multiplies pixels with weights taken from `w` as `from` says, and writes them (plus bias) to `to.out`. */
export function convolve(to: Product, w: Tensor, from: WeightOrder): void {
  const { input, batch, tapsY, tapsX, start, pixels, out, first, step, bias } = to
  const { groups, outputs, channels } = from
  const flops = 2 * batch * pixels[0] * pixels[1] * groups * outputs * channels * tapsY.count * tapsX.count
  const common = {
    groups,
    outputs,
    height: pixels[0],
    width: pixels[1],
    batch_stride: groups * channels * input.plane,
    group_stride: channels * input.plane,
    row: tapsY.stride * input.row,
    start: start[0] * input.row + start[1],
    height_out: out.shape[2],
    width_out: out.shape[3],
    first_y: first[0],
    step_y: step[0],
    first_x: first[1],
    step_x: step[1],
    has_bias: bias ? 1 : 0,
  }
  if (variant('pixels', outputs) === 'tiled') {
    const tile = tileFor(outputs), height = 4 * tile.TM * tile.Y
    const jobs = batch * pixels[0] * pixels[1], count = Math.ceil(outputs / height)
    launch(
      tiledKernel(tile),
      { x: input.data, w, offsets: tapOffsets(input, channels, tapsY, tapsX, from), bias: bias ?? w, y: out },
      {
        ...common,
        jobs,
        tiles: count,
        depth: channels * tapsY.count * tapsX.count,
        weight_group: from.groupStride,
        weight_output: from.outputStride,
      },
      grid(groups * count * Math.ceil(jobs / (tile.X * tile.TN))),
      { flops },
    )
    return
  }
  const [TM, TN] = small ? [1, 4] : [outputs <= 4 ? 1 : 2, 8]
  const blocks = blockWeights(w, from, tapsY.count, tapsX.parts, tapsX.shared, 4 * TM)
  const count = Math.ceil(outputs / (4 * TM)), rowTiles = Math.ceil(pixels[1] / TN)
  const jobs = batch * pixels[0] * rowTiles
  launch(
    directKernel(TM, TN, tapsX.shared),
    { x: input.data, w: blocks, offsets: rowOffsets(input, channels, tapsY, tapsX), bias: bias ?? blocks, y: out },
    {
      ...common,
      jobs,
      tiles: count,
      rows: channels * tapsY.count * tapsX.parts,
      row_tiles: rowTiles,
    },
    grid(groups * count * Math.ceil(jobs / 64)),
    { flops },
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
export function directWeightKernel(TM: number, TC: number, TAPS: number, STEP: number): Kernel {
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

/**
 * Gradient to the weight of `shape` [groups * outputs, channels, kernel y, kernel x] from what the forward pass read
 * and `dy`.
 */
export function convolveWeight(
  input: PaddedInput,
  dy: Tensor,
  groups: number,
  shape: readonly number[],
  tapsY: Taps,
  tapsX: Taps,
): Tensor {
  const [batch, , height, width] = dy.shape
  const outputs = shape[0] / groups, channels = shape[1]
  const flops = 2 * dy.size * channels * tapsY.count * tapsX.count
  // Sums of at most some thousand terms keep float32 exact enough; more splits than that keep every core busy.
  const least = Math.ceil(batch * height * width / 4096)
  if (variant('weight', outputs) === 'tiled') {
    const tile = tileFor(outputs), columns = channels * tapsY.count * tapsX.count
    const rowTiles = Math.ceil(outputs / (4 * tile.TM * tile.Y)), widthTiles = Math.ceil(columns / (tile.TN * tile.X))
    const depth = batch * height * width
    const { per_split, splits } = divide(depth, Math.max(least, Math.ceil(256 / (groups * rowTiles * widthTiles))), 64)
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
      { flops },
    )
    return sumSplits(partial, shape)
  }
  const [TM, TC, STEP] = small
    ? [1, 2, 1]
    : [2, channels === 1 ? 1 : tapsX.shared === 1 ? 8 : tapsX.shared <= 3 ? 4 : 2, 2]
  const rowTiles = Math.ceil(outputs / (4 * TM)), channelTiles = Math.ceil(channels / TC)
  const perSplit = groups * rowTiles * channelTiles * tapsY.count * tapsX.parts
  const { per_split, splits } = divide(batch * height, Math.max(least, Math.ceil(1024 / perSplit)), 1)
  const partial = empty([splits, ...shape])
  launch(
    directWeightKernel(TM, TC, tapsX.shared, STEP),
    { x: input.data, dy, dw: partial },
    {
      jobs: perSplit * splits,
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
    grid(Math.ceil(perSplit * splits / 64)),
    { flops },
  )
  return sumSplits(partial, shape)
}

/** Divides `count` things into about `wanted` splits of a multiple of `unit`, none of them empty. */
function divide(count: number, wanted: number, unit: number): { per_split: number, splits: number } {
  const per_split = Math.ceil(count / Math.min(count, wanted) / unit) * unit
  return { per_split, splits: Math.ceil(count / per_split) }
}

// The products behind a convolution: pixels times packed weights, and pixels times gradients. conv2d.ts says which product
// a forward or a backward pass is; here the kernel variant is chosen and launched.
import { kernel, type Kernel } from '../gpu/kernel.ts'
import { grid, launch } from '../launch.ts'
import { empty, type Tensor } from '../tensor.ts'
import { type Lines, pack, type Packing, type Taps } from './conv-layout.ts'
import { reduceShares } from './shares.ts'

/** What an output pixel (i, j) of the grid reads, and where in `out` [batch, channels, height, width] its result goes. */
export interface Product {
  lines: Lines
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

const made = new Map<string, Kernel>()

/** A kernel file with its constants at the top set to these numbers. */
function withConstants(file: string, buffers: string[], params: string[], defaults: Record<string, number>, values: Record<string, number>): Kernel {
  const label = Object.entries(values).map(([name, value]) => `${name}=${value}`).join(' ')
  const key = `${file} ${label}`
  let found = made.get(key)
  if (!found) {
    const splice = Object.fromEntries(Object.entries(values).map(([name, value]) => [`const ${name} = ${defaults[name]}u;`, `const ${name} = ${value}u;`]))
    made.set(key, found = kernel(file, { buffers, params, splice, label }))
  }
  return found
}

const forwardParams = ['jobs', 'groups', 'tiles', 'outputs', 'channels', 'taps_y', 'parts', 'taps_x', 'height', 'width', 'row_tiles',
  'batch_stride', 'plane', 'row', 'next_part', 'stride_y', 'dilation_y', 'start',
  'height_out', 'width_out', 'first_y', 'step_y', 'first_x', 'step_x', 'has_bias']

/** The register-tiled kernel; `TM` vectors of output channels, `TN` pixels. */
export function directKernel(TM: number, TN: number): Kernel {
  return withConstants('conv2d.wgsl', ['x', 'w', 'bias', 'y'], forwardParams, { TM: 2, TN: 8 }, { TM, TN })
}

/** Multiplies pixels with weights taken from `w` as `from` says, and writes them (plus bias) to `to.out`. */
export function convolve(to: Product, w: Tensor, from: Packing): void {
  const { lines, batch, tapsY, tapsX, start, pixels, out, first, step, bias } = to
  const { groups, outputs, channels } = from
  const TM = outputs <= 4 ? 1 : 2
  const TN = pixels[1] <= 4 ? 4 : 8
  const packed = pack(w, from, tapsY.count, tapsX.parts, tapsX.shared, 4 * TM)
  const tiles = Math.ceil(outputs / (4 * TM)), rowTiles = Math.ceil(pixels[1] / TN)
  const jobs = batch * pixels[0] * rowTiles
  launch(directKernel(TM, TN), { x: lines.data, w: packed, bias: bias ?? packed, y: out }, {
    jobs, groups, tiles, outputs, channels, taps_y: tapsY.count, parts: tapsX.parts, taps_x: tapsX.shared, height: pixels[0], width: pixels[1], row_tiles: rowTiles,
    batch_stride: groups * channels * lines.plane, plane: lines.plane, row: lines.row, next_part: lines.nextPart,
    stride_y: tapsY.stride, dilation_y: tapsY.dilation, start: start[0] * lines.row + start[1],
    height_out: out.shape[2], width_out: out.shape[3], first_y: first[0], step_y: step[0], first_x: first[1], step_x: step[1], has_bias: bias ? 1 : 0,
  }, grid(groups * tiles * Math.ceil(jobs / 64)), { flops: 2 * batch * pixels[0] * pixels[1] * groups * outputs * channels * tapsY.count * tapsX.count })
}

const weightParams = ['jobs', 'shares', 'share', 'lines', 'groups', 'tiles', 'outputs', 'channel_tiles', 'channels', 'taps_y', 'parts', 'kernel_x',
  'step_tap', 'height', 'width', 'batch_stride', 'plane', 'row', 'next_part', 'stride_y', 'dilation_y']

/** The register-tiled kernel of the weight gradient; see its file for the constants. */
export function directWeightKernel(TM: number, TC: number, TAPS: number): Kernel {
  return withConstants('conv2d_weight.wgsl', ['x', 'dy', 'dw'], weightParams, { TM: 2, TC: 4, TAPS: 3 }, { TM, TC, TAPS })
}

/** Gradient to the weight [groups * outputs, channels, kernel y, kernel x] from what the forward pass read and `dy`. */
export function convolveWeight(lines: Lines, dy: Tensor, groups: number, shape: readonly number[], tapsY: Taps, tapsX: Taps): Tensor {
  const [batch, , height, width] = dy.shape
  const outputs = shape[0] / groups, channels = shape[1]
  const TM = 2, TC = channels === 1 ? 1 : tapsX.shared === 1 ? 8 : tapsX.shared <= 3 ? 4 : 2
  const tiles = Math.ceil(outputs / (4 * TM)), channelTiles = Math.ceil(channels / TC)
  const count = batch * height                                  // rows to share out
  const perShare = groups * tiles * channelTiles * tapsY.count * tapsX.parts
  // Enough invocations for every core, and sums of at most some thousand terms, which keeps float32 exact enough.
  const shares = Math.min(count, Math.max(Math.ceil(1024 / perShare), Math.ceil(count * width / 4096)))
  const share = Math.ceil(count / shares), used = Math.ceil(count / share)
  const jobs = perShare * used
  const parts = empty([used, ...shape])
  launch(directWeightKernel(TM, TC, tapsX.shared), { x: lines.data, dy, dw: parts }, {
    jobs, shares: used, share, lines: count, groups, tiles, outputs, channel_tiles: channelTiles, channels, taps_y: tapsY.count, parts: tapsX.parts,
    kernel_x: tapsX.count, step_tap: tapsX.sharedTap, height, width,
    batch_stride: groups * channels * lines.plane, plane: lines.plane, row: lines.row, next_part: lines.nextPart,
    stride_y: tapsY.stride, dilation_y: tapsY.dilation,
  }, grid(Math.ceil(jobs / 64)), { flops: 2 * dy.size * channels * tapsY.count * tapsX.count })
  return reduceShares(parts, shape)
}

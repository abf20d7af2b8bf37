// Inputs and weights of a convolution in the order in which its kernels read them: images with their padding, columns
// sorted by their remainder modulo the stride; weights as tiles of output channels.
import { kernel, type Kernel } from '../../gpu/kernel.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'

const padKernel = kernel('conv2d/layout.wgsl', {
  entry: 'pad',
  buffers: ['x', 'out'],
  params: ['size', 'rows_in', 'columns_in', 'rows', 'columns', 'parts', 'next_part', 'stride', 'top', 'left'],
})
const blockKernel = kernel('conv2d/layout.wgsl', {
  entry: 'blocks_of_weights',
  buffers: ['w', 'blocks'],
  params: [
    'size',
    'tile',
    'tiles',
    'outputs',
    'channels',
    'taps_y',
    'parts',
    'taps_x',
    'group_stride',
    'output_stride',
    'channel_stride',
    'width',
    'first_y',
    'step_y',
    'first_x',
    'step_part',
    'step_x',
  ],
})

/**
 * An image in reading order: element (plane, row, part, column) is at plane * `plane` + row * `row` + part * `nextPart`
 * + column.
 */
export interface PaddedInput {
  data: Tensor
  plane: number
  row: number
  nextPart: number
}

/**
 * Taps along one axis: `count` of them, at a distance of `dilation`, on inputs at a distance of `stride`.
 * Horizontally they come in `parts` groups of `shared` taps that read neighbouring columns of the sorted image: tap =
 * part + v * `sharedTap`.
 */
export interface Taps {
  count: number
  stride: number
  dilation: number
  parts: number
  shared: number
  sharedTap: number
}

const mostShared = 8

/** How the taps of one axis are grouped; see `Taps`. */
export function tapsOf(count: number, stride: number, dilation: number): Taps {
  const shared = Math.ceil(count / stride)
  if (dilation > 1 || shared > mostShared) return { count, stride, dilation, parts: count, shared: 1, sharedTap: 0 }
  return { count, stride, dilation, parts: Math.min(stride, count), shared, sharedTap: stride }
}

/**
 * The image [batch, channels, height, width] with `padding` before its first row and column (negative crops), as far as
 * `out` pixels of a convolution read it, its columns sorted for horizontal strides. The image itself where that will
 * do.
 */
export function paddedInput(
  x: Tensor,
  padding: readonly [number, number],
  out: readonly [number, number],
  tapsY: Taps,
  tapsX: Taps,
): PaddedInput {
  const [batch, channels, height, width] = x.shape
  const rows = (out[0] - 1) * tapsY.stride + (tapsY.count - 1) * tapsY.dilation + 1
  const { stride, dilation, shared } = tapsX
  const sorted = stride > 1
  const columns = out[1] + shared - 1 + (sorted ? 0 : (tapsX.parts - 1) * dilation)
  if (!sorted && padding[0] === 0 && padding[1] === 0 && rows <= height && columns <= width) {
    return { data: x, plane: height * width, row: width, nextPart: dilation }
  }
  const parts = sorted ? tapsX.parts : 1, wide = Math.ceil(columns / 4) * 4
  const data = empty([batch, channels, rows, parts, wide])
  launch(padKernel, { x, out: data }, {
    size: data.size,
    rows_in: height,
    columns_in: width,
    rows,
    columns: wide,
    parts,
    next_part: dilation,
    stride,
    top: padding[0],
    left: padding[1],
  }, grid(Math.ceil(data.size / 256)))
  return { data, plane: rows * parts * wide, row: parts * wide, nextPart: sorted ? wide : dilation }
}

/** An image and the distances in it: of images, rows, columns and channels. */
export interface StridedInput {
  data: Tensor
  image: number
  row: number
  column: number
  channel: number
}

/** Images that a convolution reads, laid as a kernel wants them at first use, once for all that read the same ones. */
export interface Images {
  /** The images as they are, and the rows and columns of zeros before the first (negative: left out). */
  plain: { x: Tensor, padding: readonly [number, number] }
  /** Channel by channel, columns sorted for horizontal strides. */
  planes(): PaddedInput
  /** Channels side by side, columns as they are. */
  channelsLast(): StridedInput
  /** As `channelsLast`, each block of so many channels as an image of its own: what is read of it is one stream. */
  channelBlocks(size: number): StridedInput
  /** The given ones as they stand; null where they want padding. */
  inPlace(): StridedInput | null
}

const lastKernels = {
  quads: lastKernel(true),
  entries: lastKernel(false),
}

function lastKernel(quads: boolean): Kernel {
  return kernel('conv2d/channels-last.wgsl', {
    buffers: ['x', 'out'],
    params: ['size', 'channels', 'height_in', 'width_in', 'rows', 'columns', 'top', 'left'],
    splice: {
      '/*element*/f32': quads ? 'vec4f' : 'f32',
      '/*unit*/1u': quads ? '4u' : '1u',
      '/*pixel*/x[s]': quads ? 'vec4f(x[s], x[s + plane], x[s + 2u * plane], x[s + 3u * plane])' : 'x[s]',
    },
    label: quads ? '' : 'unaligned',
  })
}

/**
 * Images of x [batch, channels, height, width] with `padding` before the first row and column (negative crops), as
 * `planes` has them or, with channels side by side, `rows` by `columns` of them.
 */
export function imagesOf(
  x: Tensor,
  padding: readonly [number, number],
  [rows, columns]: readonly [number, number],
  planes: () => PaddedInput,
): Images {
  let first: PaddedInput | null = null, last: StridedInput | null = null
  const [batch, channels, height, width] = x.shape
  const fits = padding.every((n) => n === 0) && rows <= height && columns <= width
  return {
    plain: { x, padding },
    planes: () => first ??= planes(),
    channelsLast: () => last ??= channelsLast(x, padding, rows, columns),
    channelBlocks: (size) =>
      channelsLast(x.view([batch * channels / size, size, height, width]), padding, rows, columns),
    inPlace: () =>
      fits ? { data: x, image: channels * height * width, row: width, column: 1, channel: height * width } : null,
  }
}

function channelsLast(
  x: Tensor,
  [top, left]: readonly [number, number],
  rows: number,
  columns: number,
): StridedInput {
  const [batch, channels, height_in, width_in] = x.shape, quads = channels % 4 === 0
  const data = empty([batch, rows, columns, channels]), size = batch * rows * channels / (quads ? 4 : 1)
  launch(
    lastKernels[quads ? 'quads' : 'entries'],
    { x, out: data },
    { size, channels, height_in, width_in, rows, columns, top, left },
    grid(Math.ceil(size / 64)),
  )
  return { data, image: rows * columns * channels, row: columns * channels, column: channels, channel: 1 }
}

/**
 * Where each weight of a block comes from; outputs and channels are those of the product, whichever way it goes
 * through the layer.
 */
export interface WeightOrder {
  groups: number
  outputs: number
  channels: number
  groupStride: number
  outputStride: number
  channelStride: number
  width: number
  firstY: number
  stepY: number
  firstX: number
  stepPart: number
  stepX: number
}

/** Weights as [groups, tiles, channels, taps y, parts, shared taps, tile], zero beyond the last output and tap. */
export function blockWeights(
  w: Tensor,
  from: WeightOrder,
  tapsY: number,
  parts: number,
  shared: number,
  tile: number,
): Tensor {
  const tiles = Math.ceil(from.outputs / tile)
  const blocks = empty([from.groups, tiles, from.channels, tapsY, parts, shared, tile])
  launch(blockKernel, { w, blocks }, {
    size: from.groups * tiles * from.channels,
    tile,
    tiles,
    outputs: from.outputs,
    channels: from.channels,
    taps_y: tapsY,
    parts,
    taps_x: shared,
    group_stride: from.groupStride,
    output_stride: from.outputStride,
    channel_stride: from.channelStride,
    width: from.width,
    first_y: from.firstY,
    step_y: from.stepY,
    first_x: from.firstX,
    step_part: from.stepPart,
    step_x: from.stepX,
  }, grid(Math.ceil(from.groups * tiles * from.channels / 64)))
  return blocks
}

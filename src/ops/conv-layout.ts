// Inputs and weights of a convolution in the order in which its kernels read them: images with their padding, columns sorted
// by their remainder modulo the stride; weights as tiles of output channels.
import { kernel } from '../gpu/kernel.ts'
import { grid, launch } from '../launch.ts'
import { empty, type Tensor } from '../tensor.ts'

const padKernel = kernel('conv2d_layout.wgsl', { entry: 'pad', buffers: ['x', 'out'],
  params: ['size', 'rows_in', 'columns_in', 'rows', 'columns', 'parts', 'top', 'left'] })
const packKernel = kernel('conv2d_layout.wgsl', { entry: 'pack', buffers: ['w', 'packed'],
  params: ['size', 'tile', 'tiles', 'outputs', 'channels', 'taps_y', 'parts', 'taps_x', 'group_stride', 'output_stride', 'channel_stride',
    'width', 'first_y', 'step_y', 'first_x', 'step_part', 'step_x'] })

/** An image in reading order: element (plane, row, column) is at plane * `plane` + row * `row` + (column % parts) * `part` + column / parts. */
export interface Lines { data: Tensor, plane: number, row: number, part: number }

/**
 * Taps along one axis: `count` of them, `dilation` apart, on inputs `stride` apart. Horizontally, taps that land on neighbouring
 * columns (after sorting by the stride) share their loads: `parts` groups of `shared` taps; tap = part * `partTap` + v * `sharedTap`.
 */
export interface Taps { count: number, stride: number, dilation: number, parts: number, shared: number, partTap: number, sharedTap: number }

const mostShared = 8

/** How the taps of one axis are grouped; see `Taps`. */
export function tapsOf(count: number, stride: number, dilation: number): Taps {
  const shared = Math.ceil(count / stride)
  if (dilation === 1 && shared <= mostShared) {
    const parts = Math.min(stride, count)
    return { count, stride, dilation, parts, shared, partTap: 1, sharedTap: stride }
  }
  return { count, stride, dilation, parts: count, shared: 1, partTap: 1, sharedTap: 0 }
}

/** Column offset of the furthest read from a pixel, in sorted columns. */
function reach({ parts, shared, dilation, stride }: Taps): number {
  return Math.floor((parts - 1) * dilation / stride) + shared - 1
}

/**
 * The image [batch, channels, height, width] with `padding` before its first row and column (negative crops), as far as `out`
 * pixels of a convolution read it. The image itself, without a copy, where it will do.
 */
export function lines(x: Tensor, padding: readonly [number, number], out: readonly [number, number], tapsY: Taps, tapsX: Taps): Lines {
  const [batch, channels, height, width] = x.shape
  const rows = (out[0] - 1) * tapsY.stride + (tapsY.count - 1) * tapsY.dilation + 1
  const columns = out[1] + reach(tapsX)
  const { stride } = tapsX
  if (stride === 1 && padding[0] === 0 && padding[1] === 0 && rows <= height && columns <= width) {
    return { data: x, plane: height * width, row: width, part: 0 }
  }
  const wide = Math.ceil(columns / 4) * 4
  const data = empty([batch, channels, rows, stride, wide])
  launch(padKernel, { x, out: data }, { size: data.size, rows_in: height, columns_in: width, rows, columns: wide, parts: stride,
    top: padding[0], left: padding[1] }, grid(Math.ceil(data.size / 256)))
  return { data, plane: rows * stride * wide, row: stride * wide, part: wide }
}

/** Where each packed weight comes from; outputs and channels are those of the product, whichever way it goes through the layer. */
export interface Packing {
  groups: number, outputs: number, channels: number
  groupStride: number, outputStride: number, channelStride: number, width: number
  firstY: number, stepY: number, firstX: number, stepPart: number, stepX: number
}

/** Weights as [groups, tiles, channels, taps y, parts, shared taps, tile], zero beyond the last output and tap. */
export function pack(w: Tensor, from: Packing, tapsY: number, parts: number, shared: number, tile: number): Tensor {
  const tiles = Math.ceil(from.outputs / tile)
  const packed = empty([from.groups, tiles, from.channels, tapsY, parts, shared, tile])
  launch(packKernel, { w, packed }, { size: packed.size, tile, tiles, outputs: from.outputs, channels: from.channels, taps_y: tapsY, parts, taps_x: shared,
    group_stride: from.groupStride, output_stride: from.outputStride, channel_stride: from.channelStride, width: from.width,
    first_y: from.firstY, step_y: from.stepY, first_x: from.firstX, step_part: from.stepPart, step_x: from.stepX }, grid(Math.ceil(packed.size / 64)))
  return packed
}

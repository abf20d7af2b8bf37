// Convolutions with packed weights, launched: the sparse products with windows of images for rows, which are taken from
// the image as they are laid in workgroup memory; the way back to the image adds windows up; the gradient to the kept
// values unfolds a few thousand windows at a time.
import { InputError } from '../base/errors.ts'
import { zeros } from '../core/fill.ts'
import { grid, launch } from '../core/launch.ts'
import { empty, type Tensor } from '../core/tensor.ts'
import { type PaddedInput, paddedInput, tapsOf } from '../ops/conv2d/layout.ts'
import type { Windows } from '../ops/conv2d/non-overlapping.ts'
import { tapOffsets } from '../ops/conv2d/offsets.ts'
import { add } from '../ops/elementwise.ts'
import { whole } from '../ops/matmul/kernels.ts'
import { foldKernel, pixelRows, unfoldKernel } from './kernels.ts'
import { forwardSide, type PackedTensors, type Packing, type Side, turnedSide } from './packing.ts'
import { gradientsOf, multiplyRows, turn } from './product.ts'

/** Windows of images as rows: where they begin, and how far each of their steps is from the first. */
interface WindowRows {
  data: Tensor
  taps: Tensor
  /** How many windows there are, and how many steps each has. */
  M: number
  K: number
  sizes: { pixels: number, width: number, batch_stride: number, row_stride: number }
}

const one = tapsOf(1, 1, 1)

/** The windows of x [batch, channels, height, width]. */
function windowRows(x: Tensor, { kernel, stride, padding, dilation, out }: Windows): WindowRows {
  const tapsY = tapsOf(kernel[0], stride[0], dilation[0]), tapsX = tapsOf(kernel[1], stride[1], dilation[1])
  const input = paddedInput(x, padding, [out[2], out[3]], tapsY, tapsX)
  return rowsOf(input, x.shape[1], tapOffsets(input, x.shape[1], tapsY, tapsX), out, tapsY.stride)
}

/** The pixels of an image [batch, channels, height, width]: windows of one, of which every channel is a step. */
function pixelsOf(image: Tensor): WindowRows {
  const [, channels, height, width] = image.shape
  const input = { data: image, plane: height * width, row: width, nextPart: 1 }
  return rowsOf(input, channels, tapOffsets(input, channels, one, one), image.shape, 1)
}

function rowsOf(
  { data, plane, row }: PaddedInput,
  channels: number,
  taps: Tensor,
  [batch, , height, width]: readonly number[],
  stride: number,
): WindowRows {
  const sizes = { pixels: height * width, width, batch_stride: channels * plane, row_stride: stride * row }
  return { data, taps, M: batch * height * width, K: taps.shape[0], sizes }
}

/** Windows times the transpose of what a side describes, into images `out`. */
function multiply(
  { data, taps, M, sizes }: WindowRows,
  values: Tensor,
  index: PackedTensors['index'],
  side: Side,
  { pattern: { name }, slots }: Packing,
  out: Tensor,
  bias: Tensor | null,
): void {
  const buffers = { x: data, values, bias: bias ?? data, taps, out, ...index }
  multiplyRows(pixelRows(whole(sizes.pixels)), buffers, sizes, side, { name, slots }, M, bias ? { BIAS: 1 } : {})
}

/** y [batch, N, height, width] of x, a packed weight and an optional bias. */
export function convolveForward(
  x: Tensor,
  { values, index }: PackedTensors,
  packing: Packing,
  bias: Tensor | null,
  at: Windows,
): Tensor {
  if (packing.pattern.walk.wgsl.trim() === '') {
    throw new InputError(
      `sparse-conv2d: the walk of pattern ${packing.pattern.name} has no WGSL, which a convolution takes; give it, its `
        + 'kernels multiply matrices',
    )
  }
  const y = empty(at.out)
  multiply(windowRows(x, at), values, index, forwardSide(packing), packing, y, bias)
  return y
}

/** The gradient to the input of `shape`: that of every window, then their sum. */
export function convolveInput(
  dy: Tensor,
  { values, lists }: PackedTensors,
  packing: Packing,
  shape: readonly number[],
  { kernel, stride, padding, dilation, out: [batch, , rows, width] }: Windows,
): Tensor {
  const columns = empty([batch, packing.shape[1], rows, width]), turned = turn(values, lists.turned_slot, packing)
  const places = { row_start: lists.turned_start, tile_column: lists.turned_column }
  multiply(pixelsOf(dy), turned, places, turnedSide(packing), packing, columns, null)
  turned.dispose()
  const isPlain = [...kernel, ...stride].every((n) => n === 1) && padding[0] === 0 && padding[1] === 0
  if (isPlain) return columns.view(shape)
  const dx = empty(shape), lines = shape[0] * shape[1] * shape[2]
  launch(
    foldKernel,
    { columns, out: dx },
    {
      size: lines,
      height: shape[2],
      width: shape[3],
      kernel_y: kernel[0],
      kernel_x: kernel[1],
      rows,
      width_out: width,
      stride_y: stride[0],
      stride_x: stride[1],
      padding_y: padding[0],
      padding_x: padding[1],
      dilation_y: dilation[0],
      dilation_x: dilation[1],
    },
    grid(Math.ceil(lines / 64)),
  )
  columns.dispose()
  return dx
}

/** Windows that are unfolded at once: more would be added up in one sum than keep float32 exact enough. */
export const mostWindows = 4096

/** The gradient to the kept values. */
export function convolveValues(
  dy: Tensor,
  x: Tensor,
  { values, lists }: PackedTensors,
  packing: Packing,
  at: Windows,
): Tensor {
  if (packing.slots === 0) return zeros(values.shape)
  const windows = windowRows(x, at), gradients = pixelsOf(dy), { M } = windows
  const splits = Math.ceil(M / mostWindows), each = Math.ceil(M / splits / 4) * 4, parts: Tensor[] = []
  for (let first = 0; first < M; first += each) {
    const rows = Math.min(each, M - first), out = empty(values.shape)
    gradientsOf(
      {
        dy: (strip, height, count) => unfold(gradients, first, rows, strip, height, count),
        x: (strip, height, count) => unfold(windows, first, rows, strip, height, count),
      },
      out,
      lists,
      packing,
      rows,
    )
    parts.push(out)
  }
  return parts.reduce((sum, part) => {
    const both = add(sum, part)
    sum.dispose()
    part.dispose()
    return both
  })
}

/** Windows `first` to `first + rows` - 1 as strips. */
function unfold(
  { data, taps, K, sizes }: WindowRows,
  first: number,
  rows: number,
  STRIP: number,
  height: number,
  strips: number,
): Tensor {
  const out = empty([strips, height, STRIP])
  launch(
    unfoldKernel,
    { x: data, taps, out },
    { first, rows, K, height, strips, ...sizes },
    grid(Math.ceil(height / 64) * strips),
    { overrides: { STRIP } },
  )
  return out
}

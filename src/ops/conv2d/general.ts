// Convolution of any kind, as pixels times weights and pixels times gradients (variants.ts). Forward and gradient to
// the input are one kind of product: the gradient reads dy with the taps of the kernel in reverse, once for every
// position modulo the stride.
import { zeros } from '../../core/fill.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import type { Finish } from './finish.ts'
import { imagesOf, paddedInput, tapsOf, type Taps } from './layout.ts'
import type { Windows } from './non-overlapping.ts'
import { convolve, convolveWeight } from './variants.ts'

/** y [N, O, H', W'] of x, w and an optional bias, finished. */
export function generalForward(
  x: Tensor,
  w: Tensor,
  b: Tensor | null,
  at: Windows,
  finish: Finish | null = null,
): Tensor {
  const { out: shape, groups } = at, out = empty(shape), pixels = [shape[2], shape[3]] as const
  const read = windowsRead(x, at), [, channels, kh, kw] = w.shape, outputs = shape[1] / groups
  convolve({
    to: {
      ...read,
      batch: shape[0],
      start: [0, 0],
      pixels,
      out,
      first: [0, 0],
      step: [1, 1],
      bias: b,
      finish,
    },
    w,
    order: {
      groups,
      outputs,
      channels,
      groupStride: outputs * channels * kh * kw,
      outputStride: channels * kh * kw,
      channelStride: kh * kw,
      width: kw,
      firstY: 0,
      stepY: 1,
      firstX: 0,
      stepPart: 1,
      stepX: read.tapsX.sharedTap,
    },
  })
  return out
}

/** The images and taps that windows read. */
function windowsRead(x: Tensor, { out: [, , height, width], kernel, stride, padding, dilation }: Windows) {
  const [tapsY, tapsX] = [0, 1].map((axis) => tapsOf(kernel[axis], stride[axis], dilation[axis]))
  const reach = (windows: number, axis: number) =>
    (windows - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1
  const size = [reach(height, 0), reach(width, 1)] as const
  return {
    images: imagesOf(x, padding, size, () => paddedInput(x, padding, [height, width], tapsY, tapsX)),
    tapsY,
    tapsX,
  }
}

/** Gradient to the weight of `shape`. */
export const generalWeight = (x: Tensor, dy: Tensor, shape: readonly number[], at: Windows): Tensor =>
  convolveWeight({ ...windowsRead(x, at), dy, groups: at.groups, shape })

/** Gradient to the input of `shape`. */
export function generalInput(dy: Tensor, w: Tensor, shape: readonly number[], at: Windows): Tensor {
  const { stride, padding, dilation, groups, kernel } = at
  const outputs = shape[1] / groups, channels = dy.shape[1] / groups, [, , kh, kw] = w.shape
  const from = { groups, channels, groupStride: channels * outputs * kh * kw, channelStride: outputs * kh * kw }
  const target = { batch: dy.shape[0], bias: null, finish: null }
  const one = tapsOf(1, 1, 1)
  const rows = phases(shape[2], kernel[0], stride[0], padding[0], dilation[0]),
    columns = phases(shape[3], kernel[1], stride[1], padding[1], dilation[1])
  const out = [...rows, ...columns].some(({ taps }) => taps === null) ? zeros(shape) : empty(shape)
  const pad = [rows, columns].map((list) => Math.max(...list.map(({ start }) => -start))) as [number, number]
  // One padded copy of dy serves all phases: as long as the furthest read of any.
  const furthest = (list: Phase[]) =>
    Math.max(...list.map(({ start, count, taps }) => (taps ? start + count + (taps.count - 1) * taps.dilation : 1)))
  const size = [furthest(rows) + pad[0], furthest(columns) + pad[1]] as const
  const shared = imagesOf(dy, pad, size, () => paddedInput(dy, pad, size, one, one))
  for (const y of rows) {
    for (const x of columns) {
      if (!y.taps || !x.taps) continue
      const nextPart = x.taps.dilation
      convolve({
        to: {
          ...target,
          images: { ...shared, planes: () => ({ ...shared.planes(), nextPart }) },
          tapsY: y.taps,
          tapsX: x.taps,
          start: [y.start + pad[0], x.start + pad[1]],
          pixels: [y.count, x.count],
          out,
          first: [y.first, x.first],
          step: stride,
        },
        w,
        order: {
          ...from,
          outputs,
          outputStride: kh * kw,
          width: kw,
          firstY: y.firstTap,
          stepY: -y.tapStep,
          firstX: x.firstTap,
          stepPart: -x.tapStep,
          stepX: -x.tapStep * x.taps.sharedTap,
        },
      })
    }
  }
  return out
}

/**
 * Positions first, first + stride, ... of an axis of the image: `count` of them. Position first + stride t gets
 * contributions from dy at t + start, t + start + dilation, ... through taps firstTap, firstTap - tapStep, ...; `taps`
 * is null where no tap meets it.
 */
interface Phase {
  first: number
  count: number
  start: number
  taps: Taps | null
  firstTap: number
  tapStep: number
}

function phases(size: number, kernel: number, stride: number, padding: number, dilation: number): Phase[] {
  return Array.from({ length: Math.min(stride, size) }, (_, first) => {
    // Tap v moves dy[j] to j stride - padding + v dilation, so taps that meet this phase leave no remainder.
    const met = Array.from({ length: kernel }, (_, v) => v).filter((v) =>
      (first + padding - v * dilation) % stride === 0
    )
    const count = Math.ceil((size - first) / stride)
    if (met.length === 0) return { first, count, start: 0, taps: null, firstTap: 0, tapStep: 0 }
    const firstTap = met[met.length - 1], tapStep = met.length > 1 ? met[1] - met[0] : 0
    const taps = tapsOf(met.length, 1, tapStep * dilation / stride || 1)
    return { first, count, start: (first + padding - firstTap * dilation) / stride, taps, firstTap, tapStep }
  })
}

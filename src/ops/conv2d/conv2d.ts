// Convolution of images, with stride, padding, dilation and groups. Forward and gradient to the input are one kind of
// product: the gradient reads dy with the taps of the kernel in reverse, once for every position modulo the stride.
import type { Mapping } from '../../core/axes.ts'
import { ShapeError } from '../../base/errors.ts'
import { zeros } from '../../core/fill.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { nonOverlappingForward, nonOverlappingInput, nonOverlappingWeight, type Windows,
  doNotOverlap } from './non-overlapping.ts'
import { paddedInput, tapsOf, type Taps } from './layout.ts'
import { convolve, convolveWeight } from './variants.ts'
import { depthwiseForward, depthwiseInput, depthwiseWeight } from './depthwise-kernels.ts'
import { op } from '../../core/op.ts'
import { channelSum } from '../shared/split-sum.ts'
import { pair, type Pair, windowsAlong } from '../shared/windows.ts'

/** Attributes of a convolution: one number for both axes or [y, x]; PyTorch's defaults (1, 0, 1, 1). */
export interface ConvAttrs {
  stride?: Pair
  padding?: Pair
  dilation?: Pair
  groups?: number
}

/**
 * y[n,o,i,j] = b[o] + sum over c, u, v of x[n, g C + c, i s - p + u d, j s - p + v d] w[o,c,u,v], g the group of o,
 * zero outside. x [N, G C, H, W], w [O, C, kh, kw], b [O] or null -> y [N, O, H', W'], H' = floor((H + 2p - d (kh - 1)
 * - 1) / s) + 1.
 * @throws ShapeError if channels, groups or the bias do not fit, or the window is larger than the padded image.
 */
export const conv2d = op({
  name: 'conv2d',
  roles: ['convolution'],
  weight: 1,
  bias: 2,
  axes: conv2dAxes,
  zero: ['keeps', 'keeps', 'breaks'],
  run(x: Tensor, w: Tensor, b: Tensor | null, attrs: ConvAttrs): Tensor {
    const found = geometry(x.shape, w.shape, b?.shape ?? null, attrs)
    const { out: shape, kernel, stride, padding, dilation, groups } = found
    if (isDepthwise(w.shape, groups)) return depthwiseForward(x, w, b, shape, found)
    if (doNotOverlap(found)) return nonOverlappingForward(x, w, b, found)
    const out = empty(shape), pixels = [shape[2], shape[3]] as const
    const tapsY = tapsOf(kernel[0], stride[0], dilation[0]), tapsX = tapsOf(kernel[1], stride[1], dilation[1])
    const [, channels, kh, kw] = w.shape, outputs = shape[1] / groups
    convolve({
      to: {
        input: paddedInput(x, padding, pixels, tapsY, tapsX),
        batch: shape[0],
        tapsY,
        tapsX,
        start: [0, 0],
        pixels,
        out,
        first: [0, 0],
        step: [1, 1],
        bias: b,
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
        stepX: tapsX.sharedTap,
      },
    })
    return out
  },
  vjp({ args: [x, w, b], attrs, needs }, dy) {
    const found = geometry(x.shape, w.shape, b?.shape ?? null, attrs)
    return [
      needs[0] ? inputGradient(dy, w, x.shape, found) : null,
      needs[1] ? weightGradient(x, dy, w.shape, found) : null,
      needs[2] && b ? channelSum(dy) : null,
    ]
  },
  macs: ([, w], out) => out.size * w.size / w.shape[0],
})

function geometry(x: readonly number[], w: readonly number[], b: readonly number[] | null, attrs: ConvAttrs): Windows {
  const stride = pair('conv2d', 'stride', attrs.stride ?? 1, 1),
    padding = pair('conv2d', 'padding', attrs.padding ?? 0, 0)
  const dilation = pair('conv2d', 'dilation', attrs.dilation ?? 1, 1), groups = attrs.groups ?? 1
  if (x.length !== 4) {
    throw new ShapeError(`conv2d: x [${x}] has ${x.length} axes, expected 4: [batch, channels, height, width]`)
  }
  if (w.length !== 4) {
    throw new ShapeError(
      `conv2d: weight [${w}] has ${w.length} axes, expected 4: [outputs, channels / groups, height, width]`,
    )
  }
  if (!Number.isInteger(groups) || groups < 1 || w[0] % groups) {
    throw new ShapeError(
      `conv2d: groups is ${groups}, expected a whole number that divides the ${w[0]} outputs of weight [${w}]`,
    )
  }
  if (x[1] !== w[1] * groups) {
    throw new ShapeError(
      `conv2d: x [${x}] has ${x[1]} channels, weight [${w}] in ${groups} group${groups > 1 ? 's' : ''} takes ${
        w[1] * groups
      }; check the weight or groups`,
    )
  }
  if (b && (b.length !== 1 || b[0] !== w[0])) {
    throw new ShapeError(`conv2d: bias [${b}] does not fit weight [${w}]; expected [${w[0]}]`)
  }
  const out = [
    x[0],
    w[0],
    windowsAlong('conv2d', 'height', x[2], w[2], stride[0], padding[0], dilation[0]),
    windowsAlong('conv2d', 'width', x[3], w[3], stride[1], padding[1], dilation[1]),
  ]
  return { stride, padding, dilation, groups, kernel: [w[2], w[3]], out }
}

const isDepthwise = (w: readonly number[], groups: number) => w[1] === 1 && w[0] === groups

function weightGradient(x: Tensor, dy: Tensor, shape: readonly number[], found: Windows): Tensor {
  const { stride, padding, dilation, groups, kernel, out } = found
  if (isDepthwise(shape, groups)) return depthwiseWeight(x, dy, shape, found)
  const done = doNotOverlap(found) ? nonOverlappingWeight(x, dy, shape, found) : null
  if (done) return done
  const tapsY = tapsOf(kernel[0], stride[0], dilation[0]), tapsX = tapsOf(kernel[1], stride[1], dilation[1])
  const input = paddedInput(x, padding, [out[2], out[3]], tapsY, tapsX)
  return convolveWeight({ input, dy, groups, shape, tapsY, tapsX })
}

function inputGradient(dy: Tensor, w: Tensor, shape: readonly number[], found: Windows): Tensor {
  const { stride, padding, dilation, groups, kernel } = found
  if (isDepthwise(w.shape, groups)) return depthwiseInput(dy, w, shape, found)
  if (doNotOverlap(found)) return nonOverlappingInput(dy, w, shape, found)
  const outputs = shape[1] / groups, channels = dy.shape[1] / groups, [, , kh, kw] = w.shape
  const from = { groups, channels, groupStride: channels * outputs * kh * kw, channelStride: outputs * kh * kw }
  const target = { batch: dy.shape[0], bias: null }
  const one = tapsOf(1, 1, 1)
  const rows = phases(shape[2], kernel[0], stride[0], padding[0], dilation[0]),
    columns = phases(shape[3], kernel[1], stride[1], padding[1], dilation[1])
  const out = [...rows, ...columns].some(({ taps }) => taps === null) ? zeros(shape) : empty(shape)
  const pad = [rows, columns].map((list) => Math.max(...list.map(({ start }) => -start))) as [number, number]
  // One padded copy of dy serves all phases: as long as the furthest read of any.
  const furthest = (list: Phase[]) =>
    Math.max(...list.map(({ start, count, taps }) => (taps ? start + count + (taps.count - 1) * taps.dilation : 1)))
  const shared = paddedInput(dy, pad, [furthest(rows) + pad[0], furthest(columns) + pad[1]], one, one)
  for (const y of rows) {
    for (const x of columns) {
      if (!y.taps || !x.taps) continue
      convolve({
        to: {
          ...target,
          input: { ...shared, nextPart: x.taps.dilation },
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

/** Channels of every group are the same axis of the weight, so an index leaves all groups or none. */
function conv2dAxes(shapes: readonly (readonly number[] | null)[], out: readonly number[]): Mapping {
  const [x, w, b] = shapes as [readonly number[], readonly number[], readonly number[] | null | undefined]
  const groups = x[1] / w[1], outputs = w[0] / groups
  const place = (tensor: number, axis: number, offset = 0) => ({ tensor, axis, offset, stride: 1 })
  const links = [
    { a: place(0, 0), b: place(-1, 0), size: out[0] },
    { a: place(1, 0), b: place(-1, 1), size: out[1] },
    ...(b ? [{ a: place(2, 0), b: place(-1, 1), size: out[1] }] : []),
  ]
  if (groups > 1 && w[1] === 1 && outputs === 1) {
    return { links: [...links, { a: place(0, 1), b: place(1, 0), size: groups }] }
  }
  for (let g = 0; g < groups; g++) {
    links.push({ a: place(0, 1, g * w[1]), b: place(1, 1), size: w[1] })
    if (g > 0) links.push({ a: place(1, 0, g * outputs), b: place(1, 0), size: outputs })
  }
  return { links }
}

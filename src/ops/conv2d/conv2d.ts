// Convolution of images, with stride, padding, dilation and groups.
import { knownSizes, type OnnxValue } from '../../core/onnx-form.ts'
import type { Mapping } from '../../core/axes.ts'
import { ShapeError } from '../../base/errors.ts'
import type { Tensor } from '../../core/tensor.ts'
import type { Windows } from './non-overlapping.ts'
import { forward, passes } from './passes.ts'
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
  attrs: { stride: true, padding: true, dilation: true, groups: true },
  roles: ['convolution'],
  weight: 1,
  bias: 2,
  axes: conv2dAxes,
  zero: ['keeps', 'keeps', 'breaks'],
  run(x: Tensor, w: Tensor, b: Tensor | null, attrs: ConvAttrs): Tensor {
    const at = windowsOf('conv2d', x.shape, w.shape, b?.shape ?? null, attrs)
    return forward(x, w, b, at)
  },
  vjp({ args: [x, w, b], attrs, needs }, dy) {
    const at = windowsOf('conv2d', x.shape, w.shape, b?.shape ?? null, attrs)
    const work = { w: w.shape, at, values: x.size + dy.size }
    return [
      needs[0] ? passes({ pass: 'input', ...work }).input(dy, w, x.shape, at) : null,
      needs[1] ? passes({ pass: 'weight', ...work }).weight(x, dy, w.shape, at) : null,
      needs[2] && b ? channelSum(dy) : null,
    ]
  },
  onnx: ({ args, attrs }, graph) => graph.node('Conv', args, onnxConv(args[1], attrs)),
  macs: ([, w], out) => out.size * w.size / w.shape[0],
})

/** Attributes of an ONNX convolution with a weight [outputs, channels / groups, height, width]. */
export function onnxConv({ shape }: OnnxValue, { stride = 1, padding = 0, dilation = 1, groups = 1 }: ConvAttrs) {
  const [top, left] = pair('conv2d', 'padding', padding, 0)
  return {
    dilations: pair('conv2d', 'dilation', dilation, 1),
    group: groups,
    kernel_shape: knownSizes(shape.slice(2)),
    pads: [top, left, top, left],
    strides: pair('conv2d', 'stride', stride, 1),
  }
}

/**
 * The windows of a convolution of x with a weight of these shapes. @throws ShapeError, which names `op`, if something
 * does not fit.
 */
export function windowsOf(
  op: string,
  x: readonly number[],
  w: readonly number[],
  b: readonly number[] | null,
  attrs: ConvAttrs,
): Windows {
  const stride = pair(op, 'stride', attrs.stride ?? 1, 1),
    padding = pair(op, 'padding', attrs.padding ?? 0, 0)
  const dilation = pair(op, 'dilation', attrs.dilation ?? 1, 1), groups = attrs.groups ?? 1
  if (x.length !== 4) {
    throw new ShapeError(`${op}: x [${x}] has ${x.length} axes, expected 4: [batch, channels, height, width]`)
  }
  if (w.length !== 4) {
    throw new ShapeError(
      `${op}: weight [${w}] has ${w.length} axes, expected 4: [outputs, channels / groups, height, width]`,
    )
  }
  if (!Number.isInteger(groups) || groups < 1 || w[0] % groups) {
    throw new ShapeError(
      `${op}: groups is ${groups}, expected a whole number that divides the ${w[0]} outputs of weight [${w}]`,
    )
  }
  if (x[1] !== w[1] * groups) {
    throw new ShapeError(
      `${op}: x [${x}] has ${x[1]} channels, weight [${w}] in ${groups} group${groups > 1 ? 's' : ''} takes ${
        w[1] * groups
      }; check the weight or groups`,
    )
  }
  if (b && (b.length !== 1 || b[0] !== w[0])) {
    throw new ShapeError(`${op}: bias [${b}] does not fit weight [${w}]; expected [${w[0]}]`)
  }
  const out = [
    x[0],
    w[0],
    windowsAlong(op, 'height', x[2], w[2], stride[0], padding[0], dilation[0]),
    windowsAlong(op, 'width', x[3], w[3], stride[1], padding[1], dilation[1]),
  ]
  return { stride, padding, dilation, groups, kernel: [w[2], w[3]], out }
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

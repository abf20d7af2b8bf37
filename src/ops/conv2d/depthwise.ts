// Depthwise convolution: every channel with a kernel of its own.
import { ShapeError } from '../../base/errors.ts'
import type { Tensor } from '../../core/tensor.ts'
import { depthwiseForward, depthwiseInput, depthwiseWeight } from './depthwise-variants.ts'
import { op } from '../../core/op.ts'
import { onnxConv } from './conv2d.ts'
import { channelSum } from '../shared/split-sum.ts'
import { pair, type Pair, windowsAlong } from '../shared/windows.ts'

/** Attributes: one number for both axes or [y, x]; defaults 1, 0, 1. */
export interface DepthwiseAttrs {
  stride?: Pair
  padding?: Pair
  dilation?: Pair
}

/**
 * y[n,c,i,j] = b[c] + sum over u, v of x[n, c, i s - p + u d, j s - p + v d] w[c,0,u,v], zero outside.
 * x [N, C, H, W], w [C, 1, kh, kw], b [C] or null -> y [N, C, H', W'], H' = floor((H + 2p - d (kh - 1) - 1) / s) + 1.
 * @throws ShapeError if the channels differ or the window is larger than the padded image.
 */
export const depthwise = op({
  name: 'depthwise',
  attrs: { stride: true, padding: true, dilation: true },
  roles: ['convolution'],
  weight: 1,
  bias: 2,
  axes: 'n c . ., c . . ., c -> n c . .',
  zero: ['keeps', 'keeps', 'breaks'],
  run(x: Tensor, w: Tensor, b: Tensor | null, attrs: DepthwiseAttrs) {
    const { at, shape } = geometry(x.shape, w.shape, b?.shape ?? null, attrs)
    return depthwiseForward(x, w, b, shape, at)
  },
  vjp({ args: [x, w, b], attrs, needs }, dy) {
    const { at } = geometry(x.shape, w.shape, null, attrs)
    return [
      needs[0] ? depthwiseInput(dy, w, x.shape, at) : null,
      needs[1] ? depthwiseWeight(x, dy, w.shape, at) : null,
      needs[2] && b ? channelSum(dy) : null,
    ]
  },
  onnx: ({ args, attrs }, graph) =>
    graph.node('Conv', args, onnxConv(args[1], { ...attrs, groups: args[1].shape[0] as number })),
  macs: ([, w], out) => out.size * w.shape[2] * w.shape[3],
})

function geometry(x: readonly number[], w: readonly number[], b: readonly number[] | null, attrs: DepthwiseAttrs) {
  const stride = pair('depthwise', 'stride', attrs.stride ?? 1, 1),
    padding = pair('depthwise', 'padding', attrs.padding ?? 0, 0)
  const dilation = pair('depthwise', 'dilation', attrs.dilation ?? 1, 1)
  if (x.length !== 4) {
    throw new ShapeError(`depthwise: x [${x}] has ${x.length} axes, expected 4: [batch, channels, height, width]`)
  }
  if (w.length !== 4 || w[0] !== x[1] || w[1] !== 1) {
    throw new ShapeError(
      `depthwise: weight [${w}] does not fit x [${x}]; expected [${
        x[1]
      }, 1, height, width], a kernel for each channel (conv2d mixes channels)`,
    )
  }
  if (b && (b.length !== 1 || b[0] !== w[0])) {
    throw new ShapeError(`depthwise: bias [${b}] does not fit weight [${w}]; expected [${w[0]}]`)
  }
  const shape = [
    x[0],
    x[1],
    windowsAlong('depthwise', 'height', x[2], w[2], stride[0], padding[0], dilation[0]),
    windowsAlong('depthwise', 'width', x[3], w[3], stride[1], padding[1], dilation[1]),
  ]
  return { at: { stride, padding, dilation }, shape }
}

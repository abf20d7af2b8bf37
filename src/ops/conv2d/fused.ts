// Convolution with what follows it in a residual network, in one pass at inference.
import { linksOf } from '../../core/axes.ts'
import { op } from '../../core/op.ts'
import { activeTape } from '../../core/tape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { ShapeError } from '../../base/errors.ts'
import { batchNorm, type BatchNormAttrs, normFactors } from '../batchnorm.ts'
import { add, relu } from '../elementwise.ts'
import { opened } from '../matmul/linear.ts'
import { conv2d, type ConvAttrs, windowsOf } from './conv2d.ts'
import { forward } from './passes.ts'

/** A batch norm with given statistics: each [outputs]. */
export interface ConvNorm extends BatchNormAttrs {
  gain: Tensor
  bias: Tensor
  mean: Tensor
  variance: Tensor
}

/** What follows a convolution, in this order. */
export interface ConvFinish {
  norm?: ConvNorm | null
  /** Added, of the output's shape. */
  residual?: Tensor | null
  relu?: boolean
}

/**
 * relu(batchNorm(conv2d(x, w, b)) + residual), or as much of that as is asked for: in one pass where no tape records; a
 * tape records the plain ops, so that rules and gates see them. Digits differ in the last one at most.
 * @throws ShapeError as the plain ops do.
 */
export function conv2dFinished(
  x: Tensor,
  w: Tensor,
  b: Tensor | null,
  attrs: ConvAttrs,
  { norm = null, residual = null, relu: positive = false }: ConvFinish,
): Tensor {
  const { gain = null, bias = null, mean = null, variance = null, eps = 1e-5 } = norm ?? {}
  const all = { ...attrs, eps, relu: positive }
  if (activeTape()) return plain([x, w, b, gain, bias, mean, variance, residual], all)
  if (!norm && !residual && !positive) return conv2d(x, w, b, attrs)
  return finished(x, w, b, gain, bias, mean, variance, residual, all)
}

type FinishedAttrs = ConvAttrs & { eps?: number, relu?: boolean }

function plain(args: readonly (Tensor | null)[], { eps, relu: positive, ...attrs }: FinishedAttrs): Tensor {
  const [x, w, b, gain, bias, mean, variance, residual] = args
  let y = conv2d(x!, w!, b, attrs)
  if (gain) y = batchNorm(y, gain, bias!, mean!, variance!, { eps })
  checkResidual(residual, y.shape)
  if (residual) y = add(y, residual)
  return positive ? relu(y) : y
}

function checkResidual(residual: Tensor | null, out: readonly number[]): void {
  if (!residual || residual.shape.join() === out.join()) return
  throw new ShapeError(`conv2d+add: residual [${residual.shape}] must have the shape of the output [${out}]`)
}

const finished = op({
  name: 'conv2d+batch-norm+add+relu',
  attrs: { stride: true, padding: true, dilation: true, groups: true, eps: true, relu: true },
  axes: (shapes, out) => {
    const place = (tensor: number, axis: number) => ({ tensor, axis, offset: 0, stride: 1 })
    const { links } = linksOf(conv2d.op.axes, shapes.slice(0, 3), out, {})
    const norm = [3, 4, 5, 6].filter((i) => shapes[i]).map((i) => ({ size: out[1], a: place(i, 0), b: place(-1, 1) }))
    const residual = shapes[7] ? out.map((size, axis) => ({ size, a: place(7, axis), b: place(-1, axis) })) : []
    return { links: [...links, ...norm, ...residual] }
  },
  zero: Array.from({ length: 8 }, () => 'breaks' as const),
  run(
    x: Tensor,
    w: Tensor,
    b: Tensor | null,
    gain: Tensor | null,
    bias: Tensor | null,
    mean: Tensor | null,
    variance: Tensor | null,
    residual: Tensor | null,
    { eps = 1e-5, relu: positive = false, ...attrs }: FinishedAttrs,
  ) {
    const at = windowsOf('conv2d', x.shape, w.shape, b?.shape ?? null, attrs)
    checkResidual(residual, at.out)
    const factors = gain ? normFactors(at.out, { gain, bias: bias!, mean: mean!, variance: variance! }, eps) : null
    return forward(x, w, b, at, { factors, residual, relu: positive })
  },
  vjp: (call, dy) => opened(call, dy, (...args) => plain(args, call.attrs)),
  macs: ([, w], out) => out.size * w.size / w.shape[0],
})

// Batch norm over axis 1, with given statistics and with those of the batch.
import { ShapeError } from '../base/errors.ts'
import { sizeOf } from '../base/shape.ts'
import { kernel } from '../gpu/kernel.ts'
import { grid, launch } from '../core/launch.ts'
import { empty, type Tensor } from '../core/tensor.ts'
import { full } from '../core/fill.ts'
import { op } from '../core/op.ts'
import { add, mul, rsqrt, sub } from './elementwise.ts'

const params = ['batch', 'channels', 'size', 'splits', 'per_split', 'per_thread', 'eps', 'momentum']
const moments = kernel('batchnorm/forward.wgsl', { entry: 'moments', buffers: ['x', 'split_sums'], params })
const statistics = kernel('batchnorm/forward.wgsl', {
  entry: 'statistics',
  params,
  buffers: ['x', 'split_sums', 'gain', 'bias', 'mean', 'variance', 'saved', 'affine'],
})
const given = kernel('batchnorm/forward.wgsl', {
  entry: 'given',
  buffers: ['gain', 'bias', 'fixed_mean', 'fixed_variance', 'saved', 'affine'],
  params,
})
const apply = kernel('batchnorm/forward.wgsl', { entry: 'apply', buffers: ['x', 'factors', 'y'], params })

const gradParams = ['batch', 'channels', 'size', 'splits', 'per_split', 'per_thread']
const sums = kernel('batchnorm/gradient.wgsl', {
  entry: 'sums',
  buffers: ['x', 'dy', 'saved', 'split_sums'],
  params: gradParams,
})
const finish = kernel('batchnorm/gradient.wgsl', {
  entry: 'finish',
  buffers: ['saved', 'split_sums', 'gain', 'dgain', 'dbias', 'factors'],
  params: gradParams,
})
const constant = kernel('batchnorm/gradient.wgsl', {
  entry: 'constant',
  buffers: ['saved', 'gain', 'scale'],
  params: gradParams,
})
const applyGrad = kernel('batchnorm/gradient.wgsl', {
  entry: 'apply',
  buffers: ['x', 'dy', 'known', 'dx'],
  params: gradParams,
})

/** What is added to the variance before its root; default 1e-5. */
export interface BatchNormAttrs {
  eps?: number
}

/** `momentum` is the weight of the batch in the running statistics; default 0.1. */
export interface BatchNormTrainAttrs extends BatchNormAttrs {
  momentum?: number
}

/**
 * y = (x - mean) / sqrt(variance + eps) gain + bias with given statistics. x [N, C] or [N, C, ...], the rest [C].
 * Differentiable in x, gain and bias (Ioffe and Szegedy 2015, inference).
 * @throws ShapeError if x has no axis 1 or another argument is not [C].
 */
export const batchNorm = op({
  name: 'batch-norm',
  attrs: { eps: true },
  roles: ['normalization'],
  addends: [2],
  /** The bias minus the mean, normalised. */
  constant: ([, gain, bias, mean, variance], { eps = 1e-5 }) =>
    sub(bias, mul(mean, mul(gain, rsqrt(add(variance, full([], eps)))))),
  axes: batchNormAxes,
  zero: ['breaks', 'breaks', 'breaks', 'breaks', 'breaks'],
  run(x: Tensor, gain: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, { eps = 1e-5 }: BatchNormAttrs) {
    const sizes = sizesOf('batch-norm', x, { gain, bias, mean, variance })
    const { channels } = sizes
    const saved = empty([channels, 2])
    const affine = empty([channels, 2])
    const out = empty(x.shape)
    launch(given, { gain, bias, fixed_mean: mean, fixed_variance: variance, saved, affine }, {
      ...sizes,
      eps,
      momentum: 0,
    }, grid(Math.ceil(channels / 64)))
    launch(apply, { x, factors: affine, y: out }, { ...sizes, eps, momentum: 0 }, elements(sizes), {
      flops: 2 * x.size,
    })
    return { out, saved }
  },
  vjp({ args: [x, gain], saved: { saved }, needs }, dy) {
    const sizes = sizesOf('batch-norm', x, {})
    const parameters = needs[1] || needs[2] ? reduce(x, dy, saved, gain, sizes) : null
    return [
      needs[0] ? scaled(dy, saved, gain, sizes) : null,
      needs[1] ? parameters!.dgain : null,
      needs[2] ? parameters!.dbias : null,
      null,
      null,
    ]
  },
  onnx: ({ args, attrs: { eps = 1e-5 } }, graph) => graph.node('BatchNormalization', args, { epsilon: { float: eps } }),
  flops: ([x]) => 2 * x.size,
})

/**
 * The same with the mean and biased variance of x itself over every axis but the channel. Moves the running statistics
 * in place: running += momentum (batch - running), with the unbiased variance, as PyTorch does. A detached call holds
 * the batch's statistics constant in the backward pass.
 * @throws ShapeError as `batchNorm` does, and for one value per channel, which has no variance.
 */
export const batchNormTrain = op({
  name: 'batch-norm-train',
  attrs: { eps: true, momentum: true },
  roles: ['normalization'],
  addends: [2],
  axes: batchNormAxes,
  zero: ['breaks', 'breaks', 'breaks', 'breaks', 'breaks'],
  run(
    x: Tensor,
    gain: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    { eps = 1e-5, momentum = 0.1 }: BatchNormTrainAttrs,
  ) {
    const sizes = sizesOf('batch-norm-train', x, { gain, bias, mean, variance })
    const { channels, splits } = sizes
    if (x.size === channels) {
      throw new ShapeError(
        `batch-norm-train: x [${x.shape}] has one value per channel, expected at least two to take a variance of; `
          + 'use a larger batch or larger images, or hold the statistics (training: false)',
      )
    }
    const partial = empty([splits, channels, 2])
    const saved = empty([channels, 2])
    const affine = empty([channels, 2])
    const out = empty(x.shape)
    const all = { ...sizes, eps, momentum }
    launch(moments, { x, split_sums: partial }, all, grid(splits * channels), { flops: 3 * x.size })
    launch(
      statistics,
      { x, split_sums: partial, gain, bias, mean, variance, saved, affine },
      all,
      grid(Math.ceil(channels / 64)),
    )
    launch(apply, { x, factors: affine, y: out }, all, elements(sizes), { flops: 2 * x.size })
    return { out, saved }
  },
  vjp({ args: [x, gain], saved: { saved }, needs, detached }, dy) {
    const sizes = sizesOf('batch-norm-train', x, {})
    const parameters = needs[1] || needs[2] || (needs[0] && !detached) ? reduce(x, dy, saved, gain, sizes) : null
    let dx: Tensor | null = null
    if (needs[0] && detached) dx = scaled(dy, saved, gain, sizes)
    else if (needs[0]) {
      dx = empty(x.shape)
      launch(applyGrad, { x, dy, known: parameters!.factors, dx }, sizes, elements(sizes), { flops: 5 * x.size })
    }
    return [dx, needs[1] ? parameters!.dgain : null, needs[2] ? parameters!.dbias : null, null, null]
  },
  flops: ([x]) => 5 * x.size,
})

/**
 * Scale and shift of each channel of a tensor of this shape, [C, 2], from given statistics: what `batchNorm` multiplies
 * with and adds.
 * @throws ShapeError as `batchNorm` does.
 */
export function normFactors(
  shape: readonly number[],
  { gain, bias, mean, variance }: { gain: Tensor, bias: Tensor, mean: Tensor, variance: Tensor },
  eps: number,
): Tensor {
  const sizes = sizesOf('batch-norm', { shape, size: sizeOf(shape) }, { gain, bias, mean, variance })
  const saved = empty([sizes.channels, 2]), affine = empty([sizes.channels, 2])
  launch(given, { gain, bias, fixed_mean: mean, fixed_variance: variance, saved, affine }, {
    ...sizes,
    eps,
    momentum: 0,
  }, grid(Math.ceil(sizes.channels / 64)))
  return affine
}

// A type and not an interface, so that it serves as launch parameters.
type Sizes = { batch: number, channels: number, size: number, splits: number, per_split: number, per_thread: number }

function sizesOf(
  op: string,
  x: { readonly shape: readonly number[], readonly size: number },
  others: Record<string, Tensor>,
): Sizes {
  const { shape } = x
  if (shape.length < 2) throw new ShapeError(`${op}: x [${shape}] needs at least two axes, [batch, channels, ...]`)
  const [batch, channels] = shape
  for (const [name, { shape: other }] of Object.entries(others)) {
    if (other.length !== 1 || other[0] !== channels) {
      throw new ShapeError(
        `${op}: ${name} [${other}] does not fit x [${shape}]; expected one entry for each channel, [${channels}]`,
      )
    }
  }
  const size = x.size / (batch * channels)
  // Two stages, so that few channels with many pixels still make enough workgroups.
  const perSplit = Math.ceil(batch / Math.min(batch, Math.max(1, Math.floor(512 / channels))))
  return {
    batch,
    channels,
    size,
    splits: Math.ceil(batch / perSplit),
    per_split: perSplit,
    per_thread: size % 4 === 0 ? Math.min(4, size / 4) : 1,
  }
}

function elements({ batch, channels, size, per_thread: perThread }: Sizes) {
  return grid(
    Math.ceil((size % 4 === 0 ? batch * channels * Math.ceil(size / 4 / perThread) : batch * channels * size / 4) / 64),
  )
}

function reduce(x: Tensor, dy: Tensor, saved: Tensor, gain: Tensor, sizes: Sizes) {
  const { channels, splits } = sizes
  const partial = empty([splits, channels, 2])
  const dgain = empty([channels])
  const dbias = empty([channels])
  const factors = empty([channels, 4])
  launch(sums, { x, dy, saved, split_sums: partial }, sizes, grid(splits * channels), { flops: 4 * x.size })
  launch(finish, { saved, split_sums: partial, gain, dgain, dbias, factors }, sizes, grid(Math.ceil(channels / 64)))
  return { dgain, dbias, factors }
}

function scaled(dy: Tensor, saved: Tensor, gain: Tensor, sizes: Sizes): Tensor {
  const scale = empty([sizes.channels, 2]), dx = empty(dy.shape)
  launch(constant, { saved, gain, scale }, sizes, grid(Math.ceil(sizes.channels / 64)))
  launch(apply, { x: dy, factors: scale, y: dx }, { ...sizes, eps: 0, momentum: 0 }, elements(sizes), {
    flops: dy.size,
  })
  return dx
}

/** Axis 1 of x is the axis of every other argument. */
function batchNormAxes(shapes: readonly (readonly number[] | null)[], out: readonly number[]) {
  const place = (tensor: number, axis: number) => ({ tensor, axis, offset: 0, stride: 1 })
  return {
    links: [
      ...out.map((size, axis) => ({ a: place(0, axis), b: place(-1, axis), size })),
      ...shapes.slice(1).flatMap((shape, i) => (shape ? [{ a: place(0, 1), b: place(i + 1, 0), size: out[1] }] : [])),
    ],
  }
}

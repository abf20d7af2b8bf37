import { checkOptions } from '../base/options.ts'
import { full, zeros } from '../core/fill.ts'
import { batchNorm, batchNormTrain } from '../ops/batchnorm.ts'
import { layerNorm } from '../ops/layernorm.ts'
import type { Tensor } from '../core/tensor.ts'
import type { Context } from './context.ts'

/** Layer norm over the last axis, or over the last few if `width` lists them. gain, bias have that shape. */
export class LayerNorm {
  static readonly leaves = { gain: { role: 'gain' }, bias: { role: 'bias' } } as const
  gain: Tensor
  bias: Tensor
  readonly eps: number

  constructor(width: number | readonly number[], options: { eps?: number } = {}) {
    checkOptions('LayerNorm', options, { eps: true })
    const { eps = 1e-5 } = options
    const shape = typeof width === 'number' ? [width] : width
    this.gain = full(shape, 1, true)
    this.bias = zeros(shape, true)
    this.eps = eps
  }

  call(x: Tensor): Tensor {
    return layerNorm(x, this.gain, this.bias, { eps: this.eps })
  }
}

/**
 * Batch norm over axis 1. In training the batch's statistics normalise and move the running ones; else the running ones
 * normalise.
 */
export class BatchNorm {
  static readonly leaves = {
    gain: { role: 'gain' },
    bias: { role: 'bias' },
    mean: { trained: false },
    variance: { trained: false },
  } as const
  gain: Tensor
  bias: Tensor
  mean: Tensor
  variance: Tensor
  readonly eps: number
  readonly momentum: number

  constructor(channels: number, options: { eps?: number, momentum?: number } = {}) {
    checkOptions('BatchNorm', options, { eps: true, momentum: true })
    const { eps = 1e-5, momentum = 0.1 } = options
    this.gain = full([channels], 1, true)
    this.bias = zeros([channels], true)
    this.mean = zeros([channels], true)
    this.variance = full([channels], 1, true)
    this.eps = eps
    this.momentum = momentum
  }

  call(x: Tensor, { training = false }: Context = {}): Tensor {
    const { gain, bias, mean, variance, eps, momentum } = this
    return training
      ? batchNormTrain(x, gain, bias, mean, variance, { eps, momentum })
      : batchNorm(x, gain, bias, mean, variance, { eps })
  }
}

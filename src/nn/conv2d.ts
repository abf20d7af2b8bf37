import { checkOptions, type OptionKeys } from '../base/options.ts'
import { zeros } from '../core/fill.ts'
import { depthwise } from '../ops/conv2d/depthwise.ts'
import type { Tensor } from '../core/tensor.ts'
import { convolved } from './weight.ts'

const convKeys: OptionKeys<ConvOptions> = { stride: true, padding: true, dilation: true, groups: true, bias: true }

/** Sizes and steps of a convolution, as PyTorch names them. */
export interface ConvOptions {
  stride?: number
  padding?: number
  dilation?: number
  groups?: number
  bias?: boolean
}

/** Two-dimensional convolution. weight [out, in / groups, size, size], bias [out] or null. */
export class Conv2d {
  weight: Tensor
  bias: Tensor | null
  readonly stride: number
  readonly padding: number
  readonly dilation: number
  readonly groups: number

  constructor(
    inputs: number,
    outputs: number,
    size: number,
    options: ConvOptions = {},
  ) {
    checkOptions('Conv2d', options, convKeys)
    const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true } = options
    this.weight = zeros([outputs, inputs / groups, size, size], true)
    this.bias = bias ? zeros([outputs], true) : null
    this.stride = stride
    this.padding = padding
    this.dilation = dilation
    this.groups = groups
  }

  /** x [n, in, h, w] -> [n, out, h', w']. */
  call(x: Tensor): Tensor {
    const { stride, padding, dilation, groups } = this
    return convolved(x, this.weight, this.bias, { stride, padding, dilation, groups })
  }
}

/** Depthwise convolution: each channel with its own filter. weight [channels, 1, size, size], bias [channels]. */
export class Depthwise {
  weight: Tensor
  bias: Tensor | null
  readonly padding: number

  constructor(channels: number, size: number, options: { padding?: number, bias?: boolean } = {}) {
    checkOptions('Depthwise', options, { padding: true, bias: true })
    const { padding = 0, bias = true } = options
    this.weight = zeros([channels, 1, size, size], true)
    this.bias = bias ? zeros([channels], true) : null
    this.padding = padding
  }

  /** x [n, channels, h, w] -> [n, channels, h', w']. */
  call(x: Tensor): Tensor {
    return depthwise(x, this.weight, this.bias, { padding: this.padding })
  }
}

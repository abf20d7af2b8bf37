import { checkOptions } from '../base/options.ts'
import { zeros } from '../core/fill.ts'
import type { Tensor } from '../core/tensor.ts'
import { applied } from './weight.ts'

/**
 * y = x W^T + b over the last axis. weight [out, in], bias [out] or null. Starts as zeros: see `initialize`, or load
 * weights.
 */
export class Linear {
  weight: Tensor
  bias: Tensor | null

  constructor(inputs: number, outputs: number, options: { bias?: boolean } = {}) {
    checkOptions('Linear', options, { bias: true })
    const { bias = true } = options
    this.weight = zeros([outputs, inputs], true)
    this.bias = bias ? zeros([outputs], true) : null
  }

  /** x [..., in] -> [..., out]. */
  call(x: Tensor): Tensor {
    return applied(x, this.weight, this.bias)
  }
}

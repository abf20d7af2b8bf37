import { checkOptions } from '../base/options.ts'
import { zeros } from '../core/fill.ts'
import { attention } from '../ops/attention/attention.ts'
import type { Tensor } from '../core/tensor.ts'
import { Gate } from './gate.ts'
import { applied, appliedAll } from './weight.ts'

/**
 * Multi-head softmax attention with one tensor axis per prunable thing: no fused qkv, heads and their channels are
 * axes. query, key, value [heads, dim, width] with biases [heads, dim]; out [width, heads, dim] with bias [width].
 * `windowed`: the batch axis of what it is called on holds the windows of each image one after the other.
 */
export class Attention {
  static readonly leaves = {
    query: { role: 'query' },
    key: { role: 'key' },
    value: { role: 'value' },
    queryBias: { role: 'bias' },
    keyBias: { role: 'bias' },
    valueBias: { role: 'bias' },
    out: { role: 'projection' },
    outBias: { role: 'bias' },
  } as const
  static readonly constants = ['scale']
  query: Tensor
  key: Tensor
  value: Tensor
  queryBias: Tensor | null
  keyBias: Tensor | null
  valueBias: Tensor | null
  out: Tensor
  outBias: Tensor | null
  /** 1 / sqrt of the original head width: a number, so that slicing leaves it alone. */
  readonly scale: number
  queryKey: Gate
  values: Gate
  heads: Gate

  constructor(
    width: number,
    heads: number,
    options: { dim?: number, bias?: boolean, windowed?: boolean } = {},
  ) {
    checkOptions('Attention', options, { dim: true, bias: true, windowed: true })
    const { dim = width / heads, bias = true, windowed = false } = options
    const project = () => zeros([heads, dim, width], true)
    const offset = () => bias ? zeros([heads, dim], true) : null
    this.query = project()
    this.key = project()
    this.value = project()
    this.queryBias = offset()
    this.keyBias = offset()
    this.valueBias = offset()
    this.out = zeros([width, heads, dim], true)
    this.outBias = zeros([width], true)
    this.scale = dim ** -0.5
    this.queryKey = new Gate([-2, -1], { kind: 'query-key', windowed })
    this.values = new Gate([-2, -1], { kind: 'values', windowed })
    this.heads = new Gate([-2], { kind: 'heads', windowed })
  }

  /**
   * x [batch, token, width] -> the same shape. `bias` [heads, token, token] and `mask` [groups, token, token] are added
   * to the logits.
   */
  call(x: Tensor, bias: Tensor | null = null, mask: Tensor | null = null): Tensor {
    const [q, k, v] = appliedAll(x, [this.query, this.key, this.value], [this.queryBias, this.keyBias, this.valueBias])
    const context = attention(this.queryKey.call(q), k, this.values.call(v), bias, mask, { scale: this.scale })
    return applied(this.heads.call(context), this.out, this.outBias, { over: 2 })
  }
}

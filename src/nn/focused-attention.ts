// Focused linear attention (Han et al., "FLatten Transformer", ICCV 2023, equations 5-12).
//   B windows, N tokens, H heads, D channels of a head, C = H D
import { checkOptions } from '../base/options.ts'
import { zeros } from '../core/fill.ts'
import { add, div, mul, offset, pow, relu, softplus } from '../ops/elementwise.ts'
import { depthwise } from '../ops/conv2d/depthwise.ts'
import { linearAttention } from '../ops/attention/linear-attention.ts'
import { permute } from '../ops/permute.ts'
import { norm } from '../ops/reduce.ts'
import { reshape } from '../ops/reshape.ts'
import type { Tensor } from '../core/tensor.ts'
import { Gate } from './gate.ts'
import { applied, appliedAll } from './weight.ts'

const small = 1e-6 // keeps a feature positive; the paper's code has the same constant

/**
 * query, key, value [H, D, C]; out [C, H, D]; `sharpness` [H, D] (the paper's `scale`); positions [N, H, D];
 * kernel [D, 1, k, k], shared by all heads, or [H, D, 1, k, k] once heads keep channels of their own; kernelBias alike.
 */
export class FocusedAttention {
  static readonly leaves = {
    query: { role: 'query' },
    key: { role: 'key' },
    value: { role: 'value' },
    queryBias: { role: 'bias' },
    keyBias: { role: 'bias' },
    valueBias: { role: 'bias' },
    out: { role: 'projection' },
    outBias: { role: 'bias' },
    sharpness: { role: 'gain' },
    positions: { role: 'positions', grid: true },
    kernelBias: { role: 'bias' },
  } as const
  query: Tensor
  key: Tensor
  value: Tensor
  queryBias: Tensor | null
  keyBias: Tensor | null
  valueBias: Tensor | null
  out: Tensor
  outBias: Tensor | null
  sharpness: Tensor
  positions: Tensor
  kernel: Tensor
  kernelBias: Tensor
  readonly window: number
  /** Power p of the focusing function. */
  readonly power: number
  // On q and k after the small constant and before the norm: there a masked channel is exactly absent.
  queries: Gate
  keys: Gate
  queryHeads: Gate
  keyHeads: Gate
  // After the sum with the depthwise branch.
  values: Gate
  heads: Gate

  constructor(
    width: number,
    heads: number,
    window: number,
    options: { power?: number, kernel?: number, windowed?: boolean } = {},
  ) {
    checkOptions('FocusedAttention', options, { power: true, kernel: true, windowed: true })
    const { power = 3, kernel = 5, windowed = false } = options
    const dim = width / heads
    const project = () => zeros([heads, dim, width], true)
    this.query = project()
    this.key = project()
    this.value = project()
    this.queryBias = zeros([heads, dim], true)
    this.keyBias = zeros([heads, dim], true)
    this.valueBias = zeros([heads, dim], true)
    this.out = zeros([width, heads, dim], true)
    this.outBias = zeros([width], true)
    this.sharpness = zeros([heads, dim], true)
    this.positions = zeros([window * window, heads, dim], true)
    this.kernel = zeros([dim, 1, kernel, kernel], true)
    this.kernelBias = zeros([dim], true)
    this.window = window
    this.power = power
    this.queries = new Gate([-2, -1], { kind: 'query-key', windowed })
    this.keys = new Gate([-2, -1], { kind: 'query-key', windowed })
    this.queryHeads = new Gate([-2], { kind: 'heads', windowed })
    this.keyHeads = new Gate([-2], { kind: 'heads', windowed })
    this.values = new Gate([-2, -1], { kind: 'values', windowed })
    this.heads = new Gate([-2], { kind: 'heads', windowed })
  }

  /** x [B, N, C] with N = window^2 -> [B, N, C]. */
  call(x: Tensor): Tensor {
    const tokens = x.shape[1]
    const [q, k, v] = appliedAll(x, [this.query, this.key, this.value], [this.queryBias, this.keyBias, this.valueBias])
    const sharp = softplus(this.sharpness)
    const positive = (t: Tensor) => div(offset(relu(t), { by: small }), sharp)
    const query = this.focus(this.queryHeads.call(this.queries.call(positive(q))))
    const key = this.focus(this.keyHeads.call(this.keys.call(positive(add(k, this.positions)))))
    // The paper divides by q . mean k + 1e-6; with the sum over N keys instead of the mean the constant grows by N.
    const context = add(linearAttention(query, key, v, { eps: small * tokens }), this.local(v))
    return applied(this.heads.call(this.values.call(context)), this.out, this.outBias, { over: 2 })
  }

  /**
   * f(t) = |t| t^p / |t^p|, norms over all heads and channels: keeps the length, sharpens the direction. t [B, N, H,
   * D].
   */
  private focus(t: Tensor): Tensor {
    const sharpened = pow(t, { exponent: this.power })
    const length = (u: Tensor) => norm(u, { axes: [-2, -1], keep: true })
    return mul(sharpened, div(length(t), length(sharpened)))
  }

  /** Depthwise convolution of v over the window's grid. v [B, N, H, D] -> the same shape. */
  private local(v: Tensor): Tensor {
    const [batch, tokens, heads, dim] = v.shape
    const { window, kernel, kernelBias } = this
    const shared = kernel.shape.length === 4
    const channels = shared ? dim : heads * dim
    const grid = reshape(
      permute(reshape(v, { shape: [batch, window, window, heads, dim] }), { order: [0, 3, 4, 1, 2] }),
      { shape: [-1, channels, window, window] },
    )
    const [side] = kernel.shape.slice(-1)
    const weight = shared ? kernel : reshape(kernel, { shape: [channels, 1, side, side] })
    const bias = shared ? kernelBias : reshape(kernelBias, { shape: [channels] })
    const out = depthwise(grid, weight, bias, { padding: side >> 1 })
    return reshape(permute(reshape(out, { shape: [batch, heads, dim, window, window] }), { order: [0, 3, 4, 1, 2] }), {
      shape: [batch, tokens, heads, dim],
    })
  }
}

// Focused linear attention (Han et al., "FLatten Transformer", ICCV 2023, equations 5-12).
//   B windows, N tokens, H heads, D channels of a head, C = H D
import { checkOptions } from '../base/options.ts'
import { zeros } from '../core/fill.ts'
import { attended, focus, focusedAttention, positive } from '../ops/attention/focused.ts'
import { add, softplus } from '../ops/elementwise.ts'
import type { Tensor } from '../core/tensor.ts'
import { Gate } from './gate.ts'
import { applied, appliedAll } from './weight.ts'

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
    const [q, k, v] = appliedAll(x, [this.query, this.key, this.value], [this.queryBias, this.keyBias, this.valueBias])
    return applied(this.heads.call(this.values.call(this.context(q, k, v))), this.out, this.outBias, { over: 2 })
  }

  /** q, k, v [B, N, H, D] -> the same shape: in few passes where no gate stands between them. */
  private context(q: Tensor, k: Tensor, v: Tensor): Tensor {
    const { power } = this
    if ([this.queries, this.keys, this.queryHeads, this.keyHeads].every((gate) => gate.idle)) {
      return focusedAttention(q, k, v, this)
    }
    const sharp = softplus(this.sharpness)
    const query = focus(this.queryHeads.call(this.queries.call(positive(q, sharp))), power)
    const key = focus(this.keyHeads.call(this.keys.call(positive(add(k, this.positions), sharp))), power)
    return attended(query, key, v, this)
  }
}

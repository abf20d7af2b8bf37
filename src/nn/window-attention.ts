import { zeros } from '../core/fill.ts'
import { gather } from '../ops/gather.ts'
import { permute } from '../ops/permute.ts'
import { reshape } from '../ops/reshape.ts'
import { type Tensor, tensor } from '../core/tensor.ts'
import { Attention } from './attention.ts'
import { relativeIndex } from './windows.ts'

/** Attention within windows of Swin: a learned bias per head for each relative position. table [(2w - 1)^2, heads]. */
export class WindowAttention {
  static readonly leaves = { index: { trained: false, saved: false }, table: { decayed: false, grid: true } } as const
  inner: Attention
  table: Tensor
  index: Tensor
  readonly window: number

  constructor(width: number, heads: number, window: number) {
    this.inner = new Attention(width, heads, { windowed: true })
    this.table = zeros([(2 * window - 1) ** 2, heads], true)
    this.index = tensor(relativeIndex(window))
    this.window = window
  }

  /** x [batch * windows, token, width]; `mask` [windows, token, token] or null. */
  call(x: Tensor, mask: Tensor | null): Tensor {
    const tokens = this.window ** 2, [, heads] = this.table.shape
    const bias = permute(reshape(gather(this.table, this.index, { axis: 0 }), { shape: [tokens, tokens, heads] }), {
      order: [2, 0, 1],
    })
    return this.inner.call(x, bias, mask)
  }
}

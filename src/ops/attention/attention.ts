// Softmax attention in one kernel, forward and backward, without a matrix of queries by keys in memory.
import { ShapeError } from '../../base/errors.ts'
import { grid, launch } from '../../core/launch.ts'
import type { OnnxGraph, OnnxSize, OnnxValue } from '../../core/onnx-form.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { rowVersions } from './rows.ts'
import { type AttentionCall, attentionSizes } from './shapes.ts'
import { attentionVariants } from './variants.ts'
import { add, scale as times } from '../elementwise.ts'
import { matmul } from '../matmul/matmul.ts'
import { op } from '../../core/op.ts'
import { permute } from '../permute.ts'
import { reshape } from '../reshape.ts'
import { choose } from '../shared/variants.ts'
import { softmax } from '../softmax.ts'

/** `scale` multiplies q k^T: 1 / sqrt of the original head width, which pruning does not change. */
export interface AttentionOptions {
  scale: number
}

const stats = rowVersions(
  'attention/row-statistics.wgsl',
  { out: { width: 'E', load: true }, dout: { width: 'E', load: true } },
  { buffers: ['out', 'dout', 'logsum', 'stats'], params: ['N', 'H', 'E', 'rows'] },
)

/**
 * out_i = sum_j p_ij v_j with p_i = softmax_j(scale q_i k_j + bias_ij + mask_ij), per head, for any lengths and head
 * widths up to 128. q [B, N, H, D], k [B, M, H, D], v [B, M, H, E], bias [H, N, M] or null, mask [G, N, M] or null
 * (entries 0, -100 or -infinity; batch entry b reads mask b % G, as Swin's windows do) -> [B, N, H, E]. A query whose
 * keys are all at -infinity gives zeros. Keys stream past a block of queries (online softmax, arXiv 2205.14135); the
 * row's log-sum is kept, and the backward pass makes the probabilities again from it. Memory is linear in N. The mask
 * has no gradient.
 * @throws ShapeError if shapes do not fit.
 */
export const attention = op({
  name: 'attention',
  attrs: { scale: true },
  roles: ['attention'],
  addends: [3],
  axes: 'b n h d, b m h d, b m h e, h n m, g n m -> b n h e',
  zero: ['breaks', 'breaks', 'keeps', 'breaks', 'breaks'],
  run(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | null, mask: Tensor | null, { scale }: AttentionOptions) {
    const sizes = attentionSizes('attention', q, k, v, bias, mask)
    const { B, N, H, D, E } = sizes
    if (D > 128 || E > 128) {
      throw new ShapeError(
        `attention: heads of width ${D} and ${E}; at most 128 fit a workgroup, use more heads or attentionOpen`,
      )
    }
    const out = empty([B, N, H, E]), logsum = empty([B, H, N])
    const call = { q, k, v, bias, mask, scale, ...sizes }
    choose(attentionVariants, sizes).forward(call, out, logsum, flopsOf(q, v))
    return { out, logsum }
  },
  vjp({ args: [q, k, v, bias, mask], attrs: { scale }, out, saved: { logsum }, needs }, dout) {
    const call = { q, k, v, bias, mask, scale, ...attentionSizes('attention', q, k, v, bias, mask) }
    const pairs = rowStatistics(call, out, dout, logsum)
    return [...choose(attentionVariants, call).backward(call, dout, pairs, needs), null]
  },
  onnx({ args: [q, k, v, bias, mask], attrs: { scale } }, graph) {
    const [queries, keys, values] = onnxHeads(graph, q, k, v)
    const [batch, N, H] = q.shape, M = k.shape[1]
    let scores = graph.node('Mul', [graph.node('MatMul', [queries, keys]), graph.floats(scale)])
    if (bias) scores = graph.node('Add', [scores, bias])
    if (mask) {
      const [G] = mask.shape as readonly number[],
        over = (n: OnnxSize) => typeof n === 'number' ? n / G : { batch: n.batch / G }
      const grouped = graph.reshape(scores, [over(batch), G, H, N, M])
      scores = graph.reshape(graph.node('Add', [grouped, graph.reshape(mask, [G, 1, N, M])]), [batch, H, N, M])
    }
    const context = graph.node('MatMul', [graph.node('Softmax', [scores], { axis: -1 }), values])
    return graph.node('Transpose', [context], { perm: [0, 2, 1, 3] })
  },
  macs: ([q, , v]) => flopsOf(q, v) / 2,
})

/** Queries [B, H, N, D], keys [B, H, D, M] and values [B, H, M, E], as ONNX multiplies them. */
export const onnxHeads = (graph: OnnxGraph, ...all: readonly OnnxValue[]): string[] =>
  all.map((each, i) => graph.node('Transpose', [each], { perm: i === 1 ? [0, 2, 3, 1] : [0, 2, 1, 3] }))

/** Log-sum and dout . out of every query, [B, H, N, 2]: what the backward kernels need of a row. */
export function rowStatistics({ B, N, H, D, E }: AttentionCall, out: Tensor, dout: Tensor, logsum: Tensor): Tensor {
  const pairs = empty([B, H, N, 2])
  launch(
    stats(D, E),
    { out, dout, logsum, stats: pairs },
    { N, H, E, rows: B * N * H },
    grid(Math.ceil(B * N * H / 64)),
  )
  return pairs
}

const flopsOf = ({ shape: [B, N, H, D] }: Tensor, { shape: [, M, , E] }: Tensor) => 2 * B * H * N * M * (D + E)

/**
 * `attention` as recorded plain ops (product, softmax, product), with the N x M matrices in memory: for rules that look
 * inside.
 */
export function attentionOpen(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  bias: Tensor | null,
  mask: Tensor | null,
  options: AttentionOptions,
): Tensor {
  attentionSizes('attentionOpen', q, k, v, bias, mask)
  const maps = attentionMaps(q, k, bias, mask, options)
  return permute(matmul(maps, permute(v, { order: [0, 2, 1, 3] })), { order: [0, 2, 1, 3] })
}

/**
 * The probabilities of `attention`, softmax over keys of scale q k^T + bias + mask, as recorded plain ops; arguments as
 * there -> [B, H, N, M].
 */
export function attentionMaps(
  q: Tensor,
  k: Tensor,
  bias: Tensor | null,
  mask: Tensor | null,
  { scale }: AttentionOptions,
): Tensor {
  const { B, N, M, H, G } = attentionSizes('attentionMaps', q, k, k, bias, mask)
  const [rows, columns] = [q, k].map((x) => permute(x, { order: [0, 2, 1, 3] }))
  let scores = times(matmul(rows, columns, { transposeB: true }), { by: scale })
  if (bias) scores = add(scores, bias)
  if (mask) {
    const grouped = add(reshape(scores, { shape: [B / G, G, H, N, M] }), reshape(mask, { shape: [G, 1, N, M] }))
    scores = reshape(grouped, { shape: [B, H, N, M] })
  }
  return softmax(scores)
}

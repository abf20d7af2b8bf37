/**
 * Attention. B batch, N queries, M keys, H heads, D width of queries and keys, E width of values. The token axis comes
 * before the head axis: q [B, N, H, D], k [B, M, H, D], v [B, M, H, E], out [B, N, H, E].
 */
import { nd, sizeOf } from './nd.ts'
import type { Nd } from './nd.ts'

/**
 * Value of a bias or mask at (b, h, i, j). Its shape is [N, M], [H, N, M] or [G, H, N, M]; H may be 1, and batch entry
 * b reads group b mod G, so G = 1 and G = B are the plain cases and a Swin's G windows per image repeat over the
 * images.
 */
function grouped(x: Nd, b: number, h: number, i: number, j: number): number {
  const [G, H, N, M] = [1, 1, ...x.shape].slice(-4)
  return x.data[((b % G * H + (H === 1 ? 0 : h)) * N + i) * M + j]
}

/**
 * o_i = sum_j p_ij v_j with p_i = softmax_j(scale q_i · k_j + bias_ij) over the keys where the mask is not zero. A
 * query without any key gets zeros. `scale` is 1 / sqrt(D) unless given.
 */
export function attention(
  q: Nd,
  k: Nd,
  v: Nd,
  bias: Nd | null = null,
  mask: Nd | null = null,
  { scale = q.shape[3] ** -0.5 }: { scale?: number } = {},
): Nd {
  const [B, N, H, D] = q.shape, M = k.shape[1], E = v.shape[3]
  const out = nd([B, N, H, E])
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      for (let i = 0; i < N; i++) {
        const logits = new Float64Array(M)
        for (let j = 0; j < M; j++) {
          let dot = 0
          for (let d = 0; d < D; d++) {
            dot += q.data[((b * N + i) * H + h) * D + d] * k.data[((b * M + j) * H + h) * D + d]
          }
          logits[j] = scale * dot + (bias ? grouped(bias, b, h, i, j) : 0)
          if (mask && grouped(mask, b, h, i, j) === 0) logits[j] = -Infinity
        }
        const largest = logits.reduce((x, y) => Math.max(x, y), -Infinity)
        if (largest === -Infinity) continue
        const weights = logits.map((x) => Math.exp(x - largest))
        const total = weights.reduce((x, y) => x + y, 0)
        for (let e = 0; e < E; e++) {
          let mixed = 0
          for (let j = 0; j < M; j++) mixed += weights[j] / total * v.data[((b * M + j) * H + h) * E + e]
          out.data[((b * N + i) * H + h) * E + e] = mixed
        }
      }
    }
  }
  return out
}

/**
 * The core of linear attention: o_i = sum_j (q_i · k_j) v_j / (q_i · sum_j k_j + eps), q and k already mapped to
 * positive features. FLatten divides both sums by M and adds 1e-6, which is this with eps = M * 1e-6 (arXiv 2308.00442,
 * Eq. 5).
 */
export function linearAttention(q: Nd, k: Nd, v: Nd, { eps = k.shape[1] * 1e-6 }: { eps?: number } = {}): Nd {
  const [B, N, H, D] = q.shape, M = k.shape[1], E = v.shape[3]
  const out = nd([B, N, H, E])
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      for (let i = 0; i < N; i++) {
        const mixed = new Float64Array(E)
        let total = eps
        for (let j = 0; j < M; j++) {
          let dot = 0
          for (let d = 0; d < D; d++) {
            dot += q.data[((b * N + i) * H + h) * D + d] * k.data[((b * M + j) * H + h) * D + d]
          }
          total += dot
          for (let e = 0; e < E; e++) mixed[e] += dot * v.data[((b * M + j) * H + h) * E + e]
        }
        for (let e = 0; e < E; e++) out.data[((b * N + i) * H + h) * E + e] = mixed[e] / total
      }
    }
  }
  return out
}

/**
 * The focusing map f_p(u) = |u| u^p / |u^p|, norms over the last `over` axes together; it keeps the length of u
 * (FLatten, Eq. 9). FLatten takes it over all channels, so over 2 on [B, N, H, D]. u is positive.
 */
export function focus(u: Nd, { power = 3, over = 1 }: { power?: number, over?: number } = {}): Nd {
  const width = sizeOf(u.shape.slice(-over))
  const out = nd(u.shape)
  for (let row = 0; row < u.data.length; row += width) {
    const values = u.data.subarray(row, row + width), powers = values.map((x) => x ** power)
    const length = (x: Float64Array) => Math.sqrt(x.reduce((a, b) => a + b * b, 0))
    const factor = length(values) / length(powers)
    powers.forEach((x, c) => {
      out.data[row + c] = factor * x
    })
  }
  return out
}

// How unlike the other channels of its head a channel is: what resembles none carries something of its own.
//   B images or windows, N tokens, H heads, D channels of a head
import type { Tensor } from '../../../core/tensor.ts'
import { matmul } from '../../../ops/matmul/matmul.ts'
import { permute } from '../../../ops/permute.ts'
import { reshape } from '../../../ops/reshape.ts'

/** Products of channels over all tokens: x [B, N, H, D] -> [H, D, D]. */
export function channelProducts(x: Tensor): Tensor {
  const [batch, tokens, heads, dim] = x.shape
  const flat = reshape(permute(x, { order: [2, 0, 1, 3] }), { shape: [heads, batch * tokens, dim] })
  return matmul(flat, flat, { transposeA: true })
}

/**
 * w_c = 1 - mean over other channels of |cos|, for each head with mean 1, [H x D]; of several activations (queries and
 * keys) |cos| is averaged. `products` are [H x D x D] each. A channel that is always zero is like any other: it carries
 * nothing.
 */
export function similarityWeights(
  products: readonly ArrayLike<number>[],
  heads: number,
  dim: number,
): Float32Array<ArrayBuffer> {
  const weights = new Float32Array(heads * dim).fill(1)
  if (dim < 2) return weights
  for (let head = 0; head < heads; head++) {
    const unlike = Array.from({ length: dim }, (_, c) => {
      let alike = 0
      for (let other = 0; other < dim; other++) {
        if (other !== c) { for (const each of products) alike += cosine(each, head * dim * dim, dim, c, other) }
      }
      return Math.max(0, 1 - alike / products.length / (dim - 1))
    })
    const mean = unlike.reduce((a, b) => a + b) / dim
    // all alike: none is weighed more than another
    if (mean > 1e-9) weights.set(unlike.map((value) => value / mean), head * dim)
  }
  return weights
}

function cosine(products: ArrayLike<number>, start: number, dim: number, a: number, b: number): number {
  const norms = products[start + a * dim + a] * products[start + b * dim + b]
  return norms > 0 ? Math.min(1, Math.abs(products[start + a * dim + b]) / Math.sqrt(norms)) : 1
}

/** momentum x before + (1 - momentum) x now. */
export const runningAverage = (before: ArrayLike<number>, now: ArrayLike<number>, momentum: number): Float32Array =>
  Float32Array.from({ length: now.length }, (_, i) => momentum * before[i] + (1 - momentum) * now[i])

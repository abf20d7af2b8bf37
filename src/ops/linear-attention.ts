// Linear attention: the sum over keys is taken first, so that cost and memory grow with the number of tokens, not its square.
//   B batch, N queries, M keys, H heads, D channels of q and k, E channels of v
import { ShapeError } from '../errors.ts'
import { unrecorded } from '../tape.ts'
import type { Tensor } from '../tensor.ts'
import { add, div, mul, offset, scale } from './elementwise.ts'
import { matmul } from './matmul.ts'
import { op } from './op.ts'
import { permute } from './permute.ts'
import { sum } from './reduce.ts'

/** `eps` is added to the normaliser; default 1e-6. */
export interface LinearAttentionOptions { eps?: number }

/** Heads before tokens and back: the matrix products are per head. */
const swap = (x: Tensor) => permute(x, { order: [0, 2, 1, 3] })

/**
 * out = q (k^T v) / (q . sum over keys of k + eps) per head. q [B, N, H, D], k [B, M, H, D], v [B, M, H, E] -> [B, N, H, E]; q and k are
 * features already, e.g. focused ones (Han et al. 2023, equation 4). A frozen call holds the normaliser constant in the backward
 * pass: then relevance divides between the features and the values alone.
 * @throws ShapeError if the shapes do not fit.
 */
export const linearAttention = op({
  name: 'linear-attention',
  axes: 'b n h d, b m h d, b m h e -> b n h e',
  run(q: Tensor, k: Tensor, v: Tensor, { eps = 1e-6 }: LinearAttentionOptions) {
    const [B, , H, D] = q.shape
    const fits = q.shape.length === 4 && k.shape.length === 4 && v.shape.length === 4 && k.shape[0] === B && v.shape[0] === B && k.shape[1] === v.shape[1]
      && k.shape[2] === H && v.shape[2] === H && k.shape[3] === D
    if (!fits) throw new ShapeError(`linear-attention: q [${q.shape}], k [${k.shape}], v [${v.shape}]; expected [B, N, H, D], [B, M, H, D], [B, M, H, E]`)
    return unrecorded(() => {
      const queries = swap(q), keys = swap(k)
      const state = matmul(keys, swap(v), { transposeA: true })
      const normaliser = offset(matmul(queries, sum(keys, { axes: [2], keep: true }), { transposeB: true }), { by: eps })
      return { out: swap(div(matmul(queries, state), normaliser)), state, normaliser }
    })
  },
  vjp({ args: [q, k, v], saved: { state, normaliser }, out, needs, frozen }, dy) {
    const queries = swap(q), keys = swap(k), values = swap(v)
    const shared = div(swap(dy), normaliser)                               // cotangent of q (k^T v): [B, H, N, E]
    // The normaliser's cotangent, [B, H, N, 1]; without it where it counts as a constant.
    const below = frozen ? null : scale(sum(mul(shared, swap(out)), { axes: [3], keep: true }), { by: -1 })
    const dstate = matmul(queries, shared, { transposeA: true })
    let dq: Tensor | null = null, dk: Tensor | null = null
    if (needs[0]) {
      dq = matmul(shared, state, { transposeB: true })
      if (below) dq = add(dq, mul(below, sum(keys, { axes: [2], keep: true })))
      dq = swap(dq)
    }
    if (needs[1]) {
      dk = matmul(values, dstate, { transposeB: true })
      if (below) dk = add(dk, matmul(below, queries, { transposeA: true }))   // the same row for every key
      dk = swap(dk)
    }
    return [dq, dk, needs[2] ? swap(matmul(keys, dstate)) : null]
  },
  flops: ([q, k, v]) => 2 * k.size * v.shape[3] + 2 * q.size * v.shape[3],
})

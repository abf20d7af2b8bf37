// How much of an attention map a channel makes: the map without it, or of it alone, against the whole map.
//   B images or windows, N queries, M keys, H heads, D channels of a head
import { type Tensor, tensor } from '../../../core/tensor.ts'
import { scope } from '../../../core/transform.ts'
import { add, div, offset, relu, scale, sub } from '../../../ops/elementwise.ts'
import { gather } from '../../../ops/gather.ts'
import { matmul } from '../../../ops/matmul/matmul.ts'
import { concat, permute, slice } from '../../../ops/permute.ts'
import { mean, norm, sum } from '../../../ops/reduce.ts'
import { reshape } from '../../../ops/reshape.ts'
import { softmax } from '../../../ops/softmax.ts'

/** `leave-one-out`: a large difference is important; `single-channel`: a small one is. */
export type Difference = 'leave-one-out' | 'single-channel'

/** Queries and keys as attention has them: q [B, N, H, D], k [B, M, H, D]; of linear attention already mapped. */
export interface AttentionMap {
  q: Tensor
  k: Tensor
  /** Softmax of scale q k + bias [H, N, M] + mask [G, N, M]; null for linear attention, q k over its row's sum. */
  softmax: { scale: number, bias: Tensor | null, mask: Tensor | null } | null
}

/** Of a map with more entries, queries are taken at even distances. */
const mostEntries = 2 ** 16

/**
 * ||A - A(c)|| (Frobenius) of each channel c, averaged over B, [H, D]: A is the map of all channels with rows that sum
 * to 1, A(c) that without c or of c alone. The scale of a softmax stays that of the whole head.
 */
export function attentionDifference(map: AttentionMap, kind: Difference): Tensor {
  return scope(() => {
    const { softmax: soft } = map, dim = map.q.shape[3]
    const [q, k] = [fewer(map.q, map.k.shape[1], 1), map.k].map((x) => permute(x, { order: [0, 2, 1, 3] }))
    const products = (c: number | null) => {
      const [left, right] = c === null ? [q, k] : [column(q, c), column(k, c)]
      return matmul(left, right, { transposeB: true })
    }
    const normalised = soft ? softMap(soft, map.k.shape[1]) : linearMap
    const whole = products(null), all = normalised(whole)
    return concat(
      ...Array.from({ length: dim }, (_, c) =>
        scope(() => {
          const own = products(c)
          const other = normalised(kind === 'single-channel' ? own : soft ? sub(whole, own) : relu(sub(whole, own)))
          const apart = norm(sub(all, other), { axes: [2, 3] })
          return reshape(mean(apart, { axes: [0] }), { shape: [-1, 1] })
        })),
      { axis: 1 },
    )
  })
}

/** softmax(scale x + bias + mask), for x [B, H, N, M]. */
function softMap({ scale: by, bias, mask }: NonNullable<AttentionMap['softmax']>, keys: number) {
  const [near, hidden] = [bias, mask].map((each) => each && fewer(each, keys, 1))
  return (x: Tensor): Tensor => {
    let logits = scale(x, { by })
    if (near) logits = add(logits, near)
    if (hidden) {
      const [groups, rows] = hidden.shape, { shape } = logits
      const apart = reshape(logits, { shape: [shape[0] / groups, groups, ...shape.slice(1)] })
      logits = reshape(add(apart, reshape(hidden, { shape: [groups, 1, rows, keys] })), { shape })
    }
    return softmax(logits)
  }
}

/** x over the sum of its row; a row of zeros stays one. */
const linearMap = (x: Tensor): Tensor => div(x, offset(sum(x, { axes: [3], keep: true }), { by: 1e-20 }))

/** Channel c of x [B, H, N, D], [B, H, N, 1]. */
const column = (x: Tensor, c: number): Tensor =>
  slice(x, { starts: [0, 0, 0, c], stops: [...x.shape.slice(0, 3), c + 1] })

/** Some of the queries along an axis, the same ones wherever the lengths are the same. */
function fewer(x: Tensor, keys: number, axis: number): Tensor {
  const queries = x.shape[axis], count = Math.max(1, Math.min(queries, Math.floor(mostEntries / keys)))
  if (count === queries) return x
  return gather(x, tensor(Uint32Array.from({ length: count }, (_, i) => Math.floor((i + 0.5) * queries / count))), {
    axis,
  })
}

/** What a map's differences say of importance: more is more important. */
export const importanceOf = (differences: ArrayLike<number>, kind: Difference): Float32Array =>
  Float32Array.from(differences, (value) => kind === 'leave-one-out' ? value : -value)

// Shapes of an attention call, checked at the op's edge. B batch, N queries, M keys, H heads, D width of q and k, E
// width of v.
import { ShapeError } from '../../base/errors.ts'
import type { Tensor } from '../../core/tensor.ts'

/** Sizes of one call; G masks. */
export interface AttentionSizes {
  B: number
  N: number
  M: number
  H: number
  D: number
  E: number
  G: number
}

/** One call: its sizes and arguments. */
export interface AttentionCall extends AttentionSizes {
  q: Tensor
  k: Tensor
  v: Tensor
  bias: Tensor | null
  mask: Tensor | null
  scale: number
}

/**
 * Sizes from q [B, N, H, D], k [B, M, H, D], v [B, M, H, E], bias [H, N, M], mask [G, N, M] with B a multiple of G.
 * @throws ShapeError.
 */
export function attentionSizes(
  name: string,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  bias: Tensor | null,
  mask: Tensor | null,
): AttentionSizes {
  for (const [what, x] of [['q', q], ['k', k], ['v', v]] as const) {
    if (x.shape.length !== 4) throw new ShapeError(`${name}: ${what} [${x.shape}]; expected [batch, token, head, dim]`)
  }
  const [B, N, H, D] = q.shape, M = k.shape[1], E = v.shape[3]
  if (k.shape.join() !== [B, M, H, D].join()) {
    throw new ShapeError(`${name}: k [${k.shape}] does not fit q [${q.shape}]; expected [${B}, tokens, ${H}, ${D}]`)
  }
  if (v.shape.join() !== [B, M, H, E].join()) {
    throw new ShapeError(`${name}: v [${v.shape}] does not fit k [${k.shape}]; expected [${B}, ${M}, ${H}, width]`)
  }
  if (bias && bias.shape.join() !== [H, N, M].join()) {
    throw new ShapeError(`${name}: bias [${bias.shape}]; expected [heads, queries, keys] = [${H}, ${N}, ${M}]`)
  }
  const G = mask ? mask.shape[0] : 1
  if (mask && (mask.shape.join() !== [G, N, M].join() || B % G !== 0)) {
    throw new ShapeError(
      `${name}: mask [${mask.shape}]; expected [groups, ${N}, ${M}] with a batch of ${B} a multiple of the groups`,
    )
  }
  return { B, N, M, H, D, E, G }
}

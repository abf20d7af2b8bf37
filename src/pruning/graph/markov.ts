// A walk over a graph of heads: from head to head along its edges, and where it is in the long run.
//   L layers of H heads each
import { NumericError, ShapeError } from '../../base/errors.ts'
import { full } from '../../core/fill.ts'
import { type Tensor, tensor } from '../../core/tensor.ts'
import { scope } from '../../core/transform.ts'
import { abs, add, div, equal, mul, offset, scale, sub } from '../../ops/elementwise.ts'
import { matmul } from '../../ops/matmul/matmul.ts'
import { max, sum } from '../../ops/reduce.ts'

/** How edges become steps. */
export interface WalkOptions {
  /** Whether a head has an edge to itself (default true). */
  diagonal?: boolean
  /** d of PageRank: with probability 1 - d a step goes anywhere (default 1). */
  damping?: number
}

/**
 * P_ij = S_ij / sum_k S_ik, then d P + (1 - d) / H: steps of a walk over edges S [..., H, H], none negative. From a
 * head without edges it goes anywhere.
 */
export function transition(edges: Tensor, { diagonal = true, damping = 1 }: WalkOptions = {}): Tensor {
  const heads = edges.shape.at(-1)!
  if (edges.shape.at(-2) !== heads) throw new ShapeError(`transition: edges [${edges.shape}], expected [..., H, H]`)
  return scope(() => {
    const others = Float32Array.from({ length: heads ** 2 }, (_, i) => Number(i % (heads + 1) !== 0))
    const own = diagonal ? edges : mul(edges, tensor(others, [heads, heads]))
    const degree = sum(own, { axes: [-1], keep: true }), lost = equal(degree, tensor([0]))
    const steps = div(add(own, scale(lost, { by: 1 / heads })), add(degree, lost))
    return damping === 1 ? steps : offset(scale(steps, { by: damping }), { by: (1 - damping) / heads })
  })
}

/**
 * pi = pi P of every layer, [L, H] on the host, for steps P [L, H, H] on the device: power iteration from 1 / H, until
 * pi moves by less than `tolerance` (1e-8) or by no more than rounding. Each step goes half the way, which has the same
 * limit and settles where a walk would swing between two halves of a graph for ever.
 * @throws NumericError if it does not settle.
 */
export async function stationary(
  steps: Tensor,
  { tolerance = 1e-8, most = 1 << 16 }: { tolerance?: number, most?: number } = {},
): Promise<Float32Array> {
  const [layers, heads] = steps.shape, rounds = 32
  let now = full([layers, 1, heads], 1 / heads), last = Infinity
  try {
    for (let done = 0; done < most; done += rounds) {
      const [next, change] = scope(() => {
        let before = now, after = now
        for (let round = 0; round < rounds; round++) {
          before = after
          const half = scale(add(before, matmul(before, steps)), { by: 0.5 })
          after = div(half, sum(half, { axes: [-1], keep: true }))
        }
        return [after, max(sum(abs(sub(after, before)), { axes: [-1, -2] }))]
      })
      now.dispose()
      now = next
      const moved = await change.item()
      change.dispose()
      // f32 rounds to about 1e-7 of a value, so that the last bit may go to and fro.
      if (moved < tolerance || (moved < 1e-6 && moved >= last)) return await now.data() as Float32Array
      if (Number.isNaN(moved)) break
      last = moved
    }
  } finally {
    now.dispose()
  }
  throw new NumericError(`stationary: the walk over ${layers} graphs of ${heads} heads does not settle`)
}

// Score adjustment: every head of a layer keeps as many channels, each head its own. Without it heads end with
// different counts, and no network of that shape exists. On the host with thresholds as the method's, on the device by
// rank, which is the same mask.
//   H heads, D channels of a head
import { type Tensor, tensor } from '../../../core/tensor.ts'
import { disposeTree } from '../../../core/tree.ts'
import { add, equal, greater, less, maximum, mul, offset, scale } from '../../../ops/elementwise.ts'
import { max, sum } from '../../../ops/reduce.ts'
import { reshape } from '../../../ops/reshape.ts'
import type { Unit } from '../../units/units.ts'

/** Above this a score is a channel that stays. */
export const threshold = 0.5

/** How many channels a head may keep, ascending: multiples of `step` from `least` on, and all. */
export function widthsOf(dim: number, step: number, least: number): number[] {
  if (step > dim) return [dim]
  const first = Math.max(1, Math.ceil(least / step)) * step, widths: number[] = []
  for (let width = first; width < dim; width += step) widths.push(width)
  return [...widths, dim]
}

/** Scores that were adjusted. */
export interface Shares {
  /** Channels that each head keeps. */
  count: number
  /** tau of each head, halfway between the last that stays and the first that goes. */
  thresholds: number[]
  /** t' = t - tau + 0.5, [H x D]. */
  scores: Float32Array
  /** [H x D]; of equal scores the first stays. */
  keep: Uint8Array
}

/** Adjusts scores t [H x D]: the allowed width nearest to the mean count of scores above 0.5, for all heads. */
export function equalShares(t: ArrayLike<number>, heads: number, dim: number, widths: readonly number[]): Shares {
  const above = Array.from(t).filter((value) => value > threshold).length
  const count = widths.findLast((_, i) => i === 0 || 2 * above >= (widths[i - 1] + widths[i]) * heads)!
  const scores = new Float32Array(heads * dim), keep = new Uint8Array(heads * dim), thresholds: number[] = []
  for (let head = 0; head < heads; head++) {
    const order = Array.from({ length: dim }, (_, c) => head * dim + c).sort((a, b) => t[b] - t[a])
    const last = t[order[count - 1]], tau = count < dim ? (last + t[order[count]]) / 2 : last - threshold
    thresholds.push(tau)
    order.forEach((at, rank) => {
      scores[at] = t[at] - tau + threshold
      keep[at] = rank < count ? 1 : 0
    })
  }
  return { count, thresholds, scores, keep }
}

/** How far heads are from keeping equal shares. */
export interface Unevenness {
  /** The layer whose heads differ most, and the fewest and the most channels that one of them keeps. */
  unit: string
  least: number
  most: number
  /** Channels of a head there. */
  dim: number
  /** Of all channels of heads, the share that a cut to equal shares decides otherwise. */
  moved: number
}

/** Looks at flags [H x D] of units whose elements belong to heads; null where heads keep equal shares everywhere. */
export function unevenness(units: readonly Unit[], keep: ReadonlyMap<string, Uint8Array>): Unevenness | null {
  let found: Unevenness | null = null, moved = 0, all = 0
  for (const { name, shape: [heads, dim], size } of units.filter(({ shape }) => shape.length > 1)) {
    const flags = keep.get(name)!
    const counts = Array.from(
      { length: heads },
      (_, h) => flags.subarray(h * dim, (h + 1) * dim).reduce((a, b) => a + b, 0),
    )
    const least = Math.min(...counts), most = Math.max(...counts)
    const mean = Math.round(counts.reduce((a, b) => a + b, 0) / heads)
    moved += counts.reduce((sum, count) => sum + Math.abs(count - mean), 0)
    all += size
    if (most - least > (found ? found.most - found.least : 0)) found = { unit: name, least, most, dim, moved: 0 }
  }
  return found && { ...found, moved: moved / all }
}

/** The mask of `equalShares` on the device; holds the constants that takes. */
export class EqualShares {
  private readonly base: number
  private readonly constants: { half: Tensor, before: Tensor, halfway: Tensor, steps: Tensor }

  constructor(heads: number, dim: number, widths: readonly number[]) {
    this.base = widths[0]
    const before = new Float32Array(dim * dim)
    for (let c = 0; c < dim; c++) before.fill(1, c * dim, c * dim + c)
    // Twice the sums of counts, so that nothing is rounded.
    const halfway = widths.slice(1).map((width, i) => (width + widths[i]) * heads)
    const steps = widths.slice(1).map((width, i) => width - widths[i])
    this.constants = {
      half: tensor([threshold]),
      before: tensor(before, [dim, dim]),
      halfway: tensor(Float32Array.from(halfway.length ? halfway : [Infinity])),
      steps: tensor(Float32Array.from(steps.length ? steps : [0])),
    }
  }

  /** 1 for the channels that stay of scores t [H, D], else 0. No gradient. */
  mask(t: Tensor): Tensor {
    const { half, before, halfway, steps } = this.constants, [heads, dim] = t.shape
    const above = scale(sum(greater(t, half)), { by: 2 })
    const fewer = less(reshape(above, { shape: [1] }), halfway)
    const more = sum(mul(steps, offset(scale(fewer, { by: -1 }), { by: 1 })))
    const own = reshape(t, { shape: [heads, dim, 1] }), others = reshape(t, { shape: [heads, 1, dim] })
    const ahead = add(greater(others, own), mul(equal(others, own), before))
    return less(sum(ahead, { axes: [2] }), reshape(offset(more, { by: this.base }), { shape: [1] }))
  }

  /** Frees the constants. */
  dispose(): void {
    disposeTree(this.constants)
  }
}

/** 1 where a score t is above `half` (0.5) or the largest of all, so that something stays; else 0. No gradient. */
export const open = (t: Tensor, half: Tensor): Tensor => maximum(greater(t, half), equal(t, max(t)))

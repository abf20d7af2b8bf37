// The weights of a checkpoint in a network for other images or classes: what has the same shape is copied, position
// tables are resampled to the new grid, the rest starts anew.
import { copyInto } from '../core/fill.ts'
import type { Tensor } from '../core/tensor.ts'
import { describedLeaves, type DescribedLeaf, disposeTree } from '../core/tree.ts'
import { tapsAt } from '../data/resize.ts'
import type { Model } from '../nn/model.ts'
import { modelOf, type ParsedCheckpoint } from './checkpoint.ts'

/** What became of the weights that could not be copied, by path. */
export interface TakenOver {
  /** Start anew. */
  fresh: string[]
  /** Position tables on another grid, with the sides of both. */
  resampled: { path: string, from: number, to: number }[]
}

/** Gives a model on the device the weights of a checkpoint of the same architecture, as far as they fit. */
export async function takeOver(start: ParsedCheckpoint, model: Model): Promise<TakenOver> {
  const old = modelOf(start), given = describedLeaves(old), from = new Map(given.map((leaf) => [leaf[0], leaf]))
  const taken: TakenOver = { fresh: [], resampled: [] }
  for (const [path, leaf, { saved }] of describedLeaves(model)) {
    if (saved !== undefined && saved !== true) continue
    const before = from.get(path), places = before && placesOf(before, given, leaf)
    if (before?.[1].shape.join() === leaf.shape.join()) copyInto(before[1], leaf)
    else if (places) {
      leaf.write(resampleGrid(await before[1].data() as Float32Array, places))
      taken.resampled.push({ path, from: places.from, to: places.to })
    } else taken.fresh.push(path)
  }
  disposeTree(old)
  return taken
}

/** A table of places: so many entries in front, then a square of `from` x `from` that becomes one of `to` x `to`. */
export interface Places {
  front: number
  from: number
  to: number
  /** Values of a place. */
  width: number
}

const ownerOf = (path: string) => path.slice(0, path.lastIndexOf('.') + 1)

/** How a table becomes one of the shape of `wanted`; null where it is none, or no square. */
function placesOf([path, { shape }, { grid }]: DescribedLeaf, all: readonly DescribedLeaf[], wanted: Tensor) {
  if (!grid || shape.slice(1).join() !== wanted.shape.slice(1).join()) return null
  const front = all.filter(([other, , { role }]) => role === 'token' && ownerOf(other) === ownerOf(path)).length
  const [from, to] = [shape[0], wanted.shape[0]].map((count) => Math.sqrt(count - front))
  const width = shape.slice(1).reduce((a, b) => a * b, 1)
  return Number.isInteger(from) && Number.isInteger(to) && to > 0 ? { front, from, to, width } : null
}

/**
 * Resamples a square table by the bicubic filter (a = -0.5), stretched when it shrinks (antialias), as PyTorch's
 * interpolate and with it timm resample position embeddings. Entries in front stay as they are. Sums are in double
 * precision.
 */
export function resampleGrid(table: Float32Array, { front, from, to, width }: Places): Float32Array {
  const taps = Array.from({ length: to }, (_, o) => tapsAt(o, from, to, 'bicubic'))
  const across = new Float64Array(from * to * width)
  for (let y = 0; y < from; y++) {
    taps.forEach(({ first, weights }, x) => {
      weights.forEach((weight, i) => {
        const source = (front + y * from + first + i) * width, target = (y * to + x) * width
        for (let c = 0; c < width; c++) across[target + c] += weight * table[source + c]
      })
    })
  }
  const out = new Float64Array((front + to * to) * width)
  out.set(table.subarray(0, front * width))
  taps.forEach(({ first, weights }, y) => {
    weights.forEach((weight, i) => {
      const source = (first + i) * to * width, target = (front + y * to) * width
      for (let c = 0; c < to * width; c++) out[target + c] += weight * across[source + c]
    })
  })
  return Float32Array.from(out)
}

// Importance of weights, put together to that of tiles: what patterns are chosen by. As with units, what an image says
// of a tile is the sum over the tile's weights, of which the absolute value is taken per image, or of the mean, or of
// every weight first.
import { attributeWeights } from '../../attribution/weights.ts'
import type { Walk } from '../../attribution/relevance.ts'
import { NumericError } from '../../base/errors.ts'
import type { Tensor } from '../../core/tensor.ts'
import { disposeTree, leaves } from '../../core/tree.ts'
import type { EntryScores } from '../../sparse/choose.ts'
import type { WeightSite } from '../../sparse/sites.ts'
import { type Tile, tilesOf } from '../../sparse/tiles.ts'
import { batchesOf, type WeightScoring } from './criterion.ts'

/** A score of each weight alone. */
export const byEntry = (
  { sites, values }: WeightScoring,
  score: (value: number) => number,
): Promise<EntryScores> =>
  Promise.resolve(new Map(sites.map(({ path }) => [path, Float32Array.from(values.get(path)!, score)])))

/** What each weight of a layer and each image says, summed up as asked. */
class Sums {
  /** By tile, or by entry. */
  private readonly sums: Float64Array
  private readonly tileOf: Uint32Array | null

  constructor({ matrix: [rows, columns] }: WeightSite, [height, width]: Tile, everywhere: boolean) {
    const [down, across] = tilesOf([rows, columns], [height, width])
    this.tileOf = everywhere || height * width === 1 ? null : Uint32Array.from(
      { length: rows * columns },
      (_, i) => Math.floor(Math.floor(i / columns) / height) * across + Math.floor(i % columns / width),
    )
    this.sums = new Float64Array(this.tileOf ? down * across : rows * columns)
  }

  add(own: (i: number) => number, size: number, absolute: boolean): void {
    const { sums, tileOf } = this
    if (!tileOf) {
      for (let i = 0; i < size; i++) sums[i] += absolute ? Math.abs(own(i)) : own(i)
      return
    }
    const image = absolute ? new Float64Array(sums.length) : sums
    for (let i = 0; i < size; i++) image[tileOf[i]] += own(i)
    if (absolute) { for (let tile = 0; tile < image.length; tile++) sums[tile] += Math.abs(image[tile]) }
  }

  /** The mean, for each entry its part of its tile's. */
  entries(images: number, absolute: boolean): Float32Array {
    const { sums, tileOf } = this, value = (sum: number) => (absolute ? Math.abs(sum) : sum) / images
    if (!tileOf) return Float32Array.from(sums, value)
    const counts = new Uint32Array(sums.length)
    for (const tile of tileOf) counts[tile]++
    return Float32Array.from(tileOf, (tile) => value(sums[tile]) / counts[tile])
  }
}

/**
 * What a walk says of each weight: weight times coefficient, or the coefficient alone. Images go one by one where each
 * one's absolute value is asked for. @throws NumericError naming a weight whose score is no number.
 */
export async function readWeights(scoring: WeightScoring, { read, ...walk }: Walk): Promise<EntryScores> {
  const { model, sites, values, aggregation, batch } = scoring, tensors = new Map(leaves(model))
  const each = aggregation === 'mean-of-abs' || aggregation === 'mean-of-abs-everywhere'
  const sums = new Map(
    sites.map((site) => [
      site.path,
      new Sums(site, scoring.tile(site.matrix), aggregation === 'mean-of-abs-everywhere'),
    ]),
  )
  const weights = new Map<Tensor, string>(sites.map(({ path }) => [tensors.get(path)!, path]))
  let images = 0
  for await (const { images: pictures, targets } of batchesOf({ ...scoring, batch: each ? 1 : batch })) {
    const found = attributeWeights(model, pictures, targets, walk, [...weights.keys()])
    for (const [weight, coefficient] of found) {
      const path = weights.get(weight)!, own = values.get(path)!, c = await coefficient.data() as Float32Array
      const bad = c.findIndex((value) => !Number.isFinite(value))
      if (bad >= 0) throw new NumericError(`score of ${path}, entry ${bad}, is ${c[bad]} for image ${images}`)
      sums.get(path)!.add(read === 'coefficient' ? (i) => c[i] : (i) => own[i] * c[i], c.length, each)
    }
    images += pictures.shape[0]
    disposeTree([...found.values(), pictures, targets])
  }
  return new Map([...sums].map(([path, sum]) => [path, sum.entries(images, aggregation === 'abs-of-mean')]))
}

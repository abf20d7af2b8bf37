// Which tiles of which weights stay: the same share of each, or the strongest of all together.
import { InputError } from '../base/errors.ts'
import { scoresOf } from '../base/scores.ts'
import type { MatrixShape, Pattern } from './pattern.ts'
import type { WeightSite } from './sites.ts'
import { tileScores, tilesOf } from './tiles.ts'

/** A score for each entry of each weight, row by row, by path. A tile has the sum of its entries'. */
export type EntryScores = ReadonlyMap<string, ArrayLike<number>>

/** How much stays, and how weights compare. */
export interface ChooseOptions {
  /** The share of all entries that stays, 0 to 1; where the pattern leaves no choice it is not asked. */
  density: number
  /** The strongest tiles of the whole network (default), or the same share of each weight. */
  ranking?: 'global' | 'per-unit'
  /** Each weight keeps at least so many tiles; default 1. */
  minimum?: number
}

/** Why a pattern does not fit one of the weights. @throws InputError naming the weight, and --skip as a cure. */
export function checkSites(sites: readonly WeightSite[], pattern: Pattern): void {
  for (const { path, matrix } of sites) {
    const reason = pattern.unfit(matrix)
    if (reason === null) continue
    throw new InputError(`${path} [${matrix}] cannot be ${pattern.name}: ${reason}; leave it out with --skip ${path}`)
  }
}

/**
 * 1 or 0 for each entry of each weight.
 * @throws InputError where the pattern does not fit, or its own `keep` answers with something else; ShapeError and
 * NumericError for scores that are missing or no numbers.
 */
export function chooseEntries(
  sites: readonly WeightSite[],
  scores: EntryScores,
  pattern: Pattern,
  options: ChooseOptions,
): Map<string, Uint8Array> {
  checkSites(sites, pattern)
  for (const { path, matrix } of sites) scoresOf(scores, path, matrix[0] * matrix[1], 'entry')
  const densities = densitiesOf(sites, scores, pattern, options)
  return new Map(sites.map(({ path, matrix }) => {
    const own = scores.get(path)!, density = densities.get(path)!
    const keep = kept(pattern, path, own, matrix, density)
    return [path, keep]
  }))
}

/** The share of each weight that stays. */
function densitiesOf(
  sites: readonly WeightSite[],
  scores: EntryScores,
  pattern: Pattern,
  { density, ranking = 'global', minimum = 1 }: ChooseOptions,
): Map<string, number> {
  const least = ({ matrix }: WeightSite) => {
    const [down, across] = tilesOf(matrix, pattern.tile(matrix))
    return Math.min(1, minimum / (down * across))
  }
  const each = new Map(sites.map((site) => [site.path, Math.max(least(site), density)]))
  if (ranking === 'per-unit' || sites.some(({ matrix }) => pattern.fixedDensity(matrix) !== null)) return each
  // Tiles of all weights by what an entry of theirs is worth, since tiles may differ in size.
  const tiles = sites.flatMap(({ path, matrix }) => {
    const [height, width] = pattern.tile(matrix), across = tilesOf(matrix, [height, width])[1]
    return Array.from(tileScores(scores.get(path)!, matrix, [height, width]), (sum, i) => {
      const entries = Math.min(height, matrix[0] - Math.floor(i / across) * height)
        * Math.min(width, matrix[1] - i % across * width)
      return { path, entries, worth: sum / entries }
    })
  })
  const total = tiles.reduce((sum, { entries }) => sum + entries, 0), found = new Map<string, number>()
  const counts = new Map(sites.map(({ path }) => [path, 0]))
  for (const { path } of tiles) counts.set(path, counts.get(path)! + 1)
  // What each weight keeps in any case is taken first.
  const quota = new Map(sites.map((site) => [site.path, Math.min(minimum, counts.get(site.path)!)]))
  let left = Math.round(density * total)
  const order = tiles.toSorted((a, b) => b.worth - a.worth)
  const rest: typeof tiles = []
  for (const tile of order) {
    const owed = quota.get(tile.path)!
    if (owed === 0) rest.push(tile)
    else {
      quota.set(tile.path, owed - 1)
      found.set(tile.path, (found.get(tile.path) ?? 0) + 1)
      left -= tile.entries
    }
  }
  for (const { path, entries } of rest) {
    if (left < entries / 2) break
    found.set(path, (found.get(path) ?? 0) + 1)
    left -= entries
  }
  return new Map(sites.map(({ path }) => [path, (found.get(path) ?? 0) / counts.get(path)!]))
}

/** What a pattern keeps. @throws InputError where it keeps something of another length or kind. */
function kept(
  pattern: Pattern,
  path: string,
  scores: ArrayLike<number>,
  matrix: MatrixShape,
  density: number,
): Uint8Array {
  let keep: Uint8Array
  try {
    keep = pattern.keep(scores, matrix, density)
  } catch (error) {
    if (error instanceof InputError) throw error
    throw new InputError(`pattern ${pattern.name}: its keep fails for ${path} [${matrix}]: ${String(error)}`, {
      cause: error,
    })
  }
  const size = matrix[0] * matrix[1]
  if (keep?.length === size && keep.every((one) => one === 0 || one === 1)) return keep
  throw new InputError(
    `pattern ${pattern.name}: its keep gives ${keep?.length ?? 'no'} entries for ${path} [${matrix}], expected ${size} `
      + 'that are 0 or 1',
  )
}

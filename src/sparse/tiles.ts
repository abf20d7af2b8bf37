// How tiles lie in memory, and which of them a mask of entries needs. All sizes are of the dense weight, row by row.
import { InputError } from '../base/errors.ts'
import type { MatrixShape, Packed } from './pattern.ts'

/** Rows and columns of a tile. */
export type Tile = readonly [rows: number, columns: number]

/** How many rows of a tile lie side by side: as many as are read at once. */
export function stripOf(rows: number): 1 | 4 | 8 | 16 {
  return rows % 16 === 0 ? 16 : rows % 8 === 0 ? 8 : rows % 4 === 0 ? 4 : 1
}

/** How many tiles a matrix has down and across; the last ones may reach over its edge. */
export const tilesOf = ([rows, columns]: MatrixShape, [height, width]: Tile): [down: number, across: number] => [
  Math.ceil(rows / height),
  Math.ceil(columns / width),
]

/** Where entry (row, column) of a tile lies among the values of its slot. */
export function placeInTile([height, width]: Tile, row: number, column: number): number {
  const strip = stripOf(height)
  return (Math.floor(row / strip) * width + column) * strip + row % strip
}

/** Row and column of every tile that holds a kept entry, by row and then by column. */
export function positionsOf(keep: ArrayLike<number>, shape: MatrixShape, tile: Tile): Uint32Array {
  const [rows, columns] = shape, [height, width] = tile, [down, across] = tilesOf(shape, tile)
  const used = new Uint8Array(down * across)
  for (let i = 0; i < rows; i++) {
    const at = Math.floor(i / height) * across
    for (let j = 0; j < columns; j++) if (keep[i * columns + j]) used[at + Math.floor(j / width)] = 1
  }
  const found: number[] = []
  used.forEach((one, i) => {
    if (one) found.push(Math.floor(i / across), i % across)
  })
  return Uint32Array.from(found)
}

/**
 * The kept entries of a weight in the layout of `Packed`, for tiles at these places; the index is the caller's.
 * @throws InputError if an entry is kept and no tile stores it.
 */
export function packTiles(
  weight: ArrayLike<number>,
  keep: ArrayLike<number>,
  shape: MatrixShape,
  tile: Tile,
  positions: Uint32Array,
): Omit<Packed, 'index'> {
  const slots = positions.length / 2, values = new Float32Array(Math.max(1, slots) * tile[0] * tile[1])
  let stored = 0
  eachEntry(shape, tile, positions, (at, place) => {
    if (!keep[at]) return
    values[place] = weight[at]
    stored++
  })
  let kept = 0
  for (let i = 0; i < keep.length; i++) if (keep[i]) kept++
  if (kept !== stored) {
    throw new InputError(
      `packTiles: ${kept} entries of a weight of [${shape}] are kept, `
        + `but the tiles at the given places hold ${stored} of them`,
    )
  }
  return { shape, tile, slots, values }
}

/** The dense weight of tiles at these places. */
export function unpackTiles({ shape, tile, values }: Packed, positions: Uint32Array): Float32Array {
  const weight = new Float32Array(shape[0] * shape[1])
  eachEntry(shape, tile, positions, (at, place) => {
    weight[at] = values[place]
  })
  return weight
}

/** Which entries the stored tiles cover, 1 or 0: what may be another value than zero. */
export function coveredBy({ shape, tile }: Pick<Packed, 'shape' | 'tile'>, positions: Uint32Array): Uint8Array {
  const covered = new Uint8Array(shape[0] * shape[1])
  eachEntry(shape, tile, positions, (at) => {
    covered[at] = 1
  })
  return covered
}

function eachEntry(
  [rows, columns]: MatrixShape,
  tile: Tile,
  positions: Uint32Array,
  visit: (at: number, place: number) => void,
): void {
  const [height, width] = tile, strip = stripOf(height)
  for (let slot = 0; slot < positions.length / 2; slot++) {
    const top = positions[2 * slot] * height, left = positions[2 * slot + 1] * width
    const base = slot * height * width, right = Math.min(width, columns - left)
    for (let i = 0; i < Math.min(height, rows - top); i++) {
      const from = base + Math.floor(i / strip) * width * strip + i % strip, at = (top + i) * columns + left
      for (let j = 0; j < right; j++) visit(at + j, from + j * strip)
    }
  }
}

/** The sum of the scores of each tile's entries, tile by tile. */
export function tileScores(scores: ArrayLike<number>, shape: MatrixShape, tile: Tile): Float64Array {
  const [rows, columns] = shape, [height, width] = tile, [down, across] = tilesOf(shape, tile)
  const sums = new Float64Array(down * across)
  for (let i = 0; i < rows; i++) {
    const at = Math.floor(i / height) * across
    for (let j = 0; j < columns; j++) sums[at + Math.floor(j / width)] += scores[i * columns + j]
  }
  return sums
}

/** The numbers of the `count` highest scores; of equal ones the first. */
export function strongest(scores: ArrayLike<number>, count: number): Uint32Array {
  const order = Uint32Array.from({ length: scores.length }, (_, i) => i)
  order.sort((a, b) => scores[b] - scores[a] || a - b)
  return order.subarray(0, count)
}

/** Entries of the chosen tiles, 1 or 0. */
export function keepTiles(chosen: Iterable<number>, shape: MatrixShape, tile: Tile): Uint8Array {
  const across = tilesOf(shape, tile)[1], positions: number[] = []
  for (const i of chosen) positions.push(Math.floor(i / across), i % across)
  return coveredBy({ shape, tile }, Uint32Array.from(positions))
}

/** The tiles with the highest sums of scores: `round(density * tiles)` of them. */
export function keepStrongestTiles(
  scores: ArrayLike<number>,
  shape: MatrixShape,
  density: number,
  tile: Tile,
): Uint8Array {
  const sums = tileScores(scores, shape, tile)
  return keepTiles(strongest(sums, Math.round(density * sums.length)), shape, tile)
}

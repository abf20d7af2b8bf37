// The usual index: the first slot of each row of tiles, and the column of tiles of each slot (compressed sparse rows;
// of blocks, BSR). Patterns that can compute where their tiles stand need none.
import { InputError } from '../base/errors.ts'
import type { MatrixShape, Packed, TileWalk } from './pattern.ts'
import { type Tile, tilesOf } from './tiles.ts'

/** How kernels read such lists. */
export const listedWalk: TileWalk = {
  index: ['row_start', 'tile_column'],
  wgsl: `fn first(row: u32) -> u32 { return row_start[row]; }
fn last(row: u32) -> u32 { return row_start[row + 1u]; }
fn column(row: u32, slot: u32) -> u32 { return tile_column[slot]; }`,
}

/** The lists of tiles at these places. `tile_column` has the room of one tile where there is none. */
export function listedIndex(positions: Uint32Array, shape: MatrixShape, tile: Tile): Packed['index'] {
  const slots = positions.length / 2, [down] = tilesOf(shape, tile)
  const start = new Uint32Array(down + 1), columns = new Uint32Array(Math.max(1, slots))
  for (let slot = 0; slot < slots; slot++) {
    start[positions[2 * slot] + 1]++
    columns[slot] = positions[2 * slot + 1]
  }
  for (let row = 0; row < down; row++) start[row + 1] += start[row]
  return { row_start: start, tile_column: columns }
}

/** Places of listed tiles. @throws InputError if the lists are not those of so many slots. */
export function listedPositions(
  { shape, tile, slots, index }: Pick<Packed, 'shape' | 'tile' | 'slots' | 'index'>,
): Uint32Array {
  const { row_start: start, tile_column: columns } = index, [down] = tilesOf(shape, tile)
  if (start.length !== down + 1 || start[0] !== 0 || start[down] !== slots) {
    throw new InputError(
      `row_start has ${start.length} entries from ${start[0]} to ${start.at(-1)}, expected ${
        down + 1
      } from 0 to the ${slots} tiles that are stored`,
    )
  }
  if (columns.length < slots) {
    throw new InputError(`tile_column has ${columns.length} entries, expected one for each of ${slots} tiles`)
  }
  const positions = new Uint32Array(2 * slots)
  for (let row = 0; row < down; row++) {
    if (start[row + 1] < start[row] || start[row + 1] > slots) {
      throw new InputError(
        `row_start goes from ${start[row]} to ${
          start[row + 1]
        } at row ${row} of tiles, expected it to ascend to ${slots}`,
      )
    }
    for (let slot = start[row]; slot < start[row + 1]; slot++) {
      positions[2 * slot] = row
      positions[2 * slot + 1] = columns[slot]
    }
  }
  return positions
}

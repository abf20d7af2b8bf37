// What the products need to know of a packed weight besides its values: sizes, and lists of the tiles' places.
import type { Tensor } from '../core/tensor.ts'
import type { MatrixShape, Packed, Pattern, TileWalk } from './pattern.ts'
import { listedWalk } from './listed.ts'
import { stripOf, type Tile, tilesOf } from './tiles.ts'
import type { SparseWeight } from './weight.ts'

/** A packed weight without its numbers. */
export interface Packing {
  readonly pattern: Pattern
  readonly shape: MatrixShape
  readonly tile: Tile
  readonly slots: number
  /** The axes of outputs and of inputs; their products are the rows and columns of the matrix. */
  readonly outputs: readonly number[]
  readonly inputs: readonly number[]
}

/** The lists that follow from the places of the tiles; files do not hold them. */
export const listNames = ['tile_row', 'tile_column', 'turned_start', 'turned_column', 'turned_slot'] as const

/**
 * For each slot its row and column of tiles; and the transposed weight: the first slot of each of its rows of tiles,
 * the column of each slot, and which slot of the weight that is.
 */
export function listsOf(
  { shape, tile, slots }: Pick<Packed, 'shape' | 'tile' | 'slots'>,
  positions: Uint32Array,
): Record<typeof listNames[number], Uint32Array> {
  const [, across] = tilesOf(shape, tile), room = Math.max(1, slots)
  const rows = new Uint32Array(room), columns = new Uint32Array(room)
  const start = new Uint32Array(across + 1)
  const turnedColumn = new Uint32Array(room)
  const order = new Uint32Array(room)
  for (let slot = 0; slot < slots; slot++) {
    rows[slot] = positions[2 * slot]
    columns[slot] = positions[2 * slot + 1]
    start[columns[slot] + 1]++
  }
  for (let column = 0; column < across; column++) start[column + 1] += start[column]
  const next = start.slice()
  for (let slot = 0; slot < slots; slot++) {
    const to = next[columns[slot]]++
    turnedColumn[to] = rows[slot]
    order[to] = slot
  }
  return { tile_row: rows, tile_column: columns, turned_start: start, turned_column: turnedColumn, turned_slot: order }
}

/** One way to multiply with a packed weight: as it is, or transposed. */
export interface Side {
  /** Rows and columns of the weight as this product sees it: N outputs, K inputs. */
  shape: MatrixShape
  tile: Tile
  strip: 1 | 4 | 8 | 16
  tiles: readonly [down: number, across: number]
  walk: TileWalk
}

/** The weight as it is stored. */
export const forwardSide = ({ shape, tile, pattern }: Packing): Side => sideOf(shape, tile, pattern.walk)

/** The weight transposed, its tiles listed. */
export const turnedSide = ({ shape, tile }: Packing): Side =>
  sideOf([shape[1], shape[0]], [tile[1], tile[0]], listedWalk)

/** A weight of this shape in tiles of this size, found by this walk. */
export function sideOf(shape: MatrixShape, tile: Tile, walk: TileWalk): Side {
  return { shape, tile, strip: stripOf(tile[0]), tiles: tilesOf(shape, tile), walk }
}

/** The tensors of a packed weight: values, the pattern's index by name, and the lists. */
export interface PackedTensors {
  values: Tensor
  index: Readonly<Record<string, Tensor>>
  lists: Readonly<Record<string, Tensor>>
}

/** x, values, bias, then the tensors of the pattern's index and of the lists. */
export type PackedArgs = [x: Tensor, values: Tensor, bias: Tensor | null, ...places: Tensor[]]

/** The arguments of an op on x with a packed weight. */
export const packedArgs = (
  x: Tensor,
  { values, index, lists, packing }: SparseWeight,
  bias: Tensor | null,
): PackedArgs => [
  x,
  values,
  bias,
  ...packing.pattern.walk.index.map((name) => index[name]),
  ...listNames.map((name) => lists[name]),
]

/** The weight's tensors among them, by name. */
export const packedTensors = ([, values, , ...places]: PackedArgs, { pattern: { walk } }: Packing): PackedTensors => ({
  values,
  index: Object.fromEntries(walk.index.map((name, i) => [name, places[i]])),
  lists: Object.fromEntries(listNames.map((name, i) => [name, places[walk.index.length + i]])),
})

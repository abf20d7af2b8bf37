// Patterns that keep whole rectangles of entries.
import { definePattern, type MatrixShape, type Pattern } from '../pattern.ts'
import { keepStrongestTiles, type Tile } from '../tiles.ts'

const kept = (name: string, summary: string, tile: Tile | ((shape: MatrixShape) => Tile)): Pattern =>
  definePattern({
    name,
    summary,
    tile,
    keep: (scores, shape, density) =>
      keepStrongestTiles(scores, shape, density, typeof tile === 'function' ? tile(shape) : tile),
  })

/** Blocks of `height` outputs by `width` inputs (BSR); at the edges of the weight they are cut. */
export const block = (height: number, width: number): Pattern =>
  kept(`block:${height}x${width}`, `blocks of ${height} outputs by ${width} inputs (BSR)`, [height, width])

/** Whole outputs: rows of the weight. */
export const rows = kept('rows', 'whole outputs', ([, columns]) => [1, columns])

/** Whole inputs: columns of the weight. */
export const columns = kept('columns', 'whole inputs', ([height]) => [height, 1])

/**
 * All weights of a head of `dim` channels: rows of a projection to queries, keys or values, or (`columns`) the columns
 * of attention's way out.
 */
export const headBlock = (dim: number, side: 'rows' | 'columns' = 'rows'): Pattern =>
  kept(
    `head-block:${dim}${side === 'rows' ? '' : ':columns'}`,
    `whole heads of ${dim} channels, ${side === 'rows' ? 'of queries, keys or values' : 'of the way out'}`,
    ([height, width]) => side === 'rows' ? [dim, width] : [height, dim],
  )

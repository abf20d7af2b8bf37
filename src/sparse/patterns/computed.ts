// Patterns that store no index: where a tile stands is computed, by the same few lines here and in the kernel. They are
// the template for patterns of your own.
import { definePattern, type MatrixShape, type Pattern } from '../pattern.ts'
import { keepTiles, packTiles, type Tile, tilesOf } from '../tiles.ts'

/**
 * One tile of every `stride` neighbours in a row of tiles stays: the one that `choice(row, group)` says, modulo the
 * size of the group (the last one may be smaller). `wgsl` is the same as an expression of `row` and `group`.
 */
function oneOf(
  name: string,
  summary: string,
  size: number,
  stride: number,
  choice: (row: number, group: number) => number,
  wgsl: string,
): Pattern {
  const tile: Tile = [size, size]
  const columnOf = (row: number, group: number, across: number) =>
    group * stride + choice(row, group) % Math.min(stride, across - group * stride)
  const places = (shape: MatrixShape): Uint32Array => {
    const [down, across] = tilesOf(shape, tile), groups = Math.ceil(across / stride)
    return Uint32Array.from({ length: 2 * down * groups }, (_, i) => {
      const slot = i >> 1, row = Math.floor(slot / groups)
      return i % 2 === 0 ? row : columnOf(row, slot % groups, across)
    })
  }
  return definePattern({
    name,
    summary,
    tile,
    fixedDensity: (shape) => {
      const [, across] = tilesOf(shape, tile)
      return Math.ceil(across / stride) / across
    },
    keep(_, shape) {
      const [, across] = tilesOf(shape, tile), at = places(shape)
      return keepTiles(Array.from({ length: at.length / 2 }, (_, i) => at[2 * i] * across + at[2 * i + 1]), shape, tile)
    },
    pack: (weight, keep, shape) => ({ ...packTiles(weight, keep, shape, tile, places(shape)), index: {} }),
    index: () => ({}),
    positions: ({ shape }) => places(shape),
    walk: {
      index: [],
      wgsl: `fn groups() -> u32 { return (p.tile_columns + ${stride - 1}u) / ${stride}u; }
fn first(row: u32) -> u32 { return row * groups(); }
fn last(row: u32) -> u32 { return (row + 1u) * groups(); }
fn column(row: u32, slot: u32) -> u32 {
  let group = slot - row * groups();
  return group * ${stride}u + (${wgsl}) % min(${stride}u, p.tile_columns - group * ${stride}u);
}`,
    },
  })
}

/** Diagonals of tiles: tile (row, column) stays where the column is the row modulo `stride`. Scores are not asked. */
export const strided = (size: number, stride: number): Pattern =>
  oneOf(
    `strided:${size}:${stride}`,
    `one tile of ${size}x${size} of every ${stride}, one further each row`,
    size,
    stride,
    (row) => row,
    'row',
  )

/** One tile of every `stride` neighbours, by chance: a hash of row, group and seed. Scores are not asked. */
export const hashed = (size: number, stride: number, seed = 0): Pattern =>
  oneOf(
    `hashed:${size}:${stride}${seed ? `:${seed}` : ''}`,
    `one tile of ${size}x${size} of every ${stride}, by chance`,
    size,
    stride,
    (row, group) => Math.imul(row + Math.imul(group, 40503) + seed ^ 0x9e37, 0x9e3779b1) >>> 16,
    `(((row + group * 40503u + ${seed}u) ^ 0x9e37u) * 0x9e3779b1u) >> 16u`,
  )

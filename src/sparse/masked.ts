// A dense weight times a mask, of which only tiles that the mask leaves something of are multiplied: for learning masks
// and for training sparse networks. Which tiles are occupied is found on the device, anew at each call.
import { sizeOf } from '../base/shape.ts'
import { ShapeError } from '../base/errors.ts'
import { grid, launch } from '../core/launch.ts'
import { op } from '../core/op.ts'
import { empty, type Tensor } from '../core/tensor.ts'
import { whole } from '../ops/matmul/kernels.ts'
import { linearSizes, maskedAxes, onnxLinear } from '../ops/matmul/linear-sizes.ts'
import { sumMiddle } from '../ops/shared/split-sum.ts'
import { maskedKernels } from './kernels.ts'
import { sideOf } from './packing.ts'
import type { MatrixShape, TileWalk } from './pattern.ts'
import { multiplyBy, tileGradients } from './product.ts'
import { stripOf, type Tile, tilesOf } from './tiles.ts'

/** `tile`: outputs by inputs that are skipped together, multiples of four (default 32 by 32). `over` as in `linear`. */
export interface TileMaskedOptions {
  tile?: Tile
  over?: number
}

/** Occupied tiles of each row of tiles, in the room of a full row. */
const walk: TileWalk = {
  index: ['count', 'tile_column'],
  wgsl: `fn first(row: u32) -> u32 { return row * p.tile_columns; }
fn last(row: u32) -> u32 { return row * p.tile_columns + count[row]; }
fn column(row: u32, slot: u32) -> u32 { return tile_column[slot]; }`,
}

type Lists = Record<'count' | 'tile_row' | 'tile_column' | 'slot_of', Tensor>

function occupancy(mask: Tensor, [N, K]: MatrixShape, tile: Tile): Tensor {
  const [down, across] = tilesOf([N, K], tile), flags = empty([down, across], 'u32')
  launch(
    maskedKernels.occupancy(whole(K)),
    { mask, flags },
    { N, K, tiles: down * across, tile_columns: across },
    grid(Math.ceil(down * across / 16)),
    { overrides: { HEIGHT: tile[0], WIDTH: tile[1] } },
  )
  return flags
}

/** Lists of occupied tiles, of the weight or of the transposed one. */
function occupied(flags: Tensor, turned: boolean): Lists {
  const [rows, columns] = turned ? flags.shape.toReversed() : flags.shape
  const lists = {
    count: empty([rows], 'u32'),
    tile_row: empty([rows * columns], 'u32'),
    tile_column: empty([rows * columns], 'u32'),
    slot_of: empty([rows * columns], 'u32'),
  }
  launch(maskedKernels.occupied, { flags, ...lists }, { rows, columns }, grid(Math.ceil(rows / 16)), {
    overrides: { TURNED: Number(turned) },
  })
  return lists
}

/** out = x times the transpose of weight x mask, or, turned, times weight x mask. */
function multiply(
  x: Tensor,
  [weight, mask]: readonly [Tensor, Tensor],
  lists: Lists,
  shape: MatrixShape,
  tile: Tile,
  turned: boolean,
  out: Tensor,
  M: number,
  bias: Tensor | null,
): void {
  const [N, K] = shape, seen: MatrixShape = turned ? [K, N] : shape, own: Tile = turned ? [tile[1], tile[0]] : tile
  const side = sideOf(seen, own, walk), [HEIGHT, WIDTH] = own, slots = side.tiles[0] * side.tiles[1]
  const values = empty([slots, HEIGHT * WIDTH]), { count, tile_row, tile_column } = lists
  launch(
    maskedKernels.pack(whole(K)),
    { weight, mask, tile_row, tile_column, values },
    { N, K, slots },
    grid(Math.ceil(slots * HEIGHT * WIDTH / 16 / 64)),
    { overrides: { HEIGHT, WIDTH, STRIP: side.strip, TURNED: Number(turned) } },
  )
  multiplyBy(x, values, { count, tile_column }, side, { name: 'masked', slots }, out, M, { bias })
  values.dispose()
}

function tileOf({ tile = [32, 32] }: TileMaskedOptions): Tile {
  if (tile.length !== 2 || tile.some((size) => !Number.isInteger(size) || size < 4 || size % 4 !== 0)) {
    throw new ShapeError(`tile-masked-linear: a tile of [${tile}]; expected two multiples of 4, e.g. [32, 32]`)
  }
  return tile
}

/**
 * linear(x, weight * mask, bias) that skips tiles in which the mask is all zero, forward and on both ways back: the
 * mask has the weight's shape. Weight and mask get no gradient in such tiles, the exact one in all others.
 * @throws ShapeError as `linear` does, if the mask has not the shape of the weight, or for a tile that is not whole
 * quads.
 */
export const tileMaskedLinear = op({
  name: 'tile-masked-linear',
  attrs: { tile: true, over: true },
  roles: ['dense'],
  weight: 1,
  bias: 3,
  axes: maskedAxes,
  zero: ['breaks', 'breaks', 'breaks', 'breaks'],
  run(x: Tensor, weight: Tensor, mask: Tensor, bias: Tensor | null, options: TileMaskedOptions) {
    const tile = tileOf(options)
    const { rows, inputs, outputs, shape } = linearSizes('tile-masked-linear', x, weight, bias, options.over ?? 1)
    if (mask.shape.join() !== weight.shape.join()) {
      throw new ShapeError(
        `tile-masked-linear: mask [${mask.shape}] must have the shape of the weight [${weight.shape}]`,
      )
    }
    const flags = occupancy(mask, [outputs, inputs], tile), lists = occupied(flags, false), y = empty(shape)
    multiply(x, [weight, mask], lists, [outputs, inputs], tile, false, y, rows, bias)
    return { out: y, flags, ...lists }
  },
  vjp({ args: [x, weight, mask, bias], attrs, saved, needs }, dy) {
    const tile = tileOf(attrs), strip = stripOf(tile[0]), { flags, ...lists } = saved
    const { rows, inputs, outputs } = linearSizes('tile-masked-linear', x, weight, bias, attrs.over ?? 1)
    const shape = [outputs, inputs] as const
    let dx: Tensor | null = null, dweight: Tensor | null = null, dmask: Tensor | null = null
    if (needs[0]) {
      multiply(dy, [weight, mask], occupied(flags, true), shape, tile, true, dx = empty(x.shape), rows, null)
    }
    if (needs[1] || needs[2]) {
      const slots = sizeOf(flags.shape), values = empty([slots, tile[0] * tile[1]])
      tileGradients(dy, x, values, lists, { shape, tile, slots }, rows)
      dweight = empty(needs[1] ? weight.shape : [1]) // what is not wanted is not written
      dmask = empty(needs[2] ? weight.shape : [1])
      launch(
        maskedKernels.spread(whole(inputs)),
        { weight, mask, values, slot_of: lists.slot_of, dweight, dmask },
        { N: outputs, K: inputs, tile_columns: flags.shape[1] },
        grid(Math.ceil(outputs * flags.shape[1] / 64)),
        {
          overrides: {
            HEIGHT: tile[0],
            WIDTH: tile[1],
            STRIP: strip,
            WEIGHT: Number(needs[1]),
            MASK: Number(needs[2]),
          },
        },
      )
    }
    return [
      dx,
      needs[1] ? dweight : null,
      needs[2] ? dmask : null,
      needs[3] ? sumMiddle(dy, { count: rows, N: outputs }, bias!.shape) : null,
    ]
  },
  onnx({ args: [x, weight, mask, bias], attrs: { over = 1 }, out }, graph) {
    const masked = { ...weight, name: graph.node('Mul', [weight, mask]) }
    return onnxLinear(graph, x, masked, bias, over, out)
  },
  macs: ([, weight], out, { over = 1 }) => out.size * sizeOf(weight.shape.slice(-over)),
})

// Products with packed weights, launched: x W^T, its transpose for the way back, and the gradient to the kept values.
import { InputError } from '../base/errors.ts'
import { grid, launch } from '../core/launch.ts'
import { empty, type Tensor } from '../core/tensor.ts'
import { zeros } from '../core/fill.ts'
import type { Overrides } from '../gpu/kernel.ts'
import { type Epilogue, switches, whole } from '../ops/matmul/kernels.ts'
import { choose } from '../ops/shared/variants.ts'
import { entriesKernel, entryValuesKernel, matrixRows, type RowMemory, stripsKernel, tilesKernel, tileValuesKernel,
  turnKernels } from './kernels.ts'
import { launchOwn } from './own-kernel.ts'
import { forwardSide, type PackedTensors, type Packing, type Side, turnedSide } from './packing.ts'
import { stripOf, tilesOf } from './tiles.ts'
import { sparseVariants } from './variants.ts'

/** out [M, N] = x [M, K] W^T, then the epilogue. */
export function sparseProduct(
  x: Tensor,
  { values, index }: PackedTensors,
  packing: Packing,
  out: Tensor,
  M: number,
  epilogue: Epilogue = {},
): void {
  if (launchOwn('forward', packing, M, { x, values, out, ...index }, epilogue)) return
  walkProduct(x, { values, index }, packing, out, M, epilogue)
}

/** The same by our product with the pattern's walk, whatever kernels the pattern brings. */
export function walkProduct(
  x: Tensor,
  { values, index }: Pick<PackedTensors, 'values' | 'index'>,
  packing: Packing,
  out: Tensor,
  M: number,
  epilogue: Epilogue = {},
): void {
  const { pattern: { name, walk }, slots, shape: [N, K] } = packing
  if (walk.wgsl.trim() === '') {
    throw new InputError(
      `pattern ${name}: its kernel (forward) does not take x [${M}, ${K}] and a weight of [${N}, ${K}], and its walk `
        + 'has no WGSL for our product; widen its fits or vectors, or give the walk',
    )
  }
  multiplyBy(x, values, index, forwardSide(packing), { name, slots }, out, M, epilogue)
}

/** out [M, K] = dy [M, N] W: the tiles are transposed first, which is little beside the product. */
export function sparseBack(
  dy: Tensor,
  { values, index, lists }: PackedTensors,
  packing: Packing,
  out: Tensor,
  M: number,
): void {
  if (launchOwn('input', packing, M, { dy, values, out, ...index })) return
  const side = turnedSide(packing), turned = turn(values, lists.turned_slot, packing)
  const places = { row_start: lists.turned_start, tile_column: lists.turned_column }
  multiplyBy(dy, turned, places, side, { name: packing.pattern.name, slots: packing.slots }, out, M)
  turned.dispose()
}

/** out [M, N] = x [M, K] times the transpose of what a side describes; `slots` is about how many tiles are kept. */
export function multiplyBy(
  x: Tensor,
  values: Tensor,
  index: PackedTensors['index'],
  side: Side,
  kept: Kept,
  out: Tensor,
  M: number,
  epilogue: Epilogue = {},
): void {
  const { shape: [N, K] } = side
  multiplyRows(
    matrixRows(whole(K), whole(N)),
    { x, values, bias: epilogue.bias ?? x, residual: epilogue.residual ?? x, out, ...index },
    {},
    side,
    kept,
    M,
    switches(epilogue),
  )
}

/** The pattern's name, and about how many tiles are kept. */
export interface Kept {
  name: string
  slots: number
}

/** The same for rows of any kind; `sizes` are theirs. */
export function multiplyRows(
  rows: RowMemory,
  buffers: Readonly<Record<string, Tensor>>,
  sizes: Readonly<Record<string, number>>,
  side: Side,
  { name, slots }: Kept,
  M: number,
  ends: Overrides,
): void {
  const { shape: [N, K], tile: [HEIGHT, WIDTH], strip, tiles, walk } = side
  const work = { ...side, M, slots }, variant = choose(sparseVariants, work)
  const steps = variant.steps(work), across = variant.across(work)
  const params = { M, N, K, tile_rows: tiles[0], tile_columns: tiles[1], ...sizes }
  const flops = 2 * M * slots * HEIGHT * WIDTH
  if (variant.loop === 'tiles' && strip > 1) {
    const { X = 8, packers = 1 } = variant, groups = Math.ceil(tiles[0] * HEIGHT / strip / across)
    launch(
      tilesKernel(walk, strip / 4 as 1 | 2 | 4, rows, name),
      buffers,
      params,
      grid(Math.ceil(M / (4 * X)) * groups),
      {
        overrides: {
          HEIGHT,
          WIDTH,
          X,
          Y: across,
          STEP: steps,
          COLUMNS: strip / 4,
          PACKERS: Math.min(packers, across),
          ...ends,
        },
        flops,
      },
    )
  } else {
    const { quads: QUADS = 8 } = variant, groups = variant.loop === 'groups' ? walk.groups : undefined
    launch(
      entriesKernel(walk, QUADS, rows, name, groups),
      buffers,
      params,
      grid(Math.ceil(M / (4 * QUADS)) * Math.ceil(N / across)),
      {
        overrides: {
          HEIGHT,
          WIDTH,
          OUTPUTS: across,
          STEP: steps,
          QUADS,
          STRIP: strip,
          ...ends,
        },
        flops,
      },
    )
  }
}

/** The values of the transposed weight, tile by tile of slots `order`. */
export function turn(values: Tensor, order: Tensor, { tile: [HEIGHT, WIDTH], slots }: Packing): Tensor {
  const out = empty(values.shape)
  const STRIP = stripOf(HEIGHT)
  const ACROSS = stripOf(WIDTH)
  if (slots === 0) return out
  const vectors = STRIP > 1 && ACROSS > 1
  const count = slots * HEIGHT * WIDTH / (vectors ? 16 : 1)
  launch(
    vectors ? turnKernels.vectors : turnKernels.entries,
    { values, order, out },
    { slots },
    grid(Math.ceil(count / 64)),
    { overrides: { HEIGHT, WIDTH, STRIP, ACROSS } },
  )
  return out
}

/** The gradient of x W^T to the kept values: dy [M, N], x [M, K]. Nothing is computed for tiles that are not kept. */
export function sparseValues(
  dy: Tensor,
  x: Tensor,
  { values, index, lists }: PackedTensors,
  packing: Packing,
  M: number,
  made: (shape: readonly number[]) => Tensor = empty,
): Tensor {
  if (packing.slots === 0) return zeros(values.shape)
  const [N, K] = packing.shape, out = made(values.shape)
  if (launchOwn('values', packing, M, { dy, x, out, ...index })) return out
  const strips: Strips = {
    dy: (strip, height, count) => cut(dy, M, N, strip, height, count),
    x: (strip, height, count) => cut(x, M, K, strip, height, count),
  }
  gradientsOf(strips, out, lists, packing, M)
  return out
}

/** Strips of `strip` columns of dy and of x: [count, height, strip], zero beyond the M rows and the last column. */
export interface Strips {
  dy(strip: number, height: number, count: number): Tensor
  x(strip: number, height: number, count: number): Tensor
}

/** The gradient to the kept values of M rows, into `out`. */
export function gradientsOf(
  strips: Strips,
  out: Tensor,
  lists: PackedTensors['lists'],
  { shape, tile, slots }: Pick<Packing, 'shape' | 'tile' | 'slots'>,
  M: number,
): void {
  const [N, K] = shape, [HEIGHT, WIDTH] = tile, strip = stripOf(HEIGHT), across = stripOf(WIDTH)
  const { tile_row, tile_column } = lists, flops = 2 * M * slots * HEIGHT * WIDTH
  const inTiles = strip > 1 && across > 1,
    height = inTiles ? M : Math.ceil(M / 4) * 4,
    [down, right] = tilesOf(shape, tile)
  const dy = inTiles ? strips.dy(strip, height, down * HEIGHT / strip) : strips.dy(1, height, N)
  const x = inTiles ? strips.x(across, height, right * WIDTH / across) : strips.x(1, height, K)
  if (inTiles) {
    launch(
      tileValuesKernel(strip / 4 as 1 | 2 | 4),
      { dy, x, tile_row, tile_column, values: out },
      { M, slots },
      grid(Math.ceil(slots * (HEIGHT / strip) * (WIDTH / 4) / 16)),
      { overrides: { HEIGHT, WIDTH, COLUMNS: strip / 4, QUADS: across / 4, STEP: 128, ITEMS: 16 }, flops },
    )
  } else {
    launch(
      entryValuesKernel,
      { dy, x, tile_row, tile_column, values: out },
      { N, K, height, slots },
      grid(Math.ceil(slots * HEIGHT * WIDTH / 64)),
      { overrides: { HEIGHT, WIDTH, STRIP: strip }, flops },
    )
  }
  dy.dispose()
  x.dispose()
}

/** The gradient to the kept values of tiles whose sides are multiples of four: dy [M, N], x [M, K], into `out`. */
export function tileGradients(
  dy: Tensor,
  x: Tensor,
  out: Tensor,
  lists: PackedTensors['lists'],
  packing: Pick<Packing, 'shape' | 'tile' | 'slots'>,
  M: number,
): void {
  const [N, K] = packing.shape
  gradientsOf(
    {
      dy: (strip, height, count) => cut(dy, M, N, strip, height, count),
      x: (strip, height, count) => cut(x, M, K, strip, height, count),
    },
    out,
    lists,
    packing,
    M,
  )
}

/** Strips of `strip` columns of x [rows, width], each of `height` rows. */
function cut(x: Tensor, rows: number, width: number, strip: number, height: number, strips: number): Tensor {
  const out = empty([strips, height, strip]), vectors = strip % 4 === 0 && width % 4 === 0, unit = vectors ? 4 : 1
  launch(
    stripsKernel(vectors),
    { x, out },
    { rows, width: width / unit, height, strips },
    grid(Math.ceil(height / 64) * strips),
    { overrides: { STRIP: strip / unit } },
  )
  return out
}

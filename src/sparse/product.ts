// Products with packed weights, launched: x W^T, its transpose for the way back, and the gradient to the kept values.
import { grid, launch } from '../core/launch.ts'
import { empty, type Tensor } from '../core/tensor.ts'
import { zeros } from '../core/fill.ts'
import { type Epilogue, switches, whole } from '../ops/matmul/kernels.ts'
import { choose } from '../ops/shared/variants.ts'
import { entriesKernel, entryValuesKernel, stripsKernel, tilesKernel, tileValuesKernel,
  turnKernels } from './kernels.ts'
import { forwardSide, type Packing, type Side, turnedSide } from './packing.ts'
import { stripOf, tilesOf } from './tiles.ts'
import { sparseVariants } from './variants.ts'

/** The tensors of a packed weight: values, the pattern's index by name, and the lists. */
export interface PackedTensors {
  values: Tensor
  index: Readonly<Record<string, Tensor>>
  lists: Readonly<Record<string, Tensor>>
}

/** out [M, N] = x [M, K] W^T, then the epilogue. */
export function sparseProduct(
  x: Tensor,
  { values, index }: PackedTensors,
  packing: Packing,
  out: Tensor,
  M: number,
  epilogue: Epilogue = {},
): void {
  const { pattern: { name }, slots } = packing
  multiplyBy(x, values, index, forwardSide(packing), { name, slots }, out, M, epilogue)
}

/** out [M, K] = dy [M, N] W: the tiles are transposed first, which is little beside the product. */
export function sparseBack(
  dy: Tensor,
  { values, lists }: PackedTensors,
  packing: Packing,
  out: Tensor,
  M: number,
): void {
  const side = turnedSide(packing), turned = turn(values, lists.turned_slot, packing)
  const index = { row_start: lists.turned_start, tile_column: lists.turned_column }
  multiplyBy(dy, turned, index, side, { name: packing.pattern.name, slots: packing.slots }, out, M)
  turned.dispose()
}

/** out [M, N] = x [M, K] times the transpose of what a side describes; `slots` is about how many tiles are kept. */
export function multiplyBy(
  x: Tensor,
  values: Tensor,
  index: PackedTensors['index'],
  side: Side,
  { name, slots }: { name: string, slots: number },
  out: Tensor,
  M: number,
  epilogue: Epilogue = {},
): void {
  const { shape: [N, K], tile: [HEIGHT, WIDTH], strip, tiles, walk } = side
  const work = { ...side, M, slots }, variant = choose(sparseVariants, work)
  const steps = variant.steps(work), across = variant.across(work)
  const buffers = { x, values, bias: epilogue.bias ?? x, residual: epilogue.residual ?? x, out, ...index }
  const sizes = { M, N, K, tile_rows: tiles[0], tile_columns: tiles[1] }
  const flops = 2 * M * slots * HEIGHT * WIDTH
  if (variant.loop === 'tiles' && strip > 1) {
    const { X = 8, packers = 1 } = variant, groups = Math.ceil(tiles[0] * HEIGHT / strip / across)
    launch(
      tilesKernel(walk, strip / 4 as 1 | 2 | 4, whole(K), whole(N), name),
      buffers,
      sizes,
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
          ...switches(epilogue),
        },
        flops,
      },
    )
  } else {
    const { quads: QUADS = 8 } = variant
    launch(
      entriesKernel(walk, QUADS, whole(K), whole(N), name),
      buffers,
      sizes,
      grid(Math.ceil(M / (4 * QUADS)) * Math.ceil(N / across)),
      { overrides: { HEIGHT, WIDTH, OUTPUTS: across, STEP: steps, QUADS, STRIP: strip, ...switches(epilogue) }, flops },
    )
  }
}

/** The values of the transposed weight. */
function turn(values: Tensor, order: Tensor, { tile: [HEIGHT, WIDTH], slots }: Packing): Tensor {
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
  { values, lists }: PackedTensors,
  packing: Packing,
  M: number,
): Tensor {
  const { shape: [N, K], tile: [HEIGHT, WIDTH], slots } = packing
  if (slots === 0) return zeros(values.shape)
  const out = empty(values.shape), strip = stripOf(HEIGHT), across = stripOf(WIDTH)
  if (strip > 1 && across > 1) {
    tileGradients(dy, x, out, lists, packing, M)
  } else {
    const height = Math.ceil(M / 4) * 4
    const a = cut(dy, M, N, 1, height, N), b = cut(x, M, K, 1, height, K)
    launch(
      entryValuesKernel,
      { dy: a, x: b, tile_row: lists.tile_row, tile_column: lists.tile_column, values: out },
      { N, K, height, slots },
      grid(Math.ceil(slots * HEIGHT * WIDTH / 64)),
      { overrides: { HEIGHT, WIDTH, STRIP: strip }, flops: 2 * M * slots * HEIGHT * WIDTH },
    )
    a.dispose()
    b.dispose()
  }
  return out
}

/** The same for tiles whose sides are multiples of four, into `out`. */
export function tileGradients(
  dy: Tensor,
  x: Tensor,
  out: Tensor,
  { tile_row, tile_column }: PackedTensors['lists'],
  { shape, tile: [HEIGHT, WIDTH], slots }: Pick<Packing, 'shape' | 'tile' | 'slots'>,
  M: number,
): void {
  const [N, K] = shape, [down, right] = tilesOf(shape, [HEIGHT, WIDTH])
  const strip = stripOf(HEIGHT), across = stripOf(WIDTH)
  const a = cut(dy, M, N, strip, M, down * HEIGHT / strip), b = cut(x, M, K, across, M, right * WIDTH / across)
  launch(
    tileValuesKernel(strip / 4 as 1 | 2 | 4),
    { dy: a, x: b, tile_row, tile_column, values: out },
    { M, slots },
    grid(Math.ceil(slots * (HEIGHT / strip) * (WIDTH / 4) / 16)),
    {
      overrides: { HEIGHT, WIDTH, COLUMNS: strip / 4, QUADS: across / 4, STEP: 128, ITEMS: 16 },
      flops: 2 * M * slots * HEIGHT * WIDTH,
    },
  )
  a.dispose()
  b.dispose()
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

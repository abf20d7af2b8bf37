// Which loop and tile a matrix product uses on which kind of adapter. All variants add the same products in the same
// order, so they give the same bits, and the tuner may change its mind in the middle of a training run.
import type { Gpu } from '../../gpu/device.ts'
import type { Overrides } from '../../gpu/kernel.ts'
import type { ProductFile } from './kernels.ts'
import type { ProductShape } from './product.ts'
import { tileColumns } from '../shared/row-kernels.ts'

/** One way to compute a product: the loop and its tile in outputs. */
export interface ProductVariant {
  readonly name: string
  readonly file: ProductFile
  readonly tile: readonly [rows: number, columns: number]
  readonly overrides: Overrides
  /** Vectors of four in a block of a row, for a loop that makes rows in blocks. */
  readonly block?: 2 | 4
}

/** Register tiles: `rows` x 4 `columns` outputs per invocation, 8 x 8 invocations. */
export function registers(rows: 4 | 8, columns: 1 | 2): ProductVariant {
  return {
    name: `registers ${rows}x${4 * columns}`,
    file: 'matmul/registers.wgsl',
    tile: [8 * rows, 32 * columns],
    overrides: { ROWS: rows, COLUMNS: columns, X: 8, Y: 8 },
  }
}

/** One subgroup of `lanes` per workgroup, which makes `rows` x 4 `lanes` outputs. */
export function subgroup(rows: number, lanes: number): ProductVariant {
  return {
    name: `subgroup ${rows}x${4 * lanes}`,
    file: 'matmul/subgroup.wgsl',
    tile: [rows, 4 * lanes],
    overrides: { ROWS: rows, LANES: lanes },
  }
}

/** Tiles of 64 x 64 through workgroup memory, `step` steps of k at a time. */
export function tiled(step: 4 | 16 | 32): ProductVariant {
  return { name: `tiled 64x64 step ${step}`, file: 'matmul/tiled.wgsl', tile: [64, 64], overrides: { STEP: step } }
}

/**
 * Tiles of `rows` (at least 4 `width`) x `columns`, both multiples of sixteen, in blocks that fit the caches of a
 * processor, `step` steps of k at a time: many, so that sums seldom leave the registers. Invocations make 4 rows
 * x 4 `width` columns.
 */
export function blocked(rows: number, columns: number, step: number, width: 2 | 4): ProductVariant {
  return {
    name: `blocked ${rows}x${columns} step ${step} by ${4 * width}`,
    file: 'matmul/blocked.wgsl',
    tile: [rows, columns],
    overrides: { X: rows / 4, Y: columns / (4 * width), STEP: step, COLUMNS: width },
    block: width,
  }
}

/** The variants for a product of these sizes on this adapter, the fixed choice first. */
export function candidates(
  { adapter, features, device, fixedVariants }: Gpu,
  { M, N }: Pick<ProductShape, 'M' | 'N'>,
): ProductVariant[] {
  const { subgroupMinSize: least, subgroupMaxSize: most } = device.adapterInfo
  // The subgroup loop needs to know the number of lanes when it is compiled.
  const lanes = features.has('subgroups') && least === most && [4, 8, 16].includes(least) ? least : 0
  // A software driver takes a second or more to compile a variant: where the subgroup loop runs, nothing else comes
  // near it. Tests run each kernel once or twice, so there the tile that compiles in half the time is the faster one.
  if (adapter.kind === 'software' && lanes) return [subgroup(lanes <= 8 && (M <= 8 || fixedVariants) ? 8 : 16, lanes)]
  if (adapter.kind === 'software') return M <= 8 ? [registers(4, 1)] : [registers(4, 2), registers(8, 2)]
  if (adapter.kind === 'embedded' && M > 8) {
    const columns = tileColumns(),
      small = blocked(64, 64, 64, columns),
      large = [blocked(192, 96, 192, columns), blocked(128, 192, 192, columns)]
    // The tuner's operands are in the caches, where small tiles lose less than in a network: near a tie the large ones
    // are better.
    return M >= 192 && N >= 96 && M * N >= 4 * 192 * 96 ? [...large, small] : [small, ...large]
  }
  return M <= 8 ? [registers(4, 1), tiled(16)] : [tiled(16), tiled(32), registers(4, 1), registers(8, 2)]
}

/**
 * In how many splits k is summed: few outputs with many steps of k leave most of a device idle, so splits are summed
 * side by side and added in a second launch. Depends on sizes and the kind of adapter only: another split would give
 * other last bits.
 */
export function splitsFor({ adapter }: Gpu, { M, N, K, batch = [1, 1] }: ProductShape): number {
  const enough = adapter.kind === 'gpu' ? 256 : 8 // tiles that keep the device busy
  const tiles = Math.ceil(M / 64) * Math.ceil(N / 64) * batch[0] * batch[1]
  // More than 8192 terms in one sum would lose more digits than the tests allow.
  return Math.max(1, Math.min(Math.floor(enough / tiles), Math.floor(K / 128)), Math.ceil(K / 8192))
}

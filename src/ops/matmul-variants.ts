// Which loop and tile a matrix product uses on which kind of adapter.
import type { Gpu } from '../gpu/device.ts'
import type { Overrides } from '../gpu/kernel.ts'
import type { ProductFile } from './matmul-kernels.ts'
import type { ProductShape } from './product.ts'

/** One way to compute a product: the loop, its tile in outputs [rows, columns], and over how many pieces of k it is split. */
export interface ProductVariant {
  name: string
  file: ProductFile
  tile: readonly [rows: number, columns: number]
  overrides: Overrides
  splits: number
}

/** Register tiles of `rows` x 4 `columns` per invocation. */
function registers(rows: 4 | 8, columns: 1 | 2, x = 8, y = 8): ProductVariant {
  return { name: `registers ${rows}x${4 * columns}`, file: 'matmul.wgsl', tile: [y * rows, x * 4 * columns],
    overrides: { ROWS: rows, COLUMNS: columns, X: x, Y: y }, splits: 1 }
}

/** One subgroup per workgroup, `rows` rows each. */
function subgroup(rows: number, lanes: number): ProductVariant {
  return { name: `subgroup ${rows}x${4 * lanes}`, file: 'matmul_subgroup.wgsl', tile: [rows, 4 * lanes], overrides: { ROWS: rows, LANES: lanes }, splits: 1 }
}

/** Tiles of 64 x 64 through workgroup memory, `step` steps of k at a time. */
export function tiled(step: 4 | 16 | 32): ProductVariant {
  return { name: `tiled 64x64 step ${step}`, file: 'matmul_tiled.wgsl', tile: [64, 64], overrides: { STEP: step }, splits: 1 }
}

/** The variants that run on any adapter; those with subgroups need a known number of lanes. */
export const variants = {
  registers: [registers(4, 1), registers(4, 2), registers(8, 1), registers(8, 2)],
  tiled: [tiled(16), tiled(32)],
} as const

/** Every variant that can run on this adapter, the fixed choice first. */
export function candidates({ adapter, features, device }: Gpu): ProductVariant[] {
  const { subgroupMinSize: least, subgroupMaxSize: most } = device.adapterInfo
  // The subgroup loop needs to know the number of lanes when it is compiled.
  const lanes = features.has('subgroups') && least === most && [4, 8, 16].includes(least) ? least : 0
  if (adapter.kind === 'software' && lanes) return [subgroup(16, lanes), subgroup(32, lanes)]
  if (adapter.kind === 'software') return [...variants.registers]
  return [...variants.tiled, ...variants.registers]
}

/** The variant for a product of these sizes. */
export function variantFor(gpu: Gpu, shape: ProductShape): ProductVariant {
  const [fixed] = candidates(gpu)
  return { ...fixed, splits: splitsFor(gpu, fixed, shape) }
}

/** Few tiles with many steps of k leave most of a device idle: then k is cut into pieces whose sums are added in a second launch. */
export function splitsFor({ adapter }: Gpu, { tile }: ProductVariant, { M, N, K, batch = [1, 1] }: ProductShape): number {
  const enough = adapter.kind === 'gpu' ? 256 : 8
  const tiles = Math.ceil(M / tile[0]) * Math.ceil(N / tile[1]) * batch[0] * batch[1]
  const byTiles = Math.floor(enough / tiles), byDepth = Math.floor(K / 128)
  // Sums of more than 8192 terms in one accumulator would lose more digits than the tests allow.
  return Math.max(1, Math.min(byTiles, byDepth), Math.ceil(K / 8192))
}

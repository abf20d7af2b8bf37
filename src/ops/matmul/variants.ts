// The variants of a matrix product: which loop and tile on which kind of adapter. To add one, write its loop in
// kernels/matmul/ and a row here. All rows add the same products in the same order, so they give the same bits, and the
// tuner may change its mind in the middle of a training run; a row that does not is of another numeric class.
import type { Overrides } from '../../gpu/kernel.ts'
import { choose, type Machine, type Variant, variants } from '../shared/variants.ts'
import type { ProductShape } from './product.ts'

/** One way to compute a product: the loop, its tile in outputs, and the overrides that make it so. */
export interface ProductVariant extends Variant<Pick<ProductShape, 'M' | 'N'>> {
  /** Its loop, a file in kernels/matmul/ that calls `tile_at`, `load_a`, `quad_b` or `load_b`, and `finish`. */
  readonly file: string
  readonly tile: readonly [rows: number, columns: number]
  readonly overrides: Overrides
  /** Vectors of four in a block of a row, for a loop that finishes rows in blocks. */
  readonly block?: 2 | 4
  /** Whether several weights in one launch pay: not where a launch costs little beside choosing among buffers. */
  readonly together?: boolean
}

/** Register tiles: `rows` x 4 `columns` outputs per invocation, 8 x 8 invocations. */
const registers = (
  rows: 4 | 8,
  columns: 1 | 2,
  made: Pick<ProductVariant, 'adapters' | 'fits' | 'leads'>,
): ProductVariant => ({
  name: `registers ${rows}x${4 * columns}`,
  numeric: 'exact-order',
  file: 'matmul/registers.wgsl',
  tile: [8 * rows, 32 * columns],
  overrides: { ROWS: rows, COLUMNS: columns, X: 8, Y: 8 },
  together: true,
  ...made,
})

/**
 * One subgroup of `lanes` per workgroup, which makes `rows` x 4 `lanes` outputs. The loop needs to know the number of
 * lanes when it is compiled. A software driver takes a second or more to compile a variant, and where this one runs,
 * nothing else comes near it. Tests run each kernel once or twice, so there the tile that compiles in half the time is
 * the faster one.
 */
const subgroup = (rows: 8 | 16, lanes: 4 | 8 | 16): ProductVariant => ({
  name: `subgroup ${rows}x${4 * lanes}`,
  numeric: 'exact-order',
  adapters: ['software'],
  features: ['subgroups'],
  runs: (machine) => machine.lanes === lanes,
  fits: ({ M }, { fixed }) => lanes === 16 || (rows === 8) === (M <= 8 || fixed),
  file: 'matmul/subgroup.wgsl',
  tile: [rows, 4 * lanes],
  overrides: { ROWS: rows, LANES: lanes },
})

/** Tiles of 64 x 64 through workgroup memory, `step` steps of k at a time. */
const tiled = (step: 4 | 16 | 32, fits: ProductVariant['fits']): ProductVariant => ({
  name: `tiled 64x64 step ${step}`,
  numeric: 'exact-order',
  adapters: ['gpu', 'null', 'embedded'],
  fits,
  file: 'matmul/tiled.wgsl',
  tile: [64, 64],
  overrides: { STEP: step },
  together: true,
})

/**
 * Tiles of `rows` (at least 4 `width`) x `columns`, both multiples of sixteen, in blocks that fit the caches of a
 * processor, `step` steps of k at a time: many, so that sums seldom leave the registers. Invocations make 4 rows
 * x 4 `width` columns. The tuner's operands are in the caches, where small tiles lose less than in a network: near a
 * tie the large ones are better, so for large products those lead.
 */
const blocked = (rows: number, columns: number, step: number, width: 2 | 4): ProductVariant => ({
  name: `blocked ${rows}x${columns} step ${step} by ${4 * width}`,
  numeric: 'exact-order',
  adapters: ['embedded'],
  fits: ({ M }, machine) => M > 8 && machine.columns === width,
  leads: ({ M, N }) => (rows > 64) === (M >= 192 && N >= 96 && M * N >= 4 * 192 * 96),
  file: 'matmul/blocked.wgsl',
  tile: [rows, columns],
  overrides: { X: rows / 4, Y: columns / (4 * width), STEP: step, COLUMNS: width },
  block: width,
})

/** Whether the subgroup loop, beside which a software driver needs no other, is not to be had. */
const withoutSubgroup = ({ kind, lanes }: Machine) => kind !== 'software' || ![4, 8, 16].includes(lanes)

/** All of them. */
export const productVariants = variants<Pick<ProductShape, 'M' | 'N'>, ProductVariant>('matmul', [
  subgroup(8, 4),
  subgroup(16, 4),
  subgroup(8, 8),
  subgroup(16, 8),
  subgroup(16, 16),
  blocked(64, 64, 64, 2),
  blocked(192, 96, 192, 2),
  blocked(128, 192, 192, 2),
  blocked(64, 64, 64, 4),
  blocked(192, 96, 192, 4),
  blocked(128, 192, 192, 4),
  tiled(16, ({ M }, { kind }) => M <= 8 || kind !== 'embedded'),
  tiled(32, ({ M }, { kind }) => M > 8 && kind !== 'embedded'),
  registers(4, 1, {
    fits: ({ M }, machine) => withoutSubgroup(machine) && (M <= 8 || ['gpu', 'null'].includes(machine.kind)),
    leads: ({ M }) => M <= 8,
  }),
  registers(4, 2, { adapters: ['software'], fits: ({ M }, machine) => M > 8 && withoutSubgroup(machine) }),
  registers(8, 2, {
    adapters: ['gpu', 'null', 'software'],
    fits: ({ M }, machine) => M > 8 && withoutSubgroup(machine),
  }),
  // By name only: small steps, which compile quickly where a loop is unrolled, for tests of the loops.
  { ...tiled(4, undefined), adapters: [] },
  { ...blocked(16, 32, 8, 2), adapters: [] },
  { ...blocked(16, 64, 8, 4), adapters: [] },
])

/** Tiles of 64 x 64 outputs that keep a device busy; another number would split sums elsewhere and change last bits. */
const splitVariants = variants<ProductShape, Variant<ProductShape> & { tiles: number }>('matmul splits', [
  { name: 'for a GPU', numeric: 'reordered', adapters: ['gpu'], tiles: 256 },
  { name: 'for a processor', numeric: 'reordered', tiles: 8 },
])

/**
 * In how many splits k is summed: few outputs with many steps of k leave most of a device idle, so splits are summed
 * side by side and added in a second launch. Depends on sizes and the kind of adapter only.
 */
export function splitsFor(shape: ProductShape, on?: Machine): number {
  const { M, N, K, batch = [1, 1] } = shape
  const tiles = Math.ceil(M / 64) * Math.ceil(N / 64) * batch[0] * batch[1]
  const enough = choose(splitVariants, shape, undefined, on).tiles
  // More than 8192 terms in one sum would lose more digits than the tests allow.
  return Math.max(1, Math.min(Math.floor(enough / tiles), Math.floor(K / 128)), Math.ceil(K / 8192))
}

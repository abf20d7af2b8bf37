// The variants of sparse products: which loop and sizes on which kind of adapter.
import { type Machine, type Variant, variants } from '../ops/shared/variants.ts'
import type { Side } from './packing.ts'
import { wordColumns } from './pattern.ts'

/** What a choice depends on. */
export interface SparseWork extends Side {
  M: number
  slots: number
}

/** A loop over kept tiles; sizes for this work. */
export interface SparseVariant extends Variant<SparseWork> {
  readonly loop: 'tiles' | 'entries' | 'groups'
  /** Steps of k that are laid at once, a multiple of four. */
  steps(work: SparseWork): number
  /** Blocks of four rows, for tiles. */
  readonly X?: number
  /** Strips (tiles) or outputs (entries) of a workgroup. */
  across(work: SparseWork): number
  /** Vectors of four rows, for entries. */
  readonly quads?: 8 | 16
  /** Invocations that lay one block of rows. */
  readonly packers?: number
}

const whole = (n: number, unit: number) => Math.ceil(n / unit) * unit
/** Steps of k up to the end of the last tile. */
const depth = ({ tile, tiles }: SparseWork) => whole(tiles[1] * tile[1], 4)
const strips = ({ tile, tiles, strip }: SparseWork) => tiles[0] * tile[0] / strip

/** Steps of k of whole words, about `most`. */
const wholeWords = (most: number, { walk: { groups }, shape }: SparseWork) => {
  const columns = wordColumns(groups!)
  return Math.min(Math.max(1, Math.floor(most / columns)) * columns, shape[1])
}
/** Whether each row has whole words of places, of as many columns as are laid at once. */
const inWords = ({ walk: { groups }, shape, tile }: SparseWork, most: number) =>
  groups !== undefined && tile[0] * tile[1] === 1 && wordColumns(groups) % 4 === 0 && wordColumns(groups) <= most
  && shape[1] % wordColumns(groups) === 0

const inTiles = (_: Machine, { strip }: SparseWork) => strip > 1

/** Rows of the table, the first that fits is taken. Sums are added by ascending k in all of them. */
export const sparseVariants = variants<SparseWork, SparseVariant>('sparse product', [
  {
    name: 'tiles, all of k at once',
    numeric: 'exact-order',
    adapters: ['embedded'],
    runs: (machine, work) => inTiles(machine, work) && depth(work) <= 1536,
    loop: 'tiles',
    X: 8,
    steps: (work) => Math.max(4, depth(work)),
    across: (work) => Math.min(64, strips(work)),
    packers: 1,
  },
  {
    name: 'tiles, steps of k',
    numeric: 'exact-order',
    adapters: ['embedded'],
    runs: inTiles,
    loop: 'tiles',
    X: 8,
    steps: () => 768,
    across: (work) => Math.min(64, strips(work)),
    packers: 1,
  },
  {
    name: 'tiles, for a GPU',
    numeric: 'exact-order',
    adapters: ['gpu', 'null', 'software'],
    runs: inTiles,
    loop: 'tiles',
    X: 8,
    steps: () => 64,
    across: () => 8,
    packers: 8,
  },
  {
    name: 'groups, steps of k',
    numeric: 'exact-order',
    adapters: ['embedded'],
    runs: ({ columns }, work) => columns === 4 && inWords(work, 128),
    loop: 'groups',
    quads: 16,
    steps: (work) => wholeWords(96, work),
    across: ({ shape }) => Math.min(768, whole(shape[0], 16)),
  },
  {
    name: 'groups, steps of k, few rows',
    numeric: 'exact-order',
    adapters: ['embedded'],
    runs: (_, work) => inWords(work, 128),
    loop: 'groups',
    quads: 8,
    steps: (work) => wholeWords(192, work),
    across: ({ shape }) => Math.min(768, whole(shape[0], 16)),
  },
  {
    name: 'groups, for a GPU',
    numeric: 'exact-order',
    adapters: ['gpu', 'null', 'software'],
    runs: (_, work) => inWords(work, 64),
    loop: 'groups',
    steps: (work) => wholeWords(64, work),
    across: () => 64,
  },
  {
    name: 'entries, all of k at once',
    numeric: 'exact-order',
    adapters: ['embedded'],
    runs: (_, { shape }) => shape[1] <= 768,
    leads: ({ slots, tile, tiles, strip }) => strip === 1 && slots * tile[0] * tile[1] < 0.15 * tiles[0] * tiles[1],
    loop: 'entries',
    quads: 8,
    steps: ({ shape }) => whole(shape[1], 4),
    across: ({ shape }) => Math.min(768, whole(shape[0], 16)),
  },
  {
    name: 'entries, steps of k',
    numeric: 'exact-order',
    adapters: ['embedded'],
    loop: 'entries',
    quads: 16,
    steps: ({ shape }) => Math.min(96, whole(shape[1], 4)),
    across: ({ shape }) => Math.min(768, whole(shape[0], 16)),
  },
  { name: 'entries, for a GPU', numeric: 'exact-order', loop: 'entries', steps: () => 64, across: () => 64 },
])

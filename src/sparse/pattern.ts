// What a sparsity pattern is: which entries of a weight it keeps, how it lies in memory, and how a kernel finds it
// again. A pattern is one object, of the package or of a user's file, and nothing else in the package knows its name.
import { InputError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import { listedIndex, listedPositions, listedWalk } from './listed.ts'
import { packTiles, positionsOf, type Tile, unpackTiles } from './tiles.ts'

/**
 * A weight as the matrix of a linear map: outputs by inputs. A convolution's is [filters, channels * height * width].
 */
export type MatrixShape = readonly [rows: number, columns: number]

/**
 * A weight of which only some tiles are stored. A tile is the least that a pattern keeps: a block, or one entry. Kept
 * tiles are numbered from 0 by row of tiles, then by column: that number is a tile's slot.
 */
export interface Packed {
  /** Of the dense weight. */
  shape: MatrixShape
  tile: Tile
  /** How many tiles are kept; 0 too, but `values` then has the room of one. */
  slots: number
  /**
   * Tile after tile. A tile lies in strips of w rows, w the largest of 16, 8, 4 and 1 that divides its rows:
   * [slots][rows / w][columns][w], which is the order in which the kernels read. Where tiles reach over the edge of the
   * weight there are zeros.
   */
  values: Float32Array
  /** What says where the tiles stand, by the names in the pattern's walk; empty for patterns that compute it. */
  index: Readonly<Record<string, Uint32Array>>
}

/**
 * How a kernel finds the kept tiles of a row of tiles: WGSL of three functions that is spliced into the products.
 *
 * - `fn first(row: u32) -> u32`: the first slot of that row of tiles
 * - `fn last(row: u32) -> u32`: one past its last slot
 * - `fn column(row: u32, slot: u32) -> u32`: the column of tiles where that slot stands; ascending within a row
 *
 * They may read the arrays named in `index`, which are `array<u32>`, and `p.N` and `p.K` (rows and columns of the
 * weight), `p.tile_rows` and `p.tile_columns` (how many tiles it has down and across).
 */
export interface TileWalk {
  readonly index: readonly string[]
  readonly wgsl: string
  /** Where tiles are single entries, and every group of neighbouring columns keeps as many. */
  readonly groups?: EntryGroups
}

/** Groups of single entries, for a product that reads their places a word at a time: `kept` of every `size` columns. */
export interface EntryGroups {
  readonly kept: number
  /** A power of two. */
  readonly size: number
  /** Bits of a place in its group; a word of 32 holds those of whole groups. */
  readonly bits: number
  /** `fn word(i: u32) -> u32`: the places of 32 / bits slots from the i-th of so many on, the lowest bits first. */
  readonly wgsl: string
}

/** The columns whose places a word has. Where rows are not whole words, the walk's own functions are taken. */
export const wordColumns = ({ kept, size, bits }: EntryGroups): number => 32 / bits / kept * size

/** What a pattern's own kernel computes with: M rows, a weight of [N, K] of which `slots` tiles are kept. */
export interface KernelWork {
  M: number
  N: number
  K: number
  slots: number
  tile: Tile
}

/**
 * A kernel of a pattern's own: WGSL with an entry point `main`, which finds declared
 *
 * - `p.M`, `p.N`, `p.K`, `p.tile_rows`, `p.tile_columns`, `p.slots`
 * - what it reads: `x` [M, K] and `values` (forward), `dy` [M, N] and `values` (input), `dy` and `x` (values), as
 *   `array<f32>`; and the arrays named in `walk.index`, as `array<u32>`
 * - how it writes: `put(row, column, sum)`, which adds the bias and what is fused, or `put(place, sum)` (values)
 */
export interface PatternKernel {
  readonly wgsl: string
  /** How many workgroups it takes; more than 65,535 are laid out in two dimensions, as everywhere. */
  readonly workgroups: (work: KernelWork) => number
  /** Buffers that are `array<vec4f>`; `put` then takes four neighbours. Where rows are not whole, ours computes. */
  readonly vectors?: readonly ('x' | 'dy' | 'values' | 'out')[]
  /** Values of its `override`s. */
  readonly overrides?: (work: KernelWork) => Readonly<Record<string, number>>
  /** For which work it is taken; default for all. Our product with the walk computes the rest. */
  readonly fits?: (work: KernelWork) => boolean
}

/** Kernels that a pattern brings: of x W^T, of its gradient to x, and of that to the kept values. */
export interface PatternKernels {
  readonly forward?: PatternKernel
  readonly input?: PatternKernel
  readonly values?: PatternKernel
}

/** A sparsity pattern. `definePattern` makes one of as little as `name`, `tile` and `keep`. */
export interface Pattern {
  /** Its text form, parameters included: `block:32x32`. */
  readonly name: string
  /** One line for help texts. */
  readonly summary: string
  /** The size of a tile in entries, rows by columns; may depend on the shape of the weight. */
  tile(shape: MatrixShape): Tile
  /** Why a weight of this shape cannot have this pattern, as the end of a sentence; null if it can. */
  unfit(shape: MatrixShape): string | null
  /** The share of entries that stay, where the pattern leaves no choice (2:4 keeps a half); else null. */
  fixedDensity(shape: MatrixShape): number | null
  /**
   * Which entries of a weight stay, row by row, 1 or 0: about `density` of them, those with the highest scores that the
   * pattern can keep together.
   */
  keep(scores: ArrayLike<number>, shape: MatrixShape, density: number): Uint8Array
  /** The kept entries of a weight, row by row, in the pattern's layout. What is not kept is zero. */
  pack(weight: ArrayLike<number>, keep: ArrayLike<number>, shape: MatrixShape): Packed
  /** The dense weight, row by row: exactly what was packed. */
  unpack(packed: Packed): Float32Array
  /** Row and column of the tile in every slot, in turn: 2 x slots numbers, read off the index alone. */
  positions(packed: Pick<Packed, 'shape' | 'tile' | 'slots' | 'index'>): Uint32Array
  readonly walk: TileWalk
  /** What it computes by kernels of its own. */
  readonly kernels?: PatternKernels
}

/** What `definePattern` needs: the rest has defaults that store the place of every kept tile. */
export interface PatternSpec {
  /** Starts with a letter; letters, digits and `-`, then parameters behind colons: `checkerboard:16`. */
  name: string
  summary?: string
  /** Size of a tile; default one entry. */
  tile?: Tile | ((shape: MatrixShape) => Tile)
  /** Why a shape does not fit; default: every shape does. */
  unfit?: (shape: MatrixShape) => string | null
  fixedDensity?: (shape: MatrixShape) => number
  keep: Pattern['keep']
  pack?: Pattern['pack']
  unpack?: Pattern['unpack']
  /** The index arrays for tiles at these places (row, column, row, column, ...); goes with `positions` and `walk`. */
  index?: (positions: Uint32Array, shape: MatrixShape, tile: Tile) => Packed['index']
  positions?: Pattern['positions']
  /** Its `wgsl` may be empty where a forward kernel of the pattern's own takes all work. */
  walk?: TileWalk
  /** Kernels of the pattern's own, in place of ours with the walk spliced in. */
  kernels?: PatternKernels
}

/** Names that the kernels have already. */
const taken = new Set(
  ('p x bias values out residual first last column main finish store gelu load_x load_bias load_residual multiply '
    + 'blocks turned made slots_before add_entries lay word bounds columns dy put taps window rows_at quad_x step_of')
    .split(' '),
)
/** Index arrays of a pattern: eight storage buffers are what every adapter has, and the products take five. */
const mostArrays = 3

/**
 * A pattern of what is particular to it: a tile, and which entries stay. Places are listed (the first slot of each row
 * of tiles and the column of each slot) unless `index`, `positions` and `walk` say another way.
 * @throws InputError if a name is none, or only some of these three are given.
 */
export function definePattern(spec: PatternSpec): Pattern {
  const { name, summary = name, tile = [1, 1], unfit, fixedDensity, keep, unpack, positions, walk, index } = spec
  const { kernels = {} } = spec
  if (!/^[a-z][a-z0-9-]*(:[a-z0-9.x-]+)*$/i.test(name)) {
    throw new InputError(`pattern ${quoted(name)}: expected a name such as 'checkerboard' or 'checkerboard:16'`)
  }
  const own = [index, positions, walk].filter((part) => part !== undefined).length
  if (own !== 0 && own !== 3) {
    throw new InputError(
      `pattern ${quoted(name)}: index, positions and walk belong together; give all three, or none for listed places`,
    )
  }
  if (walk && walk.index.length > mostArrays) {
    throw new InputError(
      `pattern ${quoted(name)}: ${walk.index.length} index arrays, expected at most ${mostArrays}; put some into one`,
    )
  }
  const odd = walk?.index.find((each) => !/^[a-z][a-z0-9_]*$/.test(each) || taken.has(each))
  if (odd !== undefined) {
    throw new InputError(
      `pattern ${quoted(name)}: an index array cannot be named ${
        quoted(odd)
      }; take lower-case letters and _, and none of ${[...taken].join(', ')}`,
    )
  }
  if (walk?.groups) checkGroups(name, walk.groups)
  checkKernels(name, kernels)
  const tileOf = (shape: MatrixShape): Tile => typeof tile === 'function' ? tile(shape) : tile
  const pack: Pattern['pack'] = spec.pack ?? ((weight, kept, shape) => {
    const size = tileOf(shape), places = positionsOf(kept, shape, size)
    return {
      ...packTiles(weight, kept, shape, size, places),
      index: (index ?? listedIndex)(places, shape, size),
    }
  })
  return {
    name,
    summary,
    tile: tileOf,
    unfit: (shape) => unfit?.(shape) ?? null,
    fixedDensity: (shape) => fixedDensity?.(shape) ?? null,
    keep,
    pack,
    unpack: unpack ?? ((packed) => unpackTiles(packed, (positions ?? listedPositions)(packed))),
    positions: positions ?? listedPositions,
    walk: walk ?? listedWalk,
    kernels,
  }
}

/** @throws InputError for groups that a word cannot have, or whose places may lie outside. */
function checkGroups(name: string, { kept, size, bits, wgsl }: EntryGroups): void {
  const whole = [kept, size, bits].every((number) => Number.isInteger(number) && number > 0)
  if (
    whole && kept <= size && Number.isInteger(Math.log2(size)) && 32 % bits === 0 && 2 ** bits >= size
    && 32 / bits % kept === 0 && /\bfn word\b/.test(wgsl)
  ) return
  throw new InputError(
    `pattern ${
      quoted(name)
    }: walk.groups keeps ${kept} of ${size} in places of ${bits} bits; expected a size that is a `
      + 'power of two, bits that hold it and divide 32, whole groups in a word, and WGSL with fn word(i: u32) -> u32',
  )
}

const bufferNames = { forward: ['x', 'values', 'out'], input: ['dy', 'values', 'out'], values: ['dy', 'x', 'out'] }

/** @throws InputError for a part that does not exist, or a kernel without text or number of workgroups. */
function checkKernels(name: string, kernels: PatternKernels): void {
  for (const [part, own] of Object.entries(kernels) as [keyof PatternKernels, PatternKernel | undefined][]) {
    if (own === undefined) continue
    const what = `pattern ${quoted(name)}: kernels.${part}`, parts = Object.keys(bufferNames)
    if (!parts.includes(part)) throw new InputError(`${what}: expected ${parts.join(', ')}`)
    if (typeof own.wgsl !== 'string' || typeof own.workgroups !== 'function') {
      throw new InputError(`${what}: expected { wgsl, workgroups }, the text and how many workgroups it takes`)
    }
    const odd = own.vectors?.find((buffer) => !bufferNames[part].includes(buffer))
    if (odd !== undefined) {
      throw new InputError(`${what}: no buffer ${quoted(odd)} to be vectors; it has ${bufferNames[part].join(', ')}`)
    }
  }
}

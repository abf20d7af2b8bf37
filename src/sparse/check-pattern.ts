// Whether a pattern does what it says: its keep, pack, unpack and positions on the host, its WGSL on the device, the
// product with what it packed, and kernels that it brings. For patterns of users' own, before anything is built on
// them.
import { InputError } from '../base/errors.ts'
import { fillNormal } from '../base/random.ts'
import { grid, launch } from '../core/launch.ts'
import { tensor } from '../core/tensor.ts'
import { disposeTree } from '../core/tree.ts'
import { checkPacked } from './check-packed.ts'
import { checkProducts } from './check-products.ts'
import { walkKernel } from './kernels.ts'
import { forwardSide } from './packing.ts'
import type { MatrixShape, Packed, Pattern } from './pattern.ts'
import { unpackTiles } from './tiles.ts'
import { SparseWeight } from './weight.ts'

/** Weights and densities to try; by default some that divide few tiles. */
export interface PatternCheck {
  shapes?: readonly MatrixShape[]
  densities?: readonly number[]
}

const usual: readonly MatrixShape[] = [[64, 64], [192, 192], [200, 136]]
const unset = 0xfffffffe

/**
 * Tries a pattern on some weights; needs a device.
 * @throws InputError, one sentence that says which part of it is wrong: a shape that does not fit, `keep`, `pack`,
 * `unpack`, `positions`, the WGSL of its walk, the layout of what it packs, or a kernel that it brings.
 * KernelError if the WGSL does not compile.
 */
export async function checkPattern(
  pattern: Pattern,
  { shapes, densities = [0.25, 0.6] }: PatternCheck = {},
): Promise<void> {
  const fit = shapes ?? usual.filter((shape) => pattern.unfit(shape) === null)
  if (!fit.length || !densities.length) {
    throw new InputError(
      `pattern ${pattern.name}: ${
        fit.length ? 'there are no densities' : shapes ? 'there are no shapes' : `fits none of [${usual.join('], [')}]`
      } to try it on; name some with { shapes, densities }`,
    )
  }
  for (const shape of fit) for (const density of densities) await checkShape(pattern, shape, density)
}

async function checkShape(pattern: Pattern, shape: MatrixShape, density: number): Promise<void> {
  const [rows, columns] = shape, what = `pattern ${pattern.name}, weight [${shape}]`
  const fail = (sentence: string): never => {
    throw new InputError(`${what}: ${sentence}`)
  }
  const { walk, kernels = {} } = pattern
  if (walk.wgsl.trim() === '' && !kernels.forward) {
    fail('its walk has no WGSL; give it, or a kernel of its own: kernels.forward')
  }
  const unfit = pattern.unfit(shape)
  if (unfit !== null) fail(`it does not fit: ${unfit}`)
  const weight = fillNormal(new Float32Array(rows * columns), 1, 'weight')
  const keep = pattern.keep(weight.map(Math.abs), shape, density)
  if (keep.length !== rows * columns) fail(`keep gives ${keep.length} entries, expected ${rows * columns}`)
  const odd = keep.findIndex((one) => one !== 0 && one !== 1)
  if (odd >= 0) fail(`keep gives ${keep[odd]} for entry ${odd}, expected 0 or 1`)
  let packed: Packed
  try {
    packed = pattern.pack(weight, keep, shape)
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    throw new InputError(`${what}: its pack fails: ${error.message}`, { cause: error })
  }
  const positions = checkPacked(
    pattern,
    packed,
    `${what}, its pack`,
    `pack, positions or the index of the pattern is wrong`,
  )
  const back = pattern.unpack(packed)
  if (back.length !== weight.length) fail(`unpack gives ${back.length} entries, expected ${weight.length}`)
  const lost = back.findIndex((value, i) => value !== (keep[i] ? weight[i] : 0))
  if (lost >= 0) {
    const at = `row ${Math.floor(lost / columns)}, column ${lost % columns}`
    fail(
      keep[lost]
        ? `pack or unpack loses an entry that is kept: ${at} comes back as ${back[lost]}, expected ${weight[lost]}`
        : `pack or unpack brings back an entry that is not kept: ${at} comes back as ${back[lost]}, expected 0`,
    )
  }
  checkLayout(packed, positions, back, fail)
  const sparse = new SparseWeight(pattern, packed, {}, what)
  try {
    if (walk.wgsl.trim() !== '') await checkWalk(sparse, packed, positions, fail)
    await checkProducts(sparse, positions, back, fail)
  } finally {
    sparse.dispose()
  }
}

/** Whether values lie as the kernels read them: `unpack` is the pattern's own and may know another order. */
function checkLayout(packed: Packed, positions: Uint32Array, dense: Float32Array, fail: (sentence: string) => never) {
  const found = unpackTiles(packed, positions), [, columns] = packed.shape
  const odd = found.findIndex((value, i) => value !== dense[i])
  if (odd < 0) return
  fail(
    `where row ${Math.floor(odd / columns)}, column ${odd % columns} should lie there is ${found[odd]}, expected ${
      dense[odd]
    }, though its tiles stand where they should: pack must lay values out as Packed says`,
  )
}

/** The three functions of the walk, on the device, against the places of the tiles. */
async function checkWalk(
  { packing, index }: SparseWeight,
  { slots }: Packed,
  positions: Uint32Array,
  fail: (sentence: string) => never,
): Promise<void> {
  const { shape: [N, K], tiles: [down, across], walk } = forwardSide(packing)
  const [bounds, columns] = [2 * down, Math.max(1, slots)].map((size) => tensor(new Uint32Array(size).fill(unset)))
  launch(
    walkKernel(walk, packing.pattern.name),
    { bounds, columns, ...index },
    { N, K, tile_rows: down, tile_columns: across, slots },
    grid(Math.ceil(down / 64)),
  )
  const ends = await bounds.data(), found = await columns.data()
  disposeTree([bounds, columns])
  let slot = 0
  for (let row = 0; row < down; row++) {
    const begin = slot
    while (slot < slots && positions[2 * slot] === row) slot++
    if (ends[2 * row] !== begin && begin < slot || ends[2 * row + 1] - ends[2 * row] !== slot - begin) {
      fail(
        `its WGSL says that row ${row} of tiles has slots ${ends[2 * row]} to ${
          ends[2 * row + 1]
        } (first, last), expected ${begin} to ${slot}`,
      )
    }
    for (let at = begin; at < slot; at++) {
      if (found[at] !== positions[2 * at + 1]) {
        fail(
          `its WGSL says that slot ${at}, in row ${row} of tiles, stands in column ${found[at]}, expected ${
            positions[2 * at + 1]
          }`,
        )
      }
    }
  }
}

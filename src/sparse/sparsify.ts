// A network with some of its weights packed: same paths, same gates, same rules, fewer products.
import { EspalierError, InputError } from '../base/errors.ts'
import { copyOf } from '../core/fill.ts'
import { tensor, withoutDevice } from '../core/tensor.ts'
import { trace } from '../core/transform.ts'
import { describedLeaves, disposeTree, leaves, mapTree } from '../core/tree.ts'
import { withAnyClass } from '../nn/masks.ts'
import type { Model } from '../nn/model.ts'
import { packedWeights } from '../nn/weight.ts'
import { checkPacked } from './check-packed.ts'
import { type ChooseOptions, chooseEntries, type EntryScores } from './choose.ts'
import type { Pattern } from './pattern.ts'
import { chooseSites, putWeight, type WeightSite, weightSites } from './sites.ts'
import { SparseWeight } from './weight.ts'

/** How `sparsify` packs. */
export interface SparsifyOptions extends ChooseOptions {
  pattern: Pattern
  /** What entries are worth, by the path of the weight; default their size. */
  scores?: EntryScores
  /** Layers or weights that stay as they are, `*` standing for anything. */
  skip?: readonly string[]
}

/** The weights on the host, by path. Waits for the device. */
export async function hostEntries(model: Model, sites: readonly WeightSite[]): Promise<Map<string, Float32Array>> {
  const tensors = new Map(leaves(model)), found = new Map<string, Float32Array>()
  for (const { path } of sites) found.set(path, await tensors.get(path)!.data() as Float32Array)
  return found
}

/**
 * The network with every linear layer and convolution in a sparsity pattern (but for `skip`): its tensors are its
 * own, the given one stays as it is. `inputShape` is [n, channels, height, width].
 * @throws InputError where the pattern does not fit a weight, or nothing can be packed.
 */
export async function sparsify<M extends Model>(
  model: M,
  inputShape: readonly number[],
  { pattern, scores, skip, ...choose }: SparsifyOptions,
): Promise<M> {
  const sites = chooseSites(weightSites(model, inputShape), skip), weights = await hostEntries(model, sites)
  const sizes = new Map([...weights].map(([path, values]) => [path, values.map(Math.abs)]))
  const keep = chooseEntries(sites, scores ?? sizes, pattern, choose)
  return packModel(model, inputShape, sites, pattern, keep, weights)
}

/** The network with these entries of these weights, packed. `weights` are those on the host. */
export function packModel<M extends Model>(
  model: M,
  inputShape: readonly number[],
  sites: readonly WeightSite[],
  pattern: Pattern,
  keep: ReadonlyMap<string, Uint8Array>,
  weights: ReadonlyMap<string, Float32Array>,
): M {
  const packed = new Map(sites.map((site) => [site, packSite(site, pattern, weights.get(site.path)!, keep)]))
  const copy = mapTree(model, (leaf) => copyOf(leaf, true))
  for (const [{ paths }, weight] of packed) {
    const [dense] = describedLeaves(copy).filter(([path]) => path === paths[0])
    for (const path of paths) putWeight(copy, path, weight)
    dense[1].dispose()
  }
  checkLayers(copy, inputShape)
  return copy
}

/** A packed weight, checked, so that a fault of the pattern's own `pack` is not the network's. */
function packSite(
  { path, outputs, inputs, matrix }: WeightSite,
  pattern: Pattern,
  weight: Float32Array,
  keep: ReadonlyMap<string, Uint8Array>,
): SparseWeight {
  const own = keep.get(path)!, cure = `the pack of pattern ${pattern.name} is wrong, checkPattern says more`
  const packed = guarded(pattern, path, 'pack', () => pattern.pack(weight, own, matrix))
  checkPacked(pattern, packed, path, cure)
  const again = guarded(pattern, path, 'unpack', () => pattern.unpack(packed))
  const lost = own.findIndex((one, i) => !Object.is(again[i] + 0, (one ? weight[i] : 0) + 0))
  if (lost >= 0 || again.length !== weight.length) {
    const [row, column] = [Math.floor(lost / matrix[1]), lost % matrix[1]]
    throw new InputError(
      `${path}: packed and unpacked, the entry in row ${row} and column ${column} is ${again[lost]}, expected ${
        own[lost] ? weight[lost] : 0
      }; ${cure}`,
    )
  }
  return new SparseWeight(pattern, packed, { outputs, inputs }, path)
}

function guarded<R>(pattern: Pattern, path: string, what: string, work: () => R): R {
  try {
    return work()
  } catch (error) {
    const said = error instanceof EspalierError ? error.message : String(error)
    throw new InputError(`pattern ${pattern.name}: its ${what} fails for ${path}: ${said}`, { cause: error })
  }
}

/** Layers of a user's own class may multiply by tensors alone. @throws InputError naming the packed weights. */
function checkLayers(model: Model, inputShape: readonly number[]): void {
  try {
    withoutDevice(() => trace((input) => withAnyClass(model, inputShape[0], () => model.call(input(inputShape)))))
  } catch (error) {
    if (!(error instanceof Error) || error instanceof InputError) throw error
    const [path] = packedWeights(model)[0] ?? ['']
    disposeTree(model)
    throw new InputError(
      `a layer cannot multiply by a packed weight, e.g. ${path} (${error.message}); its class must call applied(x, `
        + 'weight, bias) instead of linear(x, weight, bias)',
      { cause: error },
    )
  }
}

/** Every packed weight of a model with its path. */
export const sparseWeights = (model: unknown): [path: string, weight: SparseWeight][] =>
  packedWeights(model).flatMap(([path, weight]): [string, SparseWeight][] =>
    weight instanceof SparseWeight ? [[path, weight]] : []
  )

/** The dense network that computes the same: packed weights as tensors with zeros. Waits for the device. */
export async function densify<M>(model: M): Promise<M> {
  const copy = mapTree(model, (leaf) => copyOf(leaf, true))
  for (const [path, weight] of sparseWeights(copy)) {
    putWeight(copy, path, tensor(await weight.dense(), weight.shape))
    weight.dispose()
  }
  return copy
}

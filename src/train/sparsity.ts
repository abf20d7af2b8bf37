// Training towards a sparsity pattern. Weights stay dense tensors with masks beside them: what a mask leaves out has no
// update and stays zero. Masks change every so many steps: the density falls along a cubic (Zhu & Gupta, "To prune, or
// not to prune", arXiv 1710.01878), and some of the weakest tiles make room for those with the largest gradient (RigL,
// Evci et al., arXiv 1911.11134). At the end, and wherever the network is saved or tested, the weights are packed.
import { InputError } from '../base/errors.ts'
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { copyInto, full, zeros } from '../core/fill.ts'
import type { Tensor } from '../core/tensor.ts'
import { scope } from '../core/transform.ts'
import { disposeTree, leaves } from '../core/tree.ts'
import type { Model } from '../nn/model.ts'
import { mul } from '../ops/elementwise.ts'
import { checkSites, chooseEntries } from '../sparse/choose.ts'
import type { Pattern } from '../sparse/pattern.ts'
import { chooseSites, type WeightSite, weightSites } from '../sparse/sites.ts'
import { hostEntries, packModel } from '../sparse/sparsify.ts'
import type { Moment } from './groups.ts'
import type { FitHook, FitRun, Gradients } from './hooks.ts'

/** How weights become sparse while they train. Times are shares of the run. */
export interface SparsityOptions {
  pattern: Pattern
  /** The share of the entries that stays at the end; patterns that leave no choice need none. */
  density?: number
  /**
   * `cubic`: the density falls from 1 between `begin` and `end`. `constant`: it is what it is from the start, by the
   * size of the first weights.
   */
  schedule?: 'cubic' | 'constant'
  /** Default 0. */
  begin?: number
  /** After it masks stay as they are; default 0.75. */
  end?: number
  /** Steps between two changes; default about thirty changes. */
  every?: number
  /** The share of kept tiles that is exchanged at the first change; it falls along a cosine. Default 0: none. */
  regrow?: number
  /** As in `chooseEntries`; default `per-unit`. */
  ranking?: 'global' | 'per-unit'
  /** Layers or weights that stay dense. */
  skip?: readonly string[]
}

const keys: OptionKeys<SparsityOptions> = {
  pattern: true,
  density: true,
  schedule: true,
  begin: true,
  end: true,
  every: true,
  regrow: true,
  ranking: true,
  skip: true,
}

/** Learns a sparse network: a hook for `fit`, and the network it comes to. */
export interface Sparsity {
  /** For `fit`'s hooks. Its masks are saved and restored with the run's state. */
  readonly hook: FitHook & { readonly tensors: { masks: Record<string, Tensor> } }
  /** The model (or its moving average) with packed weights, by the masks as they are. Its tensors are its own. */
  pack<M extends Model>(model: M): Promise<M>
  /** The share of the entries that the masks leave. */
  density(): Promise<number>
  dispose(): void
}

/**
 * The share that stays after a share `at` of the run: 1 before `begin`, `density` after `end`, in between
 * density + (1 - density) (1 - t)^3.
 */
export function densityAt(
  at: number,
  { density, begin, end }: { density: number, begin: number, end: number },
): number {
  const t = end > begin ? Math.min(1, Math.max(0, (at - begin) / (end - begin))) : Number(at >= end)
  return density + (1 - density) * (1 - t) ** 3
}

/** The share of kept tiles that is exchanged: `regrow` / 2 (1 + cos(pi t)). */
export const regrowthAt = (at: number, { regrow, end }: { regrow: number, end: number }): number =>
  at >= end ? 0 : regrow / 2 * (1 + Math.cos(Math.PI * at / end))

/**
 * Makes a model's weights sparse while `fit` trains them. `inputShape` is [n, channels, height, width].
 * @throws InputError for options out of range, and where the pattern does not fit a weight.
 */
export async function sparsity(
  model: Model,
  inputShape: readonly number[],
  options: SparsityOptions,
): Promise<Sparsity> {
  checkOptions('sparsity', options, keys)
  const sites = chooseSites(weightSites(model, inputShape), options.skip), plan = planOf(options, sites)
  const masks: Record<string, Tensor> = {}, gradients: Record<string, Tensor> = {}
  for (const { path, outputs, inputs } of sites) {
    masks[path] = full([...outputs, ...inputs], 1, true)
    if (plan.regrow > 0) gradients[path] = zeros([...outputs, ...inputs], true)
  }
  if (plan.schedule === 'constant') {
    const weights = await hostEntries(model, sites)
    const sizes = new Map([...weights].map(([path, values]) => [path, values.map(Math.abs)]))
    apply(model, masks, chooseEntries(sites, sizes, plan.pattern, plan), weights)
  }
  const tensors = plan.regrow > 0 ? { masks, gradients } : { masks }
  const hook: Sparsity['hook'] = {
    name: 'sparsity',
    tensors,
    beforeUpdate(found): Gradients {
      const own = new Map(found)
      for (const { path } of sites) {
        const gradient = found.get(path)
        if (!gradient) continue
        if (gradients[path]) copyInto(gradient, gradients[path])
        own.set(path, mul(gradient, masks[path]))
      }
      return own
    },
    afterUpdate(trained) {
      const weights = new Map(leaves(trained))
      scope(() => {
        for (const { path } of sites) copyInto(mul(weights.get(path)!, masks[path]), weights.get(path)!)
      })
    },
    async afterStep(run, at) {
      if (isDue(at, plan)) await change(run, (at.step + 1) / at.steps, sites, masks, gradients, plan)
    },
  }
  const keepOf = async () => {
    const keep = new Map<string, Uint8Array>()
    for (const { path } of sites) keep.set(path, Uint8Array.from(await masks[path].data()))
    return keep
  }
  return {
    hook,
    async pack(trained) {
      return packModel(trained, inputShape, sites, plan.pattern, await keepOf(), await hostEntries(trained, sites))
    },
    async density() {
      const keep = [...(await keepOf()).values()]
      return keep.reduce((sum, own) => sum + own.reduce((a, b) => a + b, 0), 0)
        / keep.reduce((sum, { length }) => sum + length, 0)
    },
    dispose() {
      disposeTree(tensors)
    },
  }
}

/** Looks at options for a model, which needs no content. @throws InputError as `sparsity` does. */
export function checkSparsityOptions(model: Model, inputShape: readonly number[], options: SparsityOptions): void {
  checkOptions('sparsity', options, keys)
  planOf(options, chooseSites(weightSites(model, inputShape), options.skip))
}

type Plan = Required<Omit<SparsityOptions, 'skip' | 'every'>> & { every: number | undefined }

function planOf(options: SparsityOptions, sites: readonly WeightSite[]): Plan {
  const { pattern, schedule = 'cubic', begin = 0, end = 0.75, every, regrow = 0, ranking = 'per-unit' } = options
  checkSites(sites, pattern)
  const fixed = sites.map(({ matrix }) => pattern.fixedDensity(matrix)).find((each) => each !== null)
  const { density = fixed } = options
  const wrong = (what: string) => new InputError(`sparsity: ${what}`)
  if (density === undefined || density === null) {
    throw wrong(`pattern ${pattern.name} needs a density, found none; give --density`)
  }
  if (!(density >= 0 && density <= 1)) throw wrong(`density ${density}, expected 0 to 1`)
  if (fixed && Math.abs(fixed - density) > 0.05) {
    throw wrong(
      `pattern ${pattern.name} keeps a share of ${fixed} and no other, found density ${density}; leave it out`,
    )
  }
  if (fixed && regrow > 0) {
    throw wrong(`pattern ${pattern.name} leaves no choice of how much to exchange; leave regrow out`)
  }
  if (!(begin >= 0 && begin <= end && end <= 1)) {
    throw wrong(
      `it begins at ${begin} and ends at ${end} of the run, expected 0 to 1, the end not before the beginning`,
    )
  }
  if (every !== undefined && !(Number.isInteger(every) && every >= 1)) {
    throw wrong(`a change every ${every} steps, expected a whole number of at least 1`)
  }
  if (!(regrow >= 0 && regrow < 1)) throw wrong(`a share of ${regrow} is exchanged, expected 0 to below 1`)
  // A pattern of a fixed density goes there in one step, at the beginning.
  return { pattern, density, schedule, begin, end: fixed ? begin : end, every, regrow, ranking }
}

/** Whether masks change after this step: every so many within the time, and at its end. */
function isDue({ step, steps }: Moment, { schedule, begin, end, every, regrow }: Plan): boolean {
  const done = step + 1, first = Math.round(begin * steps), last = Math.max(1, Math.round(end * steps))
  if (done > last || done < first || (schedule === 'constant' && regrow === 0)) return false
  if (done === last) return schedule === 'cubic'
  return (done - first) % (every ?? Math.max(1, Math.round((last - first) / 30))) === 0
}

async function change(
  { model }: FitRun,
  at: number,
  sites: readonly WeightSite[],
  masks: Record<string, Tensor>,
  gradients: Record<string, Tensor>,
  plan: Plan,
): Promise<void> {
  const { pattern, schedule, ranking } = plan, weights = await hostEntries(model, sites)
  const sizes = new Map([...weights].map(([path, values]) => [path, values.map(Math.abs)]))
  // The last change comes a rounding before or after its time.
  const density = schedule === 'constant' ? plan.density : densityAt(at > plan.end - 1e-3 ? plan.end : at, plan)
  let keep: Map<string, Uint8Array>
  if (schedule === 'cubic') keep = chooseEntries(sites, sizes, pattern, { density, ranking })
  else {
    keep = new Map()
    for (const { path } of sites) keep.set(path, Uint8Array.from(await masks[path].data()))
  }
  const share = regrowthAt(at, plan)
  if (share > 0) keep = await exchanged(sites, keep, sizes, gradients, share, pattern)
  apply(model, masks, keep, weights)
}

/** Kept entries with a share of the weakest dropped and as many of those with the largest gradient taken up. */
async function exchanged(
  sites: readonly WeightSite[],
  keep: ReadonlyMap<string, Uint8Array>,
  sizes: ReadonlyMap<string, Float32Array>,
  gradients: Record<string, Tensor>,
  share: number,
  pattern: Pattern,
): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>()
  for (const { path, matrix } of sites) {
    const own = keep.get(path)!, density = own.reduce((a, b) => a + b, 0) / own.length
    const size = sizes.get(path)!.map((value, i) => own[i] ? value : 0)
    const stays = pattern.keep(size, matrix, density * (1 - share))
    const gradient = (await gradients[path].data() as Float32Array).map(Math.abs)
    // What stays is ahead of whatever comes back.
    const ahead = 1 + gradient.reduce((sum, value) => sum + value, 0)
    found.set(path, pattern.keep(gradient.map((value, i) => stays[i] && own[i] ? ahead : value), matrix, density))
  }
  return found
}

/** What is left out is zero from now on; what comes back starts at zero. */
function apply(
  model: Model,
  masks: Record<string, Tensor>,
  keep: ReadonlyMap<string, Uint8Array>,
  weights: ReadonlyMap<string, Float32Array>,
): void {
  const tensors = new Map(leaves(model))
  for (const [path, own] of keep) {
    masks[path].write(Float32Array.from(own))
    tensors.get(path)!.write(weights.get(path)!.map((value, i) => own[i] ? value : 0))
  }
}

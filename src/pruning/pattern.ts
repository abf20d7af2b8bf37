// Pruning to a sparsity pattern: an importance criterion scores weights, a pattern keeps the tiles that are worth most,
// what stays is packed, trained if asked, and compared with the dense network whose weights are masked.
import type { Aggregation } from '../attribution/relevance.ts'
import { EspalierError, InputError } from '../base/errors.ts'
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { copyOf } from '../core/fill.ts'
import { trace } from '../core/transform.ts'
import { disposeTree, leaves, mapTree } from '../core/tree.ts'
import type { Augmentation } from '../data/augment.ts'
import type { Dataset } from '../data/datasets.ts'
import { withAnyClass } from '../nn/masks.ts'
import type { Model } from '../nn/model.ts'
import { checkSites, chooseEntries, type ChooseOptions, type EntryScores } from '../sparse/choose.ts'
import type { Pattern } from '../sparse/pattern.ts'
import { chooseSites, type WeightSite, weightSites } from '../sparse/sites.ts'
import { hostEntries, packModel, sparseWeights } from '../sparse/sparsify.ts'
import { fit, fitKeys, type FitOptions } from '../train/fit.ts'
import { noStore, type StateStore } from '../train/resume.ts'
import { difference, logitsOf, type Probe, probesOf } from './check.ts'
import { rememberRecord, historyOf } from './plan/history.ts'
import type { StageRecord } from './learning/record.ts'
import { methodNames, methodOf, methods } from './methods/index.ts'
import type { Method } from './methods/method.ts'
import { checkedOptions } from './prune.ts'
import type { OnProgress } from './progress.ts'
import type { ImportanceCriterion } from './scores/criterion.ts'

/** How to prune to a pattern. */
export interface PatternPruneOptions extends Omit<ChooseOptions, 'density'> {
  pattern: Pattern
  /** The share of the entries that stays; patterns that leave no choice (2:4) need none. */
  density?: number
  /**
   * An importance criterion of weights, a method that brings weights into a pattern while it trains (`gohsp`), or the
   * name of one; default `magnitude`.
   */
  method?: string | ImportanceCriterion | Method
  /** Options of a method that trains, as text, and where it keeps its state. */
  options?: Readonly<Record<string, string>>
  store?: StateStore
  /** How pictures are changed while such a method trains. */
  augment?: Augmentation
  /** What messages call it. */
  name?: string
  /** Layers or weights that stay dense, `*` standing for anything. */
  skip?: readonly string[]
  /** Labelled images: to score by, and to train on. */
  data?: Dataset
  /** Images to score by, where these are others than `data`. */
  references?: Dataset
  /** [channels, height, width]; default that of the images. */
  input?: readonly [number, number, number]
  classes?: number
  aggregation?: Aggregation
  batch?: number
  seed?: number
  /** Trains what stays on `data`. */
  finetune?: Partial<Omit<FitOptions, 'classes'>> & { epochs: number }
  onProgress?: OnProgress
}

const keys: OptionKeys<PatternPruneOptions> = {
  pattern: true,
  density: true,
  ranking: true,
  minimum: true,
  method: true,
  name: true,
  skip: true,
  data: true,
  references: true,
  input: true,
  classes: true,
  aggregation: true,
  batch: true,
  seed: true,
  options: true,
  store: true,
  augment: true,
  finetune: true,
  onProgress: true,
}

/** What pruning to a pattern came to. */
export interface PatternPruneResult<M> {
  /** The network with packed weights; its tensors are its own. */
  model: M
  /** The weights that are packed, and the scores of their entries. */
  sites: readonly WeightSite[]
  scores: EntryScores
  /** Entries that are stored, as a share of those of all packed weights. */
  density: number
  /** max|a - b| / max|b| of its logits and those of the dense network with masked weights, before training. */
  difference: number
  probes: readonly Probe[]
  /** What the network must compute for the probes. */
  logits: Float32Array
  /** What became of each stage of a method that trains. */
  stages: readonly StageRecord[]
  notes: string[]
}

/**
 * The criterion that scores weights. @throws InputError for one that scores units only, naming those that do.
 */
export function weightCriterion(name: string, criterion: ImportanceCriterion | undefined): ImportanceCriterion {
  if (criterion?.weights) return criterion
  const able = methodNames.filter((each) => methods[each].criterion?.weights ?? methods[each].toPattern)
  throw new InputError(
    `method '${name}': it scores no single weights, which a sparsity pattern is chosen by; expected ${
      able.join(', ')
    } or pxp:<composite>`,
  )
}

/**
 * Prunes a network on the device to a sparsity pattern; the given one stays as it is.
 * @throws InputError for a pattern that does not fit, a criterion without scores of weights, or images that are
 * missing; EspalierError if the packed network differs from the masked one.
 */
export async function prunePattern<M extends Model>(
  model: M,
  options: PatternPruneOptions,
): Promise<PatternPruneResult<M>> {
  checkOptions('prunePattern', options, keys)
  if (options.finetune) checkOptions("prunePattern's finetune", options.finetune, fitKeys)
  const { pattern, method = 'magnitude', data = null, references = data, ranking, minimum, batch = 16, seed = 0 } =
    options
  const name = options.name ?? (typeof method === 'string' ? method : 'a criterion')
  const named = typeof method === 'string' ? methodOf(method) : 'prune' in method ? method : null
  const learner = named?.toPattern ? named as Method & Required<Pick<Method, 'toPattern'>> : null
  const criterion = learner ? null : weightCriterion(name, named ? named.criterion : method as ImportanceCriterion)
  const lacking = learner ? !data : criterion!.images && !references
  if (lacking || (options.finetune && !data)) {
    throw new InputError(
      `prune: ${lacking ? name : 'fine-tuning'} reads images with labels, and there are none; `
        + 'give --data (library: data)',
    )
  }
  const input = options.input ?? await (references ?? data)?.inputShape()
  if (!input) throw new InputError('prune: without images the input [channels, height, width] must be given')
  const sites = chooseSites(weightSites(model, [1, ...input]), options.skip)
  checkSites(sites, pattern)
  const classes = options.classes
    ?? trace((image) => withAnyClass(model, 1, () => model.call(image([1, ...input])))).result.shape.at(-1)!
  const density = densityFor(pattern, sites, options.density)
  const choose = (found: EntryScores) => chooseEntries(sites, found, pattern, { density, ranking, minimum })
  const learnt = await learner?.toPattern({
    name,
    model,
    classes,
    sites,
    choose,
    data: data!,
    augment: options.augment,
    batch,
    seed,
    options: checkedOptions(name, learner, options.options ?? {}),
    store: options.store ?? noStore,
    recipe: { pattern: pattern.name, density, ranking, minimum, weights: sites.map(({ path }) => path) },
    onProgress: options.onProgress,
  })
  const source = (learnt?.model ?? model) as M, values = await hostEntries(source, sites)
  const scores = learnt?.scores ?? await criterion!.weights!({
    model,
    sites,
    values,
    references,
    classes,
    batch,
    seed,
    aggregation: options.aggregation ?? 'mean-of-abs',
    tile: (shape) => pattern.tile(shape),
    onProgress: (images) => options.onProgress?.(`scoring by ${name}`, images, references?.length ?? images),
  })
  const keep = learnt?.keep ?? choose(scores)
  const small = packModel(source, [1, ...input], sites, pattern, keep, values)
  const before = historyOf(model).at(-1)
  if (before) rememberRecord(small, before)
  const probes = await probesOf(references ?? data, input, batch)
  let logits = await maskedLogits(source, keep, values, probes)
  if (learnt) disposeTree(learnt.model)
  const apart = difference(await logitsOf(small, probes), logits)
  if (!(apart <= 1e-3)) {
    disposeTree(small)
    throw new EspalierError(
      `prune: the packed network differs from the masked one by ${
        apart.toExponential(1)
      } of the largest logit, expected at most 0.001; either its walk.wgsl is wrong (checkPattern says more), or the `
        + `network's values are no numbers`,
    )
  }
  const notes = learnt ? [`learnt from ${data!.length} images`] : []
  if (options.finetune) {
    const { epochs } = options.finetune, all = epochs * data!.length
    await fit<Model>(small, data!, {
      batch,
      rate: 1e-4,
      seed,
      clip: 1,
      ...options.finetune,
      classes,
      onNote: (note) => notes.push(note),
      onStep: (images, loss, epoch) => {
        options.onProgress?.('fine-tuning', epoch * data!.length + images, all, `loss ${loss.toFixed(4)}`)
        options.finetune!.onStep?.(images, loss, epoch)
      },
    })
    logits = await logitsOf(small, probes)
  }
  const entries = sites.reduce((sum, { matrix: [rows, columns] }) => sum + rows * columns, 0)
  const own = new Set(sites.flatMap(({ paths }) => paths))
  const kept = sparseWeights(small).reduce((sum, [path, weight]) => own.has(path) ? sum + weight.kept : sum, 0)
  const stages = learnt?.stages ?? []
  return { model: small, sites, scores, density: kept / entries, difference: apart, probes, logits, stages, notes }
}

/** The density asked for. @throws InputError where a pattern needs one and has none, or has another of its own. */
function densityFor(pattern: Pattern, sites: readonly WeightSite[], density: number | undefined): number {
  const fixed = sites.map(({ matrix }) => pattern.fixedDensity(matrix))
  if (density === undefined) {
    if (fixed.every((each) => each !== null)) return 1
    throw new InputError(`pattern ${pattern.name}: how much stays is not said; give --density`)
  }
  const other = fixed.find((each) => each !== null && Math.abs(each - density) > 0.05) // edges count
  if (other === undefined || other === null) return density
  throw new InputError(
    `pattern ${pattern.name}: it keeps a share of ${
      Number(other.toFixed(3))
    } of a weight and no other, found --density ${density}; leave `
      + 'it out',
  )
}

/** Logits of the dense network with zeros where nothing is kept. */
async function maskedLogits(
  model: Model,
  keep: ReadonlyMap<string, Uint8Array>,
  values: ReadonlyMap<string, Float32Array>,
  probes: readonly Probe[],
): Promise<Float32Array> {
  const masked = mapTree(model, (leaf) => copyOf(leaf))
  for (const [path, leaf] of leaves(masked)) {
    const own = keep.get(path)
    if (own) leaf.write(values.get(path)!.map((value, i) => own[i] ? value : 0))
  }
  try {
    return await logitsOf(masked, probes)
  } finally {
    disposeTree(masked)
  }
}

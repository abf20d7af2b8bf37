// The pipeline: a method says what stays, the plan is cut, what was cut is trained if asked, and what is left is
// compared with the masked network. The commands and a library's user call the same.
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { EspalierError, InputError, NumericError } from '../base/errors.ts'
import type { Aggregation, ScoreSums } from '../attribution/relevance.ts'
import { withoutDevice } from '../core/tensor.ts'
import { trace } from '../core/transform.ts'
import { disposeTree } from '../core/tree.ts'
import type { Dataset } from '../data/datasets.ts'
import { withAnyClass } from '../nn/masks.ts'
import type { Model } from '../nn/model.ts'
import type { Augmentation } from '../data/augment.ts'
import { noStore, type StateStore } from '../train/resume.ts'
import { type Budget, planWithin } from './budget.ts'
import { difference, logitsOf, notFinite, type Probe, probesOf } from './check.ts'
import type { HeadGraphs } from './graph/head-rank.ts'
import { finetune, finetuneKeys, type FinetuneOptions } from './learning/finetune.ts'
import type { StageRecord } from './learning/record.ts'
import { methodOf } from './methods/index.ts'
import type { ClassMask, Method, PruningJob } from './methods/method.ts'
import { maskModel, unmaskModel } from './plan/mask.ts'
import { narrowerThan, onlyCuts, rank, type SelectOptions } from './plan/select.ts'
import { hostWeights, type Plan, sliceModel } from './plan/slice.ts'
import type { OnProgress } from './progress.ts'
import type { Scores } from './scores/criterion.ts'
import { chooseUnits } from './units/kinds.ts'
import { type Unit, units } from './units/units.ts'

const pruneKeys: OptionKeys<PruneOptions> = {
  ranking: true,
  multipleOf: true,
  minimum: true,
  keep: true,
  macs: true,
  params: true,
  bytes: true,
  ms: true,
  method: true,
  name: true,
  data: true,
  references: true,
  input: true,
  classes: true,
  found: true,
  units: true,
  residual: true,
  aggregation: true,
  sums: true,
  steps: true,
  batch: true,
  seed: true,
  augment: true,
  finetune: true,
  options: true,
  store: true,
  fileBytes: true,
  onProgress: true,
}

/** How to prune; one of `keep`, `macs`, `params`, `ms` and `bytes` says how much may stay. */
export interface PruneOptions extends SelectOptions, Partial<Record<Budget['kind'], number>> {
  /** A method or its name (default `pxp`). */
  method?: string | Method
  /** What messages call it; default its name, or what it says of itself. */
  name?: string
  /** Labelled images: to score by, and to train on. Methods that read weights alone need none. */
  data?: Dataset
  /** Images to score by, where these are others than `data`. */
  references?: Dataset
  /** [channels, height, width]; default that of the images. */
  input?: readonly [number, number, number]
  /** How many classes the network tells apart; default as many as it gives logits. */
  classes?: number
  /** All units of the network where they are known, and the kinds or units that may go. */
  found?: readonly Unit[]
  units?: readonly string[] | readonly Unit[]
  residual?: 'closing' | 'coupled'
  aggregation?: Aggregation
  /**
   * Sums over `references` from `scoreSums` and `addSums`, which are taken in the place of scoring the network as it
   * is: with several steps the others score anew. Of a method that is an importance criterion.
   */
  sums?: ScoreSums
  /** In how many steps (1). */
  steps?: number
  batch?: number
  seed?: number
  /** How pictures of `data` are changed in training: by methods that learn, and after the cut. */
  augment?: Augmentation
  /** Trains on `data` after the cut; its state is in `store`, so that it goes on after an interruption. */
  finetune?: FinetuneOptions
  /** Options of the method, as text. */
  options?: Readonly<Record<string, string>>
  store?: StateStore
  /** The size of the file of a plan, for a budget in bytes. */
  fileBytes?: (plan: Plan) => number
  onProgress?: OnProgress
}

/** What pruning came to. */
export interface PruneResult<M> {
  /** The smaller network; its tensors are its own. */
  model: M
  plan: Plan
  scores: Scores
  /** All units of the dense network, and those that could go. */
  found: readonly Unit[]
  units: readonly Unit[]
  /** Share of the elements that are gone. */
  rate: number
  /** max|a - b| / max|b| of its logits and the masked network's on `probes`, before it was trained. */
  difference: number
  /** Some images, and what the network must compute for them: the masked network's logits, or those after training. */
  probes: readonly Probe[]
  logits: Float32Array
  /** What became of each stage that learnt, fine-tuning included; and the masks of classes that a method learnt. */
  stages: readonly StageRecord[]
  masks: ReadonlyMap<string, ClassMask> | null
  /** The graph of heads of the dense network, of methods that make one. */
  graph: HeadGraphs | null
  notes: string[]
}

/**
 * Prunes a network on the device, which stays as it is. @throws InputError for a budget that cannot be met, units that
 * cannot be cut, or images that are missing; EspalierError if the smaller network differs from the masked one.
 */
export async function prune<M extends Model>(model: M, options: PruneOptions): Promise<PruneResult<M>> {
  checkOptions('prune', options, pruneKeys)
  if (options.finetune) checkOptions("prune's finetune", options.finetune, finetuneKeys)
  const method = typeof options.method === 'object' ? options.method : methodOf(options.method ?? 'pxp')
  const job = await jobOf(model, method, options)
  const { found, units: chosen, input } = job
  const { plan, scores, model: trained, masks = null, graph = null, ...learnt } = await method.prune(job)
  const notes = [...learnt.notes ?? []], stages = [...learnt.stages ?? []]
  const source = (trained ?? model) as M
  const probes = await probesOf(job.references ?? job.data, input, job.batch)
  const small = await sliceModel(source, [1, ...input], onlyCuts(plan), { found, weights: await hostWeights(source) })
  maskModel(source, found, plan)
  let logits = await logitsOf(source, probes)
  unmaskModel(source)
  if (trained) disposeTree(trained)
  const apart = difference(await logitsOf(small, probes), logits)
  if (Number.isNaN(apart)) {
    const where = await notFinite(model, probes) ?? await notFinite(small, probes)
    disposeTree(small)
    throw new NumericError(
      `prune: the network gives values that are no numbers, so that nothing can be compared: ${
        where ?? 'only what was trained in between does'
      }`,
    )
  }
  if (!(apart <= 1e-3)) {
    disposeTree(small)
    throw new EspalierError(
      `prune: the smaller network differs from the masked one by ${
        apart.toExponential(1)
      } of the largest logit, expected at most 0.001. The fault is Espalier's, not the network's: please report it `
        + "with the method, the seed and the network's file",
    )
  }
  if (options.finetune) {
    stages.push(await finetune(small, job, plan, options.finetune, notes))
    logits = await logitsOf(small, probes)
  }
  return {
    model: small,
    plan,
    scores,
    found,
    units: chosen,
    rate: 1 - chosen.reduce((sum, { name, size }) => sum + count(plan.get(name), size), 0) / total(chosen),
    difference: apart,
    probes,
    logits,
    stages,
    masks,
    graph,
    notes: [...notesOf(method, job, plan), ...notes],
  }
}

const total = (units: readonly Unit[]) => units.reduce((sum, { size }) => sum + size, 0)

/** Elements that stay of a unit. */
const count = (keep: Uint8Array | undefined, size: number) => keep?.reduce((a, b) => a + b, 0) ?? size

function notesOf({ reads }: Method, { units: chosen, found, references, data, select }: PruningJob, plan: Plan) {
  const gone = found.filter(({ name }) => plan.get(name)?.includes(0)).length
  const from = reads === 'references'
    ? `; scores from ${references!.length} reference images`
    : reads === 'training'
    ? `; learnt from ${data!.length} images`
    : ''
  const multiple = select.multipleOf ?? 4, narrow = narrowerThan(chosen, multiple)
  return [
    `${gone} of ${chosen.length} units lose elements${from}`,
    ...narrow.length
      ? [`${narrow.length} of ${chosen.length} units are narrower than --multiple ${multiple} and stay whole`]
      : [],
  ]
}

/** What a method is given, from what the caller said. @throws InputError. */
export async function jobOf(model: Model, method: Method, options: PruneOptions): Promise<PruningJob> {
  const { data = null, references = data, residual, ranking, multipleOf, minimum, batch = 16, seed = 0 } = options
  const name = options.name ?? (typeof options.method === 'object' ? method.summary : options.method ?? 'pxp')
  if ((method.reads === 'references' && !references) || ((method.reads === 'training' || options.finetune) && !data)) {
    throw new InputError(
      `prune: ${
        method.reads === 'nothing' ? 'fine-tuning' : name
      } reads images with labels, and there are none; give --data (library: data)`,
    )
  }
  if (options.sums && !method.criterion?.parts) {
    throw new InputError(
      `prune: sums are of methods that score by sums over images, and ${name} does not; leave them out`,
    )
  }
  const input = options.input ?? await (references ?? data)?.inputShape()
  if (!input) throw new InputError('prune: without images the input [channels, height, width] must be given')
  const found = options.found ?? withoutDevice(() => units(model, [1, ...input], { residual }))
  const wanted = options.units, named = wanted?.every((each) => typeof each === 'string')
  const chosen = wanted && !named
    ? wanted as readonly Unit[]
    : chooseUnits(found, wanted as readonly string[] | undefined ?? method.kinds)
  const select = { ranking, multipleOf, minimum }, budget = budgetOf(options)
  const context = { model, input, found, units: chosen, batch, fileBytes: options.fileBytes }
  const { onProgress } = options
  return {
    name,
    model,
    input,
    classes: options.classes
      ?? trace((image) => withAnyClass(model, 1, () => model.call(image([1, ...input])))).result.shape.at(-1)!,
    found,
    units: chosen,
    references,
    data,
    augment: options.augment,
    budget,
    select,
    batch,
    seed,
    aggregation: options.aggregation ?? 'mean-of-abs',
    sums: options.sums,
    steps: options.steps ?? 1,
    options: checkedOptions(name, method, options.options ?? {}),
    store: options.store ?? noStore,
    onProgress,
    choose: (scores) => planWithin(rank(chosen, scores, select), budget, { ...context, onProgress }),
  }
}

const kinds = ['keep', 'macs', 'params', 'bytes', 'ms'] as const

/** The one budget among options. @throws InputError for none or several. */
export function budgetOf(options: Partial<Record<Budget['kind'], number>>): Budget {
  const given = kinds.filter((kind) => options[kind] !== undefined)
  if (given.length !== 1) {
    throw new InputError(
      `prune: expected one of --keep, --macs, --params, --bytes and --ms, found ${
        given.map((kind) => `--${kind}`).join(' and ') || 'none'
      }`,
    )
  }
  return { kind: given[0], limit: options[given[0]]! }
}

/** @throws InputError for an option the method does not have. */
export function checkedOptions(
  name: string,
  { options: known = {} }: Method,
  given: Readonly<Record<string, string>>,
): Record<string, string> {
  const unknown = Object.keys(given).find((option) => !Object.hasOwn(known, option))
  if (unknown !== undefined) {
    throw new InputError(
      `method '${name}': has no option ${JSON.stringify(unknown)}; expected ${
        Object.keys(known).join(', ') || 'none, it takes no options'
      }`,
    )
  }
  const defaults = Object.entries(known).flatMap(([option, { default: value }]) =>
    value === undefined ? [] : [[option, value] as const]
  )
  return { ...Object.fromEntries(defaults), ...given }
}

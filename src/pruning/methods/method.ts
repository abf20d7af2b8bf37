// What a pruning method is: given a job it says what stays, and may bring a network that it trained on the way. Methods
// that score, that score again and again, and that learn are all this.
import type { Aggregation, ScoreSums } from '../../attribution/relevance.ts'
import type { Augmentation } from '../../data/augment.ts'
import type { Dataset } from '../../data/datasets.ts'
import type { Model } from '../../nn/model.ts'
import type { EntryScores } from '../../sparse/choose.ts'
import type { WeightSite } from '../../sparse/sites.ts'
import type { StateStore } from '../../train/resume.ts'
import type { Budget, Choice } from '../budget.ts'
import type { HeadGraphs } from '../graph/head-rank.ts'
import type { StageRecord } from '../learning/record.ts'
import type { SelectOptions } from '../plan/select.ts'
import type { Plan } from '../plan/slice.ts'
import type { OnProgress } from '../progress.ts'
import type { ImportanceCriterion, Scores } from '../scores/criterion.ts'
import type { Unit } from '../units/units.ts'

/** What a method is given. */
export interface PruningJob {
  /** What the method was called, for messages. */
  readonly name: string
  /** The dense network, on the device. It is the caller's: a method leaves it as it was and trains a copy. */
  readonly model: Model
  /** [channels, height, width] of its images. */
  readonly input: readonly [number, number, number]
  readonly classes: number
  /** All units of the network, and those that may go. */
  readonly found: readonly Unit[]
  readonly units: readonly Unit[]
  /** Labelled images to score by, in memory; null where the user gave none. */
  readonly references: Dataset | null
  /** The whole data set to train on; null where the user gave none. */
  readonly data: Dataset | null
  /** How pictures are changed in training. */
  readonly augment?: Augmentation
  /** How much may stay. Methods that score leave it to `choose`; others aim at it while they train. */
  readonly budget: Budget
  /** How elements of different units compare, and which widths are allowed. */
  readonly select: SelectOptions
  /** Images at once. */
  readonly batch: number
  readonly seed: number
  /** How readings of images are put together. */
  readonly aggregation: Aggregation
  /** What the references say of the network as it is, where that was summed up before. */
  readonly sums?: ScoreSums
  /** In how many steps to prune, scoring anew before each. */
  readonly steps: number
  /** The method's own options, as text by name; what was not given is missing. */
  readonly options: Readonly<Record<string, string>>
  /**
   * Where a method that trains keeps the state of its stages (`fitStage`), so that it goes on after an interruption.
   */
  readonly store: StateStore
  readonly onProgress?: OnProgress
  /** The plan within the budget that scores lead to. @throws InputError if the budget cannot be met. */
  choose(scores: Scores): Promise<Choice>
}

/** What a method says. */
export interface Pruned {
  /** What stays of which unit; units that are not named stay whole. */
  plan: Plan
  /** The scores that led there, for the record; a method that has none gives its masks. */
  scores: Scores
  /** The network that it trained, with the widths of the dense one; the plan cuts this one. The caller frees it. */
  model?: Model
  /** What became of each stage that learnt, in order. */
  stages?: StageRecord[]
  /** Masks of classes by unit: `classes` rows of its size. They explain, and do not belong to the network. */
  masks?: ReadonlyMap<string, ClassMask>
  /** The graph of heads, where the method made one of the dense network. */
  graph?: HeadGraphs
  /** Sentences for the report. */
  notes?: string[]
}

/** A mask with a row for each class, on the host. */
export interface ClassMask {
  classes: number
  values: Float32Array
}

/** An option of a method. */
export interface MethodOption {
  summary: string
  default?: string
}

/** A stage as a method would run it. */
export interface PlannedStage {
  name: string
  epochs: number
  /** How many numbers learn. */
  parameters: number
  /** Tensors of the optimiser's for each of them: 1 for SGD with momentum, 2 for AdamW. */
  moments: number
}

/** A pruning method: a file in this folder, which exports it in `methods`, or a module of the user's own. */
export interface Method {
  /** One line for the help text. */
  readonly summary: string
  /** What it reads: `nothing` beside the weights, `references` to score by, or `training` data. */
  readonly reads: 'nothing' | 'references' | 'training'
  readonly options?: Readonly<Record<string, MethodOption>>
  /** Kinds of units that it prunes where none are asked for; default heads, neurons and filters. */
  readonly kinds?: readonly string[]
  /** The importance criterion, where the method is one: a curve then scores once for all its rates. */
  readonly criterion?: ImportanceCriterion
  /** The criterion with options, where it has some; missing ones have their defaults. @throws InputError. */
  criterionWith?(options: Readonly<Record<string, string>>): ImportanceCriterion
  /** The stages that `prune` would train, for a dry run. @throws InputError for options that cannot be. */
  stages?(job: PruningJob): PlannedStage[]
  prune(job: PruningJob): Promise<Pruned>
  /** The same towards a sparsity pattern, where the method can: `prune --pattern`. @throws InputError. */
  toPattern?(job: PatternJob): Promise<PatternPruned>
}

/** What a method is given that brings weights into a sparsity pattern while it trains. */
export interface PatternJob
  extends
    Pick<PruningJob, 'name' | 'model' | 'classes' | 'augment' | 'batch' | 'seed' | 'options' | 'store' | 'onProgress'>
{
  readonly data: Dataset
  /** The weights that are to have the pattern. */
  readonly sites: readonly WeightSite[]
  /** Pattern, density and how weights compare: what must not change between two attempts. */
  readonly recipe: Record<string, unknown>
  /** What the pattern keeps of each weight, 1 or 0 by entry, for what entries are worth. */
  choose(scores: EntryScores): ReadonlyMap<string, Uint8Array>
}

/** What it says. */
export interface PatternPruned {
  /** 1 or 0 for each entry of each weight, by path. */
  keep: ReadonlyMap<string, Uint8Array>
  scores: EntryScores
  /** The network that it trained, dense; the caller frees it. */
  model: Model
  stages: StageRecord[]
}

/** What a file of this folder exports as `methods`: by the name that `--method` takes. */
export type Methods = Readonly<Record<string, Method>>

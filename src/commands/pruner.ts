// What `prune`, `sweep` and `search` share: the network with its units, reference and test images, and scores by a
// method.
import type { Command } from 'commander'
import type { Aggregation } from '../attribution/relevance.ts'
import { InputError } from '../base/errors.ts'
import type { Model } from '../nn/model.ts'
import { modelOf, type ParsedCheckpoint, parseCheckpoint } from '../checkpoint/checkpoint.ts'
import { type Dataset, openDataset } from '../data/datasets.ts'
import { nodeFiles } from '../files/files.ts'
import { drawReferences, hold, ofClasses } from '../data/subset.ts'
import { chooseUnits, unitKinds } from '../pruning/units/kinds.ts'
import { maskModel, unmaskModel } from '../pruning/plan/mask.ts'
import type { Scores } from '../pruning/scores/score.ts'
import { scoreOf } from '../pruning/methods/index.ts'
import type { Plan } from '../pruning/plan/slice.ts'
import { type Unit, units } from '../pruning/units/units.ts'
import { withoutDevice } from '../core/tensor.ts'
import { type Talk, wholeNumber } from './command.ts'
import { addArch, addPreprocessing, type ArchOptions, preprocessingWith, type PreprocessingOptions } from './model.ts'

/** Flags of all commands that prune. */
export interface PrunerOptions extends ArchOptions, PreprocessingOptions {
  data: string
  test?: string
  units?: string
  references?: number
  perClass?: number
  aggregation: Aggregation
  residual: 'closing' | 'coupled'
  batch: number
}

const aggregations: readonly Aggregation[] = ['mean-of-abs', 'abs-of-mean', 'signed', 'mean-of-abs-everywhere']

/** A parser for flags that take one of some words. */
export const oneOf = <T extends string>(words: readonly T[], flag: string) => (text: string): T => {
  if ((words as readonly string[]).includes(text)) return text as T
  throw new InputError(`${flag} ${text}: expected ${words.join(', ')}`)
}

/** Adds those flags. */
export function addPruner(command: Command): Command {
  return addPreprocessing(
    addArch(command.argument('<model>', 'a .safetensors file; may be pruned already'))
      .requiredOption('--data <data>', 'reference images with labels, from the training split, as for eval'),
  )
    .option(
      '--units <kinds>',
      `what may go, with commas: ${unitKinds.join(', ')} (default: heads, neurons and filters that are there)`,
    )
    .option(
      '--references <n>',
      'at most so many reference images, drawn evenly over the classes (default: all)',
      wholeNumber(1, 1_000_000),
    )
    .option('--per-class <n>', 'so many reference images of each class', wholeNumber(1, 1_000_000))
    .option(
      '--aggregation <how>',
      `how relevance of images is put together: ${aggregations.join(', ')}`,
      oneOf(aggregations, '--aggregation'),
      'mean-of-abs',
    )
    .option(
      '--residual <how>',
      'closing: filters before a residual sum go, its width stays; coupled: the width goes, through all blocks',
      oneOf(['closing', 'coupled'] as const, '--residual'),
      'closing',
    )
    .option('--batch <n>', 'images at once', wholeNumber(1, 4096), 16)
}

/** A network ready to be pruned, checked but not on the device. */
export interface Job {
  checked: ParsedCheckpoint
  input: [number, number, number]
  /** All units, and those that may go. */
  found: readonly Unit[]
  chosen: readonly Unit[]
  data: Dataset
  test: Dataset | null
}

/** Reads and checks everything that needs no device. @throws InputError. */
export async function prepareJob(path: string, options: PrunerOptions): Promise<Job> {
  const checked = await parseCheckpoint(await nodeFiles.read(path), path, options)
  const preprocessing = preprocessingWith(checked.preprocessing, options)
  const data = await openDataset(options.data, { preprocessing, classes: checked.classCount })
  const test = options.test === undefined
    ? null
    : await openDataset(options.test, { preprocessing, classes: checked.classCount })
  const input = await data.inputShape()
  const found = withoutDevice(() => units(checked.shape, [1, ...input], { residual: options.residual }))
  const chosen = chooseUnits(checked.shape, found, options.units?.split(',').map((kind) => kind.trim()))
  return { checked, input, found, chosen, data, test }
}

/**
 * The reference images in memory, drawn as the flags say, of some classes only if asked. @throws InputError if none are
 * left.
 */
export async function holdReferences(
  { data }: Job,
  { references, perClass, seed = 0 }: PrunerOptions,
  talk: Talk,
  among?: readonly number[],
): Promise<Dataset> {
  const positions = drawReferences(data, { most: references, perClass, seed, among })
  if (!positions.length) throw new InputError(`--data ${data.name}: no image of the classes ${among?.join(', ') ?? ''}`)
  return holding('reading references', data, positions, talk)
}

/** The test images in memory. @throws InputError if none are left. */
export async function holdTest(test: Dataset, talk: Talk, among?: readonly number[]): Promise<Dataset> {
  const positions = among ? ofClasses(test, among) : [...test.labels.keys()]
  if (!positions.length) throw new InputError(`--test ${test.name}: no image of the classes ${among?.join(', ') ?? ''}`)
  return holding('reading test images', test, positions, talk)
}

async function holding(what: string, data: Dataset, positions: readonly number[], talk: Talk): Promise<Dataset> {
  const progress = talk.progress(what, positions.length)
  return hold(data, positions, (done) => {
    progress.update(done)
  }).finally(() => {
    progress.stop()
  })
}

/** Scores by a method's name, on the network as it is or with a plan's masks on. */
export async function scoresBy(
  method: string,
  model: Model,
  { checked, chosen, found }: Job,
  references: Dataset,
  { aggregation, batch, seed = 0 }: PrunerOptions,
  talk: Talk,
  masks?: Plan,
): Promise<Scores> {
  const progress = talk.progress(`scoring by ${method}`, references.length)
  if (masks) maskModel(model, found, masks)
  try {
    return await scoreOf(method).score({
      model,
      units: chosen,
      references,
      classes: checked.classCount,
      batch: Math.min(batch, 16),
      seed,
      aggregation,
      onProgress: (done) => {
        progress.update(done)
      },
    })
  } finally {
    if (masks) unmaskModel(model)
    progress.stop()
  }
}

/** Elements that are gone already stay in front of everything. */
export function goneFirst(scores: Scores, plan: Plan): Scores {
  return new Map([...scores].map(([name, values]) => {
    const keep = plan.get(name)
    return [name, keep ? values.map((value, i) => keep[i] ? value : -3e38) : values]
  }))
}

/** The network on the device, at the images' preprocessing. */
export const openModel = ({ checked }: Job): Model => modelOf(checked)

// What `prune`, `sweep` and `search` share: the network with its units, reference and test images, and scores by a
// method.
import type { Command } from 'commander'
import { inputOf } from '../../models/registry.ts'
import type { Aggregation } from '../attribution/relevance.ts'
import { InputError } from '../base/errors.ts'
import type { Model } from '../nn/model.ts'
import { modelOf, type ParsedCheckpoint } from '../checkpoint/checkpoint.ts'
import type { Dataset } from '../data/datasets.ts'
import { cached, drawReferences, ofClasses } from '../data/subset.ts'
import { chooseUnits, unitKinds } from '../pruning/units/kinds.ts'
import { scoreUnitsBy } from '../pruning/methods/by-criterion.ts'
import type { ImportanceCriterion, Scores } from '../pruning/scores/criterion.ts'
import type { Method } from '../pruning/methods/method.ts'
import type { Plan } from '../pruning/plan/slice.ts'
import { type Unit, units } from '../pruning/units/units.ts'
import { withoutDevice } from '../core/tensor.ts'
import { follow, type Reporter, wholeNumber } from './command.ts'
import { openCheckpoint, openLabelled, preparedFor, type Prepared, type Say } from './open.ts'
import { addArch, addPreprocessing, type ArchOptions, type PreprocessingOptions } from './model.ts'

/** Flags of all commands that prune. */
export interface PrunerOptions extends ArchOptions, PreprocessingOptions {
  data?: string
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
      .option(
        '--data <data>',
        'reference images with labels, from the training split, as for eval (required; magnitude and random need none)',
      ),
  )
    .option(
      '--units <kinds>',
      `what may go, with commas: ${
        unitKinds.join(', ')
      } (default: those of the method, mostly heads, neurons and filters)`,
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

/** A network with its images, checked but not on the device. */
export interface OpenJob {
  checked: ParsedCheckpoint
  input: [number, number, number]
  data: Dataset | null
  test: Dataset | null
  /** How the pictures of `data`, else of `test`, are prepared, and where that comes from. */
  prepared: Prepared
}

/** The same, with its units: all, and those that may go. */
export interface Job extends OpenJob {
  found: readonly Unit[]
  chosen: readonly Unit[]
}

/** @throws InputError where a method needs images and has none. */
export function checkData(method: string, reads: Method['reads'], { data }: PrunerOptions): void {
  if (data === undefined && reads !== 'nothing') {
    throw new InputError(`method '${method}': it reads images with labels, found none; give --data`)
  }
}

/** Reads and checks everything that needs no device. @throws InputError. */
export async function prepareJob(path: string, options: PrunerOptions, reporter?: Say): Promise<Job> {
  const job = await openJob(path, options, reporter)
  const found = withoutDevice(() => units(job.checked.shape, [1, ...job.input], { residual: options.residual }))
  return { ...job, found, chosen: chooseUnits(found, options.units?.split(',').map((kind) => kind.trim())) }
}

/** The same without units. @throws InputError. */
export async function openJob(path: string, options: PrunerOptions, reporter?: Say): Promise<OpenJob> {
  const checked = await openCheckpoint(path, options, reporter)
  const open = async (data: string | undefined) =>
    data === undefined ? null : openLabelled(data, checked, preparedFor(checked, options, data).preprocessing, reporter)
  const data = await open(options.data), test = await open(options.test)
  const { origins } = preparedFor(checked, options, options.data ?? options.test ?? { pictures: false })
  const { normalised } = data ?? test ?? {}
  const prepared = { preprocessing: (data ?? test ?? checked).preprocessing, origins, normalised }
  const input = await (data ?? test)?.inputShape() ?? inputOf(checked.architecture)
  return { checked, input, data, test, prepared }
}

/**
 * The reference images in memory, drawn as the flags say, of some classes only if asked; null without `--data`.
 * @throws InputError if none are left.
 */
export async function cacheReferences(
  { data }: Pick<OpenJob, 'data'>,
  { references, perClass, seed = 0 }: PrunerOptions,
  reporter: Reporter,
  classes?: readonly number[],
): Promise<Dataset | null> {
  if (!data) return null
  const positions = referencePositions(data, { references, perClass, seed }, classes)
  return caching('reading references', data, positions, reporter)
}

/** Which images of `--data` are references, as the flags say. @throws InputError if none are left. */
export function referencePositions(
  data: Dataset,
  { references, perClass, seed = 0 }: Pick<PrunerOptions, 'references' | 'perClass' | 'seed'>,
  classes?: readonly number[],
): number[] {
  const positions = drawReferences(data, { most: references, perClass, seed, classes })
  if (positions.length) return positions
  throw new InputError(`--data ${data.name}: no image of the classes ${classes?.join(', ') ?? ''}`)
}

/** Some of the references in memory. */
export const cachePart = (data: Dataset, positions: readonly number[], reporter: Reporter): Promise<Dataset> =>
  caching('reading references', data, positions, reporter)

/** The test images in memory. @throws InputError if none are left. */
export async function cacheTest(test: Dataset, reporter: Reporter, classes?: readonly number[]): Promise<Dataset> {
  const positions = classes ? ofClasses(test, classes) : [...test.labels.keys()]
  if (!positions.length) {
    throw new InputError(`--test ${test.name}: no image of the classes ${classes?.join(', ') ?? ''}`)
  }
  return caching('reading test images', test, positions, reporter)
}

async function caching(
  what: string,
  data: Dataset,
  positions: readonly number[],
  reporter: Reporter,
): Promise<Dataset> {
  const progress = reporter.progress(what, positions.length)
  return cached(data, positions, (done) => {
    progress.update(done)
  }).finally(() => {
    progress.stop()
  })
}

/** Scores by a criterion that messages call `name`, on the network as it is or with a plan's masks on. */
export async function scoresBy(
  name: string,
  criterion: ImportanceCriterion,
  model: Model,
  { checked, chosen, found }: Job,
  references: Dataset | null,
  { aggregation, batch, seed = 0 }: PrunerOptions,
  reporter: Reporter,
  masks?: Plan,
): Promise<Scores> {
  const { onProgress, stop } = follow(reporter)
  const job = { name, model, found, units: chosen, references, classes: checked.classCount, batch, seed }
  return scoreUnitsBy(criterion, { ...job, aggregation, onProgress }, masks).finally(stop)
}

/** The network on the device, at the images' preprocessing. */
export const openModel = ({ checked }: Pick<OpenJob, 'checked'>): Model => modelOf(checked)

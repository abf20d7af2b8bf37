// What `espalier sweep` is going to do: flags, runs, and where it keeps what it has found.
import type { Command } from 'commander'
import { InputError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import { parseRates } from '../pruning/curve.ts'
import { methodHelp } from '../pruning/methods/index.ts'
import { permutation } from '../base/random.ts'
import { isPoint, type Point } from '../sweeps/point.ts'
import { filesRead, namedFolder } from './claims.ts'
import { wholeNumber } from './command.ts'
import { type CurveMethod, curveMethods } from './method.ts'
import type { Say } from './open.ts'
import { addPruner, checkData, type Job, oneOf, prepareJob, type PrunerOptions } from './pruner.ts'
import { addSlurm, type SlurmOptions } from './slurm-flags.ts'
import { dataDigest, type FolderOptions, openResults, type ResultFolder } from './result-folder.ts'

/** Flags of `sweep`. */
export interface SweepOptions extends PrunerOptions, SlurmOptions {
  methods: string
  rates: string
  test: string
  out: string
  seeds: number
  subset?: number
  classes?: string
  restriction: 'excluded' | 'zero'
  ranking: 'global' | 'per-unit'
  multiple: number
  minimum: number
}

/** Adds the flags of `sweep` and `search` alike. */
export function addCurveFlags(command: Command): Command {
  return addPruner(command)
    .requiredOption('--test <data>', 'images to measure accuracy on')
    .requiredOption('--out <dir>', 'folder for results; the same command goes on there after an interruption')
    .option('--subset <n>', 'tell only n classes apart, drawn by each seed', wholeNumber(2, 100_000))
    .option('--classes <list>', 'tell only these classes apart')
    .option(
      '--restriction <how>',
      "with fewer classes: excluded compares only their logits, zero sets the others to 0 as PxP's public code does",
      oneOf(['excluded', 'zero'] as const, '--restriction'),
      'excluded',
    )
    .option(
      '--ranking <how>',
      'global, or per-unit: the same share of every layer',
      oneOf(['global', 'per-unit'] as const, '--ranking'),
      'global',
    )
    .option('--multiple <n>', 'round widths to multiples of this', wholeNumber(1, 1024), 1)
    .option('--minimum <n>', 'leave at least so many elements of each unit', wholeNumber(0, 4096), 0)
}

/** Adds the flags of `sweep`. */
export function declareSweep(command: Command): void {
  addCurveFlags(command)
    .requiredOption(
      '--methods <list>',
      `with commas: ${methodHelp()}; or .ts and .mjs files that export one; iterative:<method> scores anew before `
        + 'each rate; one that learns what to cut is run for each rate',
    )
    .option('--rates <first:last:step>', 'pruning rates, or a list with commas', '0:0.95:0.05')
    .option('--seeds <n>', 'seeds of random scores, of --subset and of drawn references', wholeNumber(1, 1000), 5)
  addSlurm(command, 'one task per curve (method and seed)', 'dir')
}

/** A method and a seed: one curve. */
export interface Run extends Pick<CurveMethod, 'method' | 'iterative' | 'source'> {
  name: string
  seed: number
  classes: number[] | undefined
}

/** A checked sweep whose folder is not open yet. */
export interface PreparedSweep {
  job: Job
  rates: number[]
  runs: Run[]
  /** How its folder is opened, with the settings that its results depend on. */
  opening: FolderOptions
}

/** A checked sweep with what is known of it already. */
export interface SweepSetup extends PreparedSweep {
  folder: Pick<ResultFolder<Point>, 'path' | 'settings'>
  journal: ResultFolder<Point>['journal']
}

/** Reads and checks everything that needs no device. @throws InputError. */
export async function prepareSweep(options: SweepOptions & { args: string[] }, reporter: Say): Promise<PreparedSweep> {
  const methods = await curveMethods(options.methods)
  for (const { name, method } of methods) checkData(name, method.reads, options)
  const learns = methods.find(({ method }) => !method.criterion)
  if (learns && (options.subset !== undefined || options.classes !== undefined)) {
    throw new InputError(
      `method ${quoted(learns.name)}: it trains on all classes; give it without --subset and --classes`,
    )
  }
  const rates = parseRates(options.rates)
  if (rates[0] !== 0) rates.unshift(0) // what accuracies are compared with
  // Scores that are computed anew depend on all rates before.
  const { job, opening } = await prepareFolder(options, {
    journal: 'points.jsonl',
    writes: ['report.html', 'sweep.json', ...options.on ? ['plan.json'] : []],
    isEntry: (value, { found }) => isPoint(value, found.map(({ size }) => size)),
    more: { rates: methods.some(({ iterative }) => iterative) ? rates : null },
  }, reporter)
  const { seed = 0, seeds, references, perClass, subset } = options
  const drawn = subset !== undefined || references !== undefined || perClass !== undefined
  const runs = methods.flatMap(({ name, ...method }) =>
    Array.from(
      { length: name.endsWith('random') || drawn || !method.method.criterion ? seeds : 1 },
      (_, i): Run => ({
        name,
        ...method,
        seed: seed + i,
        classes: classSubset(options, job.checked.classCount, seed + i),
      }),
    )
  )
  return { job, rates, runs, opening }
}

/** The same with its folder, where an earlier run may have left points. @throws InputError. */
export async function setUpSweep(
  options: SweepOptions & { args: string[] },
  reporter: Say,
): Promise<SweepSetup & { folder: ResultFolder<Point> }> {
  const prepared = await prepareSweep(options, reporter)
  const folder = await openResults<Point>(prepared.opening)
  return { ...prepared, folder, journal: folder.journal }
}

/** What a command keeps in its folder: a journal of such entries, and files at the end. */
interface FolderContent {
  journal: string
  writes: readonly string[]
  isEntry: (value: unknown, job: Job) => boolean
  more: object
}

type FolderFlags = Omit<SweepOptions, 'methods' | 'rates' | 'seeds'> & { args: string[] }

/**
 * Opens the folder of results; `more` are further settings that must not change in between, `writes` the files it ends
 * with. @throws InputError if it is of another network, data or settings.
 */
export async function openFolder<T>(
  options: FolderFlags,
  content: FolderContent,
  reporter: Say,
): Promise<{ job: Job, folder: ResultFolder<T> }> {
  const { job, opening } = await prepareFolder(options, content, reporter)
  return { job, folder: await openResults<T>(opening) }
}

async function prepareFolder(
  options: FolderFlags,
  { journal, writes, isEntry, more }: FolderContent,
  reporter: Say,
): Promise<{ job: Job, opening: FolderOptions }> {
  const [model] = options.args
  namedFolder('--out', options.out)
  const job = await prepareJob(model, options, reporter)
  classSubset(options, job.checked.classCount, options.seed ?? 0)
  const {
    data = null,
    test,
    units = null,
    references = null,
    perClass = null,
    aggregation,
    residual,
    subset = null,
    classes = null,
    restriction,
    ranking,
    multiple,
    minimum,
    batch,
    adapter = null,
    threads = null,
    arch = null,
  } = options
  const settings = {
    source: job.checked.digest,
    images: [job.data?.length ?? 0, job.test!.length],
    dataDigest: dataDigest(job.data),
    testDigest: dataDigest(job.test),
    preprocessing: (job.data ?? job.test!).preprocessing,
    data,
    test,
    units,
    references,
    perClass,
    aggregation,
    residual,
    subset,
    classes,
    restriction,
    ranking,
    multiple,
    minimum,
    batch,
    adapter,
    threads,
    arch,
    ...more,
  }
  const opening = {
    folder: options.out,
    journal,
    writes,
    reads: filesRead({ model, data: job.data, test: job.test }),
    settings,
    isEntry: (value: unknown) => isEntry(value, job),
  }
  return { job, opening }
}

/** The classes a run tells apart; undefined for all. @throws InputError. */
export function classSubset(
  { subset, classes }: Pick<SweepOptions, 'subset' | 'classes'>,
  count: number,
  seed: number,
): number[] | undefined {
  if (classes !== undefined) {
    const list = classes.split(',').map(Number)
    const bad = list.find((each) => !Number.isInteger(each) || each < 0 || each >= count)
    if (bad !== undefined || new Set(list).size < 2) {
      throw new InputError(`--classes ${classes}: expected two or more numbers from 0 to ${count - 1}, with commas`)
    }
    return [...new Set(list)].sort((a, b) => a - b)
  }
  if (subset === undefined) return undefined
  if (subset > count) {
    throw new InputError(`--subset ${subset}: the network tells ${count} classes apart; give at most that`)
  }
  return [...permutation(count, seed, 'classes').slice(0, subset)].sort((a, b) => a - b)
}

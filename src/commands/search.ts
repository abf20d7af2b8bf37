// `espalier search`: which composite prunes this network best. Each evaluation is a whole curve on one part of the test
// images; what was found best is compared with plain epsilon on the other part.
import { join } from 'node:path'
import type { Command } from 'commander'
import type { Aggregation } from '../attribution/relevance.ts'
import { InputError } from '../base/errors.ts'
import { close, init } from '../gpu/device.ts'
import { attention } from '../ops/attention/attention.ts'
import type { Model } from '../nn/model.ts'
import { cached } from '../data/subset.ts'
import { writeOutput } from '../files/output.ts'
import { packageVersion } from '../files/package.ts'
import { meanArea, measureCurve, parseRates } from '../pruning/curve.ts'
import { type Candidate, compositeSpace, nextCandidate, type Space } from '../pruning/search.ts'
import { criterionOf } from '../pruning/methods/index.ts'
import { Trials } from '../pruning/trial.ts'
import { permutation } from '../base/random.ts'
import { withoutDevice } from '../core/tensor.ts'
import { trace } from '../core/transform.ts'
import { disposeTree } from '../core/tree.ts'
import { type CommandSpec, wholeNumber } from './command.ts'
import { commandLine } from './command-line.ts'
import { numberWithin, table } from './model.ts'
import { cacheReferences, cacheTest, checkData, oneOf, openModel, scoresBy } from './pruner.ts'
import { isCount } from '../sweeps/point.ts'
import { addCurveFlags, classSubset, openFolder, type SweepOptions } from './sweep-setup.ts'

interface SearchOptions extends Omit<SweepOptions, 'methods' | 'seeds'> {
  evaluations: number
  strategy: 'bayes' | 'grid'
  holdout: number
}

/** One evaluation as it is kept: `part` says on which images. */
interface Entry {
  candidate: Candidate
  method: string
  aggregation: Aggregation
  part: 'search' | 'held out'
  area: number
  top1: number[]
}

/** The command `espalier search <model> --data <data> --test <data> --out <dir>`. */
export const search: CommandSpec<SearchOptions> = {
  name: 'search',
  summary: 'searches the LRP composite whose relevance prunes best (grid or Bayesian); goes on after an interruption',
  example: 'espalier search net.safetensors --data folder:train --test folder:val --out search',
  declare(command: Command) {
    addCurveFlags(command)
      .option('--evaluations <n>', 'composites to try, plain epsilon included', wholeNumber(2, 100_000), 30)
      .option(
        '--strategy <how>',
        'bayes: a Gaussian process with expected improvement; grid: the whole space in random order',
        oneOf(['bayes', 'grid'] as const, '--strategy'),
        'bayes',
      )
      .option('--rates <first:last:step>', 'pruning rates, or a list with commas', '0:0.7:0.1')
      .option(
        '--holdout <fraction>',
        'share of the test images that the search does not see',
        numberWithin(0.05, 0.95),
        0.5,
      )
  },
  async run(options, reporter) {
    const { seed = 0, strategy, evaluations, holdout, out, batch } = options
    checkData('pxp', 'references', options)
    const rates = parseRates(options.rates)
    let known: Space | undefined
    const { job, folder } = await openFolder<Entry>(options, {
      journal: 'search.jsonl',
      writes: ['search.json'],
      isEntry: (value, { checked, input }) => isEntry(value, known ??= spaceOf(checked.shape, input), rates),
      more: { seed, strategy, holdout, rates },
    }, reporter)
    const { journal } = folder
    const classes = classSubset(options, job.checked.classCount, seed)
    const space = known ?? spaceOf(job.checked.shape, job.input)
    let model: Model | null = null
    try {
      const gpu = await init({ adapter: options.adapter, threads: options.threads })
      const network = model = openModel(job)
      const references = await cacheReferences(job, options, reporter, classes),
        test = await cacheTest(job.test!, reporter, classes)
      const order = permutation(test.length, seed, 'halves'), cut = Math.round(holdout * test.length)
      if (Math.min(cut, test.length - cut) < 1) {
        throw new InputError(
          `--test ${options.test}: ${test.length} images cannot be parted with --holdout ${holdout}; give more`,
        )
      }
      const parts = {
        'held out': await cached(test, order.slice(0, cut)),
        'search': await cached(test, order.slice(cut)),
      }
      const measure = async (candidate: Candidate, part: Entry['part']): Promise<Entry> => {
        const known = journal.entries.find((entry) =>
          entry.part === part && entry.candidate.join() === candidate.join()
        )
        if (known) return known
        const { method, aggregation } = named(space, candidate)
        const top1: number[] = []
        await measureCurve({
          trials: new Trials(network, job.found, job.input, parts[part], {
            batch,
            classes,
            foreign: options.restriction,
            clock: false,
          }),
          units: job.chosen,
          select: { ranking: options.ranking, multipleOf: options.multiple, minimum: options.minimum },
          rates,
          scores: () =>
            scoresBy(method, criterionOf(method), network, job, references, { ...options, aggregation }, reporter),
          onPoint: ({ result }) => {
            top1.push(result.top1)
          },
        })
        const entry: Entry = { candidate, method, aggregation, part, area: meanArea(top1), top1 }
        journal.append(entry)
        return entry
      }
      const tried = () => journal.entries.filter(({ part }) => part === 'search')
      const progress = reporter.progress('searching', evaluations)
      while (tried().length < evaluations) {
        const next = nextCandidate(space, tried().map(({ candidate, area: value }) => ({ candidate, value })), {
          strategy,
          seed,
        })
        if (!next) break
        const { method, aggregation, area } = await measure(next, 'search')
        progress.update(tried().length, `${method} ${aggregation}: A_PR ${area.toFixed(3)}`)
      }
      progress.stop()
      const found = tried().toSorted((a, b) => b.area - a.area), [best] = found, plain = tried()[0]
      const heldOut = {
        best: await measure(best.candidate, 'held out'),
        plain: await measure(plain.candidate, 'held out'),
      }
      const json = {
        model: options.args[0],
        data: options.data,
        test: options.test,
        command: commandLine(),
        rates,
        evaluations: tried(),
        best,
        plain,
        heldOut,
        images: { search: parts.search.length, heldOut: parts['held out'].length },
        references: references!.length,
        among: classes,
        seed,
        adapter: gpu.adapter.name,
        version: packageVersion(),
      }
      writeOutput(join(out, 'search.json'), `${JSON.stringify(json)}\n`)
      const rows = found.slice(0, 8).map(({ method, aggregation, area }) => [method, aggregation, area.toFixed(4)])
      return {
        json,
        text: [
          table(['composite', 'aggregation', 'A_PR'], rows),
          '',
          `of ${found.length} tried; plain epsilon ${
            plain.area.toFixed(4)
          } on the ${parts.search.length} images of the search`,
          `held-out ${parts['held out'].length} images: best ${heldOut.best.area.toFixed(4)}, plain epsilon ${
            heldOut.plain.area.toFixed(4)
          }`,
          join(out, 'search.json'),
        ].join('\n'),
      }
    } finally {
      folder.close()
      disposeTree(model)
      await close()
    }
  },
}

/** What can be searched for this network. */
function spaceOf(shape: Model, input: readonly [number, number, number]): Space {
  const { calls } = withoutDevice(() => trace((image) => shape.call(image([1, ...input]))))
  return compositeSpace(calls.some(({ op }) => op === attention.op))
}

/** Whether a line of a journal is an evaluation in this space at these rates. */
function isEntry(value: unknown, space: Space, rates: readonly number[]): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { candidate, part, area, top1 } = value as Partial<Entry>
  const isShare = (x: unknown) => typeof x === 'number' && x >= 0 && x <= 1
  if (!Array.isArray(candidate) || candidate.length !== space.length) return false
  if (!candidate.every((at, i) => isCount(at) && at < space[i].values.length)) return false
  const { method, aggregation } = named(space, candidate)
  return (value as Entry).method === method && (value as Entry).aggregation === aggregation
    && (part === 'search' || part === 'held out') && isShare(area)
    && Array.isArray(top1) && top1.length === rates.length && top1.every(isShare)
}

/** A candidate as a method for `prune` and its aggregation. */
function named(space: Space, candidate: Candidate): { method: string, aggregation: Aggregation } {
  const values = candidate.map((value, i) => space[i].values[value])
  return { method: `pxp:${values.slice(0, -1).join('/')}`, aggregation: values.at(-1) as Aggregation }
}

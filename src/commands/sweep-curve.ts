// Measures one curve of a sweep. Every point is on the disk as soon as it is measured.
import { join } from 'node:path'
import type { Dataset } from '../data/datasets.ts'
import { folderStore } from '../files/folder-store.ts'
import type { Model } from '../nn/model.ts'
import { atChance, type CurveOptions, measureCurve, measureLearnedCurve } from '../pruning/curve.ts'
import type { Plan } from '../pruning/plan/slice.ts'
import { jobOf } from '../pruning/prune.ts'
import type { Scores } from '../pruning/scores/criterion.ts'
import { Trials } from '../pruning/trial.ts'
import { keyOf } from '../sweeps/plan.ts'
import { type Curved, type Place, type Point, sameCurve } from '../sweeps/point.ts'
import { follow, type Reporter } from './command.ts'
import { percent } from './model.ts'
import { cacheReferences, cacheTest, type Job, scoresBy } from './pruner.ts'
import { StoredVectors } from './result-folder.ts'
import type { Run, SweepOptions, SweepSetup } from './sweep-setup.ts'

/** What says whose point it is. */
const pointOf = ({ name, source, seed }: Run): Curved => ({
  method: name,
  ...source === undefined ? {} : { source },
  seed,
})

/** The run of the curve whose files have this key. */
export const runOf = ({ runs }: Pick<SweepSetup, 'runs'>, key: string | undefined): Run | undefined =>
  runs.find((run) => keyOf(pointOf(run)) === key)

/** The point of a run at a rate. */
export const pointAt = (entries: readonly Point[], run: Run, rate: number): Point | undefined =>
  entries.find((point) => point.rate === rate && sameCurve(point, pointOf(run)))

/** Whether nothing of a curve is left to measure. */
export function isMeasured(
  { rates, job, journal: { entries } }: Pick<SweepSetup, 'rates' | 'job'> & {
    journal: Pick<SweepSetup['journal'], 'entries'>,
  },
  run: Run,
): boolean {
  const points = rates.map((rate) => pointAt(entries, run, rate))
  return !points.includes(undefined) || isStopped(points, run, job)
}

/** One curve: scores once (or before each rate), then plans that contain each other. */
export class CurveRun {
  private readonly run: Run
  private readonly plan: SweepSetup
  private readonly options: SweepOptions
  private readonly model: Model
  private readonly place: Place
  private readonly reporter: Reporter
  private references: Dataset | null = null

  /** `place` is what points say of where they were measured. */
  constructor(run: Run, plan: SweepSetup, options: SweepOptions, model: Model, place: Place, reporter: Reporter) {
    this.run = run
    this.plan = plan
    this.options = { ...options, seed: run.seed }
    this.model = model
    this.place = place
    this.reporter = reporter
  }

  /** Measures what is not known of the curve. */
  async measure(): Promise<void> {
    const { run, plan: { job, rates, journal }, options, model, reporter } = this
    if (isMeasured(this.plan, run)) return
    const test = await testImages(job, reporter, run.classes)
    const trialsOf = (network = model) =>
      new Trials(network, job.found, job.input, test, {
        batch: options.batch,
        classes: run.classes,
        foreign: options.restriction,
      })
    const progress = reporter.progress(`${run.name}, seed ${run.seed}`, rates.length)
    const shown = (rate: number) => {
      progress.update(
        rates.indexOf(rate) + 1,
        `rate ${rate} top-1 ${percent(pointAt(journal.entries, run, rate)!.after.top1!, 1)}`,
      )
    }
    const common = {
      rates,
      known: (rate: number) => {
        if (!pointAt(journal.entries, run, rate) && !this.copyDense(rate)) return false
        shown(rate)
        return true
      },
      onPoint: ({ rate, plan, result: { how, ...after } }: Parameters<CurveOptions['onPoint']>[0]) => {
        journal.append({
          ...pointOf(run),
          ...this.place,
          rate,
          after,
          how,
          kept: job.found.map(({ name, size }) => plan.get(name)?.reduce((a, b) => a + b, 0) ?? size),
        })
        shown(rate)
        return isStopped(rates.map((each) => pointAt(journal.entries, run, each)), run, job)
      },
    }
    try {
      if (run.method.criterion) {
        await measureCurve({
          ...common,
          trials: trialsOf(),
          units: job.chosen,
          select: { ranking: options.ranking, multipleOf: options.multiple, minimum: options.minimum },
          scores: (masks, rate) => this.scores(rate === undefined ? run.name : `${run.name}-${rate}`, masks),
          iterative: run.iterative,
        })
      } else await measureLearnedCurve({ ...common, trialsOf, learn: (rate) => this.learn(rate) })
    } finally {
      progress.stop()
    }
  }

  /** The dense network is the same for all methods. */
  private copyDense(rate: number): boolean {
    const { run, plan: { journal } } = this
    const dense = rate === 0
      ? journal.entries.find((point) => point.rate === 0 && String(this.classesOf(point)) === String(run.classes))
      : undefined
    if (dense) journal.append({ ...dense, source: undefined, ...pointOf(run) })
    return dense !== undefined
  }

  private classesOf({ method, seed }: Point): number[] | undefined {
    return this.plan.runs.find((run) => run.name === method && run.seed === seed)?.classes
  }

  /** What a method that learns makes of a rate. It goes on where it was interrupted; what it kept for that goes. */
  private async learn(rate: number): Promise<{ plan: Plan, model?: Model }> {
    const { run, plan: { job }, options, model, reporter } = this
    const store = folderStore(join(options.out, 'states', this.fileName(`${run.name}-${rate}`)))
    const { onProgress, stop } = follow(reporter)
    const references = this.references ??= await cacheReferences(job, options, reporter, run.classes)
    const made = await run.method.prune(
      await jobOf(model, run.method, {
        keep: 1 - rate,
        method: run.method,
        name: run.name,
        data: job.data ?? undefined,
        references: references ?? undefined,
        input: job.input,
        classes: job.checked.classCount,
        found: job.found,
        units: job.chosen,
        ranking: options.ranking,
        multipleOf: options.multiple,
        minimum: options.minimum,
        batch: options.batch,
        seed: run.seed,
        aggregation: options.aggregation,
        store,
        onProgress,
      }),
    ).finally(stop)
    store.clear()
    return made
  }

  /** The name of a file or folder of this run. */
  private fileName(name: string): string {
    const { source, seed } = this.run
    return `${name.replace(/[^\w.-]+/g, '_')}-${source === undefined ? '' : `${source}-`}${seed}`
  }

  /** Scores, kept beside the points so that nothing is computed twice. */
  private async scores(name: string, masks?: ReadonlyMap<string, Uint8Array>): Promise<Scores> {
    const { run, plan: { job, folder }, options, model, reporter } = this
    const { source, seed } = run, about = { scores: name, seed, ...source !== undefined && { source } }
    const stored = new StoredVectors(folder, this.fileName(name), about)
    const known = await stored.read(new Map(job.chosen.map(({ name, size }) => [name, size])))
    if (known) return known
    this.references ??= await cacheReferences(job, options, reporter, run.classes)
    const { name: method, method: { criterion } } = run
    const scores = await scoresBy(method, criterion!, model, job, this.references, options, reporter, masks)
    stored.write(scores)
    return scores
  }
}

const tests = new WeakMap<Dataset, Map<string, Dataset>>()

/** Test images, decoded once for all curves of the same classes. */
async function testImages({ test }: Job, reporter: Reporter, classes: readonly number[] | undefined): Promise<Dataset> {
  const known = tests.get(test!) ?? new Map<string, Dataset>(), key = String(classes)
  tests.set(test!, known)
  const found = known.get(key) ?? await cacheTest(test!, reporter, classes)
  known.clear()
  known.set(key, found)
  return found
}

/** Two rates in a row at chance end a curve. */
function isStopped(points: readonly (Point | undefined)[], { classes }: Run, { checked }: Job): boolean {
  const guessing = points.map((point) =>
    point !== undefined && atChance(point.after.top1!, classes?.length ?? checked.classCount, point.after.images!)
  )
  return guessing.some((each, i) => each && guessing[i + 1])
}

// `espalier sweep`: accuracy, cost and time against pruning rate, for several methods and seeds. Every point is on the
// disk as soon as it is measured; the same command goes on from there.
import { basename, join } from 'node:path'
import type { Model } from '../nn/model.ts'
import { close, init } from '../gpu/device.ts'
import type { Dataset } from '../data/datasets.ts'
import { folderStore } from '../files/folder-store.ts'
import { writeOutput } from '../files/output.ts'
import { packageVersion } from '../files/package.ts'
import { atChance, type CurveOptions, meanAndError, meanArea, measureCurve, measureLearnedCurve, topRate,
  trapezoidArea } from '../pruning/curve.ts'
import type { Scores } from '../pruning/scores/criterion.ts'
import type { Plan } from '../pruning/plan/slice.ts'
import { jobOf } from '../pruning/prune.ts'
import { Trials } from '../pruning/trial.ts'
import type { Curve, Figures, Report } from '../report/types.ts'
import { disposeTree } from '../core/tree.ts'
import { commandLine } from './command-line.ts'
import { type CommandSpec, follow, type Reporter } from './command.ts'
import { percent, table } from './model.ts'
import { preparedJson, preparedText } from './open.ts'
import { cacheReferences, cacheTest, type Job, openModel, scoresBy } from './pruner.ts'
import { StoredVectors } from './result-folder.ts'
import { declareSweep, setUpSweep, type Point, type Run, type SweepOptions, type SweepSetup } from './sweep-setup.ts'

/** The command `espalier sweep <model> --methods a,b --data <data> --test <data> --out <dir>`. */
export const sweep: CommandSpec<SweepOptions> = {
  name: 'sweep',
  summary: 'accuracy, multiply-adds, parameters and time against pruning rate for several methods; '
    + 'goes on after an interruption; HTML with plots',
  example:
    'espalier sweep net.safetensors --methods pxp,magnitude,random --data folder:train --test folder:val --out sweep',
  declare: declareSweep,
  async run(options, reporter) {
    const plan = await setUpSweep(options, reporter)
    let model: Model | null = null
    try {
      const gpu = await init({ adapter: options.adapter, threads: options.threads })
      model = openModel(plan.job)
      for (const run of plan.runs) await new CurveRun(run, plan, options, model, reporter).measure()
      const { curves, stopped } = summarize(plan)
      const { job: { checked, chosen, found, prepared } } = plan, entries = currentPoints(plan)
      const before: Figures = { ...pointAt(entries, plan.runs[0], 0)!.after, bytes: checked.bytes }
      const best = curves.toSorted((a, b) => b.area - a.area)[0]
      const shown = entries.find(({ method, rate }) => method === best.name && rate === best.topRate) ?? entries[0]
      const units = found.map(({ name, size }, i) => ({ name, size, kept: shown.kept[i] })).filter(({ name }) =>
        chosen.some((unit) => unit.name === name)
      )
      const common = { seed: options.seed ?? 0, adapter: gpu.adapter.name, version: packageVersion() }
      const notes = [
        ...checked.notes,
        `Pictures and network: ${preparedText(prepared, checked)}.`,
        `Kept units are those of ${best.name} at its Top-PR, ${percent(shown.rate, 0)}.`,
        ...stopped.length
          ? [
            `Stopped after two rates at chance, and counted with the last accuracy measured from there on: ${
              stopped.join(', ')
            }.`,
          ]
          : [],
      ]
      const report: Report = {
        ...common,
        title: `${basename(checked.name)}: accuracy against pruning rate`,
        model: options.args[0],
        data: options.data ?? 'none',
        test: options.test,
        command: commandLine(),
        before,
        units,
        curves,
        notes,
      }
      const json = {
        model: options.args[0],
        data: options.data,
        test: options.test,
        ...common,
        ...preparedJson(prepared),
        before,
        curves: curves.map(({ name, ...curve }) => ({ method: name, ...curve })),
        notes,
        classes: plan.runs.filter(({ classes }) => classes).map(({ name, seed, classes }) => ({
          method: name,
          seed,
          among: classes,
        })),
        results: entries.map(({ kept, ...point }) => ({
          ...point,
          units: found.map(({ name, size }, i) => ({ name, size, kept: kept[i] })),
        })),
      }
      const { htmlReport } = await import('../report/report.ts')
      writeOutput(join(options.out, 'report.html'), htmlReport(report))
      writeOutput(join(options.out, 'sweep.json'), `${JSON.stringify(json)}\n`)
      return { json, text: textOf(curves, notes, options.out) }
    } finally {
      plan.folder.close()
      disposeTree(model)
      await close()
    }
  },
}

const pointAt = (entries: readonly Point[], { name, source, seed }: Run, rate: number) =>
  entries.find((point) =>
    point.method === name && point.source === source && point.seed === seed && point.rate === rate
  )

/** Points of what this command runs, or of methods it does not know; not those of an older version of a user's file. */
const currentPoints = ({ runs, journal: { entries } }: Pick<SweepSetup, 'runs' | 'journal'>): Point[] =>
  entries.filter(({ method, source }) => runs.every((run) => run.name !== method || run.source === source))

/** One curve: scores once (or before each rate), then plans that contain each other. */
class CurveRun {
  private readonly run: Run
  private readonly plan: SweepSetup
  private readonly options: SweepOptions
  private readonly model: Model
  private readonly reporter: Reporter
  private references: Dataset | null = null

  constructor(run: Run, plan: SweepSetup, options: SweepOptions, model: Model, reporter: Reporter) {
    this.run = run
    this.plan = plan
    this.options = { ...options, seed: run.seed }
    this.model = model
    this.reporter = reporter
  }

  async measure(): Promise<void> {
    const { run, plan: { job, rates, journal }, options, model, reporter } = this
    const points = () => rates.map((rate) => pointAt(journal.entries, run, rate))
    if (!points().includes(undefined) || isStopped(points(), run, job)) return
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
          rate,
          after,
          how,
          kept: job.found.map(({ name, size }) => plan.get(name)?.reduce((a, b) => a + b, 0) ?? size),
        })
        shown(rate)
        return isStopped(points(), run, job)
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

/** What says whose point it is. */
const pointOf = ({ name, source, seed }: Run) => ({
  method: name,
  ...source === undefined ? {} : { source },
  seed,
})

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

/** Curves by method: means and standard errors over seeds. */
export function summarize(
  { runs, rates, journal: { entries } }: Pick<SweepSetup, 'runs' | 'rates' | 'journal'>,
): { curves: Curve[], stopped: string[] } {
  const stopped: string[] = []
  const curves = [...new Set(runs.map(({ name }) => name))].map((name): Curve => {
    const seeds = runs.filter((run) => run.name === name).map((run) => {
      const measured = rates.map((rate) => pointAt(entries, run, rate))
      const last = measured.findLast((point) => point !== undefined)!
      if (measured.includes(undefined)) stopped.push(`${name} seed ${run.seed} at ${percent(last.rate, 0)}`)
      const top1 = measured.map((point) => (point ?? last).after.top1!)
      return { measured, top1, dense: top1[0] }
    })
    const area = meanAndError(seeds.map(({ top1 }) => meanArea(top1)))
    const means = rates.map((_, i) => meanAndError(seeds.map(({ top1 }) => top1[i])))
    const average = (i: number, key: 'macs' | 'params' | 'msPerImage' | 'timeShare') => {
      const values = seeds.flatMap(({ measured }) => measured[i]?.after[key] ?? [])
      return values.length ? meanArea(values) : undefined
    }
    return {
      name,
      area: area.mean,
      ...seeds.length > 1 && { areaError: area.error },
      trapezoid: meanArea(seeds.map(({ top1 }) => trapezoidArea(rates, top1))),
      topRate: topRate(rates, means.map(({ mean }) => mean), means[0].mean),
      points: rates.flatMap((rate, i) => {
        const macs = average(i, 'macs'), params = average(i, 'params'), { mean, error } = means[i]
        if (macs === undefined || params === undefined) return []
        return [{
          rate,
          top1: mean,
          ...seeds.length > 1 && { low: mean - error, high: mean + error },
          seeds: seeds.filter(({ measured }) => measured[i]).length,
          macs,
          params,
          msPerImage: average(i, 'msPerImage'),
          timeShare: average(i, 'timeShare'),
        }]
      }),
    }
  })
  return { curves, stopped }
}

function textOf(curves: readonly Curve[], notes: readonly string[], out: string): string {
  const rows = curves.toSorted((a, b) => b.area - a.area).map((
    { name, area, areaError, trapezoid, topRate },
  ) => [
    name,
    area.toFixed(3) + (areaError === undefined ? '' : ` ± ${areaError.toFixed(3)}`),
    trapezoid!.toFixed(3),
    percent(topRate, 0),
  ])
  return [
    table(['method', 'A_PR', 'trapezoid', 'Top-PR'], rows),
    '',
    ...notes,
    `${join(out, 'report.html')}, ${join(out, 'sweep.json')}`,
  ].join('\n')
}

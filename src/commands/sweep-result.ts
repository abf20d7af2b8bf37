// What a sweep comes to once its points are there: curves over seeds, the report, the JSON.
import { basename, join } from 'node:path'
import { writeOutput } from '../files/output.ts'
import { packageVersion } from '../files/package.ts'
import { meanAndError, meanArea, topRate, trapezoidArea } from '../pruning/curve.ts'
import type { Curve, Figures, Report } from '../report/types.ts'
import type { Point } from '../sweeps/point.ts'
import type { Answer } from './command.ts'
import { commandLine } from './command-line.ts'
import { percent, table } from './model.ts'
import { preparedJson, preparedText } from './open.ts'
import { pointAt } from './sweep-curve.ts'
import type { SweepOptions, SweepSetup } from './sweep-setup.ts'

/**
 * Points of what this command runs, in the order of its runs, whoever measured them when; then those of methods it does
 * not know. Not those of an older version of a user's file.
 */
function currentPoints({ runs, rates, journal: { entries } }: SweepSetup): Point[] {
  const mine = runs.flatMap((run) => rates.flatMap((rate) => pointAt(entries, run, rate) ?? [])), known = new Set(mine)
  const others = entries.filter((point) =>
    !known.has(point) && runs.every((run) => run.name !== point.method || run.source === point.source)
  )
  return [...mine, ...others]
}

/** Sums up a sweep whose points are all there and writes its files; `adapter` is for points that do not say theirs. */
export async function concludeSweep(
  plan: SweepSetup,
  options: SweepOptions & { args: string[] },
  adapter: string,
  command = commandLine(),
): Promise<Answer> {
  const { curves, stopped, elsewhere } = summarize(plan)
  const { job: { checked, chosen, found, prepared } } = plan, entries = currentPoints(plan)
  const dense = pointAt(entries, plan.runs[0], 0)!
  const before: Figures = { ...dense.after, bytes: checked.bytes }
  const best = curves.toSorted((a, b) => b.area - a.area)[0]
  const shown = entries.find(({ method, rate }) => method === best.name && rate === best.topRate) ?? entries[0]
  const units = found.map(({ name, size }, i) => ({ name, size, kept: shown.kept[i] })).filter(({ name }) =>
    chosen.some((unit) => unit.name === name)
  )
  const common = { seed: options.seed ?? 0, adapter: dense.adapter ?? adapter, version: packageVersion() }
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
    ...elsewhere,
  ]
  const report: Report = {
    ...common,
    title: `${basename(checked.name)}: accuracy against pruning rate`,
    model: options.args[0],
    data: options.data ?? 'none',
    test: options.test,
    command,
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
}

/**
 * Curves by method: means and standard errors over seeds. Times of a curve are of one adapter, the one that most of its
 * points were measured on; `elsewhere` has a sentence for each curve that has others.
 */
export function summarize(
  { runs, rates, journal: { entries } }: Pick<SweepSetup, 'runs' | 'rates' | 'journal'>,
): { curves: Curve[], stopped: string[], elsewhere: string[] } {
  const stopped: string[] = [], elsewhere: string[] = []
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
    const all = seeds.flatMap(({ measured }) => measured.filter((point) => point !== undefined))
    const adapter = commonAdapter(all), others = all.filter((point) => point.adapter !== adapter)
    if (others.length) {
      elsewhere.push(
        `Times of ${name} are those on ${adapter ?? 'an adapter that its points do not name'}; ${others.length} of its `
          + `${all.length} points were measured on another adapter and have no time in the curve.`,
      )
    }
    const average = (i: number, key: 'macs' | 'params' | 'msPerImage' | 'timeShare') => {
      const timed = key === 'msPerImage' || key === 'timeShare'
      const values = seeds.flatMap(({ measured }) =>
        timed && measured[i]?.adapter !== adapter ? [] : measured[i]?.after[key] ?? []
      )
      return values.length ? meanArea(values) : undefined
    }
    return {
      name,
      ...adapter !== undefined && { adapter },
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
  const adapters = new Set(curves.map(({ adapter }) => adapter))
  if (adapters.size > 1) {
    const lists = [...adapters].map((adapter) =>
      `${adapter ?? 'an adapter that is not named'} (${
        curves.filter((curve) => curve.adapter === adapter).map(({ name }) => name).join(', ')
      })`
    )
    elsewhere.push(`Times of different curves cannot be compared, they were measured on ${lists.join('; ')}.`)
  }
  return { curves, stopped, elsewhere }
}

/** The adapter that most points were measured on, the first of several; undefined where they do not say. */
function commonAdapter(points: readonly Point[]): string | undefined {
  const counts = new Map<string | undefined, number>()
  for (const { adapter } of points) counts.set(adapter, (counts.get(adapter) ?? 0) + 1)
  return [...counts].reduce((best, each) => each[1] > best[1] ? each : best)[0]
}

/** What people read of a sweep. */
export function textOf(curves: readonly Curve[], notes: readonly string[], out: string): string {
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

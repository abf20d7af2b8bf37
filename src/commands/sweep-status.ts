// `sweep --status` and `sweep --cancel`: how far the jobs of a folder are, and their end.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { EspalierError, InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { atChance } from '../pruning/curve.ts'
import { attemptFiles } from '../sweeps/attempts.ts'
import { type Jobs, jobIds, readJobs, readOutcome, slurmFolder } from '../sweeps/jobs.ts'
import { keyOf, readPlan, type SweepPlan } from '../sweeps/plan.ts'
import type { Point } from '../sweeps/point.ts'
import { cancel, queue, type Queued } from '../sweeps/slurm.ts'
import type { Answer } from './command.ts'
import { table } from './model.ts'

/** What is known of a task without computing anything. */
interface Progress {
  points: Map<number, Point>
  /** Rates that need no more work: all of them where the curve ended early, at chance. */
  done: number
}

/** Points by task, counted by a look at the journals: what is damaged is for the merging to say. */
export function pointsOf(folder: string, { tasks, rates }: SweepPlan): Map<string, Progress> {
  const found = new Map<string, Progress>(tasks.map(({ key }) => [key, { points: new Map<number, Point>(), done: 0 }]))
  for (const file of [join(folder, 'points.jsonl'), ...[...attemptFiles(folder).values()].flat()]) {
    for (const point of looseLines(file)) found.get(keyOf(point))?.points.set(point.rate, point)
  }
  for (const { key, among } of tasks) {
    const task = found.get(key)!
    const guessing = rates.map((rate) => {
      const { top1, images } = task.points.get(rate)?.after ?? {}
      return top1 !== undefined && images !== undefined && atChance(top1, among, images)
    })
    const ended = guessing.some((each, i) => each && guessing[i + 1])
    task.done = ended ? rates.length : rates.filter((rate) => task.points.has(rate)).length
  }
  return found
}

const read = new Map<string, { size: number, lines: Point[] }>()

/** Lines of a journal that read as points, kept until the file grows: a thousand of them are looked at every time. */
function looseLines(file: string): Point[] {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0, known = read.get(file)
  if (known?.size === size) return known.lines
  const lines = size
    ? readFileSync(file, 'utf8').split('\n').slice(0, -1).flatMap((line): Point[] => {
      try {
        const value = JSON.parse(line) as Partial<Point> | null
        return typeof value?.method === 'string' && typeof value.after === 'object' ? [value as Point] : []
      } catch {
        return []
      }
    })
    : []
  read.set(file, { size, lines })
  return lines
}

/** How far each curve of a folder is, and what Slurm does with it. @throws InputError where there is no plan. */
export async function sweepStatus(folder: string): Promise<Answer> {
  const plan = readPlan(folder), progress = pointsOf(folder, plan), jobs = readJobs(folder)
  let queued: Queued[] = [], unknown: string | undefined
  if (jobs) {
    queued = await queue(jobIds(jobs)).catch((error: unknown) => {
      if (!(error instanceof EspalierError)) throw error
      unknown = error.message
      return []
    })
  }
  const outcome = jobs && readOutcome(folder, jobs), logs = logNames(folder)
  const tasks = plan.tasks.map(({ key, among: _, ...curve }, i) => {
    const { points, done } = progress.get(key)!, id = jobs && elementOf(jobs, i)
    const entry = queued.find((each) => each.id === id), node = [...points.values()].at(-1)?.node
    const whole = done === plan.rates.length
    const state = entry ? entry.state.toLowerCase() : whole ? 'done' : unknown !== undefined ? 'unknown' : 'not queued'
    const log = id === null ? undefined : logs.find((name) => name === `${id}.log`)
    return {
      task: i,
      ...curve,
      points: points.size,
      of: plan.rates.length,
      state,
      where: entry?.where ?? node ?? '',
      ...id !== null && { job: id },
      ...log !== undefined && { log: join(slurmFolder(folder), log) },
    }
  })
  const done = tasks.reduce((sum, each) => sum + each.points, 0)
  const state = outcome
    ? outcome.error ?? 'merged'
    : queued.length
    ? 'running'
    : unknown ?? 'stopped; the same command goes on'
  const json = {
    plan: plan.digest,
    jobs: jobs ? jobIds(jobs) : [],
    points: done,
    tasks,
    merged: outcome !== null
      && outcome.error === undefined,
    state,
  }
  const rows = tasks.map((each) => [
    `${plain(each.method)} ${each.seed}`,
    `${each.points}/${each.of}`,
    each.state,
    plain(each.where),
  ])
  return {
    json,
    text: [
      table(['curve', 'points', 'state', 'where'], rows),
      '',
      `${done} points of at most ${plan.tasks.length * plan.rates.length} (curves end early at chance); ${
        plain(state, 400)
      }`,
      ...jobs ? [`jobs ${jobIds(jobs).join(', ')}; logs in ${plain(slurmFolder(folder))}`] : [],
    ].join('\n'),
  }
}

/** Slurm's name of a task of the last submission; null where it was measured before. */
function elementOf({ arrays }: Jobs, task: number): string | null {
  const array = arrays.find(({ tasks }) => tasks.includes(task))
  return array ? `${array.job}_${task - array.first}` : null
}

function logNames(folder: string): string[] {
  try {
    return readdirSync(slurmFolder(folder))
  } catch {
    return [] // nothing was submitted
  }
}

/** Ends the jobs of a folder; what they measured stays. @throws InputError where nothing was submitted. */
export async function cancelSweep(folder: string): Promise<Answer> {
  readPlan(folder)
  const jobs = readJobs(folder)
  if (!jobs) throw new InputError(`${plain(folder)}: expected jobs of a sweep, found none; nothing was submitted here`)
  const ids = jobIds(jobs)
  await cancel(ids)
  return {
    json: { cancelled: ids },
    text: `cancelled ${ids.join(', ')}; what was measured stays in ${plain(resolve(folder))}, and the command that `
      + 'started it goes on from there',
  }
}

// `sweep --status` and `sweep --cancel`: how far the jobs of a folder are, and their end.
import { readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { plain } from '../base/quote.ts'
import { atChance } from '../pruning/curve.ts'
import { attemptFiles } from '../sweeps/attempts.ts'
import { keyOf, readPlan, type SweepPlan } from '../sweeps/plan.ts'
import type { Point } from '../sweeps/point.ts'
import type { Answer } from './command.ts'
import { table } from './model.ts'
import { cancelJobs, jobsState } from './slurm-status.ts'

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
  const plan = readPlan(folder), progress = pointsOf(folder, plan)
  const { jobs, merged, state, taskState, lines } = await jobsState(folder)
  const tasks = plan.tasks.map(({ key, among: _, ...curve }, i) => {
    const { points, done } = progress.get(key)!, of = plan.rates.length
    return {
      task: i,
      ...curve,
      points: points.size,
      of,
      ...taskState(i, done === of, [...points.values()].at(-1)?.node),
    }
  })
  const done = tasks.reduce((sum, each) => sum + each.points, 0)
  const rows = tasks.map((each) => [
    `${plain(each.method)} ${each.seed}`,
    `${each.points}/${each.of}`,
    each.state,
    plain(each.where),
  ])
  return {
    json: { plan: plan.digest, jobs, points: done, tasks, merged, state },
    text: [
      table(['curve', 'points', 'state', 'where'], rows),
      '',
      `${done} points of at most ${plan.tasks.length * plan.rates.length} (curves end early at chance); ${
        plain(state, 400)
      }`,
      ...lines,
    ].join('\n'),
  }
}

/** Ends the jobs of a folder; what they measured stays. @throws InputError where nothing was submitted. */
export function cancelSweep(folder: string): Promise<Answer> {
  readPlan(folder)
  return cancelJobs(folder, 'sweep', `what was measured stays in ${plain(resolve(folder))}`)
}

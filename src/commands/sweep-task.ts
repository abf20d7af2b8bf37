// What the jobs of a sweep on many machines do: a task measures one curve into a journal of its own, and when all have
// ended, one more puts the journals together as if one machine had done it all.
import { join } from 'node:path'
import { EspalierError, InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { disposeTree } from '../core/tree.ts'
import { lockFile, waitForLock } from '../files/lock.ts'
import { makeFolder } from '../files/output.ts'
import { close, init } from '../gpu/device.ts'
import type { Model } from '../nn/model.ts'
import { attemptsFolder, newAttempt } from '../sweeps/attempts.ts'
import { keyOf, planFile, readPlan, type SweepPlan } from '../sweeps/plan.ts'
import { type Point, placeOf } from '../sweeps/point.ts'
import type { Answer, Reporter } from './command.ts'
import { openModel } from './pruner.ts'
import { compareSettings, openResults, openSettled, settingsAsKept } from './result-folder.ts'
import type { Planned } from './slurm-flags.ts'
import { incomplete, PATIENCE, takeUp, withOutcome } from './slurm-job.ts'
import { CurveRun, isMeasured, runOf } from './sweep-curve.ts'
import { knownPoints, takeAttempts } from './sweep-points.ts'
import { concludeSweep } from './sweep-result.ts'
import { prepareSweep, type SweepOptions } from './sweep-setup.ts'

type Flags = SweepOptions & { args: string[] }

/** The plan, and the sweep as this machine sees it. @throws InputError where the two differ. */
async function takeUpSweep({ folder, digest }: Planned, reporter: Reporter) {
  const plan = readPlan(folder), name = plain(planFile(folder))
  takeUp(plan, folder, digest)
  const options = { ...plan.options, out: folder, args: [plan.model] } as unknown as Flags
  const prepared = await prepareSweep(options, reporter)
  compareSettings(plan.settings, settingsAsKept(prepared.opening.settings), name)
  return { plan, options, prepared }
}

/**
 * Measures one curve: what earlier attempts have not. Waits while another process is at it. @throws InputError where
 * the plan, or what it depends on, is not what was submitted.
 */
export async function runTask(planned: Planned, index: number, reporter: Reporter): Promise<Answer> {
  const { folder } = planned
  const { plan, options, prepared } = await takeUpSweep(planned, reporter)
  const task = plan.tasks[index] as SweepPlan['tasks'][number] | undefined
  const run = runOf(prepared, task?.key)
  if (!task || !run) {
    throw new InputError(
      `${plain(planFile(folder))}: expected one of ${plan.tasks.length} tasks, found task ${index}; submit again`,
    )
  }
  const { key } = task, { opening } = prepared
  makeFolder(attemptsFolder(folder))
  const lock = await waitForLock(() => lockFile(join(attemptsFolder(folder), key)), {
    onWait: (message) => reporter.say(message),
  })
  let model: Model | null = null
  try {
    const known = knownPoints(prepared).filter((point) => keyOf(point) === key)
    const setup = { ...prepared, folder: { path: folder, settings: plan.settings } }
    let measured = 0
    if (!isMeasured({ ...setup, journal: { entries: known } }, run)) {
      const { adapter } = await init({ adapter: options.adapter, threads: options.threads })
      const journal = openSettled<Point>(newAttempt(folder, key), plan.settings, opening.isEntry)
      try {
        const entries = [...known]
        const both = {
          entries,
          append(point: Point) {
            journal.append(point)
            entries.push(point)
            measured++
          },
        }
        model = openModel(prepared.job)
        const place = placeOf(adapter.name)
        await new CurveRun(run, { ...setup, journal: both }, options, model, place, reporter).measure()
      } finally {
        journal.close()
      }
    }
    return { json: { ...task, known: known.length, measured }, text: `${key}: ${measured} points measured` }
  } finally {
    lock.release()
    disposeTree(model)
    await close()
  }
}

/**
 * Puts together what all tasks have measured, and writes the files that a sweep ends with. How that ended stands in a
 * file, for whoever follows. @throws EspalierError where a curve is not complete.
 */
export function mergeSweep(planned: Planned, submission: string, reporter: Reporter): Promise<Answer> {
  return withOutcome(planned.folder, submission, () => merge(planned, reporter))
}

async function merge(planned: Planned, reporter: Reporter): Promise<Answer> {
  const { plan, options, prepared } = await takeUpSweep(planned, reporter)
  const results = await waitForLock(() => openResults<Point>(prepared.opening), {
    patience: PATIENCE,
    onWait: (message) => reporter.say(message),
  })
  try {
    const setup = { ...prepared, folder: results, journal: results.journal }
    takeAttempts(setup)
    const open = plan.tasks.filter(({ key }) => !isMeasured(setup, runOf(prepared, key)!))
    if (open.length) {
      throw new EspalierError(incomplete(planned.folder, 'curves', open.map(({ key }) => key), plan.tasks.length))
    }
    return await concludeSweep(setup, options, 'unknown', plan.command)
  } finally {
    results.close()
  }
}

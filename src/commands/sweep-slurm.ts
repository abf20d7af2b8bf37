// `sweep --on slurm`: plans the curves, submits them as job arrays and one job that puts them together, and follows
// them. Ctrl-C ends the following, not the jobs.
import { readFileSync, realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Curve } from '../report/types.ts'
import type { Jobs } from '../sweeps/jobs.ts'
import { findPlan, makePlan, type SweepPlan, writePlan } from '../sweeps/plan.ts'
import { findSlurm } from '../sweeps/slurm.ts'
import { parseSlurmOptions } from '../sweeps/slurm-options.ts'
import type { Answer, Reporter } from './command.ts'
import { commandLine } from './command-line.ts'
import { follow, runningJobs, submitArrays, submitMerge, type Work } from './on-slurm.ts'
import { isMeasured, runOf } from './sweep-curve.ts'
import { takeAttempts } from './sweep-points.ts'
import { concludeSweep, textOf } from './sweep-result.ts'
import { setUpSweep, type SweepOptions, type SweepSetup } from './sweep-setup.ts'
import { pointsOf } from './sweep-status.ts'

type Flags = SweepOptions & { args: string[] }

/** Submits what is not measured yet, and waits for it. @throws InputError, EspalierError with what Slurm says. */
export async function sweepOnSlurm(options: Flags, reporter: Reporter): Promise<Answer> {
  const extra = parseSlurmOptions(options.slurm ?? '')
  await findSlurm()
  const setup = await setUpSweep(options, reporter)
  const folder = realpathSync(options.out)
  let jobs: Jobs, work: Work
  try {
    takeAttempts(setup)
    const plan = planOf(options, setup), { parallel, adapter } = options
    work = {
      command: 'sweep',
      folder,
      out: resolve(options.out),
      digest: plan.digest,
      tasks: plan.tasks.length,
      extra,
      parallel,
      adapter,
    }
    const running = await runningJobs(work, () => isSame(folder, plan))
    if (!running && setup.runs.every((run) => isMeasured(setup, run))) {
      return await concludeSweep(setup, options, 'unknown')
    }
    if (!running) writePlan(folder, plan)
    const open = plan.tasks.flatMap(({ key }, i) => isMeasured(setup, runOf(setup, key)!) ? [] : [i])
    jobs = running ?? await submitArrays(work, open)
  } finally {
    setup.folder.close()
  }
  if (jobs.merge === undefined) await submitMerge(work, jobs)
  const plan = findPlan(folder)!
  await follow(work, jobs, {
    what: 'points',
    total: plan.tasks.length * plan.rates.length,
    done: () => [...pointsOf(folder, plan).values()].reduce((sum, { done }) => sum + done, 0),
  }, reporter)
  return answerIn(options.out)
}

/** Whether the plan of the folder is of the same work: the command may have other words for it. */
function isSame(folder: string, plan: SweepPlan): boolean {
  const old = findPlan(folder)
  return old !== null
    && (['settings', 'rates', 'tasks', 'options', 'cwd', 'model', 'version'] as const).every((key) =>
      JSON.stringify(old[key]) === JSON.stringify(plan[key])
    )
}

function planOf(options: Flags, { job, runs, rates, folder: { settings } }: SweepSetup): SweepPlan {
  const { args, json: _, quiet: _quiet, on: _on, slurm: _slurm, parallel: _parallel, out: _out, ...flags } = options
  return makePlan({
    command: commandLine(),
    cwd: process.cwd(),
    model: args[0],
    options: flags as unknown as Record<string, unknown>,
    settings,
    rates,
    curves: runs.map(({ name, source, seed, classes }) => ({
      method: name,
      source,
      seed,
      among: classes?.length ?? job.checked.classCount,
    })),
  })
}

/** What the merging wrote. */
function answerIn(out: string): Answer {
  const json = JSON.parse(readFileSync(join(out, 'sweep.json'), 'utf8')) as {
    curves: (Omit<Curve, 'name'> & { method: string })[],
    notes: string[],
  }
  const curves = json.curves.map(({ method: name, ...curve }): Curve => ({ name, ...curve }))
  return { json, text: textOf(curves, json.notes, out) }
}

// `sweep --on slurm`: plans the curves, submits them as job arrays and one job that puts them together, and follows
// them. Ctrl-C ends the following, not the jobs.
import { randomBytes } from 'node:crypto'
import { readFileSync, realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { EspalierError, InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { atEnd } from '../files/at-end.ts'
import { makeFolder, writeOutput } from '../files/output.ts'
import type { Curve } from '../report/types.ts'
import { type Jobs, jobIds, readJobs, readOutcome, slurmFolder, writeJobs } from '../sweeps/jobs.ts'
import { findPlan, makePlan, type SweepPlan, writePlan } from '../sweeps/plan.ts'
import { cancel, findSlurm, maxArraySize, queue, script, submit } from '../sweeps/slurm.ts'
import { parseSlurmOptions } from '../sweeps/slurm-options.ts'
import type { Answer, Reporter } from './command.ts'
import { commandLine, shellWord } from './command-line.ts'
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
  let jobs: Jobs
  try {
    takeAttempts(setup)
    const plan = planOf(options, setup)
    const running = await runningJobs(folder, plan)
    if (!running && setup.runs.every((run) => isMeasured(setup, run))) {
      return await concludeSweep(setup, options, 'unknown')
    }
    jobs = running ?? await submitArrays(folder, plan, setup, options, extra)
  } finally {
    setup.folder.close()
  }
  if (jobs.merge === undefined) await submitMerge(folder, jobs, options, extra)
  return follow(folder, jobs, options, reporter)
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

/**
 * The jobs that work on this plan already, to be followed; null where none do. @throws InputError where those of
 * another plan of the folder wait or run.
 */
async function runningJobs(folder: string, plan: SweepPlan): Promise<Jobs | null> {
  const jobs = readJobs(folder)
  if (!jobs || !(await queue(jobIds(jobs))).length) return null
  const old = findPlan(folder)
  // The command may have other words for the same work.
  const same = old
    && ['settings', 'rates', 'tasks', 'options', 'cwd', 'model', 'version'].every((key) =>
      JSON.stringify(old[key as keyof SweepPlan]) === JSON.stringify(plan[key as keyof SweepPlan])
    )
  if (same) return jobs
  throw new InputError(
    `--out ${plain(folder)}: jobs ${jobIds(jobs).join(', ')} of another sweep work here; wait for them, or end them by `
      + 'espalier sweep --cancel',
  )
}

/** The words that start this program on another machine, which has the same folders. */
function ownCommand({ adapter }: Flags): string[] {
  const [program, ...rest] = [process.execPath, ...process.execArgv, realpathSync(process.argv[1]), 'sweep']
  return [program, ...rest, ...adapter === undefined ? [] : ['--adapter', adapter]]
}

async function submitArrays(
  folder: string,
  plan: SweepPlan,
  setup: SweepSetup,
  options: Flags,
  extra: readonly string[],
): Promise<Jobs> {
  const size = await maxArraySize(), { parallel } = options
  const jobs: Jobs = { plan: plan.digest, submission: randomBytes(8).toString('hex'), arrays: [] }
  const open = plan.tasks.flatMap(({ key }, i) => isMeasured(setup, runOf(setup, key)!) ? [] : [i])
  makeFolder(slurmFolder(folder))
  writePlan(folder, plan)
  writeOutput(join(slurmFolder(folder), 'job.sh'), script)
  for (let first = 0; first < plan.tasks.length; first += size) {
    const tasks = open.filter((i) => i >= first && i < first + size)
    if (!tasks.length) continue
    const command = [...ownCommand(options), '--task', folder, '--plan', plan.digest, '--first', String(first)]
    // So many at once, over all arrays: then one array waits for the one before.
    const after = parallel === undefined ? [] : jobs.arrays.slice(-1).map(({ job }) => job)
    const job = await submit({
      name: 'espalier-sweep',
      folder,
      options: extra,
      script: join('slurm', 'job.sh'),
      command,
      array: tasks.map((i) => i - first),
      parallel,
      after,
    }).catch((error: unknown) => withdraw(jobs, error))
    jobs.arrays.push({ job, first, tasks })
    writeJobs(folder, jobs)
  }
  return jobs
}

/** Adds the job that puts the points together, whatever becomes of the tasks. */
async function submitMerge(folder: string, jobs: Jobs, options: Flags, extra: readonly string[]): Promise<void> {
  const command = [...ownCommand(options), '--merge', folder, '--plan', jobs.plan, '--submission', jobs.submission]
  jobs.merge = await submit({
    name: 'espalier-merge',
    folder,
    options: extra,
    script: join('slurm', 'job.sh'),
    command,
    after: jobs.arrays.map(({ job }) => job),
  }).catch((error: unknown) => withdraw(jobs, error))
  writeJobs(folder, jobs)
}

/** Half a sweep in the queue helps nobody: takes back what was submitted. */
async function withdraw(jobs: Jobs, error: unknown): Promise<never> {
  const ids = jobIds(jobs)
  if (ids.length) await cancel(ids)
  throw error instanceof EspalierError && ids.length
    ? new EspalierError(`${error.message}; jobs ${ids.join(', ')}, submitted before it, were cancelled`)
    : error
}

/** Waits until the points are put together, and answers with them. */
async function follow(folder: string, jobs: Jobs, { out }: Flags, reporter: Reporter): Promise<Answer> {
  const ids = jobIds(jobs), name = plain(shellWord(resolve(out)), 4096)
  const how = `espalier sweep --status ${name} follows them, --cancel ${name} ends them`
  const forget = atEnd(() => reporter.say(`\nJobs ${ids.join(', ')} go on; ${how}.`))
  reporter.say(`Jobs ${ids.join(', ')}; Ctrl-C leaves them running; ${how}.`)
  const plan = findPlan(folder)!, all = plan.tasks.length * plan.rates.length
  const progress = reporter.progress('points', all)
  try {
    // Often at first, when a small sweep ends; then seldom, for the sake of the controller and the file system.
    for (let pause = 500, gone = 0;; pause = Math.min(30_000, pause * 1.3)) {
      const outcome = readOutcome(folder, jobs)
      if (outcome) {
        if (outcome.error === undefined) break
        const message = plain(outcome.error, 1000)
        throw outcome.exitCode === 2 ? new InputError(message) : new EspalierError(message)
      }
      progress.update([...pointsOf(folder, plan).values()].reduce((sum, { done }) => sum + done, 0))
      // A controller that does not answer starts again; jobs outlive that.
      const waiting = await queue(ids).catch(() => null)
      gone = waiting?.length === 0 ? gone + 1 : 0
      if (gone > 2) {
        throw new EspalierError(
          `${plain(folder)}: jobs ${ids.join(', ')} ended and did not put their points together; see the logs in `
            + `${plain(slurmFolder(folder))}, then give the same command again, which goes on`,
        )
      }
      await new Promise((done) => setTimeout(done, pause))
    }
  } finally {
    progress.stop()
    forget()
  }
  return answerIn(out)
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

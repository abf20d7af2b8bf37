// What commands with `--on slurm` share: one array of tasks and one job that puts together what they did are submitted
// and followed. Ctrl-C ends the following, not the jobs.
import { randomBytes } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { join } from 'node:path'
import { EspalierError, InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { atEnd } from '../files/at-end.ts'
import { makeFolder, writeOutput } from '../files/output.ts'
import { type Jobs, jobIds, readJobs, readOutcome, slurmFolder, writeJobs } from '../sweeps/jobs.ts'
import { cancel, maxArraySize, queue, script, submit } from '../sweeps/slurm.ts'
import type { Reporter } from './command.ts'
import { shellWord } from './command-line.ts'

/** Work in a folder that all machines share. */
export interface Work {
  command: 'sweep' | 'prune'
  /** Where plan, jobs and what tasks leave behind lie; without links. */
  folder: string
  /** What the user calls it: `--status` and `--cancel` take it. */
  out: string
  /** Digest of its plan. */
  digest: string
  /** How many tasks the plan has. */
  tasks: number
  /** Options of sbatch. */
  extra: readonly string[]
  parallel?: number
  adapter?: string
}

/**
 * The jobs that work on this plan already, to be followed; null where none do. @throws InputError where those of
 * another plan of the folder wait or run.
 */
export async function runningJobs({ command, folder, out }: Work, isSame: () => boolean): Promise<Jobs | null> {
  const jobs = readJobs(folder)
  if (!jobs || !(await queue(jobIds(jobs))).length) return null
  if (isSame()) return jobs
  throw new InputError(
    `--out ${plain(out)}: jobs ${
      jobIds(jobs).join(', ')
    } of another ${command} work here; wait for them, or end them by `
      + `espalier ${command} --cancel`,
  )
}

/** @throws InputError where jobs of Slurm work on this --out; where there is no Slurm, there are none. */
export async function refuseJobs({ command, folder, out }: Pick<Work, 'command' | 'folder' | 'out'>): Promise<void> {
  const jobs = readJobs(folder), ids = jobs ? jobIds(jobs) : []
  const waiting = ids.length ? await queue(ids).catch(() => []) : []
  if (!waiting.length) return
  throw new InputError(
    `--out ${plain(out)}: jobs ${ids.join(', ')} of Slurm work in this folder; wait for them (${command} --status), or `
      + `end them by espalier ${command} --cancel`,
  )
}

/** Submits the open tasks as arrays, and says so in the folder. @throws EspalierError with what Slurm says. */
export async function submitArrays(work: Work, open: readonly number[]): Promise<Jobs> {
  const { folder, parallel, extra } = work, size = await maxArraySize()
  const jobs: Jobs = { plan: work.digest, submission: randomBytes(8).toString('hex'), arrays: [] }
  makeFolder(slurmFolder(folder))
  writeOutput(join(slurmFolder(folder), 'job.sh'), script)
  for (let first = 0; first < work.tasks; first += size) {
    const tasks = open.filter((i) => i >= first && i < first + size)
    if (!tasks.length) continue
    // So many at once, over all arrays: then one array waits for the one before.
    const after = parallel === undefined ? [] : jobs.arrays.slice(-1).map(({ job }) => job)
    const job = await submit({
      name: `espalier-${work.command}`,
      folder,
      options: extra,
      script: join('slurm', 'job.sh'),
      command: [...ownCommand(work), '--task', folder, '--plan', work.digest, '--first', String(first)],
      array: tasks.map((i) => i - first),
      parallel,
      after,
    }).catch((error: unknown) => withdraw(jobs, error))
    jobs.arrays.push({ job, first, tasks })
    writeJobs(folder, jobs)
  }
  return jobs
}

/** Adds the job that puts together what the tasks did, whatever becomes of them. @throws EspalierError. */
export async function submitMerge(work: Work, jobs: Jobs): Promise<void> {
  const { folder, extra } = work
  jobs.merge = await submit({
    name: 'espalier-merge',
    folder,
    options: extra,
    script: join('slurm', 'job.sh'),
    command: [...ownCommand(work), '--merge', folder, '--plan', jobs.plan, '--submission', jobs.submission],
    after: jobs.arrays.map(({ job }) => job),
  }).catch((error: unknown) => withdraw(jobs, error))
  writeJobs(folder, jobs)
}

/** The words that start this program on another machine, which has the same folders. */
function ownCommand({ command, adapter }: Work): string[] {
  const [program, ...rest] = [process.execPath, ...process.execArgv, realpathSync(process.argv[1]), command]
  return [program, ...rest, ...adapter === undefined ? [] : ['--adapter', adapter]]
}

/** Half of the work in the queue helps nobody: takes back what was submitted. */
async function withdraw(jobs: Jobs, error: unknown): Promise<never> {
  const ids = jobIds(jobs)
  if (ids.length) await cancel(ids)
  throw error instanceof EspalierError && ids.length
    ? new EspalierError(`${error.message}; jobs ${ids.join(', ')}, submitted before it, were cancelled`)
    : error
}

/** What is counted while jobs are followed. */
export interface Counted {
  /** `points`, `shards`. */
  what: string
  total: number
  done(): number
}

/** Waits until all is put together. @throws what the merging says, EspalierError where it ended without a word. */
export async function follow(work: Work, jobs: Jobs, { what, total, done }: Counted, reporter: Reporter) {
  const { command, folder } = work, ids = jobIds(jobs), name = plain(shellWord(work.out), 4096)
  const how = `espalier ${command} --status ${name} follows them, --cancel ${name} ends them`
  const forget = atEnd(() => reporter.say(`\nJobs ${ids.join(', ')} go on; ${how}.`))
  reporter.say(`Jobs ${ids.join(', ')}; Ctrl-C leaves them running; ${how}.`)
  const progress = reporter.progress(what, total)
  try {
    // Often at first, when small work ends; then seldom, for the sake of the controller and the file system.
    for (let pause = 500, gone = 0;; pause = Math.min(30_000, pause * 1.3)) {
      const outcome = readOutcome(folder, jobs)
      if (outcome) {
        if (outcome.error === undefined) return
        const message = plain(outcome.error, 1000)
        throw outcome.exitCode === 2 ? new InputError(message) : new EspalierError(message)
      }
      progress.update(done())
      // A controller that does not answer starts again; jobs outlive that.
      const waiting = await queue(ids).catch(() => null)
      gone = waiting?.length === 0 ? gone + 1 : 0
      if (gone > 2) {
        throw new EspalierError(
          `${plain(folder)}: jobs ${ids.join(', ')} ended and did not put their ${what} together; see the logs in `
            + `${plain(slurmFolder(folder))}, then give the same command again, which goes on`,
        )
      }
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  } finally {
    progress.stop()
    forget()
  }
}

// `--status` and `--cancel`: how far the jobs of a folder are, and their end.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { EspalierError, InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { type Jobs, jobIds, readJobs, readOutcome, slurmFolder } from '../sweeps/jobs.ts'
import { cancel, queue, type Queued } from '../sweeps/slurm.ts'
import type { Answer } from './command.ts'

/** What Slurm says of one task. */
export interface TaskState {
  state: string
  where: string
  job?: string
  log?: string
}

/** What Slurm and the folder say of a submission. */
export interface JobsState {
  jobs: string[]
  merged: boolean
  state: string
  /** Of a task, done or not, which was on a machine. */
  taskState(task: number, done: boolean, node: string | undefined): TaskState
  /** A line for people; none where nothing was submitted. */
  lines: string[]
}

/** Asks without computing anything. @throws InputError where the folder is damaged. */
export async function jobsState(folder: string): Promise<JobsState> {
  const jobs = readJobs(folder)
  let queued: Queued[] = [], unknown: string | undefined
  if (jobs) {
    queued = await queue(jobIds(jobs)).catch((error: unknown) => {
      if (!(error instanceof EspalierError)) throw error
      unknown = error.message
      return []
    })
  }
  const outcome = jobs && readOutcome(folder, jobs), logs = new Set(logNames(folder))
  return {
    jobs: jobs ? jobIds(jobs) : [],
    merged: outcome !== null && outcome.error === undefined,
    state: outcome
      ? outcome.error ?? 'merged'
      : queued.length
      ? 'running'
      : unknown ?? 'stopped; the same command goes on',
    taskState(task, done, node) {
      const id = jobs && elementOf(jobs, task), entry = queued.find((each) => each.id === id)
      const log = `${id ?? ''}.log`
      return {
        state: entry ? entry.state.toLowerCase() : done ? 'done' : unknown !== undefined ? 'unknown' : 'not queued',
        where: entry?.where ?? node ?? '',
        ...id !== null && { job: id },
        ...id !== null && logs.has(log) && { log: join(slurmFolder(folder), log) },
      }
    },
    lines: jobs ? [`jobs ${jobIds(jobs).join(', ')}; logs in ${plain(slurmFolder(folder))}`] : [],
  }
}

/** Slurm's name of a task of the last submission; null where it was done before. */
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

/** Ends the jobs of a folder; `kept` says what stays. @throws InputError where nothing was submitted. */
export async function cancelJobs(folder: string, command: string, kept: string): Promise<Answer> {
  const jobs = readJobs(folder)
  if (!jobs) {
    throw new InputError(`${plain(folder)}: expected jobs of a ${command}, found none; nothing was submitted here`)
  }
  const ids = jobIds(jobs)
  await cancel(ids)
  return {
    json: { cancelled: ids },
    text: `cancelled ${ids.join(', ')}; ${kept}, and the command that started it goes on from there`,
  }
}

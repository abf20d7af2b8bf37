// What was submitted from a folder, and how the merging ended: two small files that whoever follows the jobs reads.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { guard } from '../files/guard.ts'
import { makeFolder, writeOutput } from '../files/output.ts'
import { isCount } from './point.ts'

/** One array: task `first + i` of the plan is its element `i`. */
export interface SubmittedArray {
  job: string
  first: number
  tasks: number[]
}

/** One submission. */
export interface Jobs {
  /** Digest of the plan. */
  plan: string
  /** Tells this submission from others of the folder. */
  submission: string
  arrays: SubmittedArray[]
  /** The job that puts the points together; not there before it was submitted. */
  merge?: string
}

/** How the merging of a submission ended. */
export interface Outcome {
  submission: string
  /** What went wrong; not there where nothing did. */
  error?: string
  exitCode?: 1 | 2 | 3
}

/** The folder of scripts, logs and these files. */
export const slurmFolder = (folder: string): string => join(folder, 'slurm')

const jobsFile = (folder: string) => join(slurmFolder(folder), 'jobs.json')
const outcomeFile = (folder: string) => join(slurmFolder(folder), 'outcome.json')

function read<T>(file: string, isRight: (value: Partial<T>) => boolean): T | null {
  if (!existsSync(file)) return null
  const text = guard(file, () => readFileSync(file, 'utf8'), true)
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && isRight(value as Partial<T>)) return value as T
  } catch {
    // said below
  }
  throw new InputError(
    `${plain(file)}: expected the jobs of a sweep, found something else; it was edited or damaged: see squeue for `
      + 'what runs, then remove the file',
  )
}

const isJob = (value: unknown) => typeof value === 'string' && /^\d+$/.test(value)

/** What was submitted last; null for nothing. @throws InputError where the file is damaged. */
export const readJobs = (folder: string): Jobs | null =>
  read<Jobs>(
    jobsFile(folder),
    ({ plan, submission, arrays, merge }) =>
      typeof plan === 'string' && typeof submission === 'string' && (merge === undefined || isJob(merge))
      && Array.isArray(arrays)
      && arrays.every(({ job, first, tasks }: Partial<SubmittedArray>) =>
        isJob(job) && isCount(first) && Array.isArray(tasks) && tasks.every(isCount)
      ),
  )

/** Puts down what was submitted. */
export function writeJobs(folder: string, jobs: Jobs): void {
  makeFolder(slurmFolder(folder))
  writeOutput(jobsFile(folder), `${JSON.stringify(jobs, null, 1)}\n`)
}

/** How the merging of a submission ended; null where it has not. @throws InputError where the file is damaged. */
export function readOutcome(folder: string, { submission }: Jobs): Outcome | null {
  const found = read<Outcome>(outcomeFile(folder), (value) => typeof value.submission === 'string')
  return found?.submission === submission ? found : null
}

/** Puts down how it ended. */
export const writeOutcome = (folder: string, outcome: Outcome): void =>
  writeOutput(outcomeFile(folder), `${JSON.stringify(outcome)}\n`)

/** All jobs of a submission. */
export const jobIds = ({ arrays, merge }: Jobs): string[] => [
  ...arrays.map(({ job }) => job),
  ...merge === undefined ? [] : [merge],
]

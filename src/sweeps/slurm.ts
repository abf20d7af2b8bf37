// Slurm's own commands, which do all that happens between machines: sbatch, squeue, scancel and scontrol. They are
// started without a shell; what they say on stderr is what a user reads.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { EspalierError, InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'

/** One entry of the queue. */
export interface Queued {
  /** `12_3` for task 3 of array 12, `13` for a job that is no array. */
  id: string
  /** Slurm's word: PENDING, RUNNING, COMPLETING, … */
  state: string
  /** The machine it runs on, or why it waits. */
  where: string
}

/** What runs in each task and in the merging: the command in the arguments. It is fixed text; names are arguments. */
export const script = `#!/bin/sh
# Runs the command in its arguments. A process that was killed is queued again, at most five times: what it measured is
# kept, and it goes on from there. One that was asked to end (scancel, the end of its time) ends.
set -u
"$@"
code=$?
case $code in
  129 | 130 | 143) ;;
  *)
    if [ "$code" -ge 128 ] && [ "\${SLURM_RESTART_COUNT:-0}" -lt 5 ]; then
      echo "espalier: the process was killed (exit code $code); it is queued again" >&2
      scontrol requeue "$SLURM_JOB_ID"
    fi
    ;;
esac
exit "$code"
`

interface Said {
  code: number | null
  stdout: string
  stderr: string
}

function start(command: string, args: readonly string[]): Promise<Said> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = '', stderr = ''
    child.stdout.on('data', (bytes: Buffer) => stdout += bytes.toString())
    child.stderr.on('data', (bytes: Buffer) => stderr += bytes.toString())
    child.on('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'ENOENT'
          ? new InputError(
            `${command}: expected Slurm's commands on the PATH, found no ${command}; run this where jobs are submitted `
              + '(a login node), or leave out --on slurm to use this machine',
          )
          : new EspalierError(`${command}: cannot be started, ${error.message}`),
      )
    })
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** @throws EspalierError with what the command says, InputError where it is not there. */
async function run(command: string, args: readonly string[], cure: string): Promise<string> {
  const { code, stdout, stderr } = await start(command, args)
  if (code === 0) return stdout
  throw new EspalierError(
    `${command}: expected it to be done, found exit code ${code ?? 'none'}: ${sentence(stderr)}; ${cure}`,
  )
}

/** What Slurm says, on one line and without its own name in front of each. */
const sentence = (text: string): string =>
  plain(
    text.trim().split('\n').map((line) => line.replace(/^\w+: (error|fatal): /, '').trim()).join(', ') || 'nothing',
    400,
  )

/** How many tasks one array may have: indices are below this. @throws EspalierError. */
export async function maxArraySize(): Promise<number> {
  const said = await run('scontrol', ['show', 'config'], 'see that the controller answers (scontrol ping)')
  const found = /^MaxArraySize\s*=\s*(\d+)/m.exec(said)
  const size = found ? Number(found[1]) : 1001 // Slurm's default
  if (size > 1) return size
  throw new InputError(
    `--on slurm: expected a cluster with job arrays, found MaxArraySize = ${size}; ask those who run it`,
  )
}

/** What is submitted. */
export interface Submission {
  name: string
  /** Where the job works and, in its folder `slurm`, logs. */
  folder: string
  /** From `parseSlurmOptions`. */
  options: readonly string[]
  /** The script's file. */
  script: string
  command: readonly string[]
  /** Indices of an array, and how many run at once. */
  array?: readonly number[]
  parallel?: number
  /** Jobs that must have ended, in whatever way. */
  after: readonly string[]
}

/** Submits a job or an array. Its id. @throws EspalierError with what sbatch says, InputError for a backslash. */
export async function submit(job: Submission): Promise<string> {
  const { name, folder, options, script, command, array, parallel, after } = job
  if (folder.includes('\\')) {
    throw new InputError(
      `${plain(folder)}: expected a folder without a backslash, which Slurm would take out of the names of logs; `
        + 'choose another',
    )
  }
  const args = [
    `--job-name=${name}`,
    ...options,
    '--parsable',
    '--requeue',
    '--open-mode=append',
    `--chdir=${folder}`,
    `--output=${join(folder.replaceAll('%', '%%'), 'slurm', array ? '%A_%a' : '%j')}.log`,
    ...array ? [`--array=${ranges(array)}${parallel === undefined ? '' : `%${parallel}`}`] : [],
    ...after.length ? [`--dependency=afterany:${after.join(':')}`] : [],
    script,
    ...command,
  ]
  const said = await run('sbatch', args, 'see --slurm, the limits of your account and the state of the cluster')
  const id = /^(\d+)(;|\s|$)/.exec(said.trim())?.[1]
  if (id !== undefined) return id
  throw new EspalierError(`sbatch: expected the number of a job, found ${plain(said.trim(), 80) || 'nothing'}`)
}

/** `0-3,7` for 0, 1, 2, 3, 7. */
export function ranges(rising: readonly number[]): string {
  const parts: [first: number, last: number][] = []
  for (const index of rising) {
    const part = parts.at(-1)
    if (part && part[1] === index - 1) part[1] = index
    else parts.push([index, index])
  }
  return parts.map(([first, last]) => first === last ? `${first}` : `${first}-${last}`).join(',')
}

/** What of these jobs waits or runs. @throws EspalierError where the controller does not answer. */
export async function queue(jobs: readonly string[]): Promise<Queued[]> {
  if (!jobs.length) return []
  const args = ['--noheader', '--array', `--jobs=${jobs.join(',')}`, '--format=%i|%T|%R']
  const { code, stdout, stderr } = await start('squeue', args)
  if (code !== 0) {
    if (/Invalid job id/i.test(stderr)) return [] // ended long ago
    throw new EspalierError(`squeue: ${sentence(stderr)}; see that the controller answers (scontrol ping)`)
  }
  return stdout.split('\n').flatMap((line) => {
    const [id, state, ...where] = line.trim().split('|')
    return where.length ? [{ id, state, where: where.join('|').replace(/^\((.*)\)$/, '$1') }] : []
  }).filter(({ state }) => !ended.has(state))
}

/** Jobs stay in the queue for minutes after they have ended. */
const ended = new Set([
  'BOOT_FAIL',
  'CANCELLED',
  'COMPLETED',
  'DEADLINE',
  'FAILED',
  'NODE_FAIL',
  'OUT_OF_MEMORY',
  'PREEMPTED',
  'TIMEOUT',
])

/** Ends jobs, waiting ones as well. @throws EspalierError. */
export async function cancel(jobs: readonly string[]): Promise<void> {
  await run('scancel', ['--quiet', ...jobs], 'see that the controller answers (scontrol ping)')
}

/** @throws InputError where Slurm is not installed. */
export async function findSlurm(): Promise<void> {
  await start('sbatch', ['--version'])
}

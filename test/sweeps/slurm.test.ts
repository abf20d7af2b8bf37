// The script that jobs run, by a real shell; and what is read of Slurm's answers.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { maxArraySize, queue, ranges, script, submit } from '../../src/sweeps/slurm.ts'
import { fakeSlurm } from '../support/fake-slurm.ts'

let folder = ''
const path = process.env.PATH
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'slurm-'))
})
afterEach(() => {
  process.env.PATH = path
  rmSync(folder, { recursive: true })
})

describe('the script', () => {
  const start = (args: string[], more: Record<string, string> = {}) => {
    const { env, calls } = fakeSlurm(folder), file = join(folder, 'job.sh')
    writeFileSync(file, script)
    const { status, stdout } = spawnSync('/bin/sh', [file, ...args], {
      env: { ...env, SLURM_JOB_ID: '17', ...more },
      encoding: 'utf8',
    })
    return { status, stdout, requeued: calls('scontrol') }
  }

  test('words reach the command as they are', () => {
    const odd = ['a b', '$HOME', '`id`', "it's", '"', 'two\nlines', '$(touch pwned)', '*', '\\', '']
    const { status, stdout } = start([
      process.execPath,
      '-e',
      'console.log(JSON.stringify(process.argv.slice(1)))',
      ...odd,
    ])
    expect({ status, words: JSON.parse(stdout) as unknown }).toEqual({ status: 0, words: odd })
  })

  test.each([
    ['exit 0', 0, false],
    ['exit 1', 1, false],
    ['exit 3', 3, false],
    ['kill -9 $$', 137, true],
    ['kill -SEGV $$', 139, true],
    ['kill -TERM $$', 143, false],
    ['kill -INT $$', 130, false],
  ])('%s ends with %i; queued again: %s', (what, code, again) => {
    const { status, requeued } = start(['/bin/sh', '-c', what])
    expect({ status, requeued }).toEqual({ status: code, requeued: again ? [['scontrol', 'requeue', '17']] : [] })
  })

  test('is not queued again for ever', () => {
    expect(start(['/bin/sh', '-c', 'kill -9 $$'], { SLURM_RESTART_COUNT: '4' }).requeued).toHaveLength(1)
    rmSync(folder, { recursive: true })
    mkdirSync(folder)
    expect(start(['/bin/sh', '-c', 'kill -9 $$'], { SLURM_RESTART_COUNT: '5' }).requeued).toHaveLength(0)
  })
})

test('indices as ranges', () => {
  expect(ranges([0])).toBe('0')
  expect(ranges([0, 1, 2, 3, 7, 9, 10])).toBe('0-3,7,9-10')
})

/** Puts a command on the PATH that prints this. */
function command(name: string, prints: string, code = 0, stderr = '') {
  writeFileSync(
    join(folder, name),
    `#!/bin/sh\ncat <<'EOF'\n${prints}\nEOF\ncat >&2 <<'EOF'\n${stderr}\nEOF\nexit ${code}\n`,
    { mode: 0o755 },
  )
  process.env.PATH = `${folder}:${path}`
}

test('the size of arrays is asked for', async () => {
  command('scontrol', 'MaxArraySize            = 4\nMaxBatchRequeue = 5')
  expect(await maxArraySize()).toBe(4)
  command('scontrol', 'nothing of it')
  expect(await maxArraySize()).toBe(1001)
  command('scontrol', 'MaxArraySize = 0')
  await expect(maxArraySize()).rejects.toThrow(/expected a cluster with job arrays, found MaxArraySize = 0/)
  command('scontrol', '', 1, 'slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)')
  await expect(maxArraySize()).rejects.toThrow(/Unable to contact slurm controller .*scontrol ping/)
})

test('the queue without what has ended; jobs it no longer knows; a controller that is away', async () => {
  command('squeue', '12_0|RUNNING|n1\n12_1|PENDING|(Resources)\n12_2|COMPLETED|n1\n13|PENDING|(Dependency)')
  expect(await queue(['12', '13'])).toEqual([
    { id: '12_0', state: 'RUNNING', where: 'n1' },
    { id: '12_1', state: 'PENDING', where: 'Resources' },
    { id: '13', state: 'PENDING', where: 'Dependency' },
  ])
  expect(await queue([])).toEqual([])
  command('squeue', '', 1, 'slurm_load_jobs error: Invalid job id specified')
  expect(await queue(['12'])).toEqual([])
  command('squeue', '', 1, 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)')
  await expect(queue(['12'])).rejects.toThrow(/Unable to contact slurm controller/)
})

test('what sbatch refuses is said in its words; what it answers must be a job', async () => {
  const job = { name: 'a', folder, options: [], script: 'job.sh', command: ['true'], after: [] }
  command(
    'sbatch',
    '',
    1,
    'sbatch: error: invalid partition specified: gpu\nsbatch: error: Batch job submission failed',
  )
  await expect(submit(job)).rejects.toThrow(
    /invalid partition specified: gpu, Batch job submission failed; see --slurm/,
  )
  command('sbatch', 'Submitted')
  await expect(submit(job)).rejects.toThrow(/expected the number of a job, found Submitted/)
  command('sbatch', '42;cluster')
  expect(await submit(job)).toBe('42')
})

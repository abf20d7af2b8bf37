// The small parts of commands on Slurm, asked directly: flags, plans, folders without jobs. Whole runs are in
// sweep-slurm.test.ts and prune-slurm.test.ts.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { refuseJobs, runningJobs } from '../../src/commands/on-slurm.ts'
import { criterionInShards, workFolder } from '../../src/commands/prune-plan.ts'
import { checkPrune } from '../../src/commands/prune-run.ts'
import { filesWritten, jsonBeside, type PruneOptions } from '../../src/commands/prune-setup.ts'
import { pruneStatus, shardsDone } from '../../src/commands/prune-status.ts'
import { answerFile } from '../../src/commands/prune-task.ts'
import { checkForm, jobAsked } from '../../src/commands/slurm-flags.ts'
import { incomplete, takeUp, withOutcome } from '../../src/commands/slurm-job.ts'
import { cancelJobs, jobsState } from '../../src/commands/slurm-status.ts'
import { InputError } from '../../src/base/errors.ts'
import { methodOf } from '../../src/pruning/methods/index.ts'
import { readOutcome } from '../../src/sweeps/jobs.ts'
import { sealPlan, writePlan } from '../../src/sweeps/plan-file.ts'
import { type PrunePlan, settingsDigest, writeShard } from '../../src/sweeps/shards.ts'
import { scratch } from '../support/model.ts'

const dir = scratch(), out = join(dir, 'small.safetensors'), folder = workFolder(out)
const flags = { args: ['net.safetensors'], method: 'pxp', out, keep: 0.5, steps: 1 } as PruneOptions & {
  args: string[],
}
const plan: PrunePlan = sealPlan({
  kind: 'prune' as const,
  command: 'espalier prune',
  cwd: dir,
  model: 'net.safetensors',
  options: {},
  settings: { source: 'abc' },
  images: 10,
  shard: 4,
})

test('forms stand alone, and jobs are started by Slurm', () => {
  expect(() => checkForm('prune', { args: [], status: 'a', cancel: 'b' })).toThrow(
    /the --out of a prune, found --cancel/,
  )
  expect(() => checkForm('sweep', { args: [], merge: 'a', on: 'slurm' })).toThrow(/the folder of a sweep, found --on/)
  expect(() => checkForm('prune', { args: ['net'], on: 'slurm', parallel: 2 })).not.toThrow()
  expect(jobAsked('prune', { merge: 'f', plan: 'd', submission: 's' })).toEqual({
    folder: 'f',
    digest: 'd',
    submission: 's',
  })
  expect(() => jobAsked('prune', { task: 'f', plan: 'd', first: 0 })).toThrow(InputError)
})

test('a job takes up the plan that was submitted, by the program that submitted it, where it was typed', () => {
  const here = process.cwd()
  expect(() => takeUp(plan, folder, 'other')).toThrow(/expected the plan with digest other, found \w{64}/)
  expect(() => takeUp({ ...plan, version: '9' }, folder, plan.digest)).toThrow(/expected version 9 of espalier, found/)
  expect(() => takeUp({ ...plan, cwd: join(dir, 'no') }, folder, plan.digest)).toThrow(
    /expected the folder that the prune was started in, found none on this machine/,
  )
  expect(process.cwd()).toBe(here)
  expect(incomplete('f', 'shards', ['a', 'b', 'c', 'd', 'e', 'g'], 8)).toMatch(
    /^f: expected 8 whole shards, found 2; a, b, c, d, e and 1 more have ended early: see the logs in f.slurm, then/,
  )
})

test('how the last job ended stands in a file', async () => {
  const jobs = { plan: plan.digest, submission: 's', arrays: [] }
  mkdirSync(join(dir, 'ended', 'slurm'), { recursive: true })
  const at = join(dir, 'ended')
  await expect(withOutcome(at, 's', () => Promise.reject(new InputError('no')))).rejects.toThrow('no')
  expect(readOutcome(at, jobs)).toEqual({ submission: 's', error: 'no', exitCode: 2 })
  expect(await withOutcome(at, 's', () => Promise.resolve(3))).toBe(3)
  expect(readOutcome(at, jobs)).toEqual({ submission: 's' })
  expect(answerFile(at)).toBe(join(at, 'slurm', 'answer.json'))
})

test('a folder without jobs: nothing runs, nothing is refused; shards count by their files', async () => {
  const work = { command: 'prune', folder, out, digest: plan.digest, tasks: 3, extra: [] } as const
  expect(await runningJobs(work, () => false)).toBeNull()
  await refuseJobs(work)
  await expect(pruneStatus(out)).rejects.toThrow(/expected the --out of a prune that was started with --on slurm/)
  mkdirSync(folder, { recursive: true })
  writePlan(folder, plan)
  expect(shardsDone(folder, plan)).toBe(0)
  const place = { node: 'n7', adapter: 'a', versions: {} }
  writeShard(folder, { first: 4, last: 8, of: settingsDigest(plan), ...place }, { images: 4, sums: new Map() })
  writeFileSync(join(folder, 'attempts', 'images-0-3.0.json'), '')
  expect(shardsDone(folder, plan)).toBe(1)
  const { json, text } = await pruneStatus(out)
  expect(json).toMatchObject({ scored: 1, merged: false, jobs: [], shards: [{ scored: false }, { where: 'n7' }, {}] })
  expect(text).toMatch(
    /0-3 +not queued[^]*8-9 +not queued[^]*1 of 3 shards are scored; stopped; the same command goes on/,
  )
  expect((await jobsState(folder)).lines).toEqual([])
  await expect(cancelJobs(folder, 'prune', '')).rejects.toThrow(/expected jobs of a prune, found none/)
})

test('what can be scored in shards, and what a prune writes', async () => {
  expect(criterionInShards(flags, methodOf('graph')).parts).toBeDefined()
  const own = { ...methodOf('pxp'), criterion: { images: true, score: () => Promise.resolve(new Map()) } }
  expect(() => criterionInShards({ ...flags, method: './own.mjs' }, own)).toThrow(/'\.\/own\.mjs' has no parts/)
  expect(jsonBeside('a.HTML')).toBe('a.json')
  expect(filesWritten({ out, report: 'r.html' }).map(({ path }) => path)).toEqual([out, 'r.html', 'r.json'])
  await expect(checkPrune({ ...flags, data: undefined })).rejects.toThrow(/it reads images with labels, found none/)
})

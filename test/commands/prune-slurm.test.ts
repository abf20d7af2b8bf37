// `prune --on slurm`: shards scored by separate processes, in whatever order and however often, come to what one
// machine comes to. Slurm itself: test/long/slurm.test.ts.
import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { prune } from '../../src/commands/prune.ts'
import { train } from '../../src/commands/train.ts'
import { InputError } from '../../src/base/errors.ts'
import { cachePart, openModel, prepareJob, type PrunerOptions } from '../../src/commands/pruner.ts'
import { close, disposeTree, init, score, scoresFrom } from '../../src/index.ts'
import { findShard, rangesOf, readPrunePlan, settingsDigest, sumOfShards } from '../../src/sweeps/shards.ts'
import { relativeError } from '../reference/nd.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { fakeSlurm } from '../support/fake-slurm.ts'
import { run, scratch } from '../support/model.ts'

const slow = 240_000
const dir = scratch(), at = (name: string) => join(dir, name), odd = at(`a b'"\n$(touch pwned)%A.safetensors`)
const data = 'cifar10:models/data/cifar10/train100.bin#0-9'
const cpu = ['--adapter', 'cpu', '--threads', '1']
const args = (out: string, ...more: string[]) => [
  ...[at('net.safetensors'), '--data', data, '--method', 'pxp', '--keep', '0.6', '--multiple', '1', '--batch', '4'],
  ...['--out', out, ...cpu, ...more],
]
const onSlurm = ['--on', 'slurm', '--shard', '4']
let cli = '', there: PruneJson
interface PruneJson {
  scores: string
  units: object[]
  notes: string[]
  shards: { first: number, last: number, node: string, adapter: string, versions: object }[]
}

beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cli-slurm')
  const network = '{"type":"resnet","stem":"cifar","layers":[1,1,1],"width":8,"classes":10}'
  await run(train, [network, '--data', data, '--epochs', '1', '--batch', '5', '--out', at('net.safetensors'), ...cpu])
}, slow)

describe('on Slurm', () => {
  const { env, calls } = fakeSlurm(at('slurm'))

  test('comes to what one machine comes to, and says who scored what; no name is read by a shell', async () => {
    const words = ['prune', ...args(odd, ...onSlurm), '--slurm', '-p gpu', '--json', '--quiet']
    const { code, stdout, stderr } = await runNode(cli, words, { ...env, FAKE_SLURM_ARRAY: '2' })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    there = JSON.parse(stdout) as PruneJson
    const here = (await run(prune, args(at('here.safetensors')))).json as PruneJson
    expect(there.units).toEqual(here.units)
    expect(there.notes).toEqual([...here.notes, 'scored in 3 shards on fake1'])
    expect(there.shards.map(({ first, last, node }) => [first, last, node])).toEqual([
      [0, 4, 'fake1'],
      [4, 8, 'fake1'],
      [8, 10, 'fake1'],
    ])
    expect(there.shards[0].versions).toEqual({ espalier: '0.1.0', node: process.versions.node })
    expect([existsSync('pwned'), existsSync(at('pwned'))]).toEqual([false, false])
    const orders = calls('sbatch').filter((each) => !each.includes('--version')).map((each) =>
      each.filter((word) => /^--(array|dependency|job-name)/.test(word))
    )
    expect(orders).toEqual([
      ['--job-name=espalier-prune', '--array=0-1'],
      ['--job-name=espalier-prune', '--array=0'],
      ['--job-name=espalier-merge', '--dependency=afterany:100:101'],
    ])
    await init({ adapter: 'cpu', threads: 1 })
    const job = await prepareJob(at('net.safetensors'), { data, batch: 4, residual: 'closing' } as PrunerOptions)
    const model = openModel(job), folder = `${odd}.slurm`, plan = readPrunePlan(folder, odd)
    const sums = sumOfShards(rangesOf(plan).map((range) => findShard(folder, range, settingsDigest(plan))!))
    const silent = { say() {}, progress: () => ({ update() {}, stop() {} }) }
    const references = await cachePart(job.data!, [...Array(10).keys()], silent), options = { batch: 4 }
    const all = await score(model, job.found, { ...options, data: references })
    const scores = await scoresFrom(model, job.found, sums, { ...options, data: references })
    for (const [name, values] of all) expect(relativeError(scores.get(name)!, values), name).toBeLessThan(1e-6)
    disposeTree(model)
    await close()
  }, slow)

  test('--status tells; what is scored is not scored again, by other settings not at all', async () => {
    const { stdout } = await runNode(cli, ['prune', '--status', odd, '--json'], env)
    expect(JSON.parse(stdout)).toMatchObject({
      scored: 3,
      merged: true,
      state: 'merged',
      jobs: ['100', '101', '102'],
      shards: [{ first: 0, scored: true, state: 'done', where: 'fake1', job: '100_0' }, {}, { job: '101_0' }],
    })
    const before = calls('sbatch').length
    const again = await runNode(cli, ['prune', ...args(odd, ...onSlurm), '--keep', '0.4', '--overwrite', '--json'], env)
    expect(again.code, again.stderr).toBe(0)
    expect((JSON.parse(again.stdout) as PruneJson).scores).toBe(there.scores)
    expect(calls('sbatch').slice(before).filter((each) => each.includes('--job-name=espalier-prune'))).toEqual([])
    const other = await runNode(cli, ['prune', ...args(odd, ...onSlurm), '--seed', '1', '--overwrite'], env)
    expect(other).toMatchObject({ code: 2, stdout: '' })
    expect(other.stderr).toMatch(/\.slurm: holds results with seed 0, this run has 1; remove .*, or give another --out/)
  }, slow)
})

describe('tasks by hand', () => {
  const out = at('hand.safetensors'), folder = `${out}.slurm`
  const attempt = (name: string) => join(folder, 'attempts', name)
  let digest = ''
  const words = (
    form: string,
    ...more: string[]
  ) => ['prune', '--adapter', 'cpu', form, folder, '--plan', digest, ...more]
  const task = (index: number) =>
    runNode(cli, words('--task', '--first', '0'), { SLURM_ARRAY_TASK_ID: String(index), SLURMD_NODENAME: `n${index}` })
  const asked = () => run(prune, words('--merge', '--submission', 's').slice(1))
  const merge = () => runNode(cli, words('--merge', '--submission', 's', '--json', '--quiet'), {})

  test('in odd order, one killed and run again, one twice: the same bits', async () => {
    const { env } = fakeSlurm(at('planning'))
    const refused = { ...env, FAKE_SLURM_REFUSES: 'espalier-prune' }
    const planned = await runNode(cli, ['prune', ...args(out, ...onSlurm)], refused)
    expect(planned).toMatchObject({ code: 1 })
    expect(planned.stderr).toMatch(/violates accounting\/QOS policy/)
    digest = readPrunePlan(folder, out).digest

    expect((await task(2)).code).toBe(0)
    const child = spawn(process.execPath, [cli, ...words('--task', '--first', '0')], {
      env: { ...process.env, SLURM_ARRAY_TASK_ID: '0' },
      stdio: 'ignore',
    })
    const ended = new Promise((resolve) => child.on('close', (_, by) => resolve(by)))
    await until(child, attempt('.images-0-3.lock'))
    child.kill('SIGKILL')
    expect(await ended).toBe('SIGKILL')
    expect(existsSync(attempt('.images-0-3.lock'))).toBe(true)
    await expect(asked()).rejects.toThrow(
      /expected 3 whole shards, found 1; images-0-3, images-4-7 have ended early: see the logs/,
    )

    const both = await Promise.all([task(1), task(0)])
    expect(both.map(({ code }) => code)).toEqual([0, 0])
    copyFileSync(attempt('images-4-7.0.json'), attempt('images-4-7.1.json'))
    const { code, stdout, stderr } = await merge()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const json = JSON.parse(stdout) as PruneJson
    expect(json.shards.map(({ node }) => node)).toEqual(['n0', 'n1', 'n2'])
    expect(json.scores).toBe(there.scores)
    expect(json.units).toEqual(there.units)
    // A job that was queued again after it had put the network in place.
    expect((await merge()).code).toBe(0)
  }, slow)

  test('a duplicate that differs, a damaged file, another plan, another network are refused', async () => {
    const good = readFileSync(attempt('images-4-7.0.json'), 'utf8'), network = readFileSync(out)
    writeFileSync(attempt('images-4-7.1.json'), good.replace(/(\d)\]/, (_, digit) => `${(Number(digit) + 1) % 10}]`))
    await expect(asked()).rejects.toThrow(
      /images-4-7\.1\.json: expected the sums of images 4 to 7, found something else/,
    )
    await expect(asked()).rejects.toThrow(InputError)
    rmSync(attempt('images-4-7.1.json'))
    const right = digest
    digest = 'f00'
    await expect(asked()).rejects.toThrow(/expected the plan with digest f00, found \w{64}; it was submitted anew/)
    digest = right
    const bytes = readFileSync(at('net.safetensors'))
    copyFileSync(at('here.safetensors'), at('net.safetensors'))
    await expect(asked()).rejects.toThrow(
      /plan\.json: holds results with source "\w+", this run has "\w+"; submit again/,
    )
    writeFileSync(at('net.safetensors'), bytes)
    expect(readFileSync(out).equals(network)).toBe(true)
    expect(readdirSync(join(folder, 'slurm'))).toContain('outcome.json')
  }, slow)
})

test('Ctrl-C leaves the jobs running and says how to follow and end them; --cancel ends them', async () => {
  const { env, calls } = fakeSlurm(at('held')), out = at('left.safetensors')
  const child = spawn(process.execPath, [cli, 'prune', ...args(out, ...onSlurm)], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (bytes: Buffer) => {
    said += bytes
    if (said.includes('Ctrl-C leaves them running')) child.kill('SIGINT')
  })
  expect(await new Promise((resolve) => child.on('close', (_, by) => resolve(by)))).toBe('SIGINT')
  expect(said).toContain(`Jobs 100, 101 go on; espalier prune --status ${out} follows them, --cancel ${out} ends them.`)
  const here = await runNode(cli, ['prune', ...args(out)], env)
  expect(here).toMatchObject({ code: 2 })
  expect(here.stderr).toMatch(/jobs 100, 101 of Slurm work in this folder; .*espalier prune --cancel/)
  expect((await runNode(cli, ['prune', '--cancel', out], env)).code).toBe(0)
  expect(calls('scancel')).toEqual([['scancel', '--quiet', '100', '101']])
}, slow)

test.each<[string[], RegExp]>([
  [
    ['--method', 'magnitude'],
    /method 'magnitude' reads no images, so there is nothing to spread; leave out --on slurm/,
  ],
  [['--method', 'apma'], /method 'apma' learns what to cut in one run and has no scores to be spread/],
  [['--method', 'gohsp'], /method 'gohsp' learns what to cut/],
  [['--steps', '3'], /--steps 3 scores anew before each step/],
  [['--dry-run'], /--dry-run computes nothing/],
  [['--slurm', '--array=3'], /--array cannot be given/],
  [['--shard', '0'], /from 1 to 1000000/],
])('refused before anything is submitted: %j', async (more, said) => {
  await expect((async () => run(prune, args(at('none'), '--on', 'slurm', ...more)))()).rejects.toThrow(said)
  expect(existsSync(at('none.slurm'))).toBe(false)
})

test.each<[() => string[], RegExp]>([
  [() => args(at('none'), '--shard', '3'), /prune --shard: is for --on slurm/],
  [() => args(at('none'), '--parallel', '3'), /prune --parallel: is for --on slurm/],
  [
    () => ['--status', at('none')],
    /expected the --out of a prune that was started with --on slurm, found no .*plan\.json/,
  ],
  [() => ['--cancel', at('none')], /expected the --out of a prune/],
  [() => ['net.safetensors', '--status', 'a'], /expected nothing but the --out of a prune, found a model as well/],
  [() => ['--task', at('none')], /expected to be started by a job of Slurm/],
  [
    () => [
      ...[at('net.safetensors'), '--method', 'pxp', '--data', data, '--out', at('none'), '--on', 'slurm'],
      ...['--pattern', 'block', '--density', '0.5'],
    ],
    /--pattern scores single weights, which is not spread/,
  ],
])('refused: %#', async (words, said) => {
  await expect((async () => run(prune, words()))()).rejects.toThrow(said)
  await expect((async () => run(prune, words()))()).rejects.toThrow(InputError)
})

/** Waits for a file with something in it, not longer than the process lives. */
async function until(child: ChildProcess, path: string): Promise<void> {
  const isThere = () => (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0
  while (!isThere() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 2))
}

// `sweep --on slurm` with commands that stand in for Slurm's and run jobs on this machine. Slurm itself, with machines
// that are lost: test/long/slurm.test.ts.
import { spawn } from 'node:child_process'
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { sweep } from '../../src/commands/sweep.ts'
import { InputError } from '../../src/base/errors.ts'
import { sweepStatus } from '../../src/commands/sweep-status.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { fakeSlurm } from '../support/fake-slurm.ts'
import { run, scratch } from '../support/model.ts'
import { smallSweep, type SweepJson, timeless } from '../support/sweeps.ts'

const slow = 240_000
const dir = scratch()
const odd = join(dir, `a b'"\n$(touch pwned)%A`), out = join(odd, 'out')
let cli = '', args: string[] = [], here: SweepJson
beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cli-slurm')
  args = await smallSweep(odd)
  here = (await run(sweep, [...args, '--out', join(dir, 'here')])).json as SweepJson
}, slow)

const attempts = () => readdirSync(join(out, 'attempts')).filter((name) => name.endsWith('.jsonl'))

describe('on Slurm', () => {
  const { env, calls } = fakeSlurm(join(dir, 'slurm'))
  const start = (...more: string[]) =>
    runNode(cli, ['sweep', ...args, '--out', out, '--json', '--quiet', ...more], { ...env, FAKE_SLURM_ARRAY: '2' })

  test('comes to what one machine comes to; no name is read by a shell; options are arguments', async () => {
    const { code, stdout, stderr } = await start(
      '--on',
      'slurm',
      '--slurm',
      `--partition=gpu --comment='$HOME "x"' --time 2:00:00`,
      '--parallel',
      '1',
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const there = JSON.parse(stdout) as SweepJson
    expect(timeless(there)).toEqual(timeless(here))
    for (const { node, adapter, versions } of there.results) {
      expect({ node, adapter, versions }).toEqual({
        node: 'fake1',
        adapter: here.adapter,
        versions: { espalier: '0.1.0', node: process.versions.node },
      })
    }
    expect(there.curves.map(({ adapter }) => adapter)).toEqual(Array(2).fill(here.adapter))
    expect([existsSync('pwned'), existsSync(join(out, 'pwned')), existsSync(join(odd, 'pwned'))]).toEqual(
      Array(3).fill(false),
    )

    const submitted = calls('sbatch').filter((words) => !words.includes('--version'))
    const given = ['--partition=gpu', '--comment=$HOME "x"', '--time=2:00:00', '--parsable', '--requeue']
    for (const words of submitted) expect(words).toEqual(expect.arrayContaining([...given, `--chdir=${out}`]))
    const orders = submitted.map((words) => words.filter((word) => /^--(array|dependency)/.test(word)))
    expect(orders).toEqual([
      ['--array=0-1%1'],
      ['--array=0%1', '--dependency=afterany:100'], // at most one at once, over both
      ['--dependency=afterany:100:101'],
    ])
    expect(readFileSync(join(out, 'slurm', 'job.sh'), 'utf8')).not.toContain(dir)
    expect(attempts()).toHaveLength(3)
    expect(readdirSync(join(out, 'slurm')).filter((name) => name.endsWith('.log')).sort()).toEqual([
      '100_0.log',
      '100_1.log',
      '101_0.log',
      '102.log',
    ])
  }, slow)

  test('what is measured is not submitted again, and a sweep here adds nothing', async () => {
    const before = calls('sbatch').length, points = readFileSync(join(out, 'points.jsonl'), 'utf8')
    const { code, stdout } = await start('--on', 'slurm')
    expect(code).toBe(0)
    expect(timeless(JSON.parse(stdout))).toEqual(timeless(here))
    expect(calls('sbatch').slice(before).filter((words) => !words.includes('--version'))).toEqual([])
    await run(sweep, [...args, '--out', out])
    expect(readFileSync(join(out, 'points.jsonl'), 'utf8')).toBe(points)
  }, slow)

  test('the status says how far each curve is, and where its log is', async () => {
    const { code, stdout } = await runNode(cli, ['sweep', '--status', out, '--json'], env)
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      points: 12,
      merged: true,
      jobs: ['100', '101', '102'],
      tasks: [
        { method: 'magnitude', seed: 0, points: 4, of: 4, state: 'done', where: 'fake1' },
        { method: 'random', seed: 0, points: 4, job: '100_1', log: join(out, 'slurm', '100_1.log') },
        { method: 'random', seed: 1, points: 4, job: '101_0' },
      ],
    })
    const { text } = await sweepStatus(out)
    expect(text).toContain('magnitude 0')
  }, slow)

  test('an attempt cut short goes on where it was; damage and contradictions are told with their file', async () => {
    const points = join(out, 'points.jsonl'), [first] = attempts().sort(), file = join(out, 'attempts', first)
    const lines = readFileSync(file, 'utf8').split('\n')
    rmSync(points)
    writeFileSync(file, `${lines.slice(0, 2).join('\n')}\n${lines[2].slice(0, 40)}`) // died within a line
    const ended = await start('--on', 'slurm')
    expect({ ...ended, stdout: '' }).toMatchObject({ code: 0, stderr: '' })
    expect(timeless(JSON.parse(ended.stdout))).toEqual(timeless(here))
    const second = join(out, 'attempts', first.replace('.0.', '.1.'))
    expect(readFileSync(second, 'utf8').trimEnd().split('\n')).toHaveLength(2)
    expect(readFileSync(file, 'utf8').endsWith(lines[2].slice(0, 40))).toBe(true)

    rmSync(points)
    writeFileSync(second, lines[0].replace(/"macs":\d+/, '"macs":7') + '\n')
    const differs = await start('--on', 'slurm')
    expect(differs.code).toBe(2)
    expect(differs.stderr).toMatch(
      /\.1\.jsonl: magnitude with seed 0 at rate 0 has macs 7 and not \d+; .*\.0\.jsonl differs/,
    )
    expect(differs.stderr.trimEnd().split('\n')).toHaveLength(1)
    writeFileSync(second, '{"method":1}\n')
    expect((await start('--on', 'slurm')).stderr).toMatch(/\.1\.jsonl: line 1 is \{"method":1\}, no result/)
    rmSync(second)
    appendFileSync(file, '\n')
    expect((await start()).stderr).toMatch(/\.0\.jsonl: line 3 is not valid JSON/)
  }, slow)
})

test('Ctrl-C leaves the jobs running and says how to follow and end them; --cancel ends them', async () => {
  const { env, calls } = fakeSlurm(join(dir, 'held')), folder = join(dir, 'left')
  const child = spawn(
    process.execPath,
    [cli, 'sweep', ...args, '--out', folder, '--on', 'slurm', '--slurm', '--hold'],
    {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let said = ''
  child.stderr.on('data', (bytes: Buffer) => {
    said += bytes
    if (said.includes('Ctrl-C leaves them running')) child.kill('SIGINT')
  })
  const signal = await new Promise((resolve) => child.on('close', (_, by) => resolve(by)))
  expect(signal).toBe('SIGINT')
  expect(said).toContain(
    `Jobs 100, 101 go on; espalier sweep --status ${folder} follows them, --cancel ${folder} ends them.`,
  )
  const { code, stdout } = await runNode(cli, ['sweep', '--cancel', folder, '--json'], env)
  expect({ code, ...JSON.parse(stdout) as object }).toEqual({ code: 0, cancelled: ['100', '101'] })
  expect(calls('scancel')).toEqual([['scancel', '--quiet', '100', '101']])
}, slow)

describe('refused', () => {
  test.each([
    [() => [...args, '--out', join(dir, 'none'), '--on', 'slurm', '--slurm', '--array=3'], /--array cannot be given/],
    [() => [...args, '--out', join(dir, 'none'), '--on', 'moon'], /--on moon: expected slurm/],
    [() => [...args, '--out', join(dir, 'none'), '--parallel', '3'], /--parallel: is for --on slurm/],
    [() => [...args, '--out', join(dir, 'none'), '--slurm', '-p gpu'], /--slurm: is for --on slurm/],
    [() => ['--status', join(dir, 'none')], /started with --on slurm, found no such folder/],
    [() => ['--cancel', join(dir, 'here')], /started with --on slurm, found no plan\.json/],
    [() => ['--status', 'a', '--cancel', 'b'], /expected nothing but the folder of a sweep, found --cancel/],
    [() => ['net.safetensors', '--status', 'a'], /found a model as well/],
    [() => ['--task', join(dir, 'here')], /expected to be started by a job of Slurm/],
  ])('%#', async (words, said) => {
    await expect((async () => run(sweep, words()))()).rejects.toThrow(said)
    await expect((async () => run(sweep, words()))()).rejects.toThrow(InputError)
    expect(existsSync(join(dir, 'none'))).toBe(false)
  }, slow)

  test.each([
    [
      'no Slurm',
      () => ({ PATH: dir }),
      2,
      /^sbatch: expected Slurm's commands on the PATH, found no sbatch; run this where jobs are submitted/,
    ],
    [
      'no room for one more job',
      () => ({ ...fakeSlurm(join(dir, 'refusing')).env, FAKE_SLURM_REFUSES: 'espalier-merge' }),
      1,
      /violates accounting\/QOS policy; see --slurm.*; jobs 100, submitted before it, were cancelled/,
    ],
  ])('%s', async (_, env, code, said) => {
    const ended = await runNode(cli, ['sweep', ...args, '--out', join(dir, 'none'), '--on', 'slurm'], env())
    expect(ended.stderr).toMatch(said)
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' })
    expect(ended.stderr.trimEnd().split('\n')).toHaveLength(1)
  }, slow)
})

// Sweeps on a real Slurm, which this test starts on this machine: what is killed, lost or restarted on the way, every
// point is there once, and the result is that of an undisturbed sweep here.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sweep } from '../../src/commands/sweep.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { run, scratch } from '../support/model.ts'
import { Cluster, whyNoSlurm } from '../support/slurm-cluster.ts'
import { smallSweep, type SweepJson, timeless } from '../support/sweeps.ts'

const slow = 600_000, why = whyNoSlurm()
if (why) console.warn(`test/long/slurm is skipped: ${why}`)

describe.skipIf(why)(`on a real Slurm${why ? ` (${why})` : ''}`, () => {
  const dir = scratch(), odd = join(dir, `a b'"\n$(touch pwned)%A`)
  let cluster: Cluster, cli = '', args: string[] = [], here: SweepJson
  beforeAll(async () => {
    cli = await bundleForNode('src/cli.ts', 'cli-real-slurm')
    args = await smallSweep(odd, 2, '0:0.14:0.01')
    here = (await run(sweep, [...args, '--out', join(dir, 'here')])).json as SweepJson
    cluster = await Cluster.start(2)
  }, slow)
  afterAll(() => cluster.stop(), slow)

  const submit = (out: string) => {
    const child = spawn(process.execPath, [
      cli,
      'sweep',
      ...args,
      '--out',
      out,
      '--json',
      '--on',
      'slurm',
      '--slurm',
      '-t 10',
    ], {
      env: { ...process.env, ...cluster.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const said = { stdout: '', stderr: '' }
    child.stdout.on('data', (bytes: Buffer) => said.stdout += bytes)
    child.stderr.on('data', (bytes: Buffer) => said.stderr += bytes)
    const ended = new Promise<{ code: number | null, signal: string | null }>((resolve) =>
      child.on('close', (code, signal) => resolve({ code, signal }))
    )
    return { child, said, ended }
  }

  /** Waits until something is there; not longer than the submitting command lives. */
  const until = async <T>(what: string, child: ChildProcess, look: () => T | undefined): Promise<T> => {
    for (;;) {
      const found = look()
      if (found !== undefined) return found
      if (child.exitCode !== null) throw new Error(`the sweep ended before ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const attempts = (out: string) => existsSync(join(out, 'attempts')) ? readdirSync(join(out, 'attempts')) : []

  /** A task that has begun and not ended, where it runs and which process it is. */
  const working = (out: string, node?: string) => {
    for (const name of attempts(out).filter((each) => each.endsWith('.lock'))) {
      try {
        const { pid } = JSON.parse(readFileSync(join(out, 'attempts', name), 'utf8')) as { pid: number }
        const key = name.slice(1, -5)
        const points = attempts(out).filter((each) => each.startsWith(`${key}.`) && each.endsWith('.jsonl'))
          .flatMap((each) => readFileSync(join(out, 'attempts', each), 'utf8').trim().split('\n'))
          .filter(Boolean).map((line) => JSON.parse(line) as { node: string })
        const at = points.at(-1)?.node
        if (points.length >= 2 && points.length < 10 && (node === undefined || at === node)) {
          return { key, pid, node: at! }
        }
      } catch {
        // just ended, or in the middle of a line
      }
    }
    return undefined
  }

  test(
    'a worker killed, a node lost and the controller restarted: every point once, the result of a sweep here',
    async () => {
      const out = join(odd, 'disturbed'), { child, said, ended } = submit(out)
      const killed = await until('a worker was killed', child, () => working(out))
      process.kill(killed.pid, 'SIGKILL')
      const lost = await until('a node was lost', child, () => working(out, 'n2'))
      cluster.kill('n2')
      await until(
        'the node is given up',
        child,
        () => /down/i.test(cluster.say('sinfo', '-h', '-n', 'n2', '-o', '%T')) || undefined,
      )
      cluster.kill('slurmctld')
      await new Promise((resolve) => setTimeout(resolve, 3000))
      cluster.startController()
      cluster.startNode('n2')
      const { code } = await ended
      expect(code, said.stderr).toBe(0)
      expect(timeless(JSON.parse(said.stdout))).toEqual(timeless(here))
      expect(existsSync('pwned') || existsSync(join(out, 'pwned'))).toBe(false)
      const points = readFileSync(join(out, 'points.jsonl'), 'utf8').trimEnd().split('\n')
        .map((line) => JSON.parse(line) as { method: string, seed: number, rate: number, node: string })
      expect(new Set(points.map(({ method, seed, rate }) => `${method} ${seed} ${rate}`)).size).toBe(points.length)
      expect(new Set(points.map(({ node }) => node))).toEqual(new Set(['n1', 'n2']))
      // Both tasks were begun anew, and no point was measured twice.
      const journals = attempts(out).filter((name) => name.endsWith('.jsonl'))
      for (const { key } of [killed, lost]) {
        expect(journals.filter((name) => name.startsWith(`${key}.`)).length, key).toBeGreaterThan(1)
      }
      const lines = journals.flatMap((name) => readFileSync(join(out, 'attempts', name), 'utf8').trim().split('\n'))
      expect(lines.filter(Boolean)).toHaveLength(points.length)
    },
    slow,
  )

  test(
    'Ctrl-C leaves the jobs running; --status tells; --cancel ends them for good; the same command goes on',
    async () => {
      const out = join(odd, 'cancelled'), { child, said, ended } = submit(out)
      await until('it ran', child, () => working(out))
      child.kill('SIGINT')
      expect((await ended).signal).toBe('SIGINT')
      expect(said.stderr).toMatch(
        /Jobs \d+, \d+, \d+ go on; espalier sweep --status .* follows them, --cancel .* ends them/,
      )
      const status = await runNode(cli, ['sweep', '--status', out, '--json'], cluster.env)
      const { tasks, jobs } = JSON.parse(status.stdout) as { tasks: { state: string }[], jobs: string[] }
      expect(tasks).toHaveLength(3)
      expect(tasks.map(({ state }) => state)).toContain('running')
      const second = submit(out)
      await until(
        'it was taken up',
        second.child,
        () => second.said.stderr.includes(`Jobs ${jobs.join(', ')};`) || undefined,
      )
      second.child.kill('SIGINT')
      expect((await second.ended).signal).toBe('SIGINT')
      const other = await runNode(cli, ['sweep', ...args, '--out', out], cluster.env)
      expect(other).toMatchObject({ code: 2 })
      expect(other.stderr).toMatch(/jobs .* of Slurm work in this folder/)

      expect((await runNode(cli, ['sweep', '--cancel', out], cluster.env)).code).toBe(0)
      for (let i = 0; i < 300 && cluster.say('squeue', '-h', '-o', '%i'); i++) {
        await new Promise((done) => setTimeout(done, 200))
      }
      await new Promise((done) => setTimeout(done, 3000))
      expect(cluster.say('squeue', '-h', '-o', '%i')).toBe('')
      const before = attempts(out).filter((name) => name.endsWith('.jsonl')).length
      const again = submit(out)
      expect((await again.ended).code).toBe(0)
      expect(timeless(JSON.parse(again.said.stdout))).toEqual(timeless(here))
      expect(again.said.stderr).not.toContain(`Jobs ${jobs.join(', ')};`)
      expect(attempts(out).filter((name) => name.endsWith('.jsonl')).length).toBeGreaterThan(before)
    },
    slow,
  )

  test(
    'a prune: a worker killed, one task at a time or many, the scores have the same bits',
    async () => {
      const words = (out: string, ...more: string[]) => [
        ...['prune', args[0], '--data', args[2], '--method', 'pxp', '--keep', '0.6', '--multiple', '1', '--out', out],
        ...['--adapter', 'cpu', '--threads', '1', '--json', ...more],
      ]
      const onSlurm = ['--on', 'slurm', '--slurm', '-t 10', '--shard', '2']
      const outs = [join(odd, 'one.safetensors'), join(odd, 'two.safetensors')]
      const child = spawn(process.execPath, [cli, ...words(outs[0], ...onSlurm)], {
        env: { ...process.env, ...cluster.env },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let stdout = ''
      child.stdout.on('data', (bytes: Buffer) => stdout += bytes)
      const ended = new Promise((resolve) => child.on('close', resolve))
      const at = join(`${outs[0]}.slurm`, 'attempts')
      const pid = await until('a worker was killed', child, () => {
        const lock = existsSync(at) && readdirSync(at).find((name) => name.endsWith('.lock'))
        const text = lock ? readFileSync(join(at, lock), 'utf8') : ''
        return text ? (JSON.parse(text) as { pid: number }).pid : undefined
      })
      process.kill(pid, 'SIGKILL')
      expect(await ended).toBe(0)
      interface PruneJson {
        scores: string
        units: object[]
        shards: { node: string }[]
      }
      const many = JSON.parse(stdout) as PruneJson
      const second = await runNode(cli, words(outs[1], ...onSlurm, '--parallel', '1'), cluster.env)
      expect(second.code, second.stderr).toBe(0)
      const one = JSON.parse(second.stdout) as PruneJson
      expect(one.scores).toBe(many.scores)
      expect(one.units).toEqual(many.units)
      expect(many.shards).toHaveLength(5)
      expect(new Set(many.shards.map(({ node }) => node))).toEqual(new Set(['n1', 'n2']))
      const local = await runNode(cli, words(join(odd, 'here.safetensors')))
      expect((JSON.parse(local.stdout) as PruneJson).units).toEqual(one.units)
      const status = await runNode(cli, ['prune', '--status', outs[0]], cluster.env)
      expect(status.stdout).toMatch(/^5 of 5 shards are scored; merged/)
    },
    slow,
  )
})

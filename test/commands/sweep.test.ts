// Sweeps and searches: what is killed goes on, nothing is lost or done twice, and the numbers are those of a run in one
// go.
import { spawn } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { search } from '../../src/commands/search.ts'
import { classSubset } from '../../src/commands/sweep-setup.ts'
import { sweep } from '../../src/commands/sweep.ts'
import { openJournal } from '../../src/files/journal.ts'
import { bundleForNode } from '../support/cli.ts'
import { run, scratch } from '../support/model.ts'

const slow = 240_000
const dir = scratch()
const cifar = 'models/data/cifar10', network = `${cifar}/resnet20.safetensors`
const data = [
  '--data',
  `cifar10:${cifar}/train100.bin#0-9`,
  '--test',
  `cifar10:${cifar}/test200.bin#0-19`,
  '--adapter',
  'cpu',
]
const args = [network, ...data, '--methods', 'pxp,random,iterative:taylor', '--rates', '0,0.1,0.3', '--seeds', '2']

interface Swept {
  before: { top1: number, macs: number }
  curves: {
    method: string,
    area: number,
    areaError?: number,
    topRate: number,
    points: { rate: number, top1: number, macs: number, seeds: number }[],
  }[]
  results: {
    method: string,
    seed: number,
    rate: number,
    how: string,
    after: { top1: number, macs: number },
    units: { kept: number }[],
  }[]
}
/** Everything but times. */
const timeless = ({ curves, results }: Swept) => ({
  curves: curves.map(({ points, ...curve }) => ({
    ...curve,
    points: points.map(({ rate, top1, macs, seeds }) => ({ rate, top1, macs, seeds })),
  })),
  results: results.map(({ method, seed, rate, how, after: { top1, macs }, units }) => ({
    method,
    seed,
    rate,
    how,
    top1,
    macs,
    units,
  })),
})

describe('sweep', () => {
  test('killed twice it ends with the numbers of a run in one go, and measures no point twice', async () => {
    const whole = (await run(sweep, [...args, '--out', join(dir, 'whole')])).json as Swept
    expect(whole.curves.map(({ method }) => method)).toEqual(['pxp', 'random', 'iterative:taylor'])
    expect(whole.results).toHaveLength(3 + 6 + 3)
    for (const { points } of whole.curves) {
      expect(points[0].top1).toBe(whole.before.top1)
      points.slice(1).forEach(({ macs }, i) => {
        expect(macs).toBeLessThan(points[i].macs)
      })
    }
    expect(whole.curves[1].areaError).toBeDefined()
    expect(readFileSync(join(dir, 'whole', 'report.html'), 'utf8')).toContain('iterative:taylor')

    const cli = await bundleForNode('src/cli.ts', 'cli')
    const out = join(dir, 'killed')
    const points = join(out, 'points.jsonl')
    for (const most of [2, 5]) {
      await new Promise<void>((resolve) => {
        const child = spawn(process.execPath, [cli, 'sweep', ...args, '--out', out], { stdio: 'ignore' })
        const watch = setInterval(() => {
          if (existsSync(points) && readFileSync(points, 'utf8').split('\n').length > most) child.kill('SIGKILL')
        }, 5)
        child.on('close', () => {
          clearInterval(watch)
          resolve()
        })
      })
      appendFileSync(points, '{"method":"pxp","ra') // as if it had died within a line
    }
    const before = openJournal<object>(points)
    before.close()
    const resumed = (await run(sweep, [...args, '--out', out])).json as Swept
    expect(timeless(resumed)).toEqual(timeless(whole))
    const lines = readFileSync(points, 'utf8').trimEnd().split('\n').map((line) =>
      JSON.parse(line) as { method: string, seed: number, rate: number }
    )
    expect(lines.slice(0, before.entries.length)).toEqual(before.entries)
    expect(new Set(lines.map(({ method, seed, rate }) => `${method} ${seed} ${rate}`)).size).toBe(lines.length)
    await expect(run(sweep, [...args, '--out', join(out, 'points.jsonl')])).rejects.toThrow(
      /a file of that name is there/,
    )
    await expect(run(sweep, [...args, '--units', 'neurons,filters', '--out', out])).rejects.toThrow(
      /holds results with units null, this run has "neurons,filters"/,
    )
  }, slow)

  test('the dense network is always measured; a refused command leaves nothing that bars the next', async () => {
    const out = join(dir, 'refused'),
      flags = [network, ...data, '--methods', 'magnitude', '--rates', '0.5', '--minimum', '1', '--out', out]
    await expect(run(sweep, [...flags, '--classes', '3,99'])).rejects.toThrow(/numbers from 0 to 9/)
    const { before, results } = (await run(sweep, [...flags, '--residual', 'coupled'])).json as Swept
    expect(results.map(({ rate, how }) => [rate, how])).toEqual([[0, 'sliced'], [0.5, 'sliced']])
    expect(before.macs).toBe(results[0].after.macs)
    expect(results[1].after.macs).toBeLessThan(before.macs)
  }, slow)

  test('class subsets by both readings; a curve stops after two rates at chance', async () => {
    const flags = [network, ...data, '--methods', 'random', '--rates', '0:0.9:0.1', '--seeds', '1']
    const { curves, results } = (await run(sweep, [...flags, '--subset', '3', '--out', join(dir, 'subset')]))
      .json as Swept
    expect(results.length).toBeLessThan(10)
    expect(curves[0].points.length).toBe(results.length)
    const zero = (await run(sweep, [...flags, '--subset', '3', '--restriction', 'zero', '--out', join(dir, 'zero')]))
      .json as Swept
    expect(zero.before.top1).toBeLessThanOrEqual(results[0].after.top1)
    expect(classSubset({ subset: 3 }, 10, 0)).toHaveLength(3)
    expect(classSubset({ subset: 3 }, 10, 0)).toEqual(classSubset({ subset: 3 }, 10, 0))
    expect(classSubset({ classes: '7,1' }, 10, 0)).toEqual([1, 7])
    expect(() => classSubset({ classes: '7,10' }, 10, 0)).toThrow(/numbers from 0 to 9/)
    expect(() => classSubset({ subset: 11 }, 10, 0)).toThrow(/tells 10 classes apart/)
  }, slow)
})

test(
  'a search ends with the best composite and its value on images it has not seen; the same command adds nothing',
  async () => {
    const out = join(dir, 'search')
    const flags = [network, ...data, '--rates', '0,0.2', '--evaluations', '3', '--out', out]
    const first = (await run(search, flags)).json as {
      evaluations: { area: number }[],
      best: { area: number },
      plain: { method: string },
      heldOut: { best: { area: number } },
      images: object,
    }
    expect(first.evaluations).toHaveLength(3)
    expect(first.best.area).toBe(Math.max(...first.evaluations.map(({ area }) => area)))
    expect(first.plain.method).toBe('pxp:epsilon/epsilon/epsilon/epsilon')
    expect(first.images).toEqual({ search: 10, heldOut: 10 })
    const journal = readFileSync(join(out, 'search.jsonl'), 'utf8')
    expect((await run(search, flags)).json).toMatchObject({ best: first.best, heldOut: first.heldOut })
    expect(readFileSync(join(out, 'search.jsonl'), 'utf8')).toBe(journal)
  },
  slow,
)

test('a journal refuses lines that are whole and still no JSON', () => {
  mkdirSync(join(dir, 'journal'))
  const path = join(dir, 'journal', 'a.jsonl')
  const journal = openJournal<number>(path)
  journal.append(1)
  journal.close()
  appendFileSync(path, '2 3\n')
  expect(() => openJournal(path)).toThrow(/line 2 is not valid JSON/)
})

// GOHSP and the graph from the command line: stages that are killed go on in a fresh process, the file evaluates to
// what was said, both directions of the graph in a sweep.
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { prune } from '../../src/commands/prune.ts'
import { sweep } from '../../src/commands/sweep.ts'
import { parseSafetensors } from '../../src/files/safetensors.ts'
import { bundleForNode } from '../support/cli.ts'
import { digits, run, scratch } from '../support/model.ts'
import { goesOn, stopped, trainOnDigits, type LearnedRun } from '../support/learned-runs.ts'

const slow = 240_000
const dir = scratch(), network = join(dir, 'vit.safetensors')
const cpu = ['--adapter', 'cpu']
const learning = [
  '--data',
  digits(0, 119),
  '--test',
  digits(1900, 1999),
  '--method',
  'gohsp',
  '--params',
  '0.7',
  '--multiple',
  '1',
  '--batch',
  '20',
  '--seed',
  '2',
  '--finetune',
  '2',
  ...['soft-epochs=3', 'soft-rate=1e-2', 'rho=0.1', 'rho-growth=1.5', 'graph-images=30', 'damping=0.9']
    .flatMap((setting) => ['--set', setting]),
  ...cpu,
]
let cli = ''

beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cli')
  await trainOnDigits({ type: 'vit', image: 28, patch: 7, width: 24, depth: 2, heads: 3, hidden: 48 }, network)
}, slow)

describe('prune --method gohsp', () => {
  test('kill -9 in any stage loses nothing; the file evaluates to what was said', async () => {
    const report = join(dir, 'run.html')
    const { json, text } = await run(prune, [
      network,
      ...learning,
      '--out',
      join(dir, 'whole.safetensors'),
      '--report',
      report,
    ])
    const whole = json as LearnedRun
    expect(whole.after.params / whole.before.params).toBeLessThanOrEqual(0.7)
    expect(whole.after.params / whole.before.params).toBeGreaterThan(0.69)
    expect(text).toMatch(/soft-pruning: 3 epochs, loss .*, residual .* 0\.\d+/)
    const html = readFileSync(report, 'utf8')
    expect(html).toMatch(/soft-pruning: 3 epochs on 120 images[^]*residuals of 4 layers in the end/)
    const folder = join(dir, 'killed'), out = join(folder, 'net.safetensors')
    mkdirSync(folder)
    const args = ['prune', network, ...learning, '--out', out, '--json']
    await stopped(cli, args, out, { says: 'reading attention maps', attempts: 5 })
    await stopped(cli, args, out, { stage: 'soft-pruning', attempts: 5 })
    await stopped(cli, args, out, { stage: 'fine-tuning', attempts: 5 })
    await goesOn(cli, args, out, whole)
  }, slow)

  test('both directions of the graph in a sweep: opposite heads go', async () => {
    const methods = 'graph,graph:direction=distinct-first', out = join(dir, 'curves')
    const { json } = await run(sweep, [
      network,
      '--methods',
      methods,
      '--rates',
      '0,0.34',
      '--units',
      'heads',
      '--ranking',
      'per-unit',
      '--data',
      digits(0, 39),
      '--test',
      digits(1900, 1949),
      '--out',
      out,
      ...cpu,
    ])
    const { curves } = json as { curves: { method: string, points: { rate: number, params: number }[] }[] }
    expect(curves.map(({ method }) => method)).toEqual(methods.split(','))
    const [central, distinct] = curves.map(({ points }) => points.at(-1)!)
    expect(central.params).toBe(distinct.params)
    expect(central.params).toBeLessThan(curves[0].points[0].params)
    const scores = readdirSync(join(out, 'scores')).sort().map((name) =>
      parseSafetensors(new Uint8Array(readFileSync(join(out, 'scores', name))), name).tensors
    )
    expect(scores).toHaveLength(2)
    for (const [name, { data }] of scores[0]) {
      const [one, other] = [data, scores[1].get(name)!.data].map((values) => Float32Array.from(values as Float32Array))
      expect(other[0], name).not.toBe(one[0])
      one.forEach((value, i) => {
        expect(value + other[i], name).toBeCloseTo(2, 5)
      })
    }
  }, slow)
})

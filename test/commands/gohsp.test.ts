// GOHSP and the graph from the command line: stages that are killed go on in a fresh process, the file evaluates to
// what was said, both directions of the graph in a sweep.
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { prune } from '../../src/commands/prune.ts'
import { explain } from '../../src/commands/explain.ts'
import { sweep } from '../../src/commands/sweep.ts'
import { parseSafetensors } from '../../src/files/safetensors.ts'
import type { HeadGraphReport } from '../../src/report/head-graph.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { digits, run, scratch } from '../support/model.ts'
import { digitSwinOptions } from '../support/digits.ts'
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
    expect(html).toMatch(/<h2>Graph of heads<\/h2>[^]*<circle class="head gone"[^]*, cut<\/title>/)
    const { graph, units } = JSON.parse(readFileSync(join(dir, 'run.json'), 'utf8')) as {
      graph: HeadGraphReport,
      units: LearnedRun['units'],
    }
    expect(graph).toMatchObject({ images: 30, damping: 0.9, source: 'maps' })
    for (const { unit, kept } of graph.layers) {
      expect(kept!.length, unit).toBe(units.find(({ name }) => name === unit)!.kept)
    }
    const folder = join(dir, 'killed'), out = join(folder, 'net.safetensors')
    mkdirSync(folder)
    const args = ['prune', network, ...learning, '--out', out, '--json']
    await stopped(cli, args, out, { says: 'reading attention maps', attempts: 5 })
    await stopped(cli, args, out, { stage: 'soft-pruning', attempts: 5 })
    await stopped(cli, args, out, { stage: 'fine-tuning', attempts: 5 })
    await goesOn(cli, args, out, whole)
  }, slow)

  test(
    'to a sparsity pattern: killed, gone on, packed, evaluated elsewhere; options of heads are refused',
    async () => {
      const pattern = ['--pattern', 'block:8x8', '--density', '0.4', '--skip', 'head,patches']
      const settings = ['soft-epochs=6', 'soft-rate=1e-2', 'rho=1', 'rho-growth=1.5']
        .flatMap((setting) => ['--set', setting])
      const base = [
        '--method',
        'gohsp',
        '--data',
        digits(0, 119),
        '--test',
        digits(1900, 1999),
        '--batch',
        '20',
        ...cpu,
      ]
      const args = [network, ...base, ...pattern, ...settings, '--finetune', '1', '--rate', '1e-3']
      const { json, text } = await run(prune, [...args, '--out', join(dir, 'blocks.safetensors')])
      const whole = json as LearnedRun & {
        density: number,
        layers: { name: string, pattern: string, density: number }[],
      }
      expect(whole.density).toBeCloseTo(0.4, 1)
      expect(whole.layers.length).toBe(12)
      expect(whole.layers.every((layer) => layer.pattern === 'block:8x8')).toBe(true)
      const { residual } = whole.stages[0].curves
      expect(residual.at(-1)).toBeLessThan(0.8 * Math.max(...residual))
      expect(text).toMatch(/soft-pruning: 6 epochs, loss/)
      const folder = join(dir, 'packed'), out = join(folder, 'net.safetensors')
      mkdirSync(folder)
      const again = ['prune', ...args, '--out', out, '--json']
      await stopped(cli, again, out, { stage: 'soft-pruning', attempts: 5 })
      const { stdout, stderr, code } = await runNode(cli, again)
      expect(code, stderr).toBe(0)
      const resumed = JSON.parse(stdout) as typeof whole
      expect(resumed.scores).toBe(whole.scores)
      expect(resumed.stages).toEqual(whole.stages)
      expect(resumed.after.top1).toBe(whole.after.top1)
      expect(readdirSync(folder)).toEqual(['net.safetensors'])
      const evaluated = await runNode(cli, ['eval', out, '--data', digits(1900, 1999), '--json', ...cpu])
      expect(JSON.parse(evaluated.stdout)).toMatchObject({ top1: whole.after.top1 })
      const refused = (...more: string[]) =>
        expect(run(prune, [network, ...base, ...pattern, ...more, '--out', join(dir, 'no.safetensors')])).rejects
      await refused('--set', 'heads=0.5').toThrow(
        /--set heads is for cutting heads and neurons; with --pattern expected/,
      )
      await refused('--set', 'rho=-1').toThrow(/--set rho=/)
      await refused('--method', 'xpruner').toThrow(/method 'xpruner': it scores no single weights.*gohsp/)
      await refused('--method', 'magnitude', '--set', 'rho=1').toThrow(/--set is for methods that train/)
      await expect(run(prune, [network, '--method', 'gohsp', ...pattern, '--out', join(dir, 'no.safetensors')])).rejects
        .toThrow(/reads images with labels, found none/)
    },
    slow,
  )

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

describe('explain --graph', () => {
  const images = ['--data', digits(0, 19)]
  const drawn = async (model: string, ...flags: string[]) =>
    (await run(explain, [model, ...images, '--graph', ...cpu, ...flags])).json as {
      graph: HeadGraphReport,
      files: string[],
    }

  test('a picture and S, P and pi, from a process of its own', async () => {
    const svg = join(dir, 'heads.svg')
    const { stdout, stderr, code } = await runNode(cli, [
      'explain',
      network,
      ...images,
      '--graph',
      '--set',
      'damping=0.85',
      '--out',
      svg,
      '--json',
      ...cpu,
    ])
    expect(code, stderr).toBe(0)
    const { graph, files } = JSON.parse(stdout) as { graph: HeadGraphReport, files: string[] }
    expect(files).toEqual([svg])
    expect(graph).toMatchObject({ images: 20, damping: 0.85, direction: 'central-first', diagonal: 'keep' })
    expect(graph.layers.map(({ unit }) => unit)).toEqual(['blocks.0.attention.heads', 'blocks.1.attention.heads'])
    for (const { S, P, pi, importance } of graph.layers) {
      const total = S.map((row) => row.reduce((a, b) => a + b))
      S.forEach((row, i) =>
        row.forEach((value, j) => {
          expect(value).toBeCloseTo(S[j][i], 5)
          expect(P[i][j]).toBeCloseTo(0.85 * value / total[i] + 0.05, 4)
        })
      )
      pi.forEach((share, j) => {
        expect(pi.reduce((sum, each, i) => sum + each * P[i][j], 0)).toBeCloseTo(share, 4)
        expect(importance[j]).toBeCloseTo(3 * share, 4)
      })
    }
    const picture = readFileSync(svg, 'utf8')
    expect(picture.match(/<circle/g)).toHaveLength(6)
    expect(picture.match(/<line/g)).toHaveLength(6)
  }, slow)

  test('a Swin, image by image and in one batch; a page; both sources', async () => {
    const swin = join(dir, 'swin.safetensors'), page = join(dir, 'heads.html')
    await trainOnDigits({ type: 'swin', ...digitSwinOptions }, swin)
    const together = await drawn(swin, '--out', page, '--batch', '20'), apart = await drawn(swin, '--batch', '1')
    expect(together.graph.layers).toHaveLength(2)
    together.graph.layers.forEach(({ pi }, i) =>
      pi.forEach((share, head) => expect(share).toBeCloseTo(apart.graph.layers[i].pi[head], 4))
    )
    expect(readFileSync(page, 'utf8')).toMatch(/^<!doctype html>[^]*Graph of heads[^]*<circle/)
    const outputs = await drawn(swin, '--set', 'source=outputs', '--set', 'direction=distinct-first')
    for (const { importance, pi } of outputs.graph.layers) expect(importance[0]).toBeCloseTo(2 - 3 * pi[0], 4)
  }, slow)

  test.each<[string, string[], RegExp]>([
    [
      'a network without heads',
      ['models/data/cifar10/resnet20.safetensors'],
      /--graph is of attention heads, and resn/,
    ],
    [
      'a picture of pixels',
      [network, '--out', 'a.png'],
      /--out a\.png: the graph is drawn with lines; expected .*\.svg/,
    ],
    ['heatmaps beside it', [network, '--conservation'], /--conservation is for heatmaps and --graph for heads/],
    ['options it has not', [network, '--set', 'rho=1'], /--set rho: the graph has no such option; expected direction/],
    ['values that cannot be', [network, '--set', 'damping=2'], /--set damping="2": expected a number from 0 to 1/],
  ])('%s is refused', async (_, flags, message) => {
    await expect(run(explain, [...flags, ...images, '--graph', ...cpu])).rejects.toThrow(message)
    expect(existsSync('a.png')).toBe(false)
  })

  test('options without a graph, a graph without images', async () => {
    await expect(run(explain, [network, ...images, '--set', 'damping=1'])).rejects.toThrow(/--set goes with --graph/)
    await expect(run(explain, [network, '--graph'])).rejects.toThrow(/expected --image <file> or --data/)
  })
})

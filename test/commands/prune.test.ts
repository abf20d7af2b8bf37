// The main job on the network that ships with the package: prune, read back, evaluate, explain, train, prune again; and
// what is refused.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { evalCommand } from '../../src/commands/eval.ts'
import { explain } from '../../src/commands/explain.ts'
import { inspect } from '../../src/commands/inspect.ts'
import { prune } from '../../src/commands/prune.ts'
import { train } from '../../src/commands/train.ts'
import { parseCheckpoint } from '../../src/checkpoint/checkpoint.ts'
import { encodeSafetensors, parseSafetensors } from '../../src/files/safetensors.ts'
import type { PruningRecord } from '../../src/pruning/plan/record.ts'
import { bundleForNode } from '../support/cli.ts'
import { digits, run, scratch } from '../support/model.ts'

const slow = 240_000
const dir = scratch()
const cifar = 'models/data/cifar10', network = `${cifar}/resnet20.safetensors`
const references = ['--data', `cifar10:${cifar}/train100.bin#0-19`],
  images = ['--data', `cifar10:${cifar}/test200.bin#0-39`],
  tested = ['--test', images[1]]
const cpu = ['--adapter', 'cpu']

interface Pruned {
  before: { top1: number, macs: number, params: number, bytes: number, msPerImage: number }
  after: { top1: number, macs: number, params: number, bytes: number, msPerImage: number }
  units: { name: string, size: number, kept: number }[]
  rate: number
  method: string
  difference: number
}
const pruned = async (model: string, out: string, ...more: string[]) =>
  (await run(prune, [model, ...references, '--out', join(dir, out), '--overwrite', ...cpu, ...more])).json as Pruned

describe('prune', () => {
  test(
    'a network within its budget; the file alone is enough to evaluate, inspect, explain, train and prune again',
    async () => {
      const first = await pruned(
        network,
        'a.safetensors',
        '--method',
        'pxp',
        '--macs',
        '0.85',
        ...tested,
        '--report',
        join(dir, 'a.html'),
      )
      expect(first.after.macs).toBeLessThanOrEqual(0.85 * first.before.macs)
      expect(first.after.macs).toBeGreaterThan(0.75 * first.before.macs)
      expect(first.difference).toBeLessThan(1e-3)
      expect(first.after.top1).toBeGreaterThan(0.5)
      for (const { size, kept } of first.units) expect(kept === size || kept % 4 === 0).toBe(true)
      expect(readFileSync(join(dir, 'a.html'), 'utf8')).toMatch(
        /^<!doctype html>[^]*data:image\/png;base64[^]*of 688 elements in 19 units/i,
      )
      expect(JSON.parse(readFileSync(join(dir, 'a.json'), 'utf8'))).toMatchObject({
        method: 'pxp',
        before: first.before,
        after: first.after,
      })

      const file = join(dir, 'a.safetensors')
      const again = (await run(evalCommand, [file, ...images, ...cpu])).json as {
        top1: number,
        macs: number,
        params: number,
        bytes: number,
      }
      expect(again).toMatchObject({
        top1: first.after.top1,
        macs: first.after.macs,
        params: first.after.params,
        bytes: first.after.bytes,
      })
      expect((await run(inspect, [file])).json).toMatchObject({ macs: first.after.macs })
      const explained =
        (await run(explain, [file, '--data', `${images[1].split('#')[0]}#0-1`, '--out', join(dir, 'a.png'), ...cpu]))
          .json as { files: string[] }
      expect(existsSync(explained.files[0])).toBe(true)

      const trained = join(dir, 'trained.safetensors')
      await run(train, [
        file,
        ...references,
        '--epochs',
        '1',
        '--batch',
        '10',
        '--rate',
        '1e-4',
        '--out',
        trained,
        ...cpu,
      ])
      const second = await pruned(trained, 'b.safetensors', '--method', 'magnitude', '--macs', '0.9', ...tested)
      expect(second.before.macs).toBe(first.after.macs)
      expect(second.after.macs).toBeLessThanOrEqual(0.9 * first.after.macs)
      const [one, two] = [recordOf(file), recordOf(join(dir, 'b.safetensors'))]
      expect(two.steps.map(({ method }) => method)).toEqual(['pxp', 'magnitude'])
      for (const { name, size, kept } of two.units) {
        const before = one.units.find((unit) => unit.name === name)!
        expect(size).toBe(before.size) // numbered as in the dense network
        if (kept) expect(kept.every((i) => (before.kept ?? [...new Array(size).keys()]).includes(i)), name).toBe(true)
        expect(kept?.length ?? size).toBe(second.units.find((unit) => unit.name === name)!.kept)
      }
    },
    slow,
  )

  test.each([
    ['an odd share, coupled residuals, per unit', [
      '--keep',
      '0.7',
      '--residual',
      'coupled',
      '--ranking',
      'per-unit',
      '--multiple',
      '1',
      '--method',
      'random',
      '--seed',
      '3',
    ]],
    ['several steps, half precision', ['--params', '0.8', '--steps', '2', '--method', 'yeom', '--f16']],
    ['a file of a size', ['--bytes', '900000', '--method', 'magnitude-l2']],
    ['coupled residuals, priced from the emptiest plan on', [
      '--macs',
      '0.7',
      '--residual',
      'coupled',
      '--method',
      'random',
      '--seed',
      '1',
    ]],
    ['fine-tuned', ['--keep', '0.9', '--method', 'magnitude', '--finetune', '1', '--rate', '1e-4', '--batch', '10']],
  ])('%s', async (_, flags) => {
    const { before, after, units } = await pruned(network, 'c.safetensors', ...flags)
    expect(after.params).toBeLessThan(before.params)
    expect(units.some(({ size, kept }) => kept < size)).toBe(true)
    const { bytes } = await parseCheckpoint(readFileSync(join(dir, 'c.safetensors')), 'c')
    expect(bytes).toBe(after.bytes)
    if (flags.includes('--params')) expect(after.params).toBeLessThanOrEqual(0.8 * before.params)
    if (flags.includes('--bytes')) expect(bytes).toBeLessThanOrEqual(900000)
  }, slow)

  test('a budget in milliseconds is measured, not guessed; one out of reach is refused', async () => {
    // Budgets so far apart that no busy machine blurs them.
    const timed = async (ms: string) =>
      (await run(prune, [
        network,
        ...references,
        '--out',
        join(dir, 'd.safetensors'),
        '--overwrite',
        ...cpu,
        '--method',
        'magnitude',
        '--batch',
        '4',
        '--ms',
        ms,
      ])).json as { rate: number, notes: string[] }
    const { rate, notes } = await timed('1e6')
    expect(rate).toBe(0)
    expect(notes.join()).toMatch(
      /dense [\d.]+ ms per image at batch 4,chosen by the table for [\d.]+ ms, measured [\d.]+ ms/,
    )
    await expect(timed('1e-5')).rejects.toThrow(/cannot be met/)
  }, slow)

  test('a transformer loses heads and neurons of a second file, a perceptron its neurons', async () => {
    const start = join(dir, 'vit.safetensors')
    await run(train, [
      '{"type":"vit","image":28,"patch":7,"width":24,"depth":2,"heads":3,"hidden":32}',
      '--data',
      digits(0, 49),
      '--epochs',
      '1',
      '--out',
      start,
      ...cpu,
    ])
    const flags = ['--data', digits(0, 19), '--method', 'pxp:cp-lrp', '--keep', '0.6', '--overwrite', ...cpu]
    const { units } = (await run(prune, [
      start,
      ...flags,
      '--units',
      'heads,neurons,values,query-key',
      '--out',
      join(dir, 'vit2.safetensors'),
    ])).json as Pruned
    expect(units.filter(({ size, kept }) => kept < size).length).toBeGreaterThan(1)
    const again = (await run(prune, [
      join(dir, 'vit2.safetensors'),
      ...flags,
      '--units',
      'neurons',
      '--out',
      join(dir, 'vit3.safetensors'),
    ])).json as Pruned
    expect(again.after.params).toBeLessThan(again.before.params)
    const two = recordOf(join(dir, 'vit3.safetensors'))
    expect(Object.keys(two.constants)).toContain('blocks.0.attention.scale')
    expect(two.constants['blocks.0.attention.scale']).toBeCloseTo(8 ** -0.5, 6)
  }, slow)

  test('killed in the middle it leaves the old file or none, and the same command gives the same weights', async () => {
    mkdirSync(join(dir, 'kill'))
    const out = join(dir, 'kill', 'net.safetensors'), cli = await bundleForNode('src/cli.ts', 'cli')
    const args = [
      'prune',
      network,
      '--data',
      `cifar10:${cifar}/train100.bin`,
      '--method',
      'pxp',
      '--keep',
      '0.8',
      '--out',
      out,
      ...cpu,
    ]
    await new Promise<void>((resolve) => {
      const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
      child.stderr.on('data', (chunk: Buffer) => {
        if (String(chunk).includes('scoring')) child.kill('SIGKILL')
      })
      child.on('close', () => {
        resolve()
      })
    })
    expect(existsSync(out)).toBe(false)
    const weights = async () => {
      await run(prune, [...args.slice(1), '--overwrite'])
      return readFileSync(out)
    }
    const [first, second] = [await weights(), await weights()]
    expect(first.equals(second)).toBe(true)
    expect(readdirSync(join(dir, 'kill')).filter((name) => !name.startsWith('.'))).toEqual(['net.safetensors'])
  }, slow)
})

const recordOf = (file: string): PruningRecord =>
  (JSON.parse(parseSafetensors(readFileSync(file), file).metadata.espalier) as { pruning: PruningRecord }).pruning

describe('prune refuses', () => {
  const base = [network, ...references, '--out', join(dir, 'refused.safetensors')]
  test.each<[string, string[], RegExp]>([
    ['no budget', ['--method', 'pxp'], /expected one of --keep, --macs.*found none/],
    ['two budgets', ['--method', 'pxp', '--keep', '0.5', '--macs', '0.5'], /found --keep and --macs/],
    ['an unknown method', ['--method', 'best', '--keep', '0.5'], /method 'best': expected pxp/],
    [
      'an unknown kind',
      ['--method', 'pxp', '--keep', '0.5', '--units', 'layers'],
      /--units layers: expected some of heads/,
    ],
    ['units the network lacks', ['--method', 'pxp', '--keep', '0.5', '--units', 'heads'], /nothing of that can be cut/],
    [
      'a folder that is not there',
      ['--method', 'pxp', '--keep', '0.5', '--out', join(dir, 'no', 'such.safetensors')],
      /there is no such folder/,
    ],
    ['a report in place of the network', [
      '--method',
      'pxp',
      '--keep',
      '0.5',
      '--report',
      join(dir, 'refused.safetensors'),
    ], /which is the network; give another name/],
    ['a budget out of reach', ['--method', 'random', '--macs', '0.001', ...cpu], /cannot be met/],
  ])('%s', async (_, flags, message) => {
    await expect(run(prune, [...base, ...flags])).rejects.toThrow(message)
    expect(existsSync(join(dir, 'refused.safetensors'))).toBe(false)
  }, slow)

  test('to overwrite a file unasked', async () => {
    writeFileSync(join(dir, 'there.safetensors'), 'mine')
    await expect(
      run(prune, [network, ...references, '--method', 'pxp', '--keep', '0.5', '--out', join(dir, 'there.safetensors')]),
    ).rejects.toThrow(/there already/)
    expect(readFileSync(join(dir, 'there.safetensors'), 'utf8')).toBe('mine')
  })

  test('pruned files whose record is damaged', async () => {
    const good = join(dir, 'record.safetensors')
    await run(prune, [network, ...references, '--method', 'magnitude', '--keep', '0.8', '--out', good, ...cpu])
    const { metadata, tensors } = parseSafetensors(readFileSync(good), good)
    const spoiled = async (
      change: (record: PruningRecord & Record<string, unknown>) => void,
      more?: (all: Map<string, { shape: number[], data: Float32Array }>) => void,
    ) => {
      const espalier = JSON.parse(metadata.espalier) as { pruning: PruningRecord & Record<string, unknown> }
      change(espalier.pruning)
      const all = new Map(
        [...tensors].map(([name, { shape, data }]) => [name, { shape: [...shape], data: data as Float32Array }]),
      )
      more?.(all)
      return parseCheckpoint(
        encodeSafetensors(all, { metadata: { espalier: JSON.stringify(espalier) } }),
        'bad.safetensors',
      )
    }
    const closing = Object.keys(recordOf(good).scatters)[0]
    await expect(spoiled(() => {})).resolves.toBeDefined()
    await expect(spoiled((record) => {
      delete (record as Partial<PruningRecord>).units
    })).rejects.toThrow(/bad\.safetensors: .*without units/)
    await expect(spoiled(({ units }) => {
      units.find(({ kept }) => kept)!.kept![0] = 999
    })).rejects.toThrow(/keeps indices that do not fit/)
    await expect(spoiled(({ scatters }) => {
      scatters[closing] = { positions: [99], width: 16 }
    })).rejects.toThrow(/scatter indices/)
    await expect(spoiled(({ scatters }) => {
      scatters.nowhere = { positions: [0], width: 16 }
    })).rejects.toThrow(/no gate of this network/)
    await expect(spoiled(({ scatters }) => {
      scatters[closing] = { positions: [0], width: 16 }
    })).rejects.toThrow(/do not fit each other|scatter/)
    await expect(spoiled((record) => {
      record.constants = { 'stem.scale': 1 }
    })).rejects.toThrow(/constant 'stem\.scale'/)
    await expect(spoiled(() => {}, (all) => {
      all.get('stem.conv.weight')!.shape = [999, 3, 3, 3]
      all.get('stem.conv.weight')!.data = new Float32Array(999 * 27)
    })).rejects.toThrow(/no part of the original|fit/)
    await expect(spoiled(() => {}, (all) => {
      const w = all.get('stem.conv.weight')!
      w.shape[0]--
      w.data = w.data.slice(27)
    })).rejects.toThrow(/units that leave \[12,3,3,3\] of tensor 'stem\.conv\.weight', which is \[11,3,3,3\]/)
  }, slow)
})

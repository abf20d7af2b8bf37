// Methods that learn, from the command line: stages that are killed go on, what is saved evaluates to what was said,
// masks explain, recipes are read and rehearsed.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { explain } from '../../src/commands/explain.ts'
import { prune } from '../../src/commands/prune.ts'
import { readRecipe, recipeNames } from '../../src/commands/recipe.ts'
import { buildModel } from '../../models/registry.ts'
import { withoutDevice } from '../../src/core/tensor.ts'
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
  'xpruner',
  '--macs',
  '0.6',
  '--multiple',
  '1',
  '--batch',
  '20',
  '--seed',
  '2',
  '--finetune',
  '2',
  '--set',
  'mask-epochs=2',
  '--set',
  'gate-epochs=2',
  '--set',
  'mask-rate=0.1',
  '--set',
  'scores=range',
  ...cpu,
]
let cli = ''

beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cli')
  await trainOnDigits({ type: 'vit', image: 28, patch: 7, width: 24, depth: 2, heads: 3, hidden: 32 }, network)
}, slow)

describe('prune --method xpruner', () => {
  test('Ctrl-C and kill -9 in any stage lose nothing; the file evaluates to what was said', async () => {
    const whole = (await run(prune, [
      network,
      ...learning,
      '--out',
      join(dir, 'whole.safetensors'),
      '--report',
      join(dir, 'run.html'),
    ]))
      .json as LearnedRun
    const folder = join(dir, 'killed'), out = join(folder, 'net.safetensors')
    mkdirSync(folder)
    const args = ['prune', network, ...learning, '--out', out, '--json']
    await stopped(cli, args, out, { stage: 'masks' })
    await stopped(cli, args, out, { stage: 'thresholds', signal: 'SIGINT' })
    await stopped(cli, args, out, { stage: 'fine-tuning' })
    await goesOn(cli, args, out, whole)
  }, slow)

  test('masks explain: classes, layers, who shares units, a picture; and only those of this network', async () => {
    const json = join(dir, 'run.json'), picture = join(dir, 'masks.png')
    const { json: said, text } = await run(explain, [
      network,
      '--units',
      '--mask',
      json,
      '--class',
      '3',
      '--out',
      picture,
    ])
    const { classes } = said as {
      classes: { class: number, layers: { unit: string, strongest: object[] }[], shares: { share: number }[] }[],
    }
    expect(classes).toHaveLength(1)
    expect(classes[0]).toMatchObject({ class: 3 })
    expect(classes[0].layers.map(({ unit }) => unit)).toEqual([
      'blocks.0.attention.heads',
      'blocks.0.mlp.hidden',
      'blocks.1.attention.heads',
      'blocks.1.mlp.hidden',
    ])
    for (const { share } of classes[0].shares) expect(share > 0 && share <= 1).toBe(true)
    expect(text).toContain('shares units with')
    expect(readFileSync(picture).subarray(1, 4).toString()).toBe('PNG')
    const html = readFileSync(join(dir, 'run.html'), 'utf8')
    expect(html).toMatch(/Masks of classes[^]*data:image\/png;base64/)
    expect(html).toMatch(/<h2>Learning<\/h2>[^]*masks: 2 epochs on 120 images[^]*rates of 4 layers in the end/)
    const masked = JSON.parse(readFileSync(json, 'utf8')) as {
      masks: { classes: string[], units: { name: string, values: number[][] }[] },
    }
    const spoiled = async (change: (masks: typeof masked.masks) => void, message: RegExp) => {
      const { masks } = structuredClone(masked), file = join(dir, 'spoiled.json')
      change(masks)
      writeFileSync(file, JSON.stringify({ masks }))
      await expect(run(explain, [network, '--units', '--mask', file])).rejects.toThrow(message)
    }
    await spoiled((masks) => masks.classes.pop(), /is of 9 classes, .* tells 10 apart/)
    await spoiled(({ units }) => {
      units[0].name = 'nowhere.heads'
    }, /names the unit 'nowhere\.heads'/)
    await spoiled(({ units }) => units[1].values[2].pop(), /no table of 10 rows/)
    writeFileSync(join(dir, 'other.json'), '{"top1":1}')
    await expect(run(explain, [network, '--units', '--mask', join(dir, 'other.json')])).rejects.toThrow(
      /holds no masks/,
    )
    const report = JSON.parse(readFileSync(json, 'utf8')) as { masks: { network: string } },
      foreign = join(dir, 'other.json')
    writeFileSync(foreign, JSON.stringify({ masks: { ...report.masks, network: '0'.repeat(64) } }))
    await expect(run(explain, [network, '--units', '--mask', foreign])).rejects.toThrow(/learnt on another network/)
    await expect(run(explain, [network, '--units', '--mask', join(dir, 'none.json')])).rejects.toThrow(/no such file/)
    await expect(run(explain, [network, '--mask', json])).rejects.toThrow(/expected --units beside it/)
  }, slow)
})

describe('recipes', () => {
  const base = [network, '--data', digits(0, 39), '--out', join(dir, 'dry.safetensors'), ...cpu]

  const learnt = /^(xpruner|gohsp)/
  const patches = 49 * 24 + 24 + 17 * 24 + 24, block = 4 * (24 * 24 + 24) + 2 * 24 * 32 + 32 + 24 + 4 * 24
  /** Stages by method, and what the first learns: a mask for each class, or every weight of the network. */
  const learns: Record<string, { names: string[], parameters: number }> = {
    xpruner: { names: ['masks', 'thresholds', 'fine-tuning'], parameters: 10 * 2 * (3 + 32) },
    gohsp: { names: ['soft-pruning', 'fine-tuning'], parameters: patches + 2 * block + 2 * 24 + 24 * 10 + 10 },
  }

  test.each(recipeNames().filter((name) => learnt.test(name)))(
    '%s is of a network there is, and is rehearsed',
    async (name) => {
      const { network: architecture, flags } = readRecipe(name)
      expect(withoutDevice(() => buildModel({ type: architecture }))).toBeDefined()
      const { json, text } = await run(prune, [...base, '--recipe', name, '--dry-run'])
      const { stages } = json as {
        stages: { name: string, epochs: number, steps: number, parameters: number, bytes: number, seconds: number }[],
      }
      const { names, parameters } = learns[String(flags.method)]
      expect(stages.map((stage) => stage.name)).toEqual(names)
      expect(stages[0].parameters).toBe(parameters)
      expect(stages.at(-1)!.epochs).toBe(flags.finetune)
      for (const { steps, bytes, seconds } of stages) expect(Math.min(steps, bytes, seconds)).toBeGreaterThan(0)
      const rows = names.map((each) => `${each} .*\\n`).join('')
      expect(text).toMatch(new RegExp(`stage +epochs +images.*\\n${rows}.*was not written`))
      expect(existsSync(join(dir, 'dry.safetensors'))).toBe(false)
    },
    slow,
  )

  test.each<[string, unknown, RegExp]>([
    ['a key that there is none of', { sets: {} }, /has 'sets'; expected summary, network, flags and set alone/],
    ['no options', { set: null }, /expected an object with summary, network, flags and set/],
    ['a flag that is false', { flags: { f16: false } }, /flags\.f16 is false, expected text, a number or true/],
  ])('%s is refused', async (_, more, why) => {
    const file = join(dir, 'odd.json')
    writeFileSync(file, JSON.stringify({ summary: 'mine', network: 'vit', flags: {}, set: {}, ...more as object }))
    await expect(run(prune, [...base, '--recipe', file, '--dry-run'])).rejects.toThrow(why)
  })

  test('a recipe that is not there is told so', async () => {
    await expect(run(prune, [...base, '--recipe', join(dir, 'none.json')])).rejects.toThrow(/there is no such file/)
  })

  test(
    "flags of the command line win, wherever they stand; another budget takes the place of the recipe's",
    async () => {
      const file = join(dir, 'mine.json')
      const recipe = {
        summary: 'mine',
        network: 'vit',
        flags: { method: 'xpruner', macs: 0.5, finetune: 7, batch: 10 },
        set: { 'mask-epochs': '3', 'gate-epochs': '4' },
      }
      writeFileSync(file, JSON.stringify(recipe))
      const epochs = async (...more: string[]) =>
        ((await run(prune, [...base, ...more, '--dry-run'])).json as { stages: { epochs: number, steps: number }[] })
          .stages
      expect((await epochs('--recipe', file)).map((stage) => [stage.epochs, stage.steps])).toEqual([[3, 12], [4, 16], [
        7,
        28,
      ]])
      const changed = ['--finetune', '1', '--set', 'mask-epochs=5', '--keep', '0.7']
      for (const order of [['--recipe', file, ...changed], [...changed, '--recipe', file]]) {
        expect((await epochs(...order)).map((stage) => stage.epochs)).toEqual([5, 4, 1])
      }
      const spoiled = async (change: object, message: RegExp) => {
        writeFileSync(file, JSON.stringify({ ...recipe, ...change }))
        await expect(epochs('--recipe', file)).rejects.toThrow(message)
      }
      await spoiled({ flags: { speed: 3 } }, /prune has no flag --speed/)
      await spoiled({ flags: { batch: 'many' } }, /--batch is 'many'\. Expected a whole number/)
      await spoiled({ flags: { out: 'mine' } }, /--out is the user's own/)
      await spoiled({ set: { ema: 1 } }, /set\.ema is 1, expected a string/)
      await expect(epochs('--recipe', 'no-such')).rejects.toThrow(/--recipe no-such: expected .*xpruner-deit-tiny/)
    },
    slow,
  )
})

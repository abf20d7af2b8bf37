// APMA from the command line: a search that is killed goes on, what is saved evaluates to what was said and is
// explained, trained and pruned further, recipes are rehearsed. The network has linear attention, whose kernels a cut
// expands.
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { explain } from '../../src/commands/explain.ts'
import { prune } from '../../src/commands/prune.ts'
import { readRecipe, recipeNames } from '../../src/commands/recipe.ts'
import { train } from '../../src/commands/train.ts'
import { buildModel } from '../../models/registry.ts'
import { withoutDevice } from '../../src/core/tensor.ts'
import { optionHelp } from '../../src/pruning/methods/index.ts'
import { bundleForNode } from '../support/cli.ts'
import { digits, run, scratch } from '../support/model.ts'
import { goesOn, stopped, trainOnDigits, type LearnedRun } from '../support/learned-runs.ts'

const slow = 240_000
const dir = scratch(), network = join(dir, 'flatten.safetensors'), small = join(dir, 'killed', 'net.safetensors')
const cpu = ['--adapter', 'cpu'], data = ['--data', digits(0, 119)], tests = ['--test', digits(1900, 1999)]
const method = [
  '--method',
  'apma',
  '--macs',
  '0.7',
  '--multiple',
  '1',
  '--batch',
  '20',
  '--seed',
  '2',
  '--finetune',
  '2',
]
const settings = ['search-epochs=3', 'score-rate=0.03', 'calibration-images=20'].flatMap((each) => ['--set', each])
const learning = [...data, ...tests, ...method, ...settings, ...cpu]
let cli = ''

beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cli')
  await trainOnDigits({
    type: 'vit',
    image: 28,
    patch: 7,
    width: 16,
    depth: 2,
    heads: 2,
    hidden: 32,
    attention: 'focused',
    classToken: false,
  }, network)
}, slow)

describe('prune --method apma', () => {
  test('kill -9 in any stage loses nothing; the file evaluates to what was said in a process of its own', async () => {
    const whole = (await run(prune, [network, ...learning, '--out', join(dir, 'whole.safetensors')])).json as LearnedRun
    expect(whole.after.macs).toBeLessThanOrEqual(0.7 * whole.before.macs)
    mkdirSync(join(dir, 'killed'))
    const args = ['prune', network, ...learning, '--out', small, '--json']
    for (const stage of ['search', 'fine-tuning']) await stopped(cli, args, small, { stage })
    await goesOn(cli, args, small, whole)
  }, slow)

  test('what is left is explained, trained, and pruned again, by APMA and by others', async () => {
    const relevance = await run(explain, [small, '--units', '--class', '3', ...data, ...cpu]).catch((error: unknown) =>
      error
    )
    expect(relevance).not.toBeInstanceOf(Error)
    const again = join(dir, 'again.safetensors')
    await run(train, [small, ...data, '--epochs', '1', '--batch', '20', '--rate', '1e-3', '--out', again, ...cpu])
    const pruned = async (...more: string[]) =>
      (await run(prune, [again, ...data, ...tests, ...more, '--multiple', '1', '--batch', '20', ...cpu]))
        .json as LearnedRun
    const twice = await pruned(
      '--method',
      'apma',
      '--macs',
      '0.8',
      ...settings,
      '--out',
      join(dir, 'twice.safetensors'),
    )
    expect(twice.after.macs).toBeLessThanOrEqual(0.8 * twice.before.macs)
    const other = await pruned(
      '--method',
      'magnitude',
      '--units',
      'query-key,values,heads',
      '--keep',
      '0.5',
      '--out',
      join(dir, 'other.safetensors'),
    )
    expect(other.after.macs).toBeLessThan(other.before.macs)
  }, slow)

  test('the help has every option, and the units that are its own', () => {
    const [, own] = optionHelp().split('Options of --method apma')
    expect(own).toMatch(/^ \(--set name=value\), which prunes query-key, values, neurons:\n/)
    for (const option of ['init', 'similarity', 'adjust', 'v-index', 'reweight', 'lambda']) {
      expect(own).toMatch(new RegExp(`\\n  ${option} .*\\(default: `))
    }
  })

  test.each(recipeNames().filter((name) => name.startsWith('apma')))('recipe %s is rehearsed', async (name) => {
    const recipe = readRecipe(name), out = join(dir, 'dry.safetensors')
    expect(withoutDevice(() => buildModel({ type: recipe.network }))).toBeDefined()
    const { json } = await run(prune, [network, ...data, '--out', out, '--recipe', name, '--dry-run', ...cpu])
    const { stages } = json as { stages: { name: string, epochs: number, parameters: number, seconds: number }[] }
    expect(stages.map((stage) => [stage.name, stage.epochs])).toEqual([
      ['search', Number(recipe.set['search-epochs'])],
      ['fine-tuning', recipe.flags.finetune],
    ])
    // scores, factors and a multiplier beside the weights
    expect(stages[0].parameters - stages[1].parameters).toBe(2 * (16 + 16 + 32) + 2 * 16 + 1)
    expect(existsSync(out)).toBe(false)
  }, slow)
})

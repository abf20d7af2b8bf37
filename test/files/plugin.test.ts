// Methods of the user's own: a criterion in TypeScript, a method that learns in JavaScript, and modules that are none.
// Each runs in a process of its own, as a user's would.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { bundleForNode, runNode } from '../support/cli.ts'
import { scratch } from '../support/model.ts'

const slow = 240_000
const dir = scratch()
const network = 'models/data/cifar10/resnet20.safetensors', data = 'cifar10:models/data/cifar10/train100.bin#0-19'
let cli = ''
beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cli')
})

const plugin = (name: string, text: string) => {
  const file = join(dir, name)
  mkdirSync(join(file, '..'), { recursive: true })
  writeFileSync(file, text)
  return file
}
const prune = async (method: string, ...more: string[]) => {
  const args = ['prune', network, '--method', method, '--keep', '0.8', '--out', join(dir, 'small.safetensors')]
  const ended = await runNode(cli, [...args, '--overwrite', '--adapter', 'cpu', '--json', '--quiet', ...more])
  return { ...ended, json: JSON.parse(ended.stdout || '{}') as Record<string, unknown> & { notes: string[] } }
}

test('a criterion in TypeScript, with types, an enum, a neighbour of its own and what espalier exports', async () => {
  plugin('own/neighbour.ts', 'export enum Sign { Minus = -1 }\n')
  const file = plugin(
    'own/criterion.ts',
    `import { criterionOf, type ImportanceCriterion, type Scoring } from 'espalier'
import { Sign } from './neighbour.ts'

interface Weights { by: number }
const weights: Weights = { by: Sign.Minus }

/** The least magnitude stays. */
const score: ImportanceCriterion = {
  images: false,
  async score(scoring: Scoring) {
    const all = await criterionOf('magnitude').score(scoring)
    return new Map([...all].map(([name, values]) => [name, values.map((value) => weights.by * value)]))
  },
}
export default score
`,
  )
  const mine = await prune(file), usual = await prune('magnitude')
  expect(mine.stderr).toBe('')
  expect(mine.json).toMatchObject({ method: file, references: 0 })
  expect(mine.json.notes.join()).not.toContain('reference images')
  const kept = ({ json }: typeof mine) => json.units as { name: string, kept: number }[]
  expect(kept(mine).map(({ kept }) => kept)).not.toEqual(kept(usual).map(({ kept }) => kept))
}, slow)

test('a method in JavaScript learns with the loop of the package, takes an option and sees its data', async () => {
  const file = plugin(
    'learns.mjs',
    `import { copyOf, fit, mapTree, criterionOf } from 'espalier'
export const learns = {
  summary: 'trains a copy, then cuts by its weights',
  reads: 'training',
  options: { rate: { summary: 'learning rate', default: '0.001' } },
  async prune({ model, data, classes, units, found, batch, seed, options, choose }) {
    const copy = mapTree(model, (leaf) => copyOf(leaf))
    const { losses } = await fit(copy, data, { epochs: 1, batch, classes, seed, rate: Number(options.rate) })
    const scores = await criterionOf('magnitude').score({ model: copy, units, references: null, classes, batch, seed })
    const { plan } = await choose(scores)
    return { plan, scores, model: copy, notes: ['rate ' + options.rate + ', loss ' + losses.length] }
  },
}
`,
  )
  const { json, stderr, code } = await prune(file, '--data', data, '--set', 'rate=0.0005')
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect(json.notes.join()).toContain('learnt from 20 images')
  expect(json.notes).toContain('rate 0.0005, loss 1')
  const wrong = await prune(file, '--data', data, '--set', 'speed=1')
  expect(wrong.code).toBe(2)
  expect(wrong.stderr).toMatch(/has no option "speed"; expected rate/)
  const alone = await prune(file)
  expect(alone.code).toBe(2)
  expect(alone.stderr).toMatch(/learns\.mjs': it reads images with labels, found none; give --data/)
}, slow)

test(
  'a method that learns goes on after the epoch that was saved; a network in place leaves no state behind',
  async () => {
    const file = plugin(
      'dies.mjs',
      `import { existsSync, writeFileSync } from 'node:fs'
import { copyOf, fitStage, mapTree, criterionOf } from 'espalier'
const marker = ${JSON.stringify(join(dir, 'died'))}
export default {
  summary: 'dies once, in its second epoch',
  reads: 'training',
  async prune({ model, data, classes, units, batch, seed, store, choose }) {
    const copy = mapTree(model, (leaf) => copyOf(leaf))
    let epochs = 0
    const hook = { name: 'fate', afterEpoch({ state }) {
      epochs++
      if (state.epoch < 2 || existsSync(marker)) return
      writeFileSync(marker, '')
      throw new Error('the power fails')
    } }
    await fitStage(copy, data, { epochs: 2, batch, classes, seed, hooks: [hook] }, { store, stage: 'copy' })
    const scores = await criterionOf('magnitude').score({ model: copy, units, references: null, classes, batch, seed })
    const { plan } = await choose(scores)
    return { plan, scores, model: copy, notes: ['trained ' + epochs + ' epochs'] }
  },
}
`,
    )
    const state = join(dir, 'small.safetensors.state')
    const first = await prune(file, '--data', data)
    expect(first.stderr).toContain('the power fails')
    expect(first.code).toBe(1)
    expect(readdirSync(state)).toEqual(['copy.state'])
    const second = await prune(file, '--data', data)
    expect(second.stderr).toBe('')
    expect(second.json.notes).toContain('trained 1 epochs')
    expect(existsSync(state)).toBe(false)
  },
  slow,
)

test('sweep takes criteria and methods that learn, and measures anew what has changed', async () => {
  const criterion = (sign: number) =>
    plugin(
      'signed.mjs',
      `import { criterionOf } from 'espalier'
export default { images: false, async score(scoring) {
  const all = await criterionOf('magnitude').score(scoring)
  return new Map([...all].map(([name, values]) => [name, values.map((value) => ${sign} * value)]))
} }`,
    )
  const learns = plugin(
    'aims.mjs',
    `import { criterionOf } from 'espalier'
const about = { summary: 'aims at a budget', reads: 'training' }
export default { ...about, async prune({ model, units, budget, classes, choose }) {
  const scores = await criterionOf('magnitude').score({ model, units, references: null, classes, batch: 1, seed: 0 })
  return { ...await choose(scores), scores, notes: [String(budget.limit)] }
} }`,
  )
  const out = join(dir, 'curves'), test = 'cifar10:models/data/cifar10/test200.bin#0-19'
  const sweep = async (methods: string, ...more: string[]) => {
    const flags = ['--methods', methods, '--rates', '0.3', '--seeds', '1', '--out', out, '--adapter', 'cpu']
    const ended = await runNode(cli, ['sweep', network, '--data', data, '--test', test, ...flags, '--json', ...more])
    const json = JSON.parse(ended.stdout || '{}') as { results: { method: string, rate: number, after: object }[] }
    const at = (method: string) => json.results.find((point) => point.method === method && point.rate === 0.3)!
    return { ...ended, at }
  }
  const file = criterion(-1)
  const first = await sweep(`${file},magnitude,iterative:${file},${learns}`)
  expect(first.code).toBe(0)
  expect(first.at(learns).after).toMatchObject({ images: 20 })
  expect(existsSync(join(out, 'states'))).toBe(false)
  criterion(1)
  const second = await sweep(`${file},magnitude,iterative:${file}`)
  const figures = ({ after }: { after: object }) => {
    const { top1, loss, macs } = after as { top1: number, loss: number, macs: number }
    return { top1, loss, macs }
  }
  expect(figures(second.at(file))).toEqual(figures(second.at('magnitude')))
  expect(figures(second.at(file))).not.toEqual(figures(first.at(file)))
  const iterative = await sweep(`iterative:${learns}`)
  expect([iterative.code, iterative.stderr]).toEqual([
    2,
    expect.stringMatching(/has no scores that could be computed anew/),
  ])
  const subset = await sweep(learns, '--subset', '3')
  expect([subset.code, subset.stderr]).toEqual([2, expect.stringMatching(/trains on all classes/)])
}, slow)

test.each([
  ['missing.ts', null, /missing\.ts: there is no such file; expected a module that exports a method or criterion/],
  ['empty.ts', 'export const a: number = 1', /expected a module that exports a method or criterion, it exports a/],
  ['torn.ts', 'export const a: = 1', /torn\.ts: it cannot be loaded: .*Unexpected "="|Transform failed/],
  ['throws.mjs', 'throw new Error("not today")', /throws\.mjs: it cannot be loaded: not today/],
  [
    'reads.ts',
    'export default { reads: "minds", prune() {} }',
    /reads "minds"; expected nothing, references or training/,
  ],
])('%s is refused in one sentence', async (name, text, message) => {
  const { stderr, code } = await prune(text === null ? join(dir, name) : plugin(name, text), '--data', data)
  expect(code).toBe(2)
  expect(stderr).toMatch(message)
  expect(stderr.trim().split('\n')).toHaveLength(1)
}, slow)

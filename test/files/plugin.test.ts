// Methods of the user's own: a criterion in TypeScript, a method that learns in JavaScript, and modules that are none.
// Each runs in a process of its own, as a user's would.
import { mkdirSync, writeFileSync } from 'node:fs'
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
    `import { scoreOf, type Score, type Scoring } from 'espalier'
import { Sign } from './neighbour.ts'

interface Weights { by: number }
const weights: Weights = { by: Sign.Minus }

/** The least magnitude stays. */
const score: Score = {
  images: false,
  async score(scoring: Scoring) {
    const all = await scoreOf('magnitude').score(scoring)
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
    `import { copyOf, fit, mapTree, scoreOf } from 'espalier'
export const learns = {
  summary: 'trains a copy, then cuts by its weights',
  reads: 'training',
  options: { rate: { summary: 'learning rate', default: '0.001' } },
  async prune({ model, data, classes, units, found, batch, seed, options, choose }) {
    const copy = mapTree(model, (leaf) => copyOf(leaf))
    const { losses } = await fit(copy, data, { epochs: 1, batch, classes, seed, rate: Number(options.rate) })
    const scores = await scoreOf('magnitude').score({ model: copy, units, references: null, classes, batch, seed })
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

// What commands write is compared with what they read and with what is there, before they work; and two runs do not
// share a folder.
import { spawn } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync,
  symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { bench } from '../../src/commands/bench.ts'
import { demo } from '../../src/commands/demo.ts'
import { explain } from '../../src/commands/explain.ts'
import { prune } from '../../src/commands/prune.ts'
import { search } from '../../src/commands/search.ts'
import { sweep } from '../../src/commands/sweep.ts'
import { train } from '../../src/commands/train.ts'
import { InputError } from '../../src/base/errors.ts'
import { encodeSafetensors, parseSafetensors } from '../../src/files/safetensors.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { run, scratch } from '../support/model.ts'
import { small, splitOnnx } from '../support/onnx-hostile.ts'
import { pngOf } from '../hostile/material.ts'

const slow = 240_000
const dir = scratch()
const at = (name: string) => join(dir, name)
const cpu = ['--adapter', 'cpu']
const network = '{"type":"resnet","stem":"cifar","layers":[1,1,1],"width":8,"classes":10}'
const cifar = 'models/data/cifar10/test200.bin'
const data = ['--data', `cifar10:${cifar}#0-9`]

beforeAll(async () => {
  await run(train, [network, ...data, '--epochs', '1', '--batch', '5', '--out', at('net.safetensors'), ...cpu])
  mkdirSync(at('val'))
  writeFileSync(at('val/a.png'), pngOf(32, 32))
  writeFileSync(at('val.json'), '[{"file":"a.png","label":0}]')
  copyFileSync(at('val.json'), at('sweep.json'))
  cpSync(at('val'), at('sweep'), { recursive: true })
  writeFileSync(at('config.json'), '{}')
  writeFileSync(at('classes.json'), JSON.stringify(Array.from({ length: 10 }, (_, i) => `c${i}`)))
  copyFileSync(cifar, at('ten.bin'))
  copyFileSync(cifar, at('run.svg'))
  writeFileSync(at('mine.mjs'), 'export default { images: false, score: () => new Map() }')
  writeFileSync(
    at('rows.mjs'),
    `const tile = () => [1, 1], unfit = () => null, fixedDensity = () => null, keep = (scores) => scores
    export default { name: 'rows', tile, unfit, fixedDensity, keep, pack: keep, unpack: keep, positions: keep,
      walk: { wgsl: '', index: [] } }`,
  )
  writeFileSync(at('recipe.json'), JSON.stringify({ summary: 's', network: 'n', flags: { minimum: 2 } }))
  symlinkSync('net.safetensors', at('link.html'))
  const { net, data: weights } = splitOnnx(small(), 'w/the weights.bin')
  mkdirSync(at('onnx/w'), { recursive: true })
  writeFileSync(at('onnx/net.onnx'), net)
  writeFileSync(at('onnx/w/the weights.bin'), weights)
  linkSync(at('onnx/w/the weights.bin'), at('onnx/hard.json'))
  symlinkSync('onnx/w/the weights.bin', at('soft.png'))
  symlinkSync('nothing', at('dangling.html'))
  linkSync(at('val/a.png'), at('hard.png'))
  writeFileSync(at('old.html'), 'mine')
}, slow)

/** Everything below the folder, to see that a refused command changed nothing. */
const contents = () =>
  new Map(
    (readdirSync(dir, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => {
      const path = join(entry.parentPath, entry.name)
      return [path, readFileSync(path).toString('base64')]
    }),
  )

const model = () => at('net.safetensors')
const list = () => ['--data', `images:${at('val.json')}`]
const cut = (...more: string[]) => [model(), '--method', 'magnitude', '--keep', '0.5', ...cpu, ...more]
const curve = (list: string, out: string) => [
  model(),
  '--data',
  list,
  '--test',
  list,
  '--rates',
  '0.5',
  '--out',
  out,
  ...cpu,
]

test.each(
  [
    [
      'prune: the list, by the numbers of the report',
      prune,
      () => cut(...list(), '--out', at('o'), '--report', at('val.html')),
    ],
    ['prune: a picture that the list names', prune, () => cut(...list(), '--out', at('val/a.png'))],
    ['prune: the configuration beside the model', prune, () => cut('--out', at('o'), '--report', at('config.html'))],
    [
      'prune: class names beside the data',
      prune,
      () => cut(...list(), '--out', at('o'), '--report', at('classes.html')),
    ],
    [
      'prune: a method of the user',
      prune,
      () => [model(), '--method', at('mine.mjs'), '--keep', '0.5', '--out', at('mine.mjs')],
    ],
    ['prune: a link to the model', prune, () => cut('--out', at('o'), '--report', at('link.html'))],
    [
      'explain: the picture, by a hard link',
      explain,
      () => [model(), '--image', at('val/a.png'), '--out', at('hard.png'), ...cpu],
    ],
    [
      'sweep: the list, by its own numbers',
      sweep,
      () => ['--methods', 'random', ...curve(`images:${at('sweep.json')}`, dir)],
    ],
    [
      "bench: a pattern of one's own",
      bench,
      () => ['patterns', '--pattern', `rows, ${at('mine.mjs')}`, '--report', at('mine.mjs'), ...cpu],
    ],
    [
      'prune: a pattern of the user',
      prune,
      () => [
        model(),
        '--method',
        'magnitude',
        '--pattern',
        at('rows.mjs'),
        '--density',
        '0.5',
        '--out',
        at('rows.mjs'),
      ],
    ],
    [
      'train: a pattern of the user',
      train,
      () => [network, ...data, '--pattern', at('rows.mjs'), '--density', '0.5', '--out', at('rows.mjs'), ...cpu],
    ],
    ['prune: a recipe of the user', prune, () => cut('--recipe', at('recipe.json'), '--out', at('recipe.json'))],
    ['train: the file it starts from', train, () => [model(), ...data, '--out', model(), ...cpu]],
    [
      'train: the data, by its curve',
      train,
      () => [model(), '--data', `cifar10:${at('run.svg')}`, '--out', at('run'), ...cpu],
    ],
  ] as const,
)('an output that is an input is refused, whatever is allowed; %s', async (_, command, args) => {
  const before = contents(), overwrite = (command as unknown) === sweep ? [] : ['--overwrite']
  const outcome: unknown = await run(command as typeof prune, [...args(), ...overwrite]).catch((error: unknown) =>
    error
  )
  expect(outcome).toBeInstanceOf(InputError)
  expect((outcome as Error).message).toMatch(/would write over what is read|which is the network/)
  expect(contents()).toEqual(before)
}, slow)

test.each([
  ['import', () => ['--out', at('onnx/w/the weights.bin')]],
  ['export', () => ['--out', at('onnx/w/../w/the weights.bin')]],
  ['prune', () => [...cut(...list()).slice(1), '--out', at('o'), '--report', at('onnx/hard.html')]],
  ['explain', () => ['--image', at('val/a.png'), '--out', at('soft.png'), ...cpu]],
  ['train', () => [...data, '--out', at('onnx/w/the weights.bin'), ...cpu]],
])('weights in a file beside an ONNX file are an input like it; %s', async (command, args) => {
  const cli = await bundleForNode('src/cli.ts', 'cli'), before = contents()
  const { code, stdout, stderr } = await runNode(cli, [command, at('onnx/net.onnx'), ...args(), '--overwrite'])
  expect(stderr).toMatch(
    /: would write over what is read, the weights of the model .*w\/the weights\.bin; give another/,
  )
  expect({ code, stdout, lines: stderr.trimEnd().split('\n').length }).toEqual({ code: 2, stdout: '', lines: 1 })
  expect(contents()).toEqual(before)
}, slow)

test.each(
  [
    ['prune --report', prune, () => cut('--out', at('o'), '--report', at('old.html'))],
    ['prune --report, a link to nothing', prune, () => cut('--out', at('o'), '--report', at('dangling.html'))],
    ['explain --out', explain, () => [model(), '--image', at('val/a.png'), '--out', at('hard.png'), ...cpu]],
    ['train, the curve', train, () => [model(), ...data, '--out', at('run'), ...cpu]],
    ['train, the state', train, () => [model(), ...data, '--out', at('fresh'), ...cpu]],
    [
      'sweep, a report that is not its own',
      sweep,
      () => ['--methods', 'random', ...curve(`cifar10:${at('ten.bin')}`, at('foreign'))],
    ],
    ['search, a file that is not its own', search, () => [...curve(`cifar10:${at('ten.bin')}`, at('foreign'))]],
    ['demo', demo, () => ['--out', at('foreign'), ...cpu]],
  ] as const,
)('nothing is replaced unasked; %s', async (_, command, args) => {
  mkdirSync(at('foreign'), { recursive: true })
  for (const name of ['report.html', 'search.json']) writeFileSync(at(`foreign/${name}`), 'mine')
  writeFileSync(at('fresh.state.safetensors'), 'mine')
  rmSync(at('hard.png'))
  writeFileSync(at('hard.png'), 'mine')
  const before = contents()
  await expect(run(command as typeof prune, args())).rejects.toThrow(/there already; give another name/)
  expect(contents()).toEqual(before)
}, slow)

test.each(
  [
    ['prune', prune, () => cut('--out', '')],
    ['prune --report', prune, () => cut('--out', at('o'), '--report', '')],
    ['explain', explain, () => [model(), '--image', at('val/a.png'), '--out', '', ...cpu]],
    ['train', train, () => [model(), ...data, '--out', '', ...cpu]],
    ['sweep', sweep, () => ['--methods', 'random', ...curve(`cifar10:${at('ten.bin')}`, '')]],
    ['demo', demo, () => ['--out', '', ...cpu]],
  ] as const,
)('an empty name is refused at once; %s', async (_, command, args) => {
  const before = contents()
  await expect(run(command as typeof prune, args())).rejects.toThrow(/expected the name of a (file to write|folder)/)
  expect(contents()).toEqual(before)
}, slow)

const scored = (
  out: string,
  ...more: string[]
) => ['--methods', 'magnitude', ...curve(`cifar10:${at('ten.bin')}#0-9`, out), ...more]

test('stored scores are used for the very network, images and settings that they are of, else refused', async () => {
  const first = at('first'), score = 'scores/magnitude-0.safetensors', points = join(first, 'points.jsonl')
  await run(sweep, scored(first))
  const forget = () => rmSync(points)
  const good = readFileSync(join(first, score)), { metadata, tensors } = parseSafetensors(good, 'x')
  forget()
  const made = statSync(join(first, score)).mtimeMs
  await run(sweep, scored(first))
  expect(statSync(join(first, score)).mtimeMs).toBe(made)
  // A run that was killed before its first point, then another network, other images, other settings.
  const other = at('other.safetensors')
  await run(train, [network, ...data, '--epochs', '1', '--seed', '2', '--out', other, ...cpu])
  forget()
  await expect(run(sweep, [other, ...scored(first).slice(0, 2), ...scored(first).slice(3)])).rejects.toThrow(
    /holds results with source "\w+", this run has "\w+"/,
  )
  await expect(run(sweep, scored(first, '--minimum', '2'))).rejects.toThrow(
    /holds results with minimum 0, this run has 2/,
  )
  const bytes = readFileSync(at('ten.bin'))
  bytes[100] ^= 1
  writeFileSync(at('ten.bin'), bytes)
  await expect(run(sweep, scored(first))).rejects.toThrow(/holds results with dataDigest/)
  bytes[100] ^= 1
  writeFileSync(at('ten.bin'), bytes)
  // The file alone, from elsewhere.
  const second = at('second')
  mkdirSync(join(second, 'scores'), { recursive: true })
  copyFileSync(join(first, score), join(second, score))
  await expect(run(sweep, scored(second, '--minimum', '2'))).rejects.toThrow(
    /holds results with minimum 0, this run has 2/,
  )
  for (
    const [content, said] of [
      [encodeSafetensors(tensors as never, {}), /does not say of which network/],
      [
        encodeSafetensors(new Map([['x', { shape: [1], data: new Float32Array(1) }]]), { metadata }),
        /expected \d+ scores of/,
      ],
      [good.subarray(0, good.length - 5), /magnitude-0/],
      [Buffer.from('null'), /magnitude-0/],
    ] as const
  ) {
    writeFileSync(join(first, score), content)
    await expect(run(sweep, scored(first))).rejects.toThrow(said)
    await expect(run(sweep, scored(first))).rejects.toThrow(InputError)
  }
}, slow)

test.each([
  ['points.settings.json', 'null'],
  ['points.settings.json', '{}'],
  ['points.settings.json', '[]'],
  ['points.settings.json', '{"format":99}'],
  ['points.settings.json', '\u0000{'],
  ['points.settings.json', null],
  ['points.jsonl', '{"rate":0.5}\n'],
  ['points.jsonl', 'null\n'],
  ['points.jsonl', null],
  ['scores', 'a file'],
  ['scores/magnitude-0.safetensors', null],
])('a damaged folder is bad input: %s holds %j', async (name, content) => {
  const out = at(`damaged-${Math.random()}`)
  if (content === null) mkdirSync(join(out, name), { recursive: true })
  else {
    mkdirSync(join(out, name, '..'), { recursive: true })
    writeFileSync(join(out, name), content)
  }
  const outcome: unknown = await run(sweep, scored(out)).catch((error: unknown) => error)
  expect(outcome).toBeInstanceOf(InputError)
  expect(existsSync(join(out, '.espalier.lock'))).toBe(false)
}, slow)

test('the second run in a folder is told who works there; after SIGKILL the next one goes on', async () => {
  const cli = await bundleForNode('src/cli.ts', 'cli')
  const out = at('shared')
  const lock = join(out, '.espalier.lock')
  const many = ['--methods', 'random', ...curve(`cifar10:${cifar}`, out), '--seeds', '500']
  const start = (command: string, args: string[], held: string) => {
    const child = spawn(process.execPath, [cli, command, ...args], { stdio: 'ignore' })
    const ended = new Promise((resolve) => child.on('close', resolve))
    return new Promise<{ child: typeof child, ended: typeof ended }>((resolve) => {
      const watch = setInterval(() => {
        if (!existsSync(held) && child.exitCode === null) return
        clearInterval(watch)
        resolve({ child, ended })
      }, 5)
    })
  }
  const first = await start('sweep', many, lock)
  await expect(run(sweep, many)).rejects.toThrow(new RegExp(`process ${first.child.pid} on .* works in this folder`))
  await expect(run(search, [...curve(`cifar10:${cifar}`, out)])).rejects.toThrow(/works in this folder/)
  first.child.kill('SIGKILL')
  await first.ended
  expect(existsSync(lock)).toBe(true)
  await run(sweep, [...many.slice(0, -1), '1'])
  expect(existsSync(lock)).toBe(false)

  const args = [network, '--data', `cifar10:${cifar}`, '--epochs', '500', '--out', at('long.safetensors'), ...cpu]
  const second = await start('train', args, at('.long.safetensors.lock'))
  await expect(run(train, args)).rejects.toThrow(new RegExp(`process ${second.child.pid} on .* writes this file`))
  second.child.kill('SIGTERM')
  await second.ended
  expect(existsSync(at('.long.safetensors.lock'))).toBe(false)
}, slow)

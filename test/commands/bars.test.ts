// Bars as a terminal of 80 columns gets them, from whole commands in processes of their own: each has a name, fits its
// line, and says nothing of what is left that is not so. A process behind the filter of driver lines is told of the
// terminal by a variable, which stands in for one here.
import { join } from 'node:path'
import { beforeAll, expect, test, vi } from 'vitest'
import { bundleForNode, runNode } from '../support/cli.ts'
import { scratch } from '../support/model.ts'

const dir = scratch(), data = 'cifar10:models/data/cifar10', network = 'models/data/cifar10/resnet20.safetensors'
const tiny = '{"type":"resnet","stem":"cifar","layers":[1,1,1],"width":4}'
let cli = ''

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 }) // several processes, on machines that do other work too

beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cli-bars')
})

/** What stood on the terminal's lines, one after the other, with sequences that move the cursor taken out. */
async function frames(...args: string[]): Promise<string[]> {
  const { code, stderr } = await runNode(cli, [...args, '--adapter', 'cpu'], { ESPALIER_STDERR_COLUMNS: '80' })
  expect({ code, stderr: code ? stderr : '' }).toEqual({ code: 0, stderr: '' })
  return stderr.split(/\r?\n|\r|\u001b\[\d*G/).map((line) => line.replace(/\u001b(\[[\d;?]*[A-Za-z]|[78])/g, ''))
    .filter((line) => line.trim() !== '')
}

interface Drawn {
  name: string
  done: number
  total: number
  pace: string
}
/** The bars among the lines. */
const barsOf = (lines: readonly string[]): Drawn[] =>
  lines.flatMap((line) => {
    const [, name, done, total, pace] = /^(.*?) ?[█░]+ (\d+)\/(\d+) {2}(.*)$/.exec(line) ?? []
    return name === undefined ? [] : [{ name, done: Number(done), total: Number(total), pace }]
  })

test.each<[string, string[], RegExp[], RegExp[]]>([
  [
    'train',
    [
      'train',
      tiny,
      '--data',
      `${data}/test200.bin#0-63`,
      '--epochs',
      '2',
      '--batch',
      '16',
      '--out',
      join(dir, 't.safetensors'),
    ],
    [/^epoch 1\/2$/, /^epoch 2\/2$/],
    [],
  ],
  [
    'prune by weights',
    [
      'prune',
      network,
      '--method',
      'magnitude',
      '--keep',
      '0.9',
      '--test',
      `${data}/test200.bin#0-15`,
      '--out',
      join(dir, 'p.safetensors'),
    ],
    [/^evaluating/],
    [/scoring/],
  ],
  [
    'prune by images',
    [
      'prune',
      network,
      '--method',
      'pxp',
      '--keep',
      '0.9',
      '--data',
      `${data}/train100.bin#0-15`,
      '--out',
      join(dir, 'q.safetensors'),
    ],
    [/^reading references$/, /^scoring/],
    [],
  ],
  [
    'sweep',
    [
      'sweep',
      network,
      '--methods',
      'magnitude,random',
      '--rates',
      '0,0.2',
      '--seeds',
      '2',
      '--test',
      `${data}/test200.bin#0-15`,
      '--out',
      join(dir, 'sweep'),
    ],
    [/^magnitude, seed 0$/, /^random, seed 1$/],
    [],
  ],
  ['bench', ['bench', 'kernels', '--only', 'softmax', '--rounds', '2'], [/^(bench kernels|softmax.*)$/], []],
])('%s', async (_, args, expected, absent) => {
  const lines = await frames(...args), bars = barsOf(lines)
  expect(Math.max(...lines.filter((line) => /[█░]/.test(line)).map((line) => line.length))).toBeLessThan(80)
  const names = [...new Set(bars.map(({ name }) => name))]
  for (const name of expected) {
    expect(names.filter((each) => name.test(each)), `${name} of ${names.join('; ')}`).not.toEqual([])
  }
  for (const name of absent) expect(names.filter((each) => name.test(each))).toEqual([])
  for (const name of names) {
    const own = bars.filter((bar) => bar.name === name), last = own.at(-1)!
    expect(name).toMatch(/\w/)
    expect(last.done, `${name} ends at ${last.done} of ${last.total}`).toBe(last.total)
    for (const { done, pace } of own) if (done === 0) expect(pace).toMatch(/^-\/s/)
  }
  // A bar has its line to itself: nothing that people read is drawn over.
  for (const line of lines) expect(line).not.toMatch(/[█░].*\s(top-1|GFLOP|method)\s{2,}\S/)
})

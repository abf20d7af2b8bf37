// `espalier import` and an ONNX file where commands take a network, as processes; and files that mean harm.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { bundleForNode, runNode } from '../support/cli.ts'
import { scratch } from '../support/model.ts'
import { hostileOnnx, small } from '../support/onnx-hostile.ts'

const dir = scratch(),
  net = 'models/data/cifar10/resnet20.safetensors',
  data = 'cifar10:models/data/cifar10/test200.bin#0-39'
let cli = ''
beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cli-import')
})

const at = (name: string) => join(dir, name)

describe('files that mean harm are refused in one sentence', () => {
  // All of them are read in test/checkpoint/onnx/hostile.test.ts.
  const processes = [
    'cut in its weights',
    'weights in ../../etc/passwd',
    'a million empty nodes',
    'fifty million numbers one by one',
  ]
  test.each(hostileOnnx.filter(([name]) => processes.includes(name)))('%s', async (name, bytes, sentence) => {
    const file = at(`${name.replace(/\W+/g, '-')}.onnx`), out = `${file}.safetensors`
    writeFileSync(file, bytes())
    const { stdout, stderr, code } = await runNode(cli, ['import', file, '--out', out], {}, [
      '--max-old-space-size=600',
    ])
    expect({ stdout, code, stderr }).toMatchObject({ stdout: '', code: 2 })
    expect(stderr).toMatch(sentence)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(existsSync(out)).toBe(false)
  }, 30_000)
})

describe('import', () => {
  test('a graph of another program, then inspect, prune, eval and export of what came of it', async () => {
    const file = at('small.onnx'), out = at('small.safetensors')
    writeFileSync(file, small())
    const imported = await runNode(cli, ['import', file, '--out', out, '--json', '--quiet'])
    expect(imported).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(imported.stdout)).toMatchObject({
      file,
      out,
      architecture: 'onnx',
      input: [3, 32, 32],
      classes: 10,
      params: 296,
    })
    // The file itself does as well as what was made of it.
    const figures = await Promise.all(
      [file, out].map((each) => runNode(cli, ['eval', each, '--data', data, '--adapter', 'cpu', '--json', '--quiet'])),
    )
    const [a, b] = figures.map(({ stdout }) => JSON.parse(stdout) as { top1: number, loss: number })
    expect(a).toMatchObject({ top1: b.top1, loss: b.loss })
    const shown = await runNode(cli, ['inspect', file, '--units', '--json'])
    expect(JSON.parse(shown.stdout)).toMatchObject({
      units: [{ name: 'gates.conv', size: 8, prunable: true, exact: true }],
    })
    const cut = at('cut.safetensors')
    const pruned = await runNode(cli, [
      'prune',
      file,
      '--method',
      'magnitude',
      '--keep',
      '0.5',
      '--data',
      data,
      '--out',
      cut,
      '--adapter',
      'cpu',
      '--json',
      '--quiet',
    ])
    expect(pruned).toMatchObject({ code: 0 })
    expect(JSON.parse(pruned.stdout)).toMatchObject({ units: [{ name: 'gates.conv', size: 8, kept: 4 }] })
    const back = at('cut.onnx')
    expect(await runNode(cli, ['export', cut, '--out', back, '--check', '--quiet'])).toMatchObject({
      code: 0,
      stderr: '',
    })
    expect(readFileSync(back).length).toBeLessThan(readFileSync(file).length + 20_000)
    const picture = await runNode(cli, [
      'explain',
      cut,
      '--image',
      'docs/report.png',
      '--out',
      at('why.png'),
      '--adapter',
      'cpu',
      '--quiet',
    ])
    expect(picture).toMatchObject({ code: 0 })
  }, 180_000)

  test('our own file comes back as the checkpoint that it was', async () => {
    const file = at('own.onnx'), out = at('own.safetensors'), again = at('again.onnx')
    expect(await runNode(cli, ['export', net, '--out', file, '--check', '--quiet'])).toMatchObject({
      code: 0,
      stderr: '',
    })
    expect(await runNode(cli, ['import', file, '--out', out, '--quiet'])).toMatchObject({ code: 0, stderr: '' })
    expect(await runNode(cli, ['export', out, '--out', again, '--quiet'])).toMatchObject({ code: 0, stderr: '' })
    expect(Buffer.compare(readFileSync(file), readFileSync(again))).toBe(0)
    const figures = await Promise.all(
      [net, out].map((each) =>
        runNode(cli, ['eval', each, '--data', data, '--adapter', 'cpu', '--json', '--quiet', '--predictions'])
      ),
    )
    const [a, b] = figures.map(({ stdout }) => JSON.parse(stdout) as { loss: number, predictions: number[] })
    expect(a.predictions).toEqual(b.predictions)
    expect(a.loss).toBe(b.loss)
  }, 120_000)

  test.each([
    [[net], /expected an ONNX file; other checkpoints need no import/],
    [['absent.onnx'], /absent\.onnx/],
  ])('%j is refused', async (args, sentence) => {
    const out = at('refused.safetensors'), { stderr, code } = await runNode(cli, ['import', ...args, '--out', out])
    expect(code).toBe(2)
    expect(stderr).toMatch(sentence)
    expect(existsSync(out)).toBe(false)
  })
})

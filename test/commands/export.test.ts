// `espalier export`, as a process.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { decodeOnnx } from '../../src/onnx/decode.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { scratch } from '../support/model.ts'

const net = 'models/data/cifar10/resnet20.safetensors', dir = scratch()
let cli = ''
beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cli-export')
})

describe('export', () => {
  test('a checkpoint, with what it says beside its weights', async () => {
    const out = join(dir, 'net.onnx'),
      { stdout, stderr, code } = await runNode(cli, ['export', net, '--out', out, '--json', '--quiet'])
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
    const { bytes, nodes, ...rest } = JSON.parse(stdout) as Record<string, unknown>
    expect(rest).toMatchObject({
      model: net,
      out,
      opset: 17,
      ir: 8,
      input: [3, 32, 32],
      batch: 'dynamic',
      dense: [],
      half: false,
    })
    const file = decodeOnnx(readFileSync(out))
    expect({ bytes, nodes }).toEqual({ bytes: readFileSync(out).length, nodes: file.nodes.length })
    const about = JSON.parse(file.metadata.espalier) as Record<string, unknown>
    expect(about).toMatchObject({ format: 1, naming: 'espalier', architecture: { type: 'resnet' } })
    expect(about.preprocessing).toMatchObject({ mean: expect.any(Array), std: expect.any(Array) })
  })

  test.each([
    [['--batch', '0'], /Expected dynamic, or a whole number from 1 to 4096/],
    [['--batch', 'two'], /Expected dynamic, or a whole number from 1 to 4096/],
    [['--out', net], /would write over what is read/],
  ])('%j is refused, nothing is written', async (flags, sentence) => {
    const out = join(dir, 'refused.onnx'),
      { stderr, code } = await runNode(cli, ['export', net, '--out', out, ...flags])
    expect(code).toBe(2)
    expect(stderr).toMatch(sentence)
    expect(existsSync(out)).toBe(false)
  })

  test('a file that is there is replaced only when asked', async () => {
    const out = join(dir, 'there.onnx')
    writeFileSync(out, 'mine')
    expect(await runNode(cli, ['export', net, '--out', out])).toMatchObject({ code: 2 })
    expect(readFileSync(out, 'utf8')).toBe('mine')
    expect(await runNode(cli, ['export', net, '--out', out, '--overwrite', '--batch', '3'])).toMatchObject({ code: 0 })
    expect(decodeOnnx(readFileSync(out)).inputs[0].shape).toEqual([3, 3, 32, 32])
  })
})

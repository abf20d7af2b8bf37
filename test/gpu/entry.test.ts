// Where no GPU's device is, dawn is not asked, and its own lines cannot stand among ours.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { mayHaveGpu } from '../../src/gpu/entry.ts'
import { bundleForNode, runNode } from '../support/cli.ts'

test.skipIf(process.platform !== 'linux')('a GPU is told by its device', async () => {
  const dev = mkdtempSync(join(tmpdir(), 'espalier-dev-'))
  try {
    const withDevices = async (...names: string[]) => {
      rmSync(dev, { recursive: true })
      for (const name of names) {
        mkdirSync(join(dev, name, '..'), { recursive: true })
        writeFileSync(join(dev, name), '')
      }
      return mayHaveGpu(dev)
    }
    expect(await withDevices('null', 'tty', 'nvram')).toBe(false)
    expect(await withDevices('dri/card0')).toBe(false) // a display without a GPU, as virtual machines have
    for (const name of ['dri/renderD128', 'nvidia0', 'nvidiactl', 'dxg', 'mali0', 'kgsl-3d0', 'nvhost-gpu']) {
      expect([name, await withDevices('null', name)]).toEqual([name, true])
    }
    expect(await mayHaveGpu(join(dev, 'not there'))).toBe(true)
  } finally {
    rmSync(dev, { recursive: true, force: true })
  }
})

test('a command that names no adapter writes its own lines to stderr and no others', async () => {
  if (await mayHaveGpu()) return // the GPU's driver may speak
  const cli = await bundleForNode('src/cli.ts', 'cli-entry')
  const data = 'models/data/cifar10'
  const args = ['eval', `${data}/resnet20.safetensors`, '--data', `cifar10:${data}/test200.bin#0-1`]
  const { code, stderr } = await runNode(cli, args)
  expect({ code, others: stderr.split('\n').filter((line) => line && !line.startsWith('evaluating: ')) })
    .toEqual({ code: 0, others: [] })
  expect(await runNode(cli, [...args, '--quiet', '--json'])).toMatchObject({ code: 0, stderr: '' })
})

// Lines of dawn and its drivers never reach the user, everything else does byte by byte.
import { expect, test } from 'vitest'
import { LineFilter, loadsDawn } from '../../src/commands/driver-lines.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { noDawn } from '../support/dawn.ts'

const dawn = 'Warning: maxDynamicUniformBuffersPerPipelineLayout artificially reduced from 1000000 to 16 to fit.\n'

test.each([1, 2, 7, 1000])('in pieces of %i bytes', (size) => {
  const bar = '\r\u001b[Kexplaining ███░░ 3/5 Warn', ours = 'Warning: it is late\nMESSAGE\nWarning: maxDyn'
  const bytes = Buffer.from(`${dawn}${bar}${dawn}${dawn}é\nWarning: Couldn't load Vulkan: libvulkan.so.1\n${ours}`)
  const filter = new LineFilter(), out: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) out.push(filter.push(bytes.subarray(at, at + size)))
  out.push(filter.flush())
  expect(Buffer.concat(out).toString()).toBe(`${bar}é\n${ours}`)
})

test.each([
  [['eval', 'x', '--adapter', 'cpu'], false],
  [['eval', 'x', '--adapter=CPU'], false],
  [['eval', 'x', '--adapter', 'llvmpipe'], true],
  [['prune', '--adapter=dawn', 'x'], true],
  [['inspect', 'x'], false],
  [['doctor'], true],
  [['doctor', '--adapter', 'cpu'], false],
  [['eval', '--help', '--adapter', 'dawn'], false],
  [['check-kernel', 'x.wgsl'], true],
  [['check-kernel', 'x.wgsl', '--no-dawn'], false],
])('%j loads dawn: %j', async (args, expected) => {
  expect(await loadsDawn(args)).toBe(expected)
})

test.skipIf(Boolean(noDawn))('a command on dawn: only what is ours on stderr, and its exit code', async () => {
  const cli = await bundleForNode('src/cli.ts', 'cli-driver-lines')
  const data = 'models/data/cifar10', model = `${data}/resnet20.safetensors`
  const args = ['eval', model, '--data', `cifar10:${data}/test200.bin#0-3`, '--batch', '2', '--adapter', 'dawn']
  const { stderr, stdout, code } = await runNode(cli, [...args, '--quiet'])
  expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
  expect(stdout).toContain('top-1')
  const wrong = await runNode(cli, ['eval', model, '--data', 'nothing', '--adapter', 'nobody'])
  expect(wrong.code).toBe(2)
  expect(wrong.stderr.trimEnd().split('\n')).toHaveLength(1)
}, 120_000)

test.skipIf(Boolean(noDawn))('check-kernel compiles on dawn without dawn being heard', async () => {
  const cli = await bundleForNode('src/cli.ts', 'cli-driver-lines')
  const { stderr, stdout, code } = await runNode(cli, ['check-kernel', 'kernels/shared/broadcast.wgsl', '--quiet'])
  expect(stdout + stderr).not.toMatch(/Warning: /)
  expect(stdout).toContain('broadcast.wgsl: ')
  expect(code).not.toBe(3)
}, 120_000)

test.skipIf(Boolean(noDawn))('doctor measures dawn, and says nothing of its own but what is asked', async () => {
  const doctor = await bundleForNode('src/cli.ts', 'cli-driver-lines')
  for (const flags of [[], ['--quiet'], ['--json', '--adapter', 'dawn'], ['--fix']]) {
    const { stderr, stdout, code } = await runNode(doctor, ['doctor', ...flags])
    const said = flags[0] === '--fix' ? 'doctor: there is a working adapter, so nothing needs to be installed\n' : ''
    expect({ stderr, code }).toEqual({ stderr: said, code: 0 })
    expect(stdout).toMatch(/GFLOP|"gflops":\d/)
  }
}, 240_000)

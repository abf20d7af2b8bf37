// What the command line says of a wrong use.
import { closeSync, existsSync, openSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { beforeAll, expect, test } from 'vitest'
import { bundleForNode, runNode } from '../support/cli.ts'

let cli = ''
beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cli-usage')
})

test.each([
  [
    ['eval', 'a.safetensors', '--dta', 'x'],
    `unknown option '--dta' (Did you mean --data?); see 'espalier eval --help'`,
  ],
  [
    ['prune', 'a.safetensors', '--methd=pxp'],
    `unknown option '--methd' (Did you mean --method?); see 'espalier prune --help'`,
  ],
  [['train', 'mlp', '--zzzzzzzz'], `unknown option '--zzzzzzzz'; see 'espalier train --help'`],
  [['sweep'], `see 'espalier sweep --help'`],
  [['nonsense'], `see 'espalier --help'`],
])('%j', async (args, said) => {
  const { code, stderr, stdout } = await runNode(cli, args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toContain(said)
  expect(stderr.trimEnd().split('\n')).toHaveLength(1)
})

test.skipIf(!existsSync('/dev/full'))('a full device is one sentence and exit code 1', async () => {
  const full = openSync('/dev/full', 'w')
  const child = spawn(process.execPath, [cli, 'inspect', 'resnet20'], { stdio: ['ignore', full, 'pipe'] })
  closeSync(full)
  let stderr = ''
  child.stderr!.on('data', (part: Buffer) => {
    stderr += part
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  expect({ code, lines: stderr.trimEnd().split('\n').length }).toEqual({ code: 1, lines: 1 })
  expect(stderr).toContain('cannot be written (ENOSPC)')
})

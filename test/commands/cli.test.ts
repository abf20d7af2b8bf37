import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { bundleForNode, runNode } from '../support/cli.ts'
import type { Ended } from '../support/cli.ts'

let file = ''
const espalier = (...args: string[]): Promise<Ended> => runNode(file, args)

beforeAll(async () => {
  file = await bundleForNode('src/cli.ts', 'cli')
})

test('help and version go to stdout and end with 0', async () => {
  const help = await espalier('--help')
  expect(help).toMatchObject({ code: 0, stderr: '' })
  expect(help.stdout).toMatch(/Usage: espalier .*doctor/s)
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  expect(await espalier('--version')).toMatchObject({ code: 0, stdout: `${version}\n` })
})

test('every command takes the common flags', async () => {
  const names = [...(await espalier('--help')).stdout.matchAll(/^ {2}([a-z][a-z-]+) \[options\]/gm)].map(([, name]) =>
    name
  )
  expect(names).toContain('doctor')
  for (const name of names) {
    const { stdout, code } = await espalier(name, '--help')
    expect(code).toBe(0)
    for (const flag of ['--json', '--quiet', '--seed <n>', '--adapter <part of its name>', '--threads <n>', '--help']) {
      expect(stdout).toContain(flag)
    }
  }
})

describe('bad usage ends with 2 and one sentence', () => {
  test.each<[string[], RegExp]>([
    [[], /expected a command \(doctor.*\), found none/],
    [['doctr'], /unknown command 'doctr' \(Did you mean doctor\?\)/],
    [['doctor', '--jsn'], /unknown option '--jsn' \(Did you mean --json\?\)/],
    [['doctor', 'extra'], /too many arguments for 'doctor'/],
    [['doctor', '--seed'], /'--seed <n>' argument missing/],
    [['doctor', '--seed', '-1'], /--seed.*whole number from 0/],
    [['doctor', '--seed', '1.5'], /--seed.*whole number from 0/],
    [['doctor', '--threads', '0'], /--threads.*whole number from 1 to 1024/],
    [['doctor', '--threads', ''], /--threads.*whole number/],
  ])('%j', async (args, sentence) => {
    const { code, stdout, stderr } = await espalier(...args)
    expect(code).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toMatch(sentence)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  })

  test('with --json the one object tells the error', async () => {
    const { code, stdout, stderr } = await espalier('doctor', '--json', '--threads', 'many')
    expect(code).toBe(2)
    expect(JSON.parse(stdout)).toEqual({ error: stderr.trimEnd(), exitCode: 2 })
  })
})

// What `--help` says: what is required, an example that can be run, and no lists that nobody asked for.
import { beforeAll, expect, test } from 'vitest'
import { architectures } from '../../models/registry.ts'
import { bundleForNode, runNode } from '../support/cli.ts'

let cli = ''
beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cli-help')
})

test.each([
  ['doctor', []],
  ['inspect', []],
  ['eval', ['--data']],
  ['explain', []],
  ['prune', ['--method', '--out']],
  ['sweep', ['--test', '--out', '--methods']],
  ['search', ['--test', '--out']],
  ['train', ['--data']],
  ['pull', []],
  ['export', ['--out']],
  ['import', ['--out']],
  ['bench', []],
  ['demo', []],
  ['check-kernel', []],
])('%s', async (name, required) => {
  const { code, stdout, stderr } = await runNode(cli, [name, '--help'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const [help, example] = stdout.split('\nExample:\n  ')
  expect(example).toMatch(new RegExp(`^espalier ${name}\\b.*\n$`))
  for (const [flag] of example.matchAll(/--[\w-]+/g)) expect(help, flag).toMatch(new RegExp(`^  ${flag}\\b`, 'm'))
  expect([...help.matchAll(/^ {2}(--[\w-]+).*\s\(required\)/gm)].map(([, flag]) => flag)).toEqual(required)
  // A flag that is marked is one without which the command is refused.
  for (const flag of required) {
    const others = [...example.trim().matchAll(/(--[\w-]+) (\S+)/g)].flatMap(([, other, value]) =>
      other === flag ? [] : [other, value]
    )
    const refused = await runNode(cli, [name, 'nothing', ...others])
    expect(refused).toMatchObject({ code: 2 })
    expect(refused.stderr).toMatch(new RegExp(`required option '${flag} .*see 'espalier ${name} --help'`))
  }
  expect(Object.keys(architectures).filter((each) => new RegExp(`${each}[,;]`).test(stdout)).length).toBeLessThan(3)
}, 120_000)

test('architectures are listed where they are asked for, with their sizes', async () => {
  const list = await runNode(cli, ['inspect', '--list', '--json']),
    one = await runNode(cli, ['inspect', 'vgg11', '--json'])
  const found = (JSON.parse(list.stdout) as { architectures: { name: string, params: number, macs: number }[] })
    .architectures
  expect(found.map(({ name }) => name)).toEqual(Object.keys(architectures))
  const { params, macs } = JSON.parse(one.stdout) as { params: number, macs: number }
  expect(found.find(({ name }) => name === 'vgg11')).toMatchObject({ params, macs })
  expect((await runNode(cli, ['inspect', '--list'])).stdout).toMatch(/^vgg11 +vgg +\[3,224,224\] +132\.8\d+ M/m)
  expect((await runNode(cli, ['inspect'])).stderr).toMatch(/^inspect: expected a file or an architecture.*--list\n$/)
}, 120_000)

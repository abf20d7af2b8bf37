// A short slice of `npm run test:hostile` (docs/reliability.md): the first inputs of every kind, and proof that the
// harness sees what it looks for.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { HostileCase } from './case.ts'
import { hostileCases } from './cases.ts'
import { startHub } from './hub.ts'
import { makeMaterial, type Material } from './material.ts'
import { runCase } from './run-case.ts'

let folder = '', material: Material, server: Server, endpoint = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hostile-material-'))
  material = await makeMaterial(folder)
  ;({ server, endpoint } = await startHub(material))
}, 240_000)
afterAll(() => {
  server?.close()
  rmSync(folder, { recursive: true, force: true })
})

const slow = 6 // the clock of a crowded machine

test("hostile inputs end with the contract's exit code and a sentence, in time, and change nothing", async () => {
  const wrong: string[] = [], kinds = new Set<string>(), queue = hostileCases(material, endpoint, 7, 36)
  const worker = async () => {
    for (const each of queue) {
      kinds.add(each.kind)
      const { faults } = await runCase(material.cli, each, slow)
      wrong.push(...faults.map((fault) => `${each.kind} ${each.name}: ${fault}`))
    }
  }
  await Promise.all([worker(), worker()])
  expect(wrong).toEqual([])
  expect(kinds.size).toBe(12)
}, 900_000)

test.each<[string, Partial<HostileCase>, string | null]>([
  ['a good run', {}, null],
  ['another exit code', { codes: [2] }, 'exit 0, expected 2'],
  ['a file that is changed', { shell: 'echo more >> net.safetensors' }, 'net.safetensors was changed'],
  ['a file that is lost', { shell: 'rm a.png' }, 'a.png is lost'],
  ['a file that is left', { shell: 'touch .a.partial' }, 'left .a.partial'],
  ['a stack trace', { shell: 'echo "    at main (cli.js:1:1)" >&2' }, 'stderr holds a stack trace'],
  ['what a terminal obeys', { shell: String.raw`printf '\033[31m' >&2` }, 'stderr holds control characters'],
  [
    'a second line on stdout',
    { shell: 'echo note', args: ['inspect', '$/net.safetensors', '--json'] },
    'printed no JSON',
  ],
  ['an end by a signal', { shell: 'kill -KILL $$' }, 'ended by SIGKILL'],
])('the harness, given %s', async (_, planted, told) => {
  const plain = { kind: 'self', name: 'x', files: material.base, args: ['$/net.safetensors'], codes: [0] }
  const obedient = join(folder, 'obedient.mjs')
  writeFileSync(obedient, "console.log('{}')")
  const { faults } = await runCase(obedient, { ...plain, ...planted }, slow)
  if (told === null) expect(faults).toEqual([])
  else expect(faults.join('\n')).toContain(told)
}, 120_000)

test('the harness, given a command that does not end', async () => {
  const endless = { kind: 'self', name: 'x', files: {}, args: ['--help'], codes: [0], shell: 'sleep 60' }
  const { faults } = await runCase(material.cli, endless, 0.05)
  expect(faults.join()).toContain('hangs')
}, 60_000)

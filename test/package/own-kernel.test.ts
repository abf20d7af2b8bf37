// The example of a kernel of one's own from outside: an empty project with the packed package, its entries `espalier`,
// `espalier/bench` and `espalier/testing` found by their names alone, on one device.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { transform } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { emptyProject, linkDependencies, packedPackage } from '../browser/project.mjs'
import { runNode } from '../support/cli.ts'
import { saysOwnKernel } from '../support/examples.ts'

const root = fileURLToPath(new URL('../..', import.meta.url)), stage = `${root}.espalier/test/packed-own-kernel`
let packed: ReturnType<typeof packedPackage>, project = ''
beforeAll(async () => {
  rmSync(stage, { recursive: true, force: true })
  mkdirSync(stage, { recursive: true })
  expect(await runNode(`${root}src/build/bundle.mjs`, [`${stage}/dist`])).toMatchObject({ code: 0, stderr: '' })
  for (const name of ['package.json', 'NOTICE', 'LICENSE', 'README.md']) cpSync(`${root}${name}`, `${stage}/${name}`)
  packed = packedPackage(stage)
  project = emptyProject(packed)
  linkDependencies(project)
}, 120_000)
afterAll(() => {
  packed?.remove()
  for (const folder of [project, stage]) if (folder) rmSync(folder, { recursive: true, force: true })
})

test('checks, times and prints, in fewer than 30 lines beside the kernel', async () => {
  const source = readFileSync(`${root}examples/own-kernel.ts`, 'utf8')
  const { code: script } = await transform(source, { loader: 'ts', format: 'esm' })
  const file = join(project, 'own-kernel.mjs')
  writeFileSync(file, script)
  const { stdout, stderr, code } = await runNode(file, ['cpu'])
  expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
  saysOwnKernel(stdout)
  const own = source.replace(/\/\* wgsl \*\/ `[^`]*`/, '``').split('\n').filter((line) =>
    line.trim() && !line.startsWith('//')
  )
  expect(own.length).toBeLessThan(30)
}, 120_000)

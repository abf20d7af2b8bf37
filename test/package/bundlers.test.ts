// The packed package in an empty project, under bundlers without a configuration; `npm run test:browser` opens the
// pages, and has more bundlers.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bundlers, emptyProject, packedPackage } from '../browser/project.mjs'
import { runNode } from '../support/cli.ts'

const root = fileURLToPath(new URL('../..', import.meta.url)), stage = `${root}.espalier/test/packed`
let packed: ReturnType<typeof packedPackage>
beforeAll(async () => {
  rmSync(stage, { recursive: true, force: true })
  mkdirSync(stage, { recursive: true })
  expect(await runNode(`${root}src/build/bundle.mjs`, [`${stage}/dist`])).toMatchObject({ code: 0, stderr: '' })
  for (const name of ['package.json', 'NOTICE', 'LICENSE', 'README.md']) cpSync(`${root}${name}`, `${stage}/${name}`)
  packed = packedPackage(stage)
}, 120_000)
afterAll(() => packed?.remove())

describe.each(['vite build', 'esbuild'] as const)('%s from an empty folder', (bundler) => {
  let project = '', said = '', scripts: Map<string, string>
  beforeAll(async () => {
    project = emptyProject(packed, { script: bundler === 'vite build' ? '/src/index.js' : 'main.js' })
    said = await bundlers[bundler](project, root)
    const files = readdirSync(join(project, 'dist'), { recursive: true, encoding: 'utf8' })
    scripts = new Map(
      files.filter((name) => name.endsWith('.js')).map((
        name,
      ) => [name, readFileSync(join(project, 'dist', name), 'utf8')]),
    )
  }, 120_000)
  afterAll(() => {
    if (project) rmSync(project, { recursive: true, force: true })
  })

  test('gives one script, in which nothing of Node is named and no file beside it', () => {
    expect(scripts.size).toBe(1)
    const [text] = scripts.values()
    expect(text).not.toMatch(/node:(fs|os|v8|module|worker_threads|crypto)|externalized for browser/)
    expect(text).not.toMatch(/\b(import|require)\s*\(?\s*["'`]webgpu/)
    expect(text).not.toMatch(/\bimport\s*\(|import\.meta/)
    expect(text).not.toMatch(/mozjpeg_dec\.wasm["'`]\s*,\s*import|new URL\(["'`]\.\/worker/)
  })

  test('says nothing that a user would have to look into', () => {
    expect(said.replace(/.*chunks are larger than[^]*/, '')).not.toMatch(/warn|externalized|could not|error/i)
  })
})

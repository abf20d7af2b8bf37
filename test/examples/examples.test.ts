// Every example runs as it stands, in a process of its own, with `espalier` being the sources.
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { expect, test } from 'vitest'
import { runNode } from '../support/cli.ts'
import { saysOwnKernel } from '../support/examples.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** What each example prints, by its file. */
const says: Record<string, (stdout: string) => void> = {
  'prune.ts': (stdout) => {
    expect(stdout).toMatch(
      /% of the filters are gone; \d+ of \d+ units lose elements; scores from 100 reference images/,
    )
    const [dense, relevance, magnitude] = [...stdout.matchAll(/top-1 ([\d.]+) %/g)].map(([, value]) => Number(value))
    expect(dense).toBeGreaterThan(85)
    expect(relevance).toBeGreaterThan(50)
    expect(magnitude).toBeLessThan(dense)
  },
  'own-kernel.ts': saysOwnKernel,
  'own-model.ts': (stdout) => {
    const [, before, after] = /^8 of 16 filters, loss ([\d.]+); loaded, ([\d.]+)\n$/.exec(stdout) ?? []
    expect(Number(before)).toBeGreaterThan(1)
    expect(after).toBe(before)
  },
}

test.each(readdirSync(`${root}examples`).filter((name) => name.endsWith('.ts')))('%s', async (name) => {
  const outfile = `${root}.espalier/test/example-${name.replace(/\.ts$/, '.mjs')}`
  await build({
    absWorkingDir: root,
    entryPoints: [`examples/${name}`],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    alias: {
      'espalier/bench': `${root}src/bench.ts`,
      'espalier/testing': `${root}src/testing.ts`,
      'espalier': `${root}src/index.ts`,
    },
    external: ['webgpu', '@jsquash/*', 'fast-png', 'jpeg-js', 'esbuild', 'tinybench', 'wgsl_reflect'],
    logLevel: 'error',
  })
  const { stdout, stderr, code } = await runNode(outfile, ['cpu'])
  expect(stderr).toBe('')
  expect(code).toBe(0)
  says[name](stdout)
}, 240_000)

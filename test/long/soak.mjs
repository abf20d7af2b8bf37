// Starts soak.ts, bundled from the sources as they are, in a Node that can collect garbage on demand.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../..', import.meta.url)), outfile = `${root}.espalier/test/soak.mjs`
mkdirSync(`${root}.espalier/test`, { recursive: true })
await build({
  absWorkingDir: root,
  entryPoints: ['test/long/soak.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  packages: 'external',
})
const { status } = spawnSync(process.execPath, ['--expose-gc', outfile], { cwd: root, stdio: 'inherit' })
process.exitCode = status ?? 1

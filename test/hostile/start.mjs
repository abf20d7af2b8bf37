// Bundles run.ts, since not every Node that is supported strips types, and runs it.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../..', import.meta.url)), outfile = `${root}.espalier/test/hostile-run.mjs`
await build({
  absWorkingDir: root,
  entryPoints: ['test/hostile/run.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  packages: 'external',
  logLevel: 'error',
})
process.exit(spawnSync(process.execPath, [outfile, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1)

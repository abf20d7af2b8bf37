// The package's entries for Node, each in one file with what they share: opening two hundred small files took longer
// than everything up to the first result. Browsers and their bundlers get the separate files. Runs after tsc, as part
// of the build.
import { chmodSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../../', import.meta.url)), outdir = process.argv[2] ?? `${root}dist/node`
rmSync(outdir, { recursive: true, force: true }) // names of shared files carry a hash, so old ones would pile up
await build({
  absWorkingDir: root,
  outdir,
  entryPoints: { index: 'src/index.ts', models: 'src/models.ts' },
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  packages: 'external',
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
})
if (!process.argv[2]) chmodSync(`${root}dist/src/cli.js`, 0o755) // npx runs the command of a checkout as it lies there

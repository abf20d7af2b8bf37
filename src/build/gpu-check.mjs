// The op checks of `gpu-check`, which are the tests' own tables, as one file with the golden values beside it:
// dist/gpu-check. Needs the kernels embedded; the rest of gpu-check is in dist/bench already.
import { copyFileSync, mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../../', import.meta.url)), out = `${process.argv[2] ?? `${root}dist`}/gpu-check`
mkdirSync(out, { recursive: true })
await build({
  absWorkingDir: root,
  entryPoints: ['test/support/gpu-check-ops.ts'],
  outfile: `${out}/ops.mjs`,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  packages: 'external',
  logLevel: 'warning',
})
copyFileSync(`${root}test/fixtures/golden/ops.safetensors`, `${out}/ops.safetensors`)

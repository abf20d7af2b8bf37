// The package's entries, each in one file with what they share: opening two hundred small files took longer than
// everything up to the first result. For Node in dist/node, where most packages stay apart; for pages in dist/browser,
// where nothing of Node is left and nothing is missing, so that every bundler takes it as it is. Runs after tsc, as
// part of the build.
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { bundleForBrowser, licencesOf, workerScript } from './browser.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url)), dist = process.argv[2] ?? `${root}dist`
const node = `${dist}/node`, browser = `${dist}/browser`
// Else hashed names would pile up.
for (const outdir of [node, browser]) rmSync(outdir, { recursive: true, force: true })
// Packages of many small files are taken in for the same reason; the others are found as they were installed.
const takenIn = new Set(['fast-png', 'd3-scale', 'd3-shape', 'onnx-buf', '@bufbuild/protobuf'])
const apart = {
  name: 'packages apart',
  setup({ onResolve }) {
    onResolve(
      { filter: /^[^./]/ },
      ({ path, importer }) =>
        importer.includes('node_modules') || takenIn.has(path) ? undefined : { path, external: true },
    )
  },
}
const forNode = await build({
  absWorkingDir: root,
  outdir: node,
  entryPoints: { index: 'src/index.ts', models: 'src/models.ts', bench: 'src/bench.ts', testing: 'src/testing.ts' },
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  plugins: [apart],
  sourcemap: true,
  sourcesContent: false,
  legalComments: 'none', // in LICENSES.txt
  metafile: true,
  logLevel: 'warning',
})
writeFileSync(`${node}/LICENSES.txt`, licencesOf(forNode.metafile))

// One file holds both entries: they share one device, and without a dynamic import any output format will do. The
// entries name what is theirs, so that bundlers drop the rest.
mkdirSync(browser, { recursive: true })
const worker = await workerScript()
writeFileSync(`${browser}/worker.js`, worker)
const { metafile } = await bundleForBrowser({
  stdin: {
    contents: `export * from './src/index.ts'\nexport * from './src/models.ts'`,
    resolveDir: root,
    loader: 'ts',
  },
  outfile: `${browser}/espalier.js`,
  legalComments: 'none', // in LICENSES.txt
}, worker)
writeFileSync(`${browser}/LICENSES.txt`, licencesOf(metafile))
for (const entry of ['index', 'models']) {
  const { metafile: { outputs } } = await bundleForBrowser({ entryPoints: [`src/${entry}.ts`], write: false }, '')
  const [{ exports }] = Object.values(outputs)
  writeFileSync(`${browser}/${entry}.js`, `export { ${exports.join(', ')} } from './espalier.js'\n`)
}
if (!process.argv[2]) chmodSync(`${root}dist/src/cli.js`, 0o755) // npx runs the command of a checkout as it lies there

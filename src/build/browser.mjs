// How sources are bundled for browsers, without anything of Node and without files beside: where `x.browser.ts` lies
// beside `x.ts`, it is taken instead; the worker of the embedded device is carried along as text, the JPEG decoder's
// WASM as bytes. Used by the build and by tests.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../../', import.meta.url))

const standIns = {
  name: 'stand-ins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\..*\.ts$/ }, ({ path, resolveDir }) => {
      const file = join(resolveDir, path).replace(/\.ts$/, '.browser.ts')
      return existsSync(file) ? { path: file } : undefined
    })
    // The codec looks for its .wasm beside its own script, which is gone in a bundle; it is given the bytes.
    onLoad({ filter: /mozjpeg_dec\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replaceAll('import.meta', '({ url: "" })'),
    }))
  },
}

/** Options of esbuild that both the worker and what the page imports share. */
const shared = {
  absWorkingDir: root,
  bundle: true,
  platform: 'browser',
  target: 'es2022',
  loader: { '.wasm': 'binary' },
  plugins: [standIns],
  logLevel: 'warning',
}

/** The script of the embedded device's worker, a classic one. */
export async function workerScript() {
  const { outputFiles: [{ text }] } = await build({
    ...shared,
    entryPoints: ['src/cpu/browser/worker.ts'],
    format: 'iife',
    minify: true,
    legalComments: 'none',
    write: false,
  })
  return text
}

/** Bundles entries for pages as esbuild would with these options; gives its result. */
export async function bundleForBrowser(options, worker) {
  return build({
    ...shared,
    format: 'esm',
    define: { WORKER_SCRIPT: JSON.stringify(worker ?? await workerScript()) },
    metafile: true,
    ...options,
  })
}

/** Names, versions and licence texts of the packages whose code is in a bundle. */
export function licencesOf({ inputs }) {
  const folders = new Set(
    Object.keys(inputs).flatMap((file) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []),
  )
  return [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
    const file = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license'].map((each) => join(root, folder, each)).find(
      existsSync,
    )
    return `${name} ${version}, ${license}\n\n${file ? readFileSync(file, 'utf8').trim() : ''}\n`
  }).join(`\n${'-'.repeat(80)}\n\n`)
}

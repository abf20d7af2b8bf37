// In headless Chromium: the embedded device by itself, then every op check through the engine, on the embedded device
// in an isolated page (threads) and in one that is not, and on the browser's own WebGPU (SwiftShader).
//   npm run test:browser        CHROMIUM names the browser if it is not `chromium`
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { isolation, visit } from './chromium.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'espalier-browser-'))

/** The page imports one script and posts what its `run` gives. */
const html = (script, argument) =>
  `<!doctype html><title>espalier</title><script type="module">
const tell = (result) => fetch('/result', { method: 'POST', body: JSON.stringify(result) })
try { tell(await (await import('./${script}.js')).run(${
    JSON.stringify(argument)
  })) } catch (error) { tell({ failures: [String(error && error.stack || error)] }) }
</script>`

/** Serves the page, opens it, and waits for what it posts. */
function visitScript({ isolated, script, argument = '', webgpu = false }) {
  const headers = isolated ? isolation : {}
  const answer = (path) => {
    if (path === '/') return { headers, type: 'text/html', body: html(script, argument) }
    const name = path.replace(/[^\w.-]/g, '')
    const file = name === 'ops.safetensors' ? join(here, '../fixtures/golden', name) : join(folder, name)
    return existsSync(file) ? { headers, type: 'text/javascript', body: readFileSync(file) } : undefined
  }
  return visit({ answer, webgpu })
}

// What is loaded on call stays apart in the pages, or its imports of Node would stand at the head of all; the worker is
// one file, because it starts from a Blob.
const common = {
  outdir: folder,
  entryNames: '[name]',
  bundle: true,
  format: 'esm',
  external: ['webgpu', 'node:*'],
  logLevel: 'error',
}
const pages = ['cpu-device.ts', 'op-checks.ts'].map((name) => join(here, name))
await build({ ...common, entryPoints: pages, splitting: true })
await build({ ...common, entryPoints: [join(here, '../../src/cpu/browser/worker.ts')] })
try {
  for (
    const page of [
      { isolated: true, script: 'cpu-device' },
      { isolated: false, script: 'cpu-device' },
      { isolated: true, script: 'op-checks', argument: 'cpu' },
      { isolated: false, script: 'op-checks', argument: 'cpu' },
      { isolated: true, script: 'op-checks', argument: 'dawn', webgpu: true },
    ].filter(({ script, argument = '' }) => !process.argv[2] || `${script} ${argument}`.includes(process.argv[2]))
  ) {
    const { failures, ...facts } = await visitScript(page)
    console.log(JSON.stringify({ page: `${page.script} ${page.argument ?? ''}`.trim(), ...facts }))
    if (facts.isolated !== page.isolated) failures.push(`the page is ${page.isolated ? 'not ' : ''}isolated`)
    for (const failure of failures) console.error(`FAILED ${failure}`)
    if (failures.length > 0) process.exitCode = 1
  }
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
}

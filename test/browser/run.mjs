// In headless Chromium: the embedded device by itself, then every op check through the engine, on the embedded device
// in an isolated page (threads) and in one that is not, and on the browser's own WebGPU (SwiftShader).
//   npm run test:browser        CHROMIUM names the browser if it is not `chromium`
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = fileURLToPath(new URL('.', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'espalier-browser-'))
const patience = 300_000

/** The page imports one script and posts what its `run` gives. */
const html = (script, argument) =>
  `<!doctype html><title>espalier</title><script type="module">
const tell = (result) => fetch('/result', { method: 'POST', body: JSON.stringify(result) })
try { tell(await (await import('./${script}.js')).run(${
    JSON.stringify(argument)
  })) } catch (error) { tell({ failures: [String(error && error.stack || error)] }) }
</script>`

const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Serves the page, opens it, and waits for what it posts. */
function visit({ isolated, script, argument = '', webgpu = false }) {
  return new Promise((resolve, reject) => {
    const server = createServer((request, response) => {
      if (request.method === 'POST') {
        let text = ''
        request.on('data', (part) => {
          text += part
        })
        request.on('end', () => {
          response.end()
          finish(() => resolve(JSON.parse(text)))
        })
        return
      }
      const headers = isolated
        ? { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' }
        : {}
      if (request.url === '/') {
        response.writeHead(200, { ...headers, 'content-type': 'text/html' }).end(html(script, argument))
        return
      }
      try {
        const name = request.url.replace(/[^\w.-]/g, '')
        const body = readFileSync(
          name === 'ops.safetensors' ? join(here, '../fixtures/golden', name) : join(folder, name),
        )
        response.writeHead(200, { ...headers, 'content-type': 'text/javascript' }).end(body)
      } catch {
        response.writeHead(404).end()
      }
    })
    let browser, log = '', timer
    const finish = (then) => {
      clearTimeout(timer)
      server.close()
      server.closeAllConnections()
      if (!browser) {
        then()
        return
      }
      browser.once('exit', then) // until then it writes to the profile, which is to be removed
      browser.kill()
    }
    server.listen(0, '127.0.0.1', () => {
      browser = spawn(process.env.CHROMIUM ?? 'chromium', [
        ...flags,
        '--remote-debugging-port=0',
        ...webgpu ? ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'] : ['--disable-gpu'],
        `--user-data-dir=${mkdtempSync(join(folder, 'profile-'))}`,
        `http://localhost:${server.address().port}/`,
      ], { stdio: ['ignore', 'ignore', 'pipe'] })
      browser.stderr.on('data', (part) => {
        log += part
      })
      browser.on('error', (error) => {
        browser = undefined
        finish(() =>
          reject(
            new Error(
              `no browser: ${error.message}; on Debian: apt-get install --no-install-recommends chromium, or set CHROMIUM to another Chromium`,
            ),
          )
        )
      })
      timer = setTimeout(
        () => finish(() => reject(new Error(`no result after ${patience / 1000} s\n${log}`))),
        patience,
      )
    })
  })
}

await build({
  entryPoints: [join(here, 'cpu-device.ts'), join(here, 'op-checks.ts'), join(here, '../../src/cpu/browser/worker.ts')],
  outdir: folder,
  entryNames: '[name]',
  bundle: true,
  format: 'esm',
  external: ['webgpu', 'node:*'],
  logLevel: 'error',
})
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
    const { failures, ...facts } = await visit(page)
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

// The embedded device in headless Chromium, in an isolated page (threads) and in one that is not.
//   node test/browser/run.mjs        CHROMIUM names the browser if it is not `chromium`
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = fileURLToPath(new URL('.', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'espalier-browser-'))
const patience = 120_000

const html = `<!doctype html><title>espalier</title><script type="module">
const tell = (result) => fetch('/result', { method: 'POST', body: JSON.stringify(result) })
try { tell(await (await import('./cpu-device.js')).run()) } catch (error) { tell({ failures: [String(error && error.stack || error)] }) }
</script>`

/** Serves the page, opens it, and waits for what it posts. */
function visit(isolated) {
  return new Promise((resolve, reject) => {
    const server = createServer((request, response) => {
      if (request.method === 'POST') {
        let text = ''
        request.on('data', (part) => { text += part })
        request.on('end', () => { response.end(); finish(() => resolve(JSON.parse(text))) })
        return
      }
      const headers = isolated ? { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' } : {}
      if (request.url === '/') { response.writeHead(200, { ...headers, 'content-type': 'text/html' }).end(html); return }
      try {
        const body = readFileSync(join(folder, request.url.replace(/[^\w.-]/g, '')))
        response.writeHead(200, { ...headers, 'content-type': 'text/javascript' }).end(body)
      } catch {
        response.writeHead(404).end()
      }
    })
    let browser, log = '', timer
    const finish = (then) => {
      clearTimeout(timer)
      browser?.kill()
      server.close()
      server.closeAllConnections()
      then()
    }
    server.listen(0, '127.0.0.1', () => {
      browser = spawn(process.env.CHROMIUM ?? 'chromium', ['--headless', '--no-sandbox', '--disable-gpu', '--remote-debugging-port=0',
        `--user-data-dir=${mkdtempSync(join(folder, 'profile-'))}`, `http://localhost:${server.address().port}/`], { stdio: ['ignore', 'ignore', 'pipe'] })
      browser.stderr.on('data', (part) => { log += part })
      browser.on('error', (error) => finish(() => reject(new Error(`no browser: ${error.message}; install chromium or set CHROMIUM`))))
      timer = setTimeout(() => finish(() => reject(new Error(`no result after ${patience / 1000} s\n${log}`))), patience)
    })
  })
}

await build({ entryPoints: [join(here, 'cpu-device.ts'), join(here, '../../src/cpu/browser-worker.ts')], outdir: folder, entryNames: '[name]',
  bundle: true, format: 'esm', external: ['webgpu'], logLevel: 'error' })
try {
  for (const isolated of [true, false]) {
    const { failures, ...facts } = await visit(isolated)
    console.log(JSON.stringify(facts))
    if (facts.isolated !== isolated) failures.push(`the page is ${isolated ? 'not ' : ''}isolated`)
    for (const failure of failures) console.error(`FAILED ${failure}`)
    if (failures.length > 0) process.exitCode = 1
  }
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
}

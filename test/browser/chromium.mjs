// A headless Chromium that opens a page, which posts its findings to /result.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const patience = 300_000

const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** The headers that isolate a page, so that it gets shared memory, and with it threads. */
export const isolation = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
}

/**
 * Serves what `answer(path)` gives ({ body, type, headers }, or nothing for 404) on a port of its own, and opens `page`
 * there, or an address elsewhere. Gives what the page posts to /result of this server.
 */
export function visit({ answer = () => undefined, page = '/', webgpu = false }) {
  return new Promise((resolve, reject) => {
    const server = createServer((request, response) => {
      if (request.method === 'POST') {
        let text = ''
        request.on('data', (part) => {
          text += part
        })
        request.on('end', () => {
          response.writeHead(200, { 'access-control-allow-origin': '*' }).end()
          finish(() => resolve(JSON.parse(text)))
        })
        return
      }
      const found = answer(new URL(request.url, 'http://localhost').pathname)
      if (found) response.writeHead(200, { 'content-type': found.type, ...found.headers }).end(found.body)
      else response.writeHead(404).end()
    })
    const profile = mkdtempSync(join(tmpdir(), 'espalier-profile-'))
    let browser, log = '', timer
    const finish = (then) => {
      clearTimeout(timer)
      server.close()
      server.closeAllConnections()
      const tidied = (tries = 20) => {
        try {
          rmSync(profile, { recursive: true, force: true })
        } catch (error) { // its own processes write to the profile for a moment after it has ended
          if (tries > 0) {
            setTimeout(tidied, 200, tries - 1)
            return
          }
          console.error(error.message)
        }
        then()
      }
      if (!browser) {
        tidied()
        return
      }
      browser.once('exit', () => tidied())
      browser.kill()
    }
    server.listen(0, '127.0.0.1', () => {
      const here = `http://localhost:${server.address().port}`
      const address = new URL(typeof page === 'function' ? page(here) : page, here)
      browser = spawn(process.env.CHROMIUM ?? 'chromium', [
        ...flags,
        '--remote-debugging-port=0',
        '--enable-logging=stderr',
        ...webgpu ? ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'] : ['--disable-gpu'],
        `--user-data-dir=${profile}`,
        address.href,
      ], { stdio: ['ignore', 'ignore', 'pipe'] })
      browser.stderr.on('data', (part) => {
        log += part
      })
      browser.on('error', (error) => {
        browser = undefined
        finish(() =>
          reject(
            new Error(
              `no browser: ${error.message}; on Debian: apt-get install --no-install-recommends chromium, `
                + 'or set CHROMIUM to another Chromium',
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

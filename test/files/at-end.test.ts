// What is cleaned up when a process ends, in processes of their own: by itself, by a signal, and not after it was
// called off.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, readFileSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildSync } from 'esbuild'
import { afterAll, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'espalier-at-end-'))
afterAll(() => rmSync(folder, { recursive: true }))
const module = join(folder, 'at-end.mjs')
buildSync({ entryPoints: ['src/files/at-end.ts'], bundle: true, platform: 'node', format: 'esm', outfile: module })

/** Runs a program that may write `said`, kills it once it says that it waits, and gives how it ended. */
function run(name: string, body: string, signal?: NodeJS.Signals) {
  const said = join(folder, name)
  const program = `
    import { atEnd } from ${JSON.stringify(module)}
    import { appendFileSync } from 'node:fs'
    const say = (text) => appendFileSync(${JSON.stringify(said)}, text)
    ${body}`
  return new Promise<{ code: number | null, signal: string | null, text: string }>((resolve) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    if (signal) child.stdout.once('data', () => child.kill(signal))
    child.on(
      'close',
      (code, ended) => resolve({ code, signal: ended, text: existsSync(said) ? readFileSync(said, 'utf8') : '' }),
    )
  })
}
const wait = "console.log('waits'); setTimeout(() => {}, 20000)"

test('cleanups run at exit, in order, and not the one that was called off', async () => {
  const body = "atEnd(() => say('a')); const off = atEnd(() => say('b')); atEnd(() => say('c')); off()"
  expect(await run('exit', body)).toEqual({ code: 0, signal: null, text: 'ac' })
})

test('a signal cleans up and still ends the process as a signal', async () => {
  expect(await run('signal', `atEnd(() => say('a')); ${wait}`, 'SIGTERM'))
    .toEqual({ code: null, signal: 'SIGTERM', text: 'a' })
})

test("a program's own handler goes on living", async () => {
  const body = `process.on('SIGINT', () => { say('own'); process.exit(7) }); atEnd(() => say('a')); ${wait}`
  const { code, text } = await run('own', body, 'SIGINT')
  expect(code).toBe(7)
  expect(text.split('').sort().join('')).toBe('aown'.split('').sort().join(''))
})

test('with nothing left to clean up, no handler stays', async () => {
  const body = "const off = atEnd(() => {}); say(process.listenerCount('SIGINT') + ','); off(); off(); "
    + "say(process.listenerCount('SIGINT') + ',' + process.listenerCount('SIGHUP'))"
  expect((await run('none', body)).text).toBe('1,0,0')
})

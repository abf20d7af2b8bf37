// The example server, a process of its own: right answers, two networks at once, and an event loop that stays free.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { encode } from 'fast-png'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const records = readFileSync(`${root}models/data/cifar10/test200.bin`), RECORD = 3073
let server: ChildProcess, address = ''

/** A record of the test set as a PNG; its label is the record's first byte. */
function picture(index: number): Uint8Array<ArrayBuffer> {
  const at = index * RECORD + 1, data = new Uint8Array(32 * 32 * 3)
  for (let i = 0; i < 1024; i++) for (let c = 0; c < 3; c++) data[3 * i + c] = records[at + 1024 * c + i]
  return new Uint8Array(encode({ width: 32, height: 32, data, channels: 3, depth: 8 }))
}

/** Tells the 99th percentile of its own event-loop delay in milliseconds once its input ends. */
const idler = `const delay = require('node:perf_hooks').monitorEventLoopDelay({ resolution: 1 })
delay.enable()
process.stdin.resume().on('end', () => console.log(delay.percentile(99) / 1e6))`

interface Answer {
  class: number
  probability: number
  error?: string
}
const post = async (bytes: Uint8Array<ArrayBuffer>, model: number | string): Promise<Answer> =>
  await (await fetch(`${address}/?model=${model}`, { method: 'POST', body: bytes })).json() as Answer
const lag = async () => await (await fetch(`${address}/lag`)).json() as { p50: number, p99: number, max: number }

beforeAll(async () => {
  const outfile = `${root}.espalier/test/server.mjs`
  await build({
    absWorkingDir: root,
    entryPoints: ['examples/server/server.mjs'],
    alias: { espalier: './src/index.ts' },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'error',
  })
  server = spawn(process.execPath, [outfile, '0'], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(server.stdout!, 'data') as [Buffer]
  address = /http:\S+/.exec(String(line))![0]
}, 120_000)
afterAll(async () => {
  const ended = once(server, 'exit')
  server.kill('SIGTERM')
  expect(await ended).toEqual([0, null])
})

test('parallel requests to two networks get the answers of single ones, and leave the event loop free', async () => {
  const pictures = Array.from({ length: 20 }, (_, i) => picture(i))
  const single: Answer[] = []
  for (const bytes of pictures) single.push(await post(bytes, 0))
  const right = single.filter((answer, i) => answer.class === records[i * RECORD]).length
  expect(right).toBeGreaterThanOrEqual(17)
  await lag()
  // a busy neighbour on the machine delays timers too: the best of a few rounds counts, beside a process that does
  // nothing
  const idle = spawn(process.execPath, ['-e', idler], { stdio: ['pipe', 'pipe', 'inherit'] })
  const rounds: number[] = []
  for (let round = 0; round < 6 && Math.min(Infinity, ...rounds) >= 20; round++) {
    for (let again = 0; again < 3; again++) {
      const answers = await Promise.all(pictures.map((bytes, i) => post(bytes, i % 2)))
      for (const [i, answer] of answers.entries()) {
        expect(answer.class).toBe(single[i].class)
        expect(answer.probability).toBeCloseTo(single[i].probability, 5)
      }
    }
    rounds.push((await lag()).p99)
  }
  idle.stdin.end()
  const [text] = await once(idle.stdout, 'data') as [Buffer]
  expect(Math.min(...rounds)).toBeLessThan(Math.max(20, 3 * Number(String(text))))
}, 120_000)

test('the measuring script tells the delay beside that of a process that waits', async () => {
  const load = spawn(process.execPath, ['examples/server/load.mjs', address, '10', '2'], { cwd: root })
  let said = ''
  load.stdout.on('data', (part: Buffer) => {
    said += part
  })
  expect(await once(load, 'close')).toEqual([0, null])
  const [requests, server, idle] = said.trim().split('\n')
  expect(Number(/^20 requests, 10 at once: [\d.]+\/s, (\d+) of the answers right$/.exec(requests)?.[1]))
    .toBeGreaterThan(16)
  const delay = /: p50 ([\d.]+), p99 ([\d.]+), most ([\d.]+) ms/
  for (const line of [server, idle]) {
    const [p50, p99, most] = delay.exec(line)!.slice(1).map(Number)
    expect(p50 > 0 && p50 <= p99 && p99 <= most, line).toBe(true)
  }
}, 120_000)

test('what is no picture is refused with a sentence, and the server goes on', async () => {
  expect(await post(new Uint8Array([1, 2, 3]), 0)).toMatchObject({ error: expect.stringMatching(/JPEG or PNG/) })
  expect(await post(picture(0), 7)).toMatchObject({ error: expect.stringMatching(/expected 0 or 1/) })
  expect(await post(picture(3), 1)).toMatchObject({ class: records[3 * RECORD] })
}, 60_000)

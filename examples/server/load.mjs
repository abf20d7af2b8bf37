// How long the example server's event loop is kept waiting while it computes:
//
//   node examples/server/server.mjs 8080 &
//   node examples/server/load.mjs http://127.0.0.1:8080 20 30   20 at once, 30 times, to both networks in turn
//
// Prints the server's event-loop delay, and beside it that of this process, which does nothing but wait: what that one
// shows is the machine's own doing.
import { readFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { crc32, deflateSync } from 'node:zlib'

const [address = 'http://127.0.0.1:8080', parallel = 20, rounds = 30] = process.argv.slice(2)
const records = readFileSync(fileURLToPath(new URL('../../models/data/cifar10/test200.bin', import.meta.url)))
const RECORD = 3073, SIDE = 32

/** A chunk of a PNG. */
function chunk(type, body) {
  const bytes = Buffer.concat([Buffer.alloc(4), Buffer.from(type), body, Buffer.alloc(4)])
  bytes.writeUInt32BE(body.length, 0)
  bytes.writeUInt32BE(crc32(bytes.subarray(4, -4)), bytes.length - 4)
  return bytes
}

/** A record of the test set as a PNG; its label is the record's first byte. */
function picture(index) {
  const at = index * RECORD + 1, rows = Buffer.alloc(SIDE * (1 + 3 * SIDE)), header = Buffer.alloc(13)
  for (let i = 0; i < SIDE * SIDE; i++) {
    for (let c = 0; c < 3; c++) rows[Math.floor(i / SIDE) + 1 + 3 * i + c] = records[at + SIDE * SIDE * c + i]
  }
  header.writeUInt32BE(SIDE, 0)
  header.writeUInt32BE(SIDE, 4)
  header.set([8, 2], 8)
  const start = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([start, chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))])
}

const pictures = Array.from({ length: Number(parallel) }, (_, i) => picture(i % 200))
const post = async (bytes, network) =>
  await (await fetch(`${address}/?model=${network}`, { method: 'POST', body: bytes })).json()
const lag = async () => await (await fetch(`${address}/lag`)).json()

await Promise.all(pictures.map((bytes, i) => post(bytes, i % 2))) // kernels are compiled at the first call
await lag()
const idle = monitorEventLoopDelay({ resolution: 1 })
idle.enable()
const start = performance.now()
let right = 0
for (let round = 0; round < Number(rounds); round++) {
  const answers = await Promise.all(pictures.map((bytes, i) => post(bytes, i % 2)))
  right += answers.filter((answer, i) => answer.class === records[(i % 200) * RECORD]).length
}
const seconds = (performance.now() - start) / 1000, count = pictures.length * Number(rounds), server = await lag()
const delay = ({ p50, p99, max }) => `p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, most ${max.toFixed(1)} ms`
console.log(`${count} requests, ${parallel} at once: ${(count / seconds).toFixed(1)}/s, ${right} of the answers right`)
console.log(`event-loop delay of the server: ${delay(server)}`)
console.log(
  `of this process, which waits: ${
    delay({ p50: idle.percentile(50) / 1e6, p99: idle.percentile(99) / 1e6, max: idle.max / 1e6 })
  }; load of the machine ${loadavg()[0].toFixed(1)}`,
)

// A small HTTP server: two ResNet-20 of the package classify posted pictures, on the embedded device of this process.
//
//   node examples/server/server.mjs 8080
//   curl --data-binary @picture.png 'http://127.0.0.1:8080/?model=1'
//   curl http://127.0.0.1:8080/lag        event-loop delay since the last look, in milliseconds
//   node examples/server/load.mjs http://127.0.0.1:8080       20 requests at once, and the delay meanwhile
//
// Long passes give the event loop a turn every few milliseconds, so that the server answers while it computes.
import { createServer } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { close, init, InputError, loadCheckpoint, loadImage, scope, tensor } from 'espalier'

const LARGEST = 8 * 2 ** 20, BATCH = 8
const file = fileURLToPath(new URL('../../models/data/cifar10/resnet20.safetensors', import.meta.url))

await init({ adapter: 'cpu' })
const networks = [classifier(await loadCheckpoint(file)), classifier(await loadCheckpoint(file))]
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()

/** The posted bytes; refuses more than `LARGEST`. */
async function body(request) {
  const parts = []
  let size = 0
  for await (const part of request) {
    size += part.length
    if (size > LARGEST) throw new InputError(`expected a picture of at most ${LARGEST} bytes`)
    parts.push(part)
  }
  return new Uint8Array(Buffer.concat(parts))
}

/** Answers pictures of one network; those that wait go through it together, one batch after the other. */
function classifier({ model, preprocessing, classes }) {
  let waiting = [], busy = false
  const work = async () => {
    busy = true
    while (waiting.length > 0) {
      const batch = waiting.slice(0, BATCH)
      waiting = waiting.slice(BATCH)
      try {
        const [{ input, pixels: { channels, height, width } }] = batch,
          all = new Float32Array(batch.length * input.length)
        batch.forEach((one, i) => all.set(one.input, i * input.length))
        const x = tensor(all, [batch.length, channels, height, width]), logits = scope(() => model.call(x))
        x.dispose()
        const values = await logits.data(), count = values.length / batch.length
        logits.dispose()
        batch.forEach(({ resolve }, i) => resolve(answer(values.slice(i * count, (i + 1) * count), classes)))
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    busy = false
  }
  return async (bytes) => {
    const image = await loadImage(bytes, preprocessing)
    return new Promise((resolve, reject) => {
      waiting.push({ ...image, resolve, reject })
      if (!busy) void work()
    })
  }
}

/** Class and probability. */
function answer(logits, classes) {
  const most = Math.max(...logits), best = logits.indexOf(most)
  const sum = logits.reduce((total, value) => total + Math.exp(value - most), 0)
  return { class: best, name: classes?.[best], probability: 1 / sum }
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'http://localhost')
  let status = 200, reply
  try {
    const network = networks[Number(url.searchParams.get('model') ?? 0)]
    if (url.pathname === '/lag') {
      reply = { p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 }
      delay.reset()
    } else if (!network) throw new InputError(`model: expected 0 or 1, got ${url.searchParams.get('model')}`)
    else reply = await network(await body(request))
  } catch (error) {
    status = error instanceof InputError ? 400 : 500
    reply = { error: error.message }
  }
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(reply))
})
server.listen(Number(process.argv[2] ?? 8080), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})
process.once('SIGTERM', () => {
  server.close(() => void close())
  server.closeAllConnections()
})

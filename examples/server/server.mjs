// A small HTTP server: two ResNet-20 of the package classify posted pictures, on the embedded device of this process.
//
//   node examples/server/server.mjs 8080
//   curl --data-binary @picture.png 'http://127.0.0.1:8080/?model=1'
//   curl http://127.0.0.1:8080/lag        event-loop delay since the last look, in milliseconds
//
// Long passes give the event loop a turn every few milliseconds, so that the server answers while it computes.
import { createServer } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { close, init, InputError, loadCheckpoint, loadImage, scope, tensor } from 'espalier'

const LARGEST = 8 * 2 ** 20
const file = fileURLToPath(new URL('../../models/data/cifar10/resnet20.safetensors', import.meta.url))

await init({ adapter: 'cpu' })
const networks = [await loadCheckpoint(file), await loadCheckpoint(file)]
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

/** Class and probability of a picture. */
async function classify({ model, preprocessing, classes }, bytes) {
  const { input, pixels } = await loadImage(bytes, preprocessing)
  const x = tensor(input, [1, 3, pixels.height, pixels.width])
  const logits = scope(() => model.call(x))
  x.dispose()
  const values = Array.from(await logits.data())
  logits.dispose()
  const most = Math.max(...values), best = values.indexOf(most)
  const sum = values.reduce((total, value) => total + Math.exp(value - most), 0)
  return { class: best, name: classes?.[best], probability: 1 / sum }
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'http://localhost')
  let status = 200, answer
  try {
    const network = networks[Number(url.searchParams.get('model') ?? 0)]
    if (url.pathname === '/lag') {
      answer = { p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 }
      delay.reset()
    } else if (!network) throw new InputError(`model: expected 0 or 1, got ${url.searchParams.get('model')}`)
    else answer = await classify(network, await body(request))
  } catch (error) {
    status = error instanceof InputError ? 400 : 500
    answer = { error: error.message }
  }
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
})
server.listen(Number(process.argv[2] ?? 8080), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})
process.once('SIGTERM', () => {
  server.close(() => void close())
  server.closeAllConnections()
})

// Runs in a page: the embedded device behind messages, from first adapter to destroy. Returns what went wrong, or
// nothing.
import { createBrowserGpu } from '../../src/cpu/browser/page.ts'
import { affine, inPass, problemOf, readWords, setUp, usage, wordsBuffer } from '../support/gpus.ts'

const words = (...values: number[]): Uint32Array<ArrayBuffer> => new Uint32Array(values)

/** What the page found: the adapter's description, times in milliseconds, and every check that failed. */
export interface Findings {
  isolated: boolean
  adapter: string
  firstResult: number
  longestBlock: number
  failures: string[]
}

/** All checks, one after the other. */
export async function run(): Promise<Findings> {
  const failures: string[] = []
  const same = (what: string, got: unknown, expected: unknown): void => {
    if (JSON.stringify(got) !== JSON.stringify(expected)) {
      failures.push(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`)
    }
  }
  const begin = performance.now()
  const adapter = (await createBrowserGpu().requestAdapter())!
  const device = await adapter.requestDevice({ requiredFeatures: ['timestamp-query'] })
  const x = wordsBuffer(device, words(0, 1, 2, 3)), y = wordsBuffer(device, words(0, 0, 0, 0))
  const small = setUp(device, affine, [x, y])
  inPass(device, (pass) => {
    small(pass)
    pass.dispatchWorkgroups(1)
  })
  same('a small kernel', [...await readWords(device, y)], [1, 4, 7, 10])
  const firstResult = performance.now() - begin

  // the page's thread stays free while the device works: a timer that is due every 4 ms is never kept waiting for long
  let last = performance.now(), longestBlock = 0
  const watch = setInterval(() => {
    longestBlock = Math.max(longestBlock, performance.now() - last)
    last = performance.now()
  }, 4)
  const n = 1 << 20
  const from = wordsBuffer(device, new Uint32Array(n).map((_, i) => i)), to = wordsBuffer(device, new Uint32Array(n))
  const large = setUp(device, affine, [from, to])
  last = performance.now()
  longestBlock = 0
  for (let round = 0; round < 10; round++) {
    inPass(device, (pass) => {
      for (let i = 0; i < 20; i++) {
        large(pass)
        pass.dispatchWorkgroups(n / 64)
      }
    })
    await device.queue.onSubmittedWorkDone()
  }
  clearInterval(watch)
  same('a million words', (await readWords(device, to)).findIndex((word, i) => word !== 3 * i + 1), -1)

  same(
    'a validation error',
    (await problemOf(device, (d) => d.createBuffer({ label: 'useless', size: 4, usage: 0 })))?.includes('"useless"'),
    true,
  )
  let uncaptured = ''
  device.onuncapturederror = (event) => {
    uncaptured = event.error.message
  }
  device.createBuffer({ label: 'unseen', size: 4, usage: 0 })
  await device.queue.onSubmittedWorkDone()
  same('an uncaptured error', uncaptured.includes('"unseen"'), true)
  device.onuncapturederror = null

  const created = device.createBuffer({ size: 16, usage: usage.COPY_SRC, mappedAtCreation: true })
  const range = created.getMappedRange(8, 8)
  new Uint32Array(range).set([5, 6])
  created.unmap()
  same('a range after unmap', range.byteLength, 0)
  same('mapping at creation', [...await readWords(device, created)], [0, 0, 5, 6])
  const written = device.createBuffer({ size: 16, usage: usage.MAP_WRITE | usage.COPY_SRC })
  await written.mapAsync(2, 8)
  new Uint32Array(written.getMappedRange(8)).set([8, 9])
  written.unmap()
  same('writing by a map', [...await readWords(device, written)], [0, 0, 8, 9])
  const staging = device.createBuffer({ size: 16, usage: usage.MAP_READ | usage.COPY_DST })
  const pending = staging.mapAsync(1).catch((error: Error) => error.name)
  staging.unmap()
  same('an unmapped map', await pending, 'AbortError')
  same(
    'a map without its usage',
    await problemOf(device, (d) => d.createBuffer({ size: 4, usage: usage.COPY_DST }).mapAsync(1).catch(() => 0))
      !== null,
    true,
  )

  device.pushErrorScope('validation')
  const broken = device.createShaderModule({ code: 'fn main() { let a = ; }' })
  same('a shader with a mistake', (await device.popErrorScope())?.constructor.name, 'GPUValidationError')
  same('its position', (await broken.getCompilationInfo()).messages.map(({ lineNum, linePos }) => [lineNum, linePos]), [
    [1, 21],
  ])
  const asynchronous = await device.createComputePipelineAsync({ layout: 'auto', compute: { module: broken } }).catch((
    error: Error,
  ) => error.name)
  same('a pipeline of it', asynchronous, 'GPUPipelineError')

  device.destroy()
  same('the loss', (await device.lost).reason, 'destroyed')
  return { isolated: crossOriginIsolated, adapter: adapter.info.description, firstResult, longestBlock, failures }
}

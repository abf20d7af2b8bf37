// The embedded device beside what else the same cores can run: ONNX Runtime's CPU provider, the WebGPU peers and
// ourselves on a software driver (lavapipe), and a plain copy of memory. Everything in one run, with the same number of
// threads.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { Block } from '../models/vit.ts'
import { createCpuGpu } from '../src/cpu/index.ts'
import { InputError, NumericError } from '../src/base/errors.ts'
import { close, gpu, init } from '../src/gpu/device.ts'
import { tuned } from '../src/gpu/tune.ts'
import { initialize } from '../src/nn/init.ts'
import { add, gelu, scale, square } from '../src/ops/elementwise.ts'
import { layerNorm } from '../src/ops/layernorm.ts'
import { sum } from '../src/ops/reduce.ts'
import { matmul } from '../src/ops/matmul/matmul.ts'
import { softmax } from '../src/ops/softmax.ts'
import { fillNormal, fillUniform } from '../src/base/random.ts'
import { type Tensor, tensor } from '../src/core/tensor.ts'
import { scope, valueAndGrad } from '../src/core/transform.ts'
import { disposeTree } from '../src/core/tree.ts'
import { quantile } from '../src/base/turns.ts'
import type { OnProgress } from '../src/pruning/progress.ts'
import { relativeError } from '../src/base/relative-error.ts'
import type { Row } from './harness.ts'
import { loadOrtCpu, loadPeer, type Peer, type PeerName } from './peers.ts'
import { requireInstalled } from './rivals/peer.ts'

/** Threads of everything that can choose; words that pick cases; where progress goes. */
export interface EmbeddedOptions {
  threads?: number
  only?: string[]
  onProgress?: OnProgress
}

/**
 * One case: on whichever adapter is open, `run` computes once and resolves when that is done; `check` computes once and
 * reads back.
 */
interface Case {
  name: string
  shape: string
  flops: number
  bytes: number
  run(): Promise<unknown>
  check(): Promise<ArrayLike<number>>
  dispose(): void
}

const products = [[512, 512, 512], [197, 768, 192]] as const
const lavapipe = 'espalier on lavapipe', onWebGpu = ['tfjs', 'jax-js', 'ort'] as const

/**
 * Rows of everything that issue 3 sets a mark for; a row of ours says in its note by how much it beats or misses its
 * mark.
 * @throws NumericError if two implementations disagree, InputError if the peers are not installed or nothing matches
 * `only`.
 */
export async function embeddedRows(
  { threads = 2, only, onProgress = () => undefined }: EmbeddedOptions = {},
): Promise<Row[]> {
  const wanted = (name: string) => !only || only.some((word) => name.includes(word))
  const peers: readonly (PeerName | 'ort-cpu')[] = wanted('matmul') ? ['ort-cpu', ...onWebGpu] : []
  for (const name of peers) requireInstalled(name) // before anything is measured
  const rows: Row[] = [], results = new Map<string, ArrayLike<number>>()
  const onAdapter = async (adapter: string, impl: string, makers: readonly (() => Case)[]) => {
    await init({ adapter, threads, fixedVariants: false })
    for (const [i, make] of makers.entries()) {
      const test = make()
      onProgress(impl, i, makers.length, `${test.name} ${test.shape}`)
      rows.push(await measureCase(test, impl, results))
      test.dispose()
    }
    onProgress(impl, makers.length, makers.length)
    await close()
  }
  if (wanted('first result')) rows.push(firstResult(threads))
  if (wanted('dispatch')) rows.push(await dispatchCost(threads))
  if (wanted('elementwise')) rows.push(await copyRow(threads))
  const both = [
    ...wanted('matmul') ? products.map((shape) => () => productCase(shape)) : [],
    ...(['softmax', 'layernorm'] as const).filter(wanted).map((name) => () => rowsCase(name)),
    ...wanted('block') ? [blockCase] : [],
  ]
  const alone = wanted('elementwise')
    ? (['scale', 'add', 'gelu'] as const).map((name) => () => elementwiseCase(name))
    : []
  if (both.length + alone.length) await onAdapter('cpu', 'espalier', [...both, ...alone])
  for (const name of peers) {
    const peer = name === 'ort-cpu' ? await loadOrtCpu(threads) : await loadPeer(name, threads)
    for (const [i, shape] of products.entries()) {
      onProgress(name, i, products.length, `matmul ${shape.join('x')}`)
      rows.push(await measureCase(await peerCase(peer, shape), name, results))
    }
    onProgress(name, products.length, products.length)
  }
  if (both.length) await onAdapter('dawn', lavapipe, both)
  if (!rows.length) throw new InputError(`bench embedded: nothing matches --only ${only?.join(',')}`)
  for (const row of rows.filter(({ impl }) => impl === 'espalier')) {
    row.note = [row.note, ...verdicts(row, rows)].filter(Boolean).join('; ')
  }
  return rows
}

// ---- what has to be reached -------------------------------------------------------------------------------------

function verdicts(row: Row, rows: readonly Row[]): string[] {
  const of = (impl: string, name = row.name, shape: string | null = row.shape) =>
    rows.find((other) => other.impl === impl && other.name === name && (shape === null || other.shape === shape))
  const said: string[] = []
  const times = (ratio: number, than: string, least: number) =>
    said.push(`${ratio.toFixed(2)} times ${than} (at least ${least}${ratio < least ? ': MISSED' : ''})`)
  const most = (value: number, limit: number, unit: string) =>
    said.push(`at most ${limit} ${unit}${value > limit ? ': MISSED' : ''}`)
  const speed = (other: Row | undefined) => other ? other.msMedian / row.msMedian : NaN
  if (row.name === 'matmul') {
    times(speed(of('ort-cpu')), "ONNX Runtime's CPU provider", row.shape === '512x512x512' ? 0.3 : 0.25)
    const best = onWebGpu.flatMap((name) => of(name) ?? []).sort((a, b) => a.msMedian - b.msMedian)[0]
    times(speed(best), `${best?.impl} on lavapipe`, 8)
  }
  if (row.name === 'softmax' || row.name === 'layernorm') times(speed(of(lavapipe)), lavapipe, 4)
  if (row.name === 'block forward and backward') times(speed(of(lavapipe)), lavapipe, 6)
  if (row.name === 'elementwise scale' || row.name === 'elementwise add') { // gelu computes more than it moves
    times(row.gbps! / (of('copy', 'elementwise copy', null)?.gbps ?? NaN), 'the copy bandwidth', 0.6)
  }
  if (row.name === 'first result') most(row.msMedian, 150, 'ms')
  if (row.name === 'dispatch') most(row.msMedian * 1000, 3, 'us')
  return said
}

// ---- timing -----------------------------------------------------------------------------------------------------

/**
 * Checks against what the first implementation of a case gave, warms up for 0.4 s and times for another 0.8 s, at least
 * five runs.
 */
async function measureCase(
  { name, shape, flops, bytes, run, check }: Case,
  impl: string,
  results: Map<string, ArrayLike<number>>,
): Promise<Row> {
  const key = `${name} ${shape}`, found = await check(), expected = results.get(key) ?? found
  const maxRelError = relativeError(found, expected), tolerance = name.startsWith('block') ? 1e-4 : 1e-5
  if (!(maxRelError <= tolerance)) {
    throw new NumericError(
      `embedded ${key}: ${impl} differs from the embedded device by ${
        maxRelError.toExponential(1)
      }, expected at most ${tolerance}; not timed`,
    )
  }
  results.set(key, expected)
  await tuned()
  return row(name, shape, impl, await samplesOf(run), { flops, bytes, maxRelError })
}

async function samplesOf(run: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [], begin = performance.now()
  for (let warm = 0; warm < 3 || performance.now() - begin < 400; warm++) await run()
  const end = performance.now() + 800
  while (times.length < 5 || performance.now() < end) {
    const start = performance.now()
    await run()
    times.push(performance.now() - start)
  }
  return times
}

function row(
  name: string,
  shape: string,
  impl: string,
  times: readonly number[],
  { flops = 0, bytes = 0, maxRelError = null, note = '' }: Partial<Pick<Row, 'maxRelError' | 'note'>> & {
    flops?: number,
    bytes?: number,
  } = {},
): Row {
  const msMedian = quantile(times, 0.5)
  const msMad = quantile(times.map((ms) => Math.abs(ms - msMedian)), 0.5)
  return {
    suite: 'embedded',
    name,
    shape,
    impl,
    msMedian,
    msMad,
    runs: times.length,
    gflops: flops ? flops / msMedian / 1e6 : null,
    gbps: bytes ? bytes / msMedian / 1e6 : null,
    maxRelError,
    note,
    msP10: quantile(times, 0.1),
    msDevice: null,
  }
}

// ---- cases on whichever adapter is open -------------------------------------------------------------------------

/** Runs `work` in a scope and waits until the device is done with it. */
async function settled(work: () => Tensor): Promise<void> {
  scope(() => {
    work()
  })
  const { launches, device, failures } = gpu()
  launches.flush()
  await device.queue.onSubmittedWorkDone()
  failures.throwIfAny()
}

async function values(work: () => Tensor): Promise<ArrayLike<number>> {
  const out = scope(work), data = await out.data()
  out.dispose()
  return data
}

const matrix = (rows: number, columns: number, name: string) =>
  fillUniform(new Float32Array(rows * columns), 1, name, -1)

function productCase([M, K, N]: readonly [number, number, number]): Case {
  const a = tensor(matrix(M, K, 'a'), [M, K]), b = tensor(matrix(K, N, 'b'), [K, N])
  const run = () => values(() => matmul(a, b)) // with its read-back, as at the peers
  return {
    ...productSizes([M, K, N]),
    run,
    check: run,
    dispose: () => {
      disposeTree([a, b])
    },
  }
}

const productSizes = ([M, K, N]: readonly [number, number, number]) => ({
  name: 'matmul',
  shape: `${M}x${K}x${N}`,
  flops: 2 * M * K * N,
  bytes: 4 * (M * K + K * N + M * N),
})

async function peerCase(peer: Pick<Peer, 'prepare'>, [M, K, N]: readonly [number, number, number]): Promise<Case> {
  const { run } = (await peer.prepare({ kind: 'matmul', M, K, N, a: matrix(M, K, 'a'), b: matrix(K, N, 'b') }))!
  return { ...productSizes([M, K, N]), run, check: run, dispose: () => undefined }
}

function rowsCase(name: 'softmax' | 'layernorm'): Case {
  const [rows, width] = [2048, 1024]
  const x = tensor(fillNormal(new Float32Array(rows * width), 1, 'x'), [rows, width])
  const [gain, bias] = ['gain', 'bias'].map((part) => tensor(fillNormal(new Float32Array(width), 1, part)))
  const work = () => name === 'softmax' ? softmax(x) : layerNorm(x, gain, bias, { eps: 1e-6 })
  return {
    name,
    shape: `rows=${rows} width=${width}`,
    flops: 0,
    bytes: 8 * rows * width,
    run: () => settled(work),
    check: () => values(work),
    dispose: () => {
      disposeTree([x, gain, bias])
    },
  }
}

function elementwiseCase(name: 'scale' | 'add' | 'gelu'): Case {
  const size = 1 << 24, [x, y] = ['x', 'y'].map((part) => tensor(fillUniform(new Float32Array(size), 1, part, -4, 4)))
  const work = () => ({ scale: () => scale(x, { by: 2 }), add: () => add(x, y), gelu: () => gelu(x) })[name]()
  return {
    name: `elementwise ${name}`,
    shape: `n=${size}`,
    flops: 0,
    bytes: 4 * size * (name === 'add' ? 3 : 2),
    run: () => settled(work),
    check: () => values(work),
    dispose: () => {
      disposeTree([x, y])
    },
  }
}

/** A block of ViT-Tiny over the tokens of four images: loss, and the gradients of all weights and of its input. */
function blockCase(): Case {
  const batch = 4, tokens = 197, width = 192
  const block = initialize(new Block(width, 3, 4 * width), 1)
  const x = tensor(fillNormal(new Float32Array(batch * tokens * width), 1, 'x'), [batch, tokens, width])
  const both = valueAndGrad(({ block, x }: { block: Block, x: Tensor }) => sum(square(block.call(x))))
  const run = async () => {
    const [value, grads] = both({ block, x })
    const number = await value.item() // the last in the queue, so all is done
    const gradient = grads.x
    value.dispose()
    return { number, gradient, grads }
  }
  return {
    name: 'block forward and backward',
    shape: `batch=${batch} tokens=${tokens} width=${width}`,
    bytes: 0,
    flops: 3 * 2 * batch * tokens * (12 * width ** 2 + 2 * tokens * width),
    async run() {
      disposeTree((await run()).grads)
    },
    async check() {
      const { gradient, grads } = await run(), data = await gradient!.data()
      disposeTree(grads)
      return data
    },
    dispose() {
      disposeTree({ block, x })
    },
  }
}

// ---- what needs no engine ---------------------------------------------------------------------------------------

/** `TypedArray.set` over 64 MB, every thread its part. */
async function copyRow(threads: number): Promise<Row> {
  const bytes = 1 << 26, source = new SharedArrayBuffer(bytes), target = new SharedArrayBuffer(bytes)
  const cells = new Int32Array(new SharedArrayBuffer(8)) // the turn to copy in, parts copied by workers
  new Float32Array(source).fill(1)
  const part = bytes / threads
  const copy = (thread: number) => {
    new Float32Array(target, thread * part, part / 4).set(new Float32Array(source, thread * part, part / 4))
  }
  const body = `const { source, target, cells, part, thread } = require('node:worker_threads').workerData
    const from = new Float32Array(source, thread * part, part / 4)
    const to = new Float32Array(target, thread * part, part / 4)
    for (let turn = 1; ; turn++) {
      while (Atomics.load(cells, 0) < turn);
      to.set(from)
      Atomics.add(cells, 1, 1)
    }`
  const workers = Array.from(
    { length: threads - 1 },
    (_, i) => new Worker(body, { eval: true, workerData: { source, target, cells, part, thread: i + 1 } }),
  )
  await Promise.all(workers.map((worker) => once(worker, 'online')))
  const times: number[] = []
  for (let turn = 1; turn <= 60; turn++) {
    const start = performance.now()
    Atomics.store(cells, 0, turn)
    copy(0)
    while (Atomics.load(cells, 1) < turn * workers.length);
    if (turn > 10) times.push(performance.now() - start)
  }
  await Promise.all(workers.map((worker) => worker.terminate()))
  return row('elementwise copy', `n=${bytes / 4}`, 'copy', times, {
    bytes: 2 * bytes,
    note: `TypedArray.set, ${threads} threads`,
  })
}

/** A dispatch of a kernel that does next to nothing, many in one pass, recorded and run; per dispatch. */
async function dispatchCost(threads: number): Promise<Row> {
  const device = await (await createCpuGpu({ threads }).requestAdapter())!.requestDevice()
  const code = '@group(0) @binding(0) var<storage, read_write> y: array<u32>;\n'
    + '@compute @workgroup_size(1) fn main() { y[0] += 1u; }'
  const buffer = device.createBuffer({ size: 256, usage: 0x80 | 4 | 8 })
  const pipeline = device.createComputePipeline({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code }) },
  })
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer } }],
  })
  const times: number[] = [], count = 1000
  for (let sample = 0; sample < 200; sample++) {
    const start = performance.now()
    const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass()
    for (let i = 0; i < count; i++) {
      pass.setPipeline(pipeline)
      pass.setBindGroup(0, group)
      pass.dispatchWorkgroups(1)
    }
    pass.end()
    device.queue.submit([encoder.finish()])
    await device.queue.onSubmittedWorkDone()
    if (sample >= 50) times.push((performance.now() - start) / count)
  }
  device.destroy()
  const note = `set pipeline and bind group, dispatch, run: ${(quantile(times, 0.5) * 1000).toFixed(2)} us`
  return row('dispatch', `dispatches=${count}`, 'espalier', times, { note })
}

/** From the import of the package to a result on the host, each time in a process of its own. */
function firstResult(threads: number): Row {
  const times = Array.from({ length: 11 }, () => {
    const script = fileURLToPath(new URL('./first-result.js', import.meta.url))
    const { stdout, stderr } = spawnSync(process.execPath, [script, String(threads)], { encoding: 'utf8' })
    const ms = Number(stdout)
    if (!(ms > 0)) {
      throw new NumericError(`embedded first result: the process printed '${stdout}' instead of a time; ${stderr}`)
    }
    return ms
  })
  return row('first result', 'add n=64', 'espalier', times, {
    note: 'import, init, add, read back, in a fresh process',
  })
}

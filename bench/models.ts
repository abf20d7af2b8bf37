// Whole networks: loading, forward pass, training step, and the memory they take. Every result is compared with
// PyTorch's before anything is timed. The checkpoints: ResNet-20, which ships with the package, and DeiT-Tiny where
// $ESPALIER_SHARED has it.
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Checkpoint, loadCheckpoint } from '../src/checkpoint/checkpoint.ts'
import { compile } from '../src/core/compile.ts'
import { NumericError } from '../src/base/errors.ts'
import type { Model } from '../src/nn/model.ts'
import { gpu } from '../src/gpu/device.ts'
import { tuned } from '../src/gpu/tune.ts'
import { openDataset } from '../src/data/datasets.ts'
import { packageFile } from '../src/files/package.ts'
import { parseSafetensors } from '../src/files/safetensors.ts'
import { crossEntropy } from '../src/ops/cross-entropy.ts'
import { adamW } from '../src/train/optim.ts'
import { type Tensor, tensor } from '../src/core/tensor.ts'
import { inference, trace, valueAndGrad } from '../src/core/transform.ts'
import { disposeTree } from '../src/core/tree.ts'
import { encodeNetwork } from '../src/onnx/network.ts'
import { quantile } from '../src/base/turns.ts'
import type { OnProgress } from '../src/pruning/progress.ts'
import { defaultRounds, measure, type MeasureOptions, type Row, type Subject } from './harness.ts'
import { meter } from './meter.ts'
import { requireInstalled, requirePeer } from './rivals/peer.ts'
import { onWasm, type Ort, webOrt } from './rivals/ort.ts'

/**
 * What to measure, and beside which builds of ONNX Runtime: `ort` is its webgpu provider, for the embedded device its
 * CPU provider; `ort-web` its WASM.
 */
export interface ModelOptions extends MeasureOptions {
  wanted: (name: string) => boolean
  peers: readonly ('ort' | 'ort-web')[]
  threads: number
}

const stages = ['load', 'forward', 'training step'] as const

/** A network's name and one batch of pictures. */
export interface Pictures {
  name: string
  batch: number
  side: number
  images: Float32Array
  labels: Int32Array
  /** How logits are brought into the form that is compared. */
  inOrder?: (logits: ArrayLike<number>) => ArrayLike<number>
}

/** A network in a file, one batch of its data and what PyTorch makes of it. */
interface Case extends Pictures {
  file: string
  /** What a forward pass must give, brought in order. */
  expected: ArrayLike<number>
  tolerance: number
}

/** Rows of every network at hand. @throws NumericError if one computes wrong values, InputError if none is at hand. */
export async function modelRows(options: ModelOptions): Promise<Row[]> {
  const rows: Row[] = []
  const found: Case[] = []
  for (const make of [packagedResNet, deitTiny]) {
    const each = await make()
    if (each && stages.some((what) => options.wanted(`${each.name} ${what}`))) found.push(each)
  }
  const jobs = found.flatMap(({ name }) => stages.map((what) => `${name} ${what}`).filter(options.wanted))
  const count = meter('bench models', jobs.length, options.rounds ?? defaultRounds, options.onProgress)
  for (const each of found) {
    rows.push(...await networkRows(each, options, (job) => count.begin(jobs.indexOf(job), job)))
  }
  return rows
}

async function networkRows(data: Case, options: ModelOptions, begin: (job: string) => OnProgress): Promise<Row[]> {
  const { wanted, peers, threads } = options
  const { name, batch, side } = data, shape = `batch=${batch} image=${side}`
  const rows: Row[] = []
  const { memory } = gpu().pool
  if (wanted(`${name} load`)) {
    begin(`${name} load`)
    rows.push(await loading(data))
  }

  gpu().pool.trim()
  const before = memory.allocated
  const { model, bytes } = await loadCheckpoint(data.file)
  const weights = memory.allocated - before
  // Twice, so that what is captured has the variants that are fastest here.
  const eager = inference(() => model.call(tensor(data.images, [batch, 3, side, side])))
  await eager.data()
  eager.dispose()
  await tuned()

  if (wanted(`${name} forward`)) {
    const onProgress = begin(`${name} forward`)
    gpu().pool.trim()
    memory.peak = memory.allocated
    const ours = forwardSubject(model, data)
    await ours.run()
    const wide = twoLargest(model, [batch, 3, side, side]), peak = memory.peak - before
    ours.note = `memory.peak ${mega(peak)}: ${(peak / (weights + wide)).toFixed(2)} times weights (${mega(weights)}) `
      + `and the two largest activations (${mega(wide)})`
    const subjects = [ours]
    if (peers.length) {
      const { bytes: graph } = await encodeNetwork(model, [3, side, side], { batch })
      for (const peer of peers) subjects.push(await ortSubject(peer, graph, data, threads))
    }
    const measured = await measure({
      suite: 'models',
      name: `${name} forward`,
      shape,
      flops: flopsOf(model, [batch, 3, side, side]),
      bytes,
      expected: data.expected,
      tolerance: data.tolerance,
      subjects,
    }, { ...options, onProgress })
    rows.push(...withRate(measured, batch))
  }
  if (wanted(`${name} training step`)) {
    rows.push(await trainingStep(model, data, { ...options, onProgress: begin(`${name} training step`) }))
  }
  disposeTree(model)
  return rows
}

/** Rows whose note ends with images a second. */
export const withRate = (rows: readonly Row[], batch: number): Row[] =>
  rows.map((row) => ({
    ...row,
    note: [row.note, `${(1000 * batch / row.msMedian).toFixed(1)} images/s`].filter(Boolean).join(', '),
  }))

/** Reading, checking and uploading a file, several times; the first time everything is cold. */
async function loading({ name, file }: Case): Promise<Row> {
  const times: number[] = []
  for (let i = 0; i < 5; i++) {
    const start = performance.now()
    const { model } = await loadCheckpoint(file)
    gpu().launches.flush()
    await gpu().device.queue.onSubmittedWorkDone()
    times.push(performance.now() - start)
    disposeTree(model)
  }
  return row(`${name} load`, `bytes=${readFileSync(file).length}`, times, `cold ${times[0].toFixed(0)} ms`)
}

/** A captured forward pass on the open adapter. */
export function forwardSubject(model: Model, { images, batch, side, inOrder }: Pictures): Subject {
  const forward = compile((x: Tensor) => inference(() => model.call(x)))
  return {
    impl: 'espalier',
    inOrder,
    dispose: () => {
      forward.clear()
    },
    run: async () => {
      const input = tensor(images, [batch, 3, side, side]), output = forward(input)
      const logits = await output.data()
      disposeTree([input, output])
      return logits
    },
  }
}

/** The network on ONNX Runtime, optimised as far as it can. */
export async function ortSubject(
  peer: 'ort' | 'ort-web',
  graph: Uint8Array,
  { images, batch, side, inOrder }: Pictures,
  threads: number,
): Promise<Subject> {
  requireInstalled(peer)
  const onCpu = gpu().adapter.kind === 'embedded'
  const ort = peer === 'ort' ? requirePeer()('onnxruntime-node') as Ort : webOrt(threads)
  const session = await ort.InferenceSession.create(graph, {
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
    ...peer === 'ort-web'
      ? onWasm
      : onCpu
      ? { executionProviders: ['cpu'], intraOpNumThreads: threads, interOpNumThreads: 1 }
      : { executionProviders: ['webgpu'], extra: { session: { disable_cpu_ep_fallback: '1' } } },
  }) // fail rather than time the CPU
  const input = new ort.Tensor('float32', images, [batch, 3, side, side])
  return {
    impl: peer,
    inOrder,
    offDevice: peer === 'ort-web' || onCpu,
    note: peer === 'ort-web' ? `WASM SIMD, ${threads} threads` : onCpu ? 'CPU provider' : 'webgpu provider',
    run: async () => Object.values(await session.run({ images: input }))[0].data,
    dispose: () => {
      void session.release?.()
    },
  }
}

/**
 * Forward, backward and AdamW, captured, in turns with the forward pass alone; its loss must fall, and memory must not
 * grow after the second step.
 */
export async function trainingStep(
  model: Model,
  data: Pictures,
  { rounds = 9, onProgress }: MeasureOptions,
): Promise<Row> {
  const { name, images, labels, batch, side } = data, { memory } = gpu().pool
  const optimizer = adamW(model, { rate: 1e-5, decay: 0.05 })
  const gradient = valueAndGrad((m: Model, x: Tensor, y: Tensor) => crossEntropy(m.call(x, { training: true }), y))
  const input = tensor(images, [batch, 3, side, side]), targets = tensor(labels)
  const [first, discarded] = gradient(model, input, targets) // for the variants of the backward pass, as above
  await first.item()
  disposeTree([first, discarded])
  await tuned()
  gpu().pool.trim()
  const step = compile((x: Tensor, y: Tensor) => {
    const [loss, grads] = gradient(model, x, y)
    optimizer.update(model, grads)
    return loss
  })
  const beforeForward = memory.allocated, forward = forwardSubject(model, data)
  await forward.run()
  const ofForward = memory.allocated - beforeForward
  const times: number[] = [], forwardTimes: number[] = [], losses: number[] = []
  let afterTwo = 0
  for (let i = 0; i < rounds + 2; i++) {
    const begin = performance.now()
    await forward.run()
    const start = performance.now()
    const loss = step(input, targets)
    losses.push(await loss.item())
    loss.dispose()
    if (i >= 2) {
      forwardTimes.push(start - begin)
      times.push(performance.now() - start)
    }
    if (i === 1) afterTwo = memory.allocated
    onProgress?.(`${name} training step`, i + 1, rounds + 2)
  }
  if (!(losses.at(-1)! < losses[0])) {
    throw new NumericError(
      `${name} training step: the loss went from ${losses[0]} to ${losses.at(-1)}, expected it to fall`,
    )
  }
  const growth = memory.allocated - afterTwo
  step.clear()
  forward.dispose?.()
  optimizer.dispose()
  disposeTree([input, targets])
  const ratio = quantile(times, 0.5) / quantile(forwardTimes, 0.5)
  return row(
    `${name} training step`,
    `batch=${batch} image=${side}`,
    times,
    `${ratio.toFixed(2)} times the forward pass in turns with it, memory ${
      mega(afterTwo - ofForward)
    }, ${growth} bytes more after step 2`,
  )
}

/** Bytes of the two largest tensors that a forward pass makes. */
function twoLargest(model: Model, shape: readonly number[]): number {
  const { calls } = trace((input) => model.call(input(shape)))
  const sizes = calls.filter(({ op }) => !op.is('reshape')).map(({ out }) => out.size).sort((a, b) => b - a)
  return 4 * (sizes[0] + sizes[1])
}

function flopsOf(model: Model, shape: readonly number[]): number {
  return trace((input) => model.call(input(shape))).calls.reduce(
    (sum, { op, args, out, attrs }) => sum + op.flops(args, out, attrs),
    0,
  )
}

const mega = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

function row(name: string, shape: string, times: readonly number[], note: string): Row {
  const msMedian = quantile(times, 0.5)
  return {
    suite: 'models',
    name,
    shape,
    impl: 'espalier',
    msMedian,
    msMad: quantile(times.map((ms) => Math.abs(ms - msMedian)), 0.5),
    runs: times.length,
    gflops: null,
    gbps: null,
    maxRelError: null,
    note,
    msP10: quantile(times, 0.1),
    msDevice: null,
  }
}

// ---- networks ---------------------------------------------------------------------------------------------------

/** What PyTorch 1.13 predicts for the first 50 test images of CIFAR-10 (two of them wrongly). */
const resnet20Predictions = '38806616310957985786704952409665459341954656093976'

async function packagedResNet(): Promise<Case> {
  const file = packageFile('models/data/cifar10/resnet20.safetensors'), batch = 50
  const { preprocessing } = await withoutKeeping(loadCheckpoint(file))
  const data = await openDataset(`cifar10:${packageFile('models/data/cifar10/test200.bin')}#0-${batch - 1}`, {
    preprocessing,
  })
  const { value: { images, labels } } = await data.batches({ size: batch }).next() as {
    value: { images: Float32Array, labels: Int32Array },
  }
  return {
    name: 'resnet20',
    file,
    batch,
    side: 32,
    images,
    labels,
    expected: Array.from(resnet20Predictions, Number),
    tolerance: 0,
    inOrder: (logits) =>
      Array.from({ length: batch }, (_, i) => largest(Array.from(logits).slice(10 * i, 10 * i + 10))),
  }
}

const largest = (values: number[]) => values.indexOf(Math.max(...values))

async function withoutKeeping(loaded: Promise<Checkpoint>): Promise<Checkpoint> {
  const checkpoint = await loaded
  disposeTree(checkpoint.model)
  return checkpoint
}

/** DeiT-Tiny on the eight ImageNet images of its golden file; null where the shared data are not at hand. */
async function deitTiny(): Promise<Case | null> {
  const folder = resolve(packageFile('.'), process.env.ESPALIER_SHARED ?? '../shared', 'data')
  const file = `${folder}/weights/deit_tiny_patch16_224.safetensors`,
    golden = `${folder}/golden/deit_tiny_imagenet8.safetensors`
  if (!existsSync(file) || !existsSync(golden)) return null
  const { tensors, metadata } = parseSafetensors(readFileSync(golden), golden)
  const mean = JSON.parse(metadata.mean) as number[], std = JSON.parse(metadata.std) as number[]
  const pixels = tensors.get('input_u8')!, area = 224 * 224
  const images = Float32Array.from(pixels.data as Uint8Array, (value, i) => {
    const channel = Math.floor(i / area) % 3
    return (value / 255 - mean[channel]) / std[channel]
  })
  return {
    name: 'deit-tiny',
    file,
    batch: 8,
    side: 224,
    images,
    labels: tensors.get('labels')!.data as Int32Array,
    expected: tensors.get('eval.logits')!.data as Float32Array,
    tolerance: 1e-4,
  }
}

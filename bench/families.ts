// Every family at the size its paper gives, with random weights, whose speed is that of any weights: forward dense and
// sliced to half of the multiply-adds, beside builds of ONNX Runtime that read the same network; a training step.
import { architectures, buildModel } from '../models/registry.ts'
import { withPrecision } from '../src/core/precision.ts'
import { fillNormal } from '../src/base/random.ts'
import { tensor } from '../src/core/tensor.ts'
import { inference } from '../src/core/transform.ts'
import { disposeTree } from '../src/core/tree.ts'
import { gpu } from '../src/gpu/device.ts'
import type { Precision } from '../src/gpu/precision.ts'
import { tuned } from '../src/gpu/tune.ts'
import { initialize } from '../src/nn/init.ts'
import { costOf } from '../src/nn/macs.ts'
import type { Model } from '../src/nn/model.ts'
import { encodeNetwork } from '../src/onnx/network.ts'
import { percent } from '../src/report/format.ts'
import { defaultRounds, measure, type Row, type Subject } from './harness.ts'
import { meter } from './meter.ts'
import { forwardSubject, type ModelOptions, ortSubject, type Pictures, trainingStep, withRate } from './models.ts'
import { slicer } from './pruned.ts'

/** Which networks, at which batch sizes. */
export interface FamilyOptions extends ModelOptions {
  batches: readonly number[]
}

/** Names of the registry; a training step keeps every activation, so VGG's takes fewer pictures. */
const families = [
  { name: 'deit-tiny', training: 8 },
  { name: 'deit-small', training: 8 },
  { name: 'swin-tiny', training: 4 },
  { name: 'flatten-swin-tiny', training: 4 },
  { name: 'resnet18', training: 8 },
  { name: 'resnet50', training: 4 },
  { name: 'vgg11', training: 2 },
  { name: 'vgg16', training: 2 },
  { name: 'resnet20', training: 8 },
] as const

/** ONNX Runtime's kernels sum in another order; `fast` has an error class of its own (docs/embedded-device.md). */
const tolerances = { high: 1e-5, default: 1e-5, fast: 2e-3 }

/** Rows of every family. @throws NumericError if anything computes something else than the first of the peers. */
export async function familyRows(options: FamilyOptions): Promise<Row[]> {
  const { wanted, batches } = options, rows: Row[] = []
  const jobs = families.flatMap(({ name }) => [
    ...wanted(`${name} forward`) ? batches.map((batch) => `${name} forward batch=${batch}`) : [],
    ...wanted(`${name} training step`) ? [`${name} training step`] : [],
  ])
  const count = meter('bench models', jobs.length, options.rounds ?? defaultRounds, options.onProgress)
  const begin = (job: string) => ({ ...options, onProgress: count.begin(jobs.indexOf(job), job) })
  for (const { name, training } of families) {
    const { family, image } = architectures[name]
    const convolutional = family === 'resnet' || family === 'vgg'
    // Without dropout: the loss of a step that is timed must fall.
    const architecture = { type: name, ...family === 'vgg' && { dropout: 0 } }
    const make = () => initialize(buildModel(architecture), 0, convolutional ? 'kaiming' : { std: 0.02 })
    if (wanted(`${name} forward`)) {
      const model = make()
      for (const batch of batches) {
        const kinds = convolutional ? ['filters'] : undefined
        rows.push(
          ...await forwardRows(model, random(name, image, batch), kinds, begin(`${name} forward batch=${batch}`)),
        )
      }
      disposeTree(model)
      gpu().pool.trim()
    }
    if (wanted(`${name} training step`)) {
      const model = make()
      rows.push(await trainingStep(model, random(name, image, training), begin(`${name} training step`)))
      disposeTree(model)
      gpu().pool.trim()
    }
  }
  return rows
}

function random(name: string, side: number, batch: number): Pictures {
  const images = fillNormal(new Float32Array(batch * 3 * side * side), 3, 'pictures')
  return { name, batch, side, images, labels: Int32Array.from({ length: batch }, (_, i) => i % 10) }
}

/** Dense, sliced and the peers in turns; the first peer is what the others are held against, else our own sums. */
async function forwardRows(
  model: Model,
  data: Pictures,
  kinds: readonly string[] | undefined,
  { peers, threads, ...options }: FamilyOptions,
): Promise<Row[]> {
  const { name, batch, side, images } = data, image: [number, number, number] = [3, side, side]
  const eager = async (level: Precision) => {
    const logits = withPrecision(level, () => inference(() => model.call(tensor(images, [batch, ...image]))))
    const values = await logits.data()
    logits.dispose()
    return values
  }
  const precision = gpu().options.precision ?? 'default'
  await eager(precision)
  await tuned() // so that what is captured has the variants that are fastest here

  const { macs } = costOf(model, image)
  const cut = await (await slicer(model, image, 1000, kinds))(0.5), others: Subject[] = []
  const sliced: Subject = {
    ...forwardSubject(cut.model, data),
    impl: 'sliced',
    expected: await cut.masked(images, batch),
    flops: 2 * batch * cut.share * macs,
    note: `${percent(cut.share, 1)} of the multiply-adds`,
  }
  if (peers.length) {
    const { bytes } = await encodeNetwork(model, image, { batch })
    for (const peer of peers) others.push(await ortSubject(peer, bytes, data, threads))
  }
  const expected = others.length
    ? Float32Array.from(await others[0].run())
    : await eager('high')
  const rows = await measure({
    suite: 'models',
    name: `${name} forward`,
    shape: `batch=${batch} image=${side} weights=random`,
    flops: 2 * batch * macs,
    bytes: 0,
    expected,
    tolerance: tolerances[precision],
    subjects: [forwardSubject(model, data), sliced, ...others],
    baselines: ['espalier', ...peers],
  }, options)
  disposeTree(cut.model)
  return withRate(rows, batch)
}

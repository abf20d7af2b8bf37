// DeiT with random weights, whose speed is that of any weights: forward at several batch sizes, a training step, the
// network sliced to half of its multiply-adds. What it computes is held against the embedded device's result.
import { buildModel } from '../../models/registry.ts'
import { fillNormal } from '../../src/base/random.ts'
import { tensor } from '../../src/core/tensor.ts'
import { inference } from '../../src/core/transform.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { close, gpu, init, type InitOptions } from '../../src/gpu/device.ts'
import { tuned, tuning } from '../../src/gpu/tune.ts'
import { initialize } from '../../src/nn/init.ts'
import { costOf } from '../../src/nn/macs.ts'
import type { Model } from '../../src/nn/model.ts'
import type { OnProgress } from '../../src/pruning/progress.ts'
import { type Row, measure, type MeasureOptions } from '../harness.ts'
import { trainingStep, withRate } from '../models.ts'
import { forwardOf, slicer } from '../pruned.ts'

/** Which network, where, how large. */
export interface NetworkOptions extends MeasureOptions {
  /** An architecture such as `deit-tiny`. */
  name: string
  where: InitOptions
  batches: readonly number[]
  training: boolean
  /** Side of the picture; smaller ones rehearse, on two blocks. */
  image: number
  /** Milliseconds of `performance.now()` after which nothing new begins. */
  until: number
  onProgress?: OnProgress
}

/** Rows, what the tuner chose, and what was left out. The device is closed at the end. */
export async function networkRows(
  options: NetworkOptions,
): Promise<{ rows: Row[], tuning: Record<string, string>, notes: string[], adapter: string, kind: string }> {
  const { name, image, where, until, batches, training } = options
  const one = fillNormal(new Float32Array(3 * image * image), 3, 'picture'), notes: string[] = [], rows: Row[] = []
  const make = (): Model =>
    initialize(buildModel({ type: name, image, classes: 1000, ...image < 224 && { depth: 2 } }), 0)
  await init({ adapter: 'cpu', threads: where.threads })
  const trusted = make(), logits = trusted.call(tensor(one, [1, 3, image, image]))
  const expected = await logits.data()
  disposeTree([trusted, logits])
  await close()
  const { adapter } = await init({ fixedVariants: image < 224, ...where }) // to rehearse, nothing is tuned
  try {
    const model = make(), shape: [number, number, number] = [3, image, image]
    const late = (what: string) => {
      if (performance.now() < until) return false
      notes.push(`${name} ${what} is left out: out of time`)
      return true
    }
    for (const batch of batches) {
      if (late(`at batch ${batch}`)) continue
      const images = repeated(one, batch), result = repeated(expected, batch)
      const eager = inference(() => model.call(tensor(images, [batch, ...shape])))
      await eager.data()
      eager.dispose()
      await tuned()
      const dense = forwardOf('dense', model, images, [batch, ...shape]), subjects = [dense]
      const small = late(`sliced at batch ${batch}`) ? null : await (await slicer(model, shape, 1000))(0.5)
      if (small) {
        // Fewer channels give other logits: they are told by those of the masked network, at one picture.
        const own = await small.masked(one)
        subjects.push({
          ...forwardOf('sliced', small.model, images, [batch, ...shape]),
          expected: repeated(own, batch),
          note: `${(100 * small.share).toFixed(1)} % of the multiply-adds`,
        })
      }
      rows.push(
        ...withRate(
          await measure({
            suite: 'models',
            name: `${name} forward`,
            shape: `batch=${batch} image=${image}`,
            flops: 2 * batch * costOf(model, shape).macs,
            bytes: 0,
            expected: result,
            tolerance: 1e-3,
            subjects,
            baselines: ['dense'],
          }, options),
          batch,
        ),
      )
      if (small) disposeTree(small.model)
    }
    if (training && !late('training step')) {
      const batch = batches.includes(8) ? 8 : batches[0]
      const labels = Int32Array.from({ length: batch }, (_, i) => i % 1000)
      const data = {
        name,
        file: '',
        batch,
        side: image,
        images: repeated(one, batch),
        labels,
        expected,
        tolerance: 1e-3,
      }
      rows.push(await trainingStep(model, data, options))
    }
    disposeTree(model)
    return { rows, tuning: tuning(gpu()), notes, adapter: adapter.name, kind: adapter.kind }
  } finally {
    await close()
  }
}

function repeated(values: ArrayLike<number>, times: number): Float32Array {
  const out = new Float32Array(values.length * times)
  for (let i = 0; i < times; i++) out.set(values, i * values.length)
  return out
}

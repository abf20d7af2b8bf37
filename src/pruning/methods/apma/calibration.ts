// What calibration images say of channels: how unlike the others of their head they are, and how much of the attention
// map each one makes.
import { record } from '../../../core/tape.ts'
import { type Tensor, tensor } from '../../../core/tensor.ts'
import { scope } from '../../../core/transform.ts'
import { disposeTree } from '../../../core/tree.ts'
import type { Dataset } from '../../../data/datasets.ts'
import { cached, drawReferences } from '../../../data/subset.ts'
import type { Model } from '../../../nn/model.ts'
import type { PruningJob } from '../method.ts'
import { attentionDifference, type Difference, importanceOf } from './difference.ts'
import { channelProducts, similarityWeights } from './similarity.ts'
import { type AttentionSite, attentionSites } from './sites.ts'

/** Images in memory, drawn with the job's seed evenly over the classes. */
export async function calibrationImages(job: PruningJob, most: number): Promise<Dataset> {
  const source = job.references ?? job.data!
  return cached(source, drawReferences(source, { most, seed: job.seed }))
}

/** Runs a network on all images and adds up what is read of each attention, by name. */
async function readAttention(
  job: Pick<PruningJob, 'units' | 'batch' | 'onProgress'>,
  model: Model,
  images: Dataset,
  forward: (images: Tensor) => Tensor,
  read: (site: AttentionSite) => [string, Tensor][],
  what: string,
): Promise<Map<string, Float64Array>> {
  const sums = new Map<string, Float64Array>()
  let done = 0
  for await (const batch of images.batches({ size: Math.min(job.batch, 16) })) {
    const input = tensor(batch.images, batch.shape)
    const found = scope(() => {
      const { calls } = record(() => forward(input), [input])
      return new Map(attentionSites(model, job.units, calls).flatMap(read))
    })
    for (const [name, each] of found) {
      const values = await each.data(), sum = sums.get(name) ?? new Float64Array(values.length)
      for (let i = 0; i < values.length; i++) sum[i] += values[i] * batch.shape[0]
      sums.set(name, sum)
    }
    disposeTree([input, found])
    done += batch.shape[0]
    job.onProgress?.(what, done, images.length)
  }
  return sums
}

/**
 * Similarity weights of all channels of heads, by unit. `forward` runs the network, under masks if there are any: what
 * is read stands before them.
 */
export async function similarity(
  job: PruningJob,
  model: Model,
  images: Dataset,
  forward: (images: Tensor) => Tensor,
): Promise<Map<string, Float32Array<ArrayBuffer>>> {
  const products = await readAttention(
    job,
    model,
    images,
    forward,
    ({ queryKey, values }) =>
      [queryKey, values].flatMap((found) =>
        found
          ? found.activations.map((x, i): [string, Tensor] => [`${i} ${found.unit.name}`, channelProducts(x)])
          : []
      ),
    'similarity of channels',
  )
  return new Map(job.units.flatMap(({ name, shape }) => {
    const mine = [0, 1].flatMap((i) => products.get(`${i} ${name}`) ?? [])
    return mine.length ? [[name, similarityWeights(mine, shape[0], shape[1])]] : []
  }))
}

/** Importance of query-key channels by what of the attention map they make, by unit. */
export async function attentionImportance(
  job: PruningJob,
  images: Dataset,
  kind: Difference,
): Promise<Map<string, Float32Array>> {
  const { model } = job
  const sums = await readAttention(
    job,
    model,
    images,
    (input) => model.call(input),
    ({ queryKey, map }) => queryKey ? [[queryKey.unit.name, attentionDifference(map, kind)]] : [],
    'attention maps by channel',
  )
  return new Map([...sums].map(([name, values]) => [name, importanceOf(values, kind)]))
}

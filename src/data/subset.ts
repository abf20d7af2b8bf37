// Some images of a data set, decoded once and kept in memory: references that are scored by several methods, a test set
// that a sweep evaluates many times.
import { InputError } from '../base/errors.ts'
import { checkOptions } from '../base/options.ts'
import { sizeOf } from '../base/shape.ts'
import { permutation } from '../base/random.ts'
import { type Batch, batchKeys, type BatchOptions, type Dataset, pictureName } from './datasets.ts'

const most = 2 ** 30

/**
 * Reads the images at `positions` (default all) into memory, as floats ready for the network; they cannot be augmented
 * any more. What would take more than 1 GiB is read anew each time instead.
 */
export async function cached(
  data: Dataset,
  positions?: ArrayLike<number>,
  onProgress?: (done: number) => void,
): Promise<Dataset> {
  const chosen = Int32Array.from(positions ?? { length: data.length }, (_, i) => positions?.[i] ?? i)
  const input = await data.inputShape(), size = sizeOf(input)
  const labels = Int32Array.from(chosen, (at) => data.labels[at])
  const nameOf = (index: number) => pictureName(data, chosen[index])
  if (4 * chosen.length * size > most) {
    return partOf(data, chosen)
  }
  const images = new Float32Array(chosen.length * size)
  let done = 0
  for await (const batch of data.batches({ size: 32, only: chosen })) {
    images.set(batch.images, done * size)
    done += batch.shape[0]
    onProgress?.(done)
  }
  return {
    name: data.name,
    length: chosen.length,
    labels,
    classes: data.classes,
    preprocessing: data.preprocessing,
    normalised: data.normalised,
    nameOf,
    inputShape: () => Promise.resolve(input),
    async *batches(options: BatchOptions): AsyncGenerator<Batch> {
      checkOptions('batches', options, batchKeys)
      const { size: count, only, shuffle = false, seed = 0, epoch = 0, dropLast = false, augment } = options
      if (Object.values(augment ?? {}).some(Boolean)) {
        throw new InputError(`${data.name}: images that are kept ready for the network are not augmented any more`)
      }
      const some = Int32Array.from(only ?? { length: chosen.length }, (_, i) => only?.[i] ?? i)
      const order = shuffle ? permutation(some.length, seed, `order ${epoch}`).map((i) => some[i]) : some
      for (let start = 0; start < order.length; start += count) {
        if (dropLast && start + count > order.length) break
        const indices = order.slice(start, start + count), part = new Float32Array(indices.length * size)
        indices.forEach((at, i) => {
          part.set(images.subarray(at * size, (at + 1) * size), i * size)
        })
        yield {
          images: part,
          shape: [indices.length, ...input],
          labels: Int32Array.from(indices, (at) => labels[at]),
          indices,
        }
      }
    },
  }
}

/** The images at `positions` as a data set of their own, read when asked for. */
export function partOf(data: Dataset, positions: ArrayLike<number>): Dataset {
  const chosen = Int32Array.from(positions)
  return {
    ...data,
    length: chosen.length,
    labels: Int32Array.from(chosen, (at) => data.labels[at]),
    nameOf: (index) => pictureName(data, chosen[index]),
    inputShape: () => data.inputShape(),
    batches: (options) =>
      data.batches({ ...options, only: options.only ? Array.from(options.only, (i) => chosen[i]) : chosen }),
  }
}

/** Positions of images of these classes. */
export function ofClasses({ labels }: Dataset, classes: readonly number[]): number[] {
  const own = new Set(classes)
  return [...labels].flatMap((label, i) => own.has(label) ? [i] : [])
}

/**
 * At most `most` positions drawn with a seed, evenly over the classes that are there: first one of each class, then a
 * second one, and so on.
 * `perClass` takes that many of every class. Sorted, so that the order of a file is kept.
 */
export function drawReferences(
  data: Dataset,
  options: { most?: number, perClass?: number, seed: number, classes?: readonly number[] },
): number[] {
  checkOptions('drawReferences', options, { most: true, perClass: true, seed: true, classes: true })
  const { most, perClass, seed, classes } = options
  const own = classes && new Set(classes)
  const rank = new Map<number, number>()
  const order = [...permutation(data.length, seed, 'references')].flatMap((at) => {
    const label = data.labels[at]
    if (own && !own.has(label)) return []
    const turn = rank.get(label) ?? 0
    rank.set(label, turn + 1)
    return perClass !== undefined && turn >= perClass ? [] : [{ at, turn }]
  })
  return order.sort((a, b) => a.turn - b.turn).slice(0, most).map(({ at }) => at).sort((a, b) => a - b)
}

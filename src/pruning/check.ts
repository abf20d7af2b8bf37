// Does a network compute what it should? Logits of a few images, and how far two lots of them lie apart.
import { sizeOf } from '../base/shape.ts'
import { fillNormal } from '../base/random.ts'
import { firstNonFinite } from '../core/diagnose.ts'
import { tensor } from '../core/tensor.ts'
import { inference } from '../core/transform.ts'
import { disposeTree } from '../core/tree.ts'
import type { Dataset } from '../data/datasets.ts'
import type { Model } from '../nn/model.ts'

export { relativeError as difference } from '../base/relative-error.ts'

/** Images to look at: [n, channels, height, width]. */
export interface Probe {
  images: Float32Array
  shape: readonly number[]
}

const most = 32

/** The first images of a data set, at most 32 in batches of `batch`; without one, noise of the network's input. */
export async function probesOf(
  images: Dataset | null,
  input: readonly [number, number, number],
  batch: number,
): Promise<Probe[]> {
  if (!images) {
    const shape = [Math.min(batch, 4), ...input]
    return [{ images: fillNormal(new Float32Array(sizeOf(shape)), 0, 'probe'), shape }]
  }
  const only = Array.from({ length: Math.min(most, images.length) }, (_, i) => i)
  const probes: Probe[] = []
  for await (const part of images.batches({ size: Math.min(batch, most), only })) probes.push(part)
  return probes
}

/** Logits of all probes, one after the other. */
export async function logitsOf(model: Model, probes: readonly Probe[]): Promise<Float32Array> {
  const rows: ArrayLike<number>[] = []
  for (const { images, shape } of probes) {
    const input = tensor(images, shape), logits = inference(() => model.call(input))
    rows.push(await logits.data())
    disposeTree([input, logits])
  }
  return Float32Array.from(rows.flatMap((row) => Array.from(row)))
}

/**
 * Which op of which layer first gave a value that is no number, for the first probe where one did; null if none did.
 */
export async function notFinite(model: Model, probes: readonly Probe[]): Promise<string | null> {
  for (const { images, shape } of probes) {
    const input = tensor(images, shape)
    const where = await firstNonFinite(model, () => model.call(input)).finally(() => {
      input.dispose()
    })
    if (where) return where
  }
  return null
}

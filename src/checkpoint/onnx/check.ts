// Whether a file computes what the network computes: its nodes are read as anyone's, not by our record, and run on
// random images; by ONNX Runtime too where the caller has it.
import { fillUniform } from '../../base/random.ts'
import { sizeOf } from '../../base/shape.ts'
import { tensor } from '../../core/tensor.ts'
import { inference } from '../../core/transform.ts'
import { disposeTree } from '../../core/tree.ts'
import type { Model } from '../../nn/model.ts'
import { modelOf, parseCheckpoint } from '../checkpoint.ts'

/** Another runtime: logits of images. */
export type Runner = (images: Float32Array, shape: readonly number[]) => Promise<ArrayLike<number>>

/** The largest difference of a logit, over the largest logit, by each who computed the file. */
export interface ExportCheck {
  nodes: number
  runtime?: number
}

/** Runs the model and the file on the same random images, two or as many as the file takes. */
export async function checkExport(
  bytes: Uint8Array,
  model: Model,
  image: readonly number[],
  batch: 'dynamic' | number,
  runtime?: Runner,
): Promise<ExportCheck> {
  const count = batch === 'dynamic' ? 2 : batch, shape = [count, ...image]
  const images = fillUniform(new Float32Array(sizeOf(shape)), 22, 'onnx check', -1, 1)
  const logits = async (network: Model) => {
    const input = tensor(images, shape), output = inference(() => network.call(input)), values = await output.data()
    disposeTree([input, output])
    return values
  }
  const ours = await logits(model), again = modelOf(await parseCheckpoint(bytes, 'the exported file', { nodes: true }))
  const theirs = await logits(again)
  disposeTree(again)
  return {
    nodes: difference(ours, theirs),
    ...runtime && { runtime: difference(ours, await runtime(images, shape)) },
  }
}

function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let worst = 0, size = 0
  for (let i = 0; i < a.length; i++) {
    // A NaN must not pass for a small difference.
    const apart = Math.abs(a[i] - b[i])
    worst = apart <= worst ? worst : apart
    size = Math.max(size, Math.abs(a[i]))
  }
  return a.length === b.length ? worst / (size || 1) : Infinity
}

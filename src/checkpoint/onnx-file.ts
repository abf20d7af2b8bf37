// A network of the package as an ONNX file, with what a checkpoint says beside its weights.
import { checkOptions } from '../base/options.ts'
import { InputError } from '../base/errors.ts'
import type { Model } from '../nn/model.ts'
import type { OnnxFile } from '../onnx/network.ts'
import { type CheckpointInfo, recordFor } from './checkpoint.ts'

/** The bytes of an ONNX file, and what to know of it. */
export type OnnxExport = OnnxFile

/** How `exportOnnx` writes. */
export interface OnnxExportOptions {
  /** `dynamic` (default): any number of images at once; or just so many. */
  batch?: 'dynamic' | number
  /** What the checkpoint says beside its weights: architecture, preprocessing, classes, what was cut. */
  info?: CheckpointInfo
}

/**
 * A model's inference as ONNX, IR version 8, opset 17: input `images` [batch, channels, y, x], output `logits`. `image`
 * is the shape of one image, [channels, y, x]. Weights stand under their paths in the model; packed ones are dense.
 * Needs a device (`init`). @throws InputError for an op without ONNX form, for sizes that do not follow from the batch,
 * and for more weights than the format can hold.
 */
export async function exportOnnx(
  model: Model,
  image: readonly number[],
  options: OnnxExportOptions = {},
): Promise<OnnxExport> {
  checkOptions('exportOnnx', options, { batch: true, info: true })
  const { batch = 'dynamic', info } = options
  if (batch !== 'dynamic' && !(Number.isInteger(batch) && batch >= 1)) {
    throw new InputError(`exportOnnx: batch is ${batch}, expected 'dynamic' or a whole number from 1`)
  }
  if (!image.length || !image.every((n) => Number.isInteger(n) && n >= 1)) {
    throw new InputError(`exportOnnx: image is [${image}], expected the shape of one image, e.g. [3, 224, 224]`)
  }
  // The format takes its time to set up, so it waits for whoever writes such a file.
  const { encodeNetwork } = await import('../onnx/network.ts')
  if (!info) return encodeNetwork(model, image, { batch })
  const { architecture, preprocessing, classes, source, metadata } = info
  const about = {
    format: 1,
    naming: 'espalier',
    architecture,
    preprocessing,
    classes,
    source,
    pruning: recordFor(model, info),
  }
  return encodeNetwork(model, image, { batch, metadata: { ...metadata, espalier: JSON.stringify(about) } })
}

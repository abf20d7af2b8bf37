// What a network costs, and with test images how good it is.
import type { Dataset } from '../data/datasets.ts'
import { costOf } from '../nn/macs.ts'
import type { Model } from '../nn/model.ts'
import { evaluate, type Evaluation } from '../train/evaluate.ts'
import { forwardTime } from './latency.ts'

/** Parameters, multiply-adds and time; accuracy and loss where there were test images. */
export type NetworkFigures =
  & { params: number, macs: number }
  & Pick<Evaluation, 'msPerImage' | 'imagesPerSecond'>
  & Partial<Omit<Evaluation, 'predictions'>>

/** Measures a network on images [channels, height, width], `batch` at once. */
export async function figuresOf(
  model: Model,
  input: readonly [number, number, number],
  { test, batch, onProgress }: { test: Dataset | null, batch: number, onProgress?: (done: number) => void },
): Promise<NetworkFigures> {
  const { params, macs } = costOf(model, input)
  if (!test) {
    const msPerImage = await forwardTime(model, [batch, ...input]) / batch
    return { params, macs, msPerImage, imagesPerSecond: 1000 / msPerImage }
  }
  const { predictions: _, ...found } = await evaluate(model, test, { batch, onProgress })
  return { ...found, params, macs }
}

// What a network costs, and with test images how good it is.
import type { Dataset } from '../data/datasets.ts'
import { costOf } from '../nn/macs.ts'
import type { Model } from '../nn/model.ts'
import { type Accuracy, accuracyOf } from '../train/evaluate.ts'
import { timeOf, type Timing } from '../train/timing.ts'

/**
 * Parameters and multiply-adds, those of packed weights as dense and as done; accuracy and loss where there were test
 * images.
 */
export type SizeAndAccuracy =
  & { params: number, macs: number, keptMacs: number }
  & Partial<Omit<Accuracy, 'predictions'>>

/** The same with the time. */
export type NetworkFigures = SizeAndAccuracy & Timing

/** How a network is measured. */
export interface FigureOptions {
  test: Dataset | null
  batch: number
  onProgress?: (done: number) => void
}

/** Measures a network on images [channels, height, width], `batch` at once. */
export async function figuresOf(
  model: Model,
  input: readonly [number, number, number],
  options: FigureOptions,
): Promise<NetworkFigures> {
  const found = await sizeAndAccuracy(model, input, options)
  return { ...found, ...await timeOf(model, [options.batch, ...input]) }
}

/** Measures a network without a clock; networks to compare are timed in turns (`timeBoth`). */
export async function sizeAndAccuracy(
  model: Model,
  input: readonly [number, number, number],
  { test, batch, onProgress }: FigureOptions,
): Promise<SizeAndAccuracy> {
  const { params, macs, keptMacs } = costOf(model, input)
  if (!test) return { params, macs, keptMacs }
  const { predictions: _, ...found } = await accuracyOf(model, test, { batch, onProgress })
  return { ...found, params, macs, keptMacs }
}

// From masks of classes to scores of units, and from thresholds to rates, on the host.
import type { Scores } from '../../scores/criterion.ts'

/** A mask on the host: `classes` rows of a unit's size. */
export interface HostMask {
  classes: number
  values: Float32Array
}

/**
 * s_j = sum over classes of |M[c, j]|. Only over classes that there were images of: the rows of others are where they
 * began and say nothing.
 */
export function maskScore({ classes, values }: HostMask, seen: readonly number[]): Float32Array {
  const size = values.length / classes, score = new Float64Array(size)
  for (const row of seen) for (let j = 0; j < size; j++) score[j] += Math.abs(values[row * size + j])
  return Float32Array.from(score)
}

/** How scores of a layer come to lie in 0 to 1: divided by the largest, or least to largest. */
export const normalisations = ['max', 'range'] as const

/** One of `normalisations`. */
export type Normalisation = typeof normalisations[number]

/** Scores of one layer within 0 to 1, so that its threshold lies there too; equal scores are all 1. */
export function normalised(score: Float32Array, kind: Normalisation): Float32Array {
  const high = score.reduce((a, b) => Math.max(a, b), 0)
  const low = kind === 'range' ? score.reduce((a, b) => Math.min(a, b), Infinity) : 0
  return score.map((value) => high > low ? (value - low) / (high - low) : 1)
}

/** The value that a share of the scores is below, between two of them. */
export function quantile(score: Float32Array, share: number): number {
  const sorted = score.toSorted(), at = share * sorted.length
  const above = Math.min(sorted.length - 1, Math.floor(at)), below = Math.max(0, Math.ceil(at) - 1)
  return (sorted[below] + sorted[above]) / 2
}

/** g_j = (1 + tanh(n (s_j - theta))) / 2. */
export const gateValue = (score: number, theta: number, sharpness: number): number =>
  0.5 * (1 + Math.tanh(sharpness * (score - theta)))

/** r = 1 - mean of g over a layer. */
export const layerRate = (score: Float32Array, theta: number, sharpness: number): number =>
  1 - score.reduce((sum, value) => sum + gateValue(value, theta, sharpness), 0) / score.length

/** How far each element is above its layer's threshold: what is below 0 goes. */
export const margins = (scores: Scores, thresholds: ReadonlyMap<string, number>): Scores =>
  new Map([...scores].map(([name, score]) => [name, score.map((value) => value - thresholds.get(name)!)]))

// Accuracy against pruning rate: areas, the largest rate that keeps the accuracy, and when to stop.
import { InputError } from '../base/errors.ts'

/** Mean accuracy over the rates: A_PR of Pruning by eXplaining. */
export const meanArea = (accuracies: readonly number[]): number =>
  accuracies.reduce((a, b) => a + b, 0) / accuracies.length

/**
 * Area by the trapezoid rule over the rates themselves, as the published code has it: a perfect curve over 0..0.95
 * scores 0.95.
 */
export function trapezoidArea(rates: readonly number[], accuracies: readonly number[]): number {
  return rates.slice(1).reduce((sum, rate, i) => sum + (rate - rates[i]) * (accuracies[i] + accuracies[i + 1]) / 2, 0)
}

/**
 * Top-PR: the largest rate whose accuracy is at least `share` of the dense one; 0 if only the dense network reaches
 * that.
 */
export function topRate(rates: readonly number[], accuracies: readonly number[], dense: number, share = 0.95): number {
  // Sums of binary fractions fall a hair short of the share they stand for.
  return rates.reduce((best, rate, i) => accuracies[i] >= share * dense - 1e-9 ? Math.max(best, rate) : best, 0)
}

/** Whether an accuracy is that of guessing among `classes`, within two standard errors for so many images. */
export function atChance(accuracy: number, classes: number, images: number): boolean {
  const chance = 1 / classes
  return accuracy <= chance + 2 * Math.sqrt(chance * (1 - chance) / images)
}

/** `0:0.95:0.05` as 0, 0.05, ..., 0.95 without drift, or a list with commas. Ascending. @throws InputError. */
export function parseRates(text: string): number[] {
  const range = /^([\d.]+):([\d.]+):([\d.]+)$/.exec(text)
  const [first, last, step] = range ? range.slice(1).map(Number) : []
  const rates = range
    ? Array.from(
      { length: Math.min(1001, Math.floor((last - first) / step + 1e-9) + 1) },
      (_, i) => Math.round((first + i * step) * 1e6) / 1e6,
    )
    : text.split(',').map((each) => each.trim() === '' ? NaN : Number(each))
  const good = rates.length > 0 && rates.length <= 1000
    && rates.every((rate, i) => rate >= 0 && rate < 1 && (i === 0 || rate > rates[i - 1]))
  if (!good) {
    throw new InputError(
      `--rates ${text}: expected <first>:<last>:<step> or rising numbers with commas, each from 0 to below 1, e.g. 0:0.95:0.05`,
    )
  }
  return rates
}

/** Mean and standard error (0 for one value). */
export function meanAndError(values: readonly number[]): { mean: number, error: number } {
  const mean = meanArea(values)
  const variance = values.length > 1
    ? values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)
    : 0
  return { mean, error: Math.sqrt(variance / values.length) }
}

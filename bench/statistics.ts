// What may be said of times that were taken in turns: intervals by the bootstrap over rounds (Efron and Tibshirani, An
// Introduction to the Bootstrap, chapter 13), which ask for no distribution; whether a machine was too noisy for a row;
// and from which density on a sparse product stops being faster than the dense one.
import { type Draw, random } from '../src/base/random.ts'
import { median, quantile } from '../src/base/turns.ts'

/** A figure, and between what it lies with 95 % confidence. */
export interface Interval {
  value: number
  low: number
  high: number
}

const RESAMPLES = 1000

/**
 * Draws rounds with replacement and asks `figure` again and again: its value on the rounds as they were, and the
 * interval. Where rounds are of several processes, as many of each one after the other, processes are drawn and then
 * rounds of each (Davison and Hinkley, Bootstrap Methods and their Application, section 3.8): what differs between
 * processes is then in the interval.
 */
export function bootstrap(rounds: number, figure: (picked: readonly number[]) => number, processes = 1): Interval {
  const all = Array.from({ length: rounds }, (_, i) => i), pick = drawn(random(17, `bootstrap ${rounds}`))
  const found = Array.from({ length: RESAMPLES }, () => figure(pick(rounds, processes)))
  return { value: figure(all), low: quantile(found, 0.025), high: quantile(found, 0.975) }
}

/** Places of rounds, drawn with replacement: first their processes, where there are several, then rounds of each. */
const drawn = (draw: Draw) => (rounds: number, processes: number): number[] => {
  if (processes <= 1) return Array.from({ length: rounds }, () => draw.integer(rounds))
  const each = rounds / processes
  return Array.from({ length: processes }, () => each * draw.integer(processes)).flatMap((begin) =>
    Array.from({ length: each }, () => begin + draw.integer(each))
  )
}

/** The median over rounds. */
export const medianOf = (rounds: readonly number[], processes = 1): Interval =>
  bootstrap(rounds.length, (picked) => median(picked.map((i) => rounds[i])), processes)

/**
 * How many times as fast the second is as the first, where both took turns: the median over rounds of the ratio in
 * each.
 */
export const speedUp = (first: readonly number[], second: readonly number[], processes = 1): Interval =>
  medianOf(second.map((ms, i) => first[i] / ms), processes)

/**
 * How many times as long the second took, where the two were measured in different runs, each of so many processes.
 */
export function changeBetween(
  old: readonly number[],
  now: readonly number[],
  { before = 1, after = 1 }: { before?: number, after?: number } = {},
): Interval {
  const pick = drawn(random(18, 'change'))
  const sample = (rounds: readonly number[], processes: number) =>
    median(pick(rounds.length, processes).map((i) => rounds[i]))
  const found = Array.from({ length: RESAMPLES }, () => sample(now, after) / sample(old, before))
  return { value: median(now) / median(old), low: quantile(found, 0.025), high: quantile(found, 0.975) }
}

/** The widest interval, as a share of its value, of a row that can be trusted to 10 %. */
const NOISE_LIMIT = 0.1

/** Whether an interval is too wide; one round says nothing about noise, and counts as noisy. */
export const isNoisy = ({ value, low, high }: Interval, rounds: number): boolean =>
  rounds < 2 || !(high - low <= NOISE_LIMIT * value)

/** One density of a pattern: the times of both, round by round, taken in turns. */
export interface DensityTimes {
  density: number
  dense: readonly number[]
  sparse: readonly number[]
  /** Processes that the rounds are of, as many of each; default 1. */
  processes?: number
}

/**
 * The density at which both take the same time, with its interval; `beyond` where it lies outside what was measured.
 */
export interface BreakEven extends Interval {
  beyond: 'below' | 'above' | null
}

/**
 * Where the sparse product's share of the dense time crosses 1 for the first time, from the sparsest on; between two
 * densities by proportion. Rounds of each density are drawn on their own, because they were other turns.
 * @throws RangeError without points.
 */
export function breakEven(points: readonly DensityTimes[]): BreakEven {
  if (!points.length) throw new RangeError('breakEven: expected at least one density, got none')
  const sorted = points.toSorted((a, b) => a.density - b.density)
  const shares = sorted.map(({ dense, sparse }) => sparse.map((ms, i) => ms / dense[i]))
  const densities = sorted.map(({ density }) => density), pick = drawn(random(19, 'break-even'))
  const crossing = (medians: readonly number[]): number => {
    const above = medians.findIndex((share) => share > 1)
    if (above < 0) return densities.at(-1)!
    if (above === 0) return densities[0]
    const [low, high] = [medians[above - 1], medians[above]]
    return densities[above - 1] + (densities[above] - densities[above - 1]) * (1 - low) / (high - low)
  }
  const value = crossing(shares.map(median))
  const found = Array.from(
    { length: RESAMPLES },
    () =>
      crossing(
        shares.map((rounds, at) => median(pick(rounds.length, sorted[at].processes ?? 1).map((i) => rounds[i]))),
      ),
  )
  const plain = shares.map(median)
  const beyond = plain.every((share) => share <= 1) ? 'above' : plain[0] > 1 ? 'below' : null
  return { value, low: quantile(found, 0.025), high: quantile(found, 0.975), beyond }
}

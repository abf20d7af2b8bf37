// Measuring on a machine that is not ours alone: candidates are warmed up, then take turns, so that whatever slows the
// machine down slows all of them alike; medians and their spread, and whether two of them differ at all.

/** The middle of some values, how far the values lie from it (median of the absolute deviations), and their number. */
export interface Spread {
  median: number
  mad: number
  runs: number
}

/** The value below which a fraction `q` of the numbers lies, between neighbours by proportion; NaN of none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b), at = q * (sorted.length - 1), low = Math.floor(at)
  return sorted.length ? sorted[low] + (sorted[Math.ceil(at)] - sorted[low]) * (at - low) : NaN
}

/** The middle value; of an even count the mean of the middle two. */
export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** Median and median absolute deviation. */
export function spreadOf(values: readonly number[]): Spread {
  const middle = median(values)
  return { median: middle, mad: median(values.map((value) => Math.abs(value - middle))), runs: values.length }
}

/** How turns are taken. */
export interface TurnOptions {
  /** Runs of each candidate that do not count (2). */
  warmUp?: number
  /** Counted runs of each (9). */
  rounds?: number
  /** Rounds are cut short once so many milliseconds of them are over, but not below `least` (6). */
  patience?: number
  least?: number
  /** Waits for what the first run set going, such as a tuner. */
  settle?: () => Promise<void>
  onRound?: (done: number, of: number) => void
}

/**
 * Runs candidates in turns, every second round backwards, so that neither gains by its place: what each run returned,
 * candidate by candidate, round by round.
 */
export async function takeTurns<T>(
  candidates: readonly (() => Promise<T>)[],
  { warmUp = 2, rounds = 9, patience = Infinity, least = 6, settle, onRound }: TurnOptions = {},
): Promise<T[][]> {
  for (let i = 0; i < warmUp; i++) {
    for (const run of candidates) await run()
    if (i === 0) await settle?.()
  }
  const found = candidates.map((): T[] => [])
  const order = [...candidates.keys()]
  const start = performance.now()
  for (let round = 0; round < rounds; round++) {
    if (round >= least && performance.now() - start > patience) break
    for (const i of round % 2 ? order.toReversed() : order) found[i].push(await candidates[i]())
    onRound?.(round + 1, rounds)
  }
  return found
}

/** How two candidates compare that took turns. */
export interface Comparison {
  /** Median over the rounds of the second one's time as a multiple of the first one's. */
  ratio: number
  /** Between these it lies with 95 % confidence. */
  low: number
  high: number
  /** Whether 1 is not between them; with fewer than six rounds nobody can say so. */
  differs: boolean
}

/**
 * Compares times that were taken in turns, round by round. The interval is that of the median by order statistics
 * (Conover, Practical Nonparametric Statistics, section 3.2), which asks for no distribution: as many rounds may lie
 * beyond it on either side as leave a fair coin 2.5 %.
 */
export function compareTurns(first: readonly number[], second: readonly number[]): Comparison {
  const ratios = first.map((ms, i) => second[i] / ms).sort((a, b) => a - b), n = ratios.length
  let outside = -1
  for (let below = 0, tail = 0.5 ** n; tail <= 0.025 && below < n / 2; below++) {
    outside = below
    tail += 0.5 ** n * binomial(n, below + 1)
  }
  if (outside < 0) return { ratio: median(ratios), low: 0, high: Infinity, differs: false }
  const low = ratios[outside], high = ratios[n - 1 - outside]
  return { ratio: median(ratios), low, high, differs: low > 1 || high < 1 }
}

function binomial(n: number, k: number): number {
  let ways = 1
  for (let i = 0; i < k; i++) ways = ways * (n - i) / (i + 1)
  return ways
}

// Accuracy against pruning rate: plans that contain each other, measured one after the other; areas, the largest rate
// that keeps the accuracy, and when to stop.
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { InputError } from '../base/errors.ts'
import { disposeTree } from '../core/tree.ts'
import type { Model } from '../nn/model.ts'
import { goneFirst } from './methods/by-criterion.ts'
import { rank, type SelectOptions } from './plan/select.ts'
import type { Plan } from './plan/slice.ts'
import type { Scores } from './scores/criterion.ts'
import type { TrialResult, Trials } from './trial.ts'
import type { Unit } from './units/units.ts'

const curveKeys: OptionKeys<CurveOptions> = {
  trials: true,
  units: true,
  select: true,
  rates: true,
  scores: true,
  iterative: true,
  known: true,
  onPoint: true,
}

/** What a curve is measured with. */
export interface CurveOptions {
  trials: Trials
  /** Units that may go. */
  units: readonly Unit[]
  select: SelectOptions
  /** Ascending, each from 0 to below 1. */
  rates: readonly number[]
  /** Scores of the network, or with a plan's masks on for the rate that is to come. */
  scores: (masks?: Plan, rate?: number) => Promise<Scores>
  /** Scores anew before each rate but the first. */
  iterative?: boolean
  /** What is known of a rate already: it is not measured again. */
  known?: (rate: number) => boolean
  /** Called with each new point; `true` ends the curve. */
  onPoint: (point: { rate: number, plan: Plan, result: TrialResult }) => boolean | void
}

/**
 * Measures a network at rising rates. Scores are computed when they are first needed, and where they are recomputed
 * also for rates that are known, since each depends on what went before.
 */
export async function measureCurve(options: CurveOptions): Promise<void> {
  checkOptions('measureCurve', options, curveKeys)
  const { trials, units, select, rates, scores, iterative = false, known = () => false, onPoint } = options
  const rankBy = (found: Scores) => rank(units, found, select)
  let ranking: ReturnType<typeof rankBy> | null = null
  for (const [i, rate] of rates.entries()) {
    if (iterative && i > 0) {
      const gone = ranking!.at(rates[i - 1])
      ranking = rankBy(goneFirst(await scores(gone, rate), gone))
    }
    const done = known(rate)
    if (!done || iterative) ranking ??= rankBy(await scores())
    if (done) continue
    const plan = ranking!.at(rate)
    if (onPoint({ rate, plan, result: await trials.run(plan) })) return
  }
}

/** What a curve of a method without scores is measured with: it is run for each rate. */
export interface LearnedCurveOptions extends Pick<CurveOptions, 'rates' | 'known' | 'onPoint'> {
  /** The method's plan for a rate, and the network that it trained, which is freed here. */
  learn: (rate: number) => Promise<{ plan: Plan, model?: Model }>
  /** What tries a plan on the network that was trained, or on the dense one. */
  trialsOf: (model?: Model) => Trials
}

/** Measures a method that learns what to cut: one run for each rate, since a plan for one says nothing of the next. */
export async function measureLearnedCurve(options: LearnedCurveOptions): Promise<void> {
  const { rates, known = () => false, onPoint, learn, trialsOf } = options
  for (const rate of rates) {
    if (known(rate)) continue
    const { plan, model } = rate === 0 ? { plan: new Map<string, Uint8Array>() } : await learn(rate)
    try {
      if (onPoint({ rate, plan, result: await trialsOf(model).run(plan) })) return
    } finally {
      if (model) disposeTree(model)
    }
  }
}

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
      `--rates ${text}: expected <first>:<last>:<step> or rising numbers with commas, `
        + 'each from 0 to below 1, e.g. 0:0.95:0.05',
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

// Numbers as a report writes them.
import type { Figures } from './types.ts'

/** 5717416 as '5.717 M': four digits, so that a column of them fits a phone. */
export function count(value: number): string {
  const [unit, size] = ([['G', 1e9], ['M', 1e6], ['k', 1e3]] as const).find(([, each]) => Math.abs(value) >= each)
    ?? ['', 1]
  return size === 1 ? String(Math.round(value)) : `${(value / size).toPrecision(4)} ${unit}`
}

/** 12100000 as '12.10 MB'. */
export const bytes = (value: number): string => value < 1000 ? `${Math.round(value)} B` : `${count(value)}B`

/** 0.125 as '12.5 %'. */
export const percent = (fraction: number, digits: number): string => `${(100 * fraction).toFixed(digits)} %`

/** Milliseconds with their spread: '6.40 ± 0.11'. */
export function timeText({ msPerImage, msPerImageMad }: Pick<Figures, 'msPerImage' | 'msPerImageMad'>): string {
  const digits = msPerImage! < 10 ? 2 : 1
  return `${msPerImage!.toFixed(digits)}${msPerImageMad === undefined ? '' : ` ± ${msPerImageMad.toFixed(digits)}`}`
}

/** Whether a network that took turns with the dense one took another time than that, as far as can be told. */
export const differsInTime = ({ timeShareLow = 1, timeShareHigh = 1 }: Figures): boolean =>
  timeShareLow > 1 || timeShareHigh < 1

/** '52.0 % of the time (50.1 to 54.0 %)', or that nobody can tell. */
export function shareText(figures: Figures): string {
  const { timeShare, timeShareLow, timeShareHigh } = figures
  if (timeShare === undefined) return 'not compared'
  const range = timeShareHigh === Infinity || timeShareHigh === undefined
    ? 'too few turns'
    : `${percent(timeShareLow!, 1).slice(0, -2)} to ${percent(timeShareHigh, 1)}`
  return differsInTime(figures)
    ? `${percent(timeShare, 1)} of the time (${range})`
    : `no difference beyond noise (${range} of the time)`
}

// Numbers as a report writes them.

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

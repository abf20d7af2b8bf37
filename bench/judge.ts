// How fast each row is beside the baselines of its case, and whether the machine was too noisy to tell.
import type { Row } from './harness.ts'
import { isNoisy, medianOf, speedUp } from './statistics.ts'
import { keyOf } from './table.ts'

/** The rows of one case, compared round by round. */
export function compared(rows: readonly Row[], baselines: readonly string[]): Row[] {
  return rows.map(({ noisy: _, speedUps: __, ...row }, at) => {
    const { msRounds = [], processes = 1 } = row
    const others = rows.filter((other, i) => i !== at && baselines.includes(other.impl))
    const against = others.map((other) => ({
      over: other.impl,
      ...speedUp(other.msRounds ?? [], msRounds, processes),
    }))
    // Of what took turns, ratios count: a machine that was slow for a while slowed all of them.
    const found = against.length ? against : [medianOf(msRounds, processes)]
    return {
      ...row,
      ...against.length && { speedUps: against },
      ...found.some((interval) => isNoisy(interval, msRounds.length)) && { noisy: true },
    }
  })
}

/** Rows of many cases, compared anew with the baselines that they were compared with before. */
export function judged(rows: readonly Row[]): Row[] {
  const cases = new Map<string, Row[]>()
  for (const row of rows) {
    const key = keyOf({ ...row, impl: '' })
    cases.set(key, [...cases.get(key) ?? [], row])
  }
  return [...cases.values()].flatMap((each) => {
    const baselines = new Set(each.flatMap(({ speedUps = [] }) => speedUps.map(({ over }) => over)))
    return each.every(({ msRounds }) => msRounds?.length) ? compared(each, [...baselines]) : each
  })
}

// What `bench --json` prints, as version 1 of a documented schema (docs/benchmarking.md), and how such a file is read
// again.
import { readFileSync, statSync } from 'node:fs'
import { InputError } from '../src/base/errors.ts'
import { quoted, shown } from '../src/base/quote.ts'
import type { Row } from './harness.ts'
import type { Roofline } from './roofline.ts'
import type { BreakEven } from './statistics.ts'

/** The version of the JSON; a number that grows where a field changes its meaning or goes. New fields do not count. */
export const SCHEMA = 1

/**
 * From which density on a pattern is no longer faster than dense, for one op at one shape; or, by `tokens`, from how
 * many tokens on an attention is faster than softmax attention.
 */
export interface BreakEvenRow extends BreakEven {
  /** What `value` counts; a density without. */
  by?: 'tokens'
  pattern: string
  op: string
  shape: string
  over: string
  profile?: 'browser' | 'native'
}

/** The machine a bench ran on, without which its figures mean little. */
export interface MachineFacts {
  cpu: string
  cores: number
  node: string
  platform: string
  /** The commit of a checkout, with `+` where files were changed; null in an installed package. */
  commit: string | null
}

/** The result of a bench. */
export interface BenchReport {
  suite: string
  adapter: string
  kind: string
  versions: Record<string, string>
  profile: string
  machine: MachineFacts
  /** Processes that measured, one after the other, where there were several. */
  processes?: number
  /** When it began, ISO 8601. */
  date: string
  rows: Row[]
  /** By profile; empty where none was measured. */
  rooflines: Partial<Record<'browser' | 'native', Roofline>>
  breakEven: BreakEvenRow[]
  /** What the tuner chose, by class of work. */
  tuning: Record<string, string>
  notes: string[]
}

/** Most bytes of a file to compare with: a run of all suites has a tenth of that. */
const LIMIT = 2 ** 26

/** Reads a file that `--json` printed. @throws InputError that names the file and what is wrong with it. */
export function readReport(path: string): BenchReport {
  const refuse = (what: string): never => {
    throw new InputError(
      `${quoted(path)}: ${what}; expected what 'espalier bench --json' printed, a JSON object with schema ${SCHEMA}`,
    )
  }
  let text: string
  try {
    const found = statSync(path)
    if (!found.isFile()) return refuse('it is not a regular file')
    if (found.size > LIMIT) return refuse(`it has ${found.size} bytes`)
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof InputError) throw error
    return refuse((error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : 'it cannot be read')
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return refuse('it is no JSON')
  }
  if (!isObject(value)) return refuse(`it holds ${shown(value)}`)
  if (value.schema !== SCHEMA) return refuse(`its schema is ${shown(value.schema)}`)
  const { rows, adapter } = value
  if (typeof adapter !== 'string') return refuse(`its adapter is ${shown(adapter)}`)
  if (!Array.isArray(rows)) return refuse(`its rows are ${shown(rows)}`)
  for (const [i, row] of rows.entries()) {
    if (!isObject(row)) return refuse(`row ${i} is ${shown(row)}`)
    for (const key of ['suite', 'name', 'shape', 'impl'] as const) {
      if (typeof row[key] !== 'string') return refuse(`row ${i} has the ${key} ${shown(row[key])}`)
    }
    if (!isTime(row.msMedian)) return refuse(`row ${i} has the msMedian ${shown(row.msMedian)}`)
    if (row.msRounds !== undefined && !(Array.isArray(row.msRounds) && row.msRounds.every(isTime))) {
      return refuse(`row ${i} has the msRounds ${shown(row.msRounds)}`)
    }
    const { processes = 1, msRounds } = row
    if (!(Number.isInteger(processes) && processes as number >= 1)) {
      return refuse(`row ${i} has the processes ${shown(processes)}`)
    }
    if (processes !== 1 && !(Array.isArray(msRounds) && msRounds.length % (processes as number) === 0)) {
      return refuse(`row ${i} has rounds that ${shown(processes)} processes cannot share alike`)
    }
    if (row.density !== undefined && typeof row.density !== 'number') {
      return refuse(`row ${i} has the density ${shown(row.density)}`)
    }
    if (row.profile !== undefined && typeof row.profile !== 'string') {
      return refuse(`row ${i} has the profile ${shown(row.profile)}`)
    }
    const { speedUps = [] } = row
    if (!(Array.isArray(speedUps) && speedUps.every((each) => isObject(each) && typeof each.over === 'string'))) {
      return refuse(`row ${i} has the speedUps ${shown(speedUps)}`)
    }
  }
  return value as unknown as BenchReport
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isTime = (value: unknown): value is number => typeof value === 'number' && value > 0 && Number.isFinite(value)

// Masks of classes that a method learnt: into the JSON beside a report, and out of it for `explain --units --mask`.
import { existsSync, readFileSync } from 'node:fs'
import type { ParsedCheckpoint } from '../checkpoint/checkpoint.ts'
import { InputError } from '../base/errors.ts'
import { plain, quoted, shown } from '../base/quote.ts'
import { guard } from '../files/guard.ts'
import { gatesOf } from '../nn/gates.ts'
import type { ClassMask } from '../pruning/methods/method.ts'
import type { Plan } from '../pruning/plan/slice.ts'
import type { Unit } from '../pruning/units/units.ts'
import { leanings, maskPicture, type MaskReport, shared, strongest } from '../report/class-masks.ts'
import { classOf, networkClasses } from './classes.ts'
import { namelessClass } from './explainer.ts'
import { table } from './model.ts'

/** More numbers than this are not written into a JSON file. */
const most = 4e6

/** Masks with the names of classes, rounded to four digits; undefined where there are too many for anybody to read. */
export function classMasksOf(
  masks: ReadonlyMap<string, ClassMask>,
  units: readonly Unit[],
  plan: Plan,
  checked: Pick<ParsedCheckpoint, 'classes' | 'classCount' | 'digest'>,
): MaskReport | undefined {
  const count = [...masks.values()].reduce((sum, { values }) => sum + values.length, 0)
  if (count > most) return undefined
  const { names } = networkClasses(checked)
  return {
    network: checked.digest,
    classes: Array.from({ length: checked.classCount }, (_, at) => names?.[at] ?? namelessClass(at)),
    units: units.flatMap(({ name, kind, size }) => {
      const mask = masks.get(name), keep = plan.get(name)
      if (!mask) return []
      const row = (at: number) =>
        Array.from(mask.values.subarray(at * size, (at + 1) * size), (value) => Number(value.toPrecision(4)))
      return [{
        name,
        kind,
        values: Array.from({ length: mask.classes }, (_, at) => row(at)),
        ...keep && { kept: [...keep.keys()].filter((i) => keep[i]) },
      }]
    }),
  }
}

/** Reads the masks of a run. @throws InputError where the file holds none, or those of another network. */
export function readMasks(path: string, { shape, classCount, name, digest }: ParsedCheckpoint): MaskReport {
  const bad = (what: string) => new InputError(`--mask ${plain(path)}: ${what}`)
  if (!existsSync(path)) throw bad('there is no such file')
  let value: { masks?: Partial<MaskReport> } | null
  try {
    value = JSON.parse(guard(path, () => readFileSync(path, 'utf8'), true)) as typeof value
  } catch (error) {
    if (error instanceof InputError) throw error
    throw new InputError(`--mask ${plain(path)}: is no JSON (${plain((error as Error).message, 80)})`, { cause: error })
  }
  const { classes, units, network } = value?.masks ?? {}
  if (!Array.isArray(classes) || !Array.isArray(units) || !units.length) {
    throw bad('holds no masks; expected the JSON beside a report of prune --method xpruner --report run.html')
  }
  if (classes.length !== classCount || !classes.every((each) => typeof each === 'string')) {
    throw bad(`is of ${classes.length} classes, ${plain(name)} tells ${classCount} apart; give the run's own network`)
  }
  if (network !== undefined && network !== digest) {
    throw bad(`was learnt on another network than ${plain(name)}, or on another file of it; give the run's own network`)
  }
  const gates = new Set(gatesOf(shape).map(([at]) => at))
  for (const unit of units as Partial<MaskReport['units'][number]>[]) {
    const { name: own, kind, values } = unit
    if (typeof own !== 'string' || typeof kind !== 'string' || !Array.isArray(values)) {
      throw bad(`has the unit ${shown(own, 40)} without name, kind and values`)
    }
    if (!gates.has(own)) throw bad(`names the unit ${quoted(own, 60)}, which ${plain(name)} does not have`)
    const width = (values[0] as unknown[] | undefined)?.length ?? 0
    const whole = values.length === classCount && width > 0
      && values.every((row: unknown) => Array.isArray(row) && row.length === width && row.every(Number.isFinite))
    if (!whole) throw bad(`has values of ${quoted(own, 60)} that are no table of ${classCount} rows of numbers`)
  }
  return value!.masks as MaskReport
}

/** What a class leans on. */
export interface ClassLeaning {
  class: number
  name: string
  /** In the order of the network; `leaning` in standard deviations over the classes. */
  layers: { unit: string, kind: string, leaning: number, strongest: { element: number, mask: number }[] }[]
  /** The classes that share most of the strongest fifth of each layer, 0 to 1. */
  shares: { class: number, name: string, share: number }[]
}

/** What `explain --units --mask` answers, for the classes wanted or the first ten. */
export function explainMasks(
  report: MaskReport,
  checked: ParsedCheckpoint,
  wanted: readonly string[] | undefined,
): { found: ClassLeaning[], text: string } {
  const { classes, units } = report, lean = leanings(report), pairs = shared(report)
  const chosen = wanted?.map((text) => classOf(text, { ...networkClasses(checked), names: classes }))
    ?? [...classes.keys()].slice(0, 10)
  const found = chosen.map((row): ClassLeaning => ({
    class: row,
    name: classes[row],
    layers: units.map((unit, at) => ({
      unit: unit.name,
      kind: unit.kind,
      leaning: lean[row][at],
      strongest: strongest(unit, row, 5).map((element) => ({ element, mask: unit.values[row][element] })),
    })),
    shares: pairs[row].map((share, other) => ({ class: other, name: classes[other], share }))
      .filter((each) => each.class !== row).sort((a, b) => b.share - a.share).slice(0, 5),
  }))
  const texts = found.map(textOf)
  if (lean.every((row) => row.every((value) => value === 0))) {
    texts.push(
      'note: masks of different classes hardly differ, so nothing above is a finding: they need more epochs, or '
        + '--set mask-optimizer=adamw',
    )
  }
  return { found, text: texts.join('\n\n') }
}

function textOf({ name, layers, shares }: ClassLeaning): string {
  return [
    `${plain(name, 100)}: shares units with ${
      shares.map((other) => `${plain(other.name, 60)} (${Math.round(100 * other.share)} %)`).join(', ')
    }`,
    table(
      ['unit', 'leaning', 'strongest, as element: mask'],
      layers.map(({ unit, leaning, strongest: list }) => [
        unit,
        leaning.toFixed(2),
        list.map(({ element, mask }) => `${element}: ${mask.toPrecision(3)}`).join('   '),
      ]),
    ),
  ].join('\n')
}

/** The picture as a PNG file. */
export const maskPng = (report: MaskReport, title: string): Uint8Array => maskPicture(report, title).png()

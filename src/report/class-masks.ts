// Masks of classes as a picture: which layers a class leans on, and which classes lean on the same units.
import { Canvas, type Colour, textWidth } from './canvas.ts'
import { shade } from './heatmap.ts'

/** The mask of one unit: a row for each class, and the elements that were kept (absent: all, or unknown). */
export interface UnitMask {
  name: string
  kind: string
  values: readonly (readonly number[])[]
  kept?: readonly number[]
}

/** Masks of a run, as the JSON beside a report has them. */
export interface MaskReport {
  /** SHA-256 of the file that they were learnt on. */
  network?: string
  classes: readonly string[]
  units: readonly UnitMask[]
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

/**
 * For each class and layer, how far the mean of |M| is from that of all classes, in standard deviations over the
 * classes of the layer; 0 where all are alike, to the digits that masks are stored with.
 */
export function leanings({ classes, units }: MaskReport): number[][] {
  const columns = units.map(({ values }) => {
    const rows = values.map((row) => mean(row.map(Math.abs))), centre = mean(rows)
    const deviation = Math.sqrt(mean(rows.map((value) => (value - centre) ** 2)))
    return rows.map((value) => deviation > alike * centre ? (value - centre) / deviation : 0)
  })
  return classes.map((_, row) => columns.map((column) => column[row]))
}

// Masks are stored with four digits: less than this, as a share of their mean, is rounding.
const alike = 1e-3

/** The strongest elements of a class in a unit, by |M|, strongest first. */
export function strongest({ values }: UnitMask, row: number, count: number): number[] {
  const own = values[row]
  return [...own.keys()].sort((a, b) => Math.abs(own[b]) - Math.abs(own[a])).slice(0, count)
}

/** For each pair of classes, the share of their strongest fifths of each layer that are the same elements. */
export function shared({ classes, units }: MaskReport): number[][] {
  const sets = classes.map((_, row) =>
    new Set(
      units.flatMap((unit) =>
        strongest(unit, row, Math.max(1, Math.round(unit.values[row].length / 5))).map((at) => `${unit.name} ${at}`)
      ),
    )
  )
  return sets.map((mine) => sets.map((other) => [...mine].filter((each) => other.has(each)).length / mine.size))
}

const pairTitle = 'shared units'
const legends = [
  'first layer to last; red: leans on it more than other classes',
  'right: share of the strongest fifth two classes have in common',
]
const cell = 26, gap = 14, line = 22, soft: Colour = [110, 110, 110]

/** Classes down, layers across: red leans on a layer more than other classes do, blue less; beside it who shares. */
export function maskPicture(report: MaskReport, title: string): Canvas {
  const { classes, units } = report, lean = leanings(report), pairs = shared(report)
  const most = 24, rows = classes.slice(0, most)
  const left = gap + Math.min(200, Math.max(...rows.map((name) => textWidth(name)))) + 8
  // Each kind of units is as wide as its columns or its name.
  const kinds: { kind: string, at: number[], x: number }[] = []
  let beside = left
  for (const kind of new Set(units.map((unit) => unit.kind))) {
    const at = [...units.keys()].filter((i) => units[i].kind === kind)
    kinds.push({ kind, at, x: beside })
    beside += Math.max(at.length * cell, textWidth(kind)) + gap
  }
  beside += gap
  const top = gap + 2 * line + 4
  const canvas = new Canvas(
    Math.max(
      beside + Math.max(rows.length * cell, textWidth(pairTitle)) + gap,
      left + Math.max(...legends.map((text) => textWidth(text))) + gap,
      textWidth(title) + 2 * gap,
    ),
    top + rows.length * cell + 3 * line + gap,
  )
  canvas.text(gap, gap, title, { width: canvas.width - 2 * gap })
  rows.forEach((name, row) => {
    canvas.text(gap, top + row * cell + 4, name, { width: left - gap - 8 })
    for (const { at, x } of kinds) {
      at.forEach((unit, i) => {
        canvas.fill(x + i * cell, top + row * cell, cell - 1, cell - 1, shade(lean[row][unit] / 2.5))
      })
    }
    rows.forEach((_, other) => {
      canvas.fill(beside + other * cell, top + row * cell, cell - 1, cell - 1, shade(2 * pairs[row][other] - 1))
    })
  })
  for (const { kind, x } of kinds) canvas.text(x, gap + line, kind, { colour: soft })
  canvas.text(beside, gap + line, pairTitle, { colour: soft })
  const below = top + rows.length * cell + 8
  legends.forEach((text, i) => {
    canvas.text(left, below + i * line, text, { colour: soft })
  })
  if (classes.length > most) {
    canvas.text(left, below + 2 * line, `the first ${most} of ${classes.length} classes`, { colour: soft })
  }
  return canvas
}

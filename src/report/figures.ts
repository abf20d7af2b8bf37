// The model's figures before and after, each with a bar.
import { bytes, count, differsInTime, percent, timeText } from './format.ts'
import { html, type Html } from './html.ts'
import type { Figures, Report } from './types.ts'

interface Row {
  label: string
  key: keyof Figures
  text: (value: number, figures: Figures) => string
  /** Fractions change by points, others by a factor. */
  fraction?: boolean
}

const points = (value: number) => percent(value, 2)
const rows: readonly Row[] = [
  { label: 'top-1', key: 'top1', text: points, fraction: true },
  { label: 'top-5', key: 'top5', text: points, fraction: true },
  { label: 'loss', key: 'loss', text: (value) => value.toFixed(4) },
  { label: 'MACs per image', key: 'macs', text: count },
  { label: 'parameters', key: 'params', text: count },
  { label: 'file', key: 'bytes', text: bytes },
  { label: 'ms per image', key: 'msPerImage', text: (_, figures) => timeText(figures) },
  { label: 'images per second', key: 'imagesPerSecond', text: (value) => String(Number(value.toPrecision(3))) },
]

/** The section with the table; a model that was not pruned shows one column. */
export function figureSection({ before, after }: Report): Html {
  const shown = rows.filter(({ key }) => before[key] !== undefined || after?.[key] !== undefined)
  return html`
<section>
<h2>${after ? 'Before and after' : 'Figures'}</h2>
<div class="scroll"><table class="figures">
<thead><tr><th></th><th>${after ? 'before' : 'value'}</th>${
    after && html`<th>after</th><th>change</th><th class="wide-cell"></th>`
  }</tr></thead>
<tbody>${
    shown.map((row) =>
      html`
<tr><th>${row.label}</th><td>${value(row, before)}</td>${
        after
        && html`<td>${value(row, after)}</td><td>${
          row.key === 'msPerImage' || row.key === 'imagesPerSecond'
            ? timeChange(row, before, after)
            : change(row, before[row.key], after[row.key])
        }</td><td class="wide-cell">${bars(before[row.key], after[row.key])}</td>`
      }</tr>`
    )
  }
</tbody></table></div>
${
    (before.images ?? after?.images) !== undefined
    && html`<p class="small">Accuracy is of ${
      before.images ?? after?.images
    } images; time is the median per image ± its spread, ${
      after?.timeShare === undefined ? 'after a warm-up' : 'both networks in turns after a warm-up'
    }.</p>`
  }
</section>`
}

const value = ({ key, text }: Row, figures: Figures) => figures[key] === undefined ? '–' : text(figures[key], figures)

/** `−1.25 pts` (hundredths), or `× 0.50`. */
function change({ fraction }: Row, before: number | undefined, after: number | undefined): string {
  if (before === undefined || after === undefined) return ''
  if (fraction) return `${after < before ? '−' : '+'}${Math.abs(100 * (after - before)).toFixed(2)} pts`
  return before > 0 ? `× ${(after / before).toPrecision(after / before < 1 ? 2 : 3)}` : ''
}

/** Of networks that took turns, the ratio of each round counts, and whether it differs from 1 at all. */
function timeChange(row: Row, before: Figures, after: Figures): string {
  const { timeShare } = after
  if (timeShare === undefined) return change(row, before[row.key], after[row.key])
  if (!differsInTime(after)) return 'no difference beyond noise'
  const factor = row.key === 'msPerImage' ? timeShare : 1 / timeShare
  return `× ${factor.toPrecision(factor < 1 ? 2 : 3)}`
}

function bars(before: number | undefined, after: number | undefined): Html | null {
  if (before === undefined || after === undefined) return null
  const most = Math.max(before, after) || 1
  return html`<div class="bars" aria-hidden="true"><i class="was" style="width:${
    width(before / most)
  }"></i><i class="is" style="width:${width(after / most)}"></i></div>`
}

/** A fraction as a width in CSS. */
export const width = (fraction: number): string => `${(100 * Math.min(1, Math.max(0, fraction))).toFixed(1)}%`

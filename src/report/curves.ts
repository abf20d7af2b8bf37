// Accuracy against pruning rate, multiply-adds and time, for every method; and the areas under the curves.
import { count, percent } from './format.ts'
import { html, type Html } from './html.ts'
import { legend, type Plot, type PlotPoint, responsivePlot, type Series } from './plot.ts'
import type { Curve, CurvePoint, Report } from './types.ts'

const whole = (value: number) => percent(value, 0)

/** The section with the plots and the table of areas. */
export function curveSection({ curves = [], before }: Report): Html | null {
  const drawn = curves.filter(({ points }) => points.length > 0)
  if (!drawn.length) return null
  const against = (
    label: string,
    tick: (value: number) => string,
    at: (point: CurvePoint) => number | undefined,
  ): Plot => ({
    label: `Top-1 accuracy against ${label}`,
    x: { label, tick },
    y: { label: 'top-1', tick: whole },
    series: drawn.map((curve) => seriesOf(curve, at)),
    level: before.top1 === undefined ? undefined : { value: before.top1, label: `dense ${percent(before.top1, 1)}` },
  })
  const points = drawn.flatMap((curve) => curve.points)
  const rate = against('pruning rate', whole, (point) => point.rate)
  const macs = against('multiply-adds taken away', whole, (point) => 1 - point.macs / (before.macs || 1))
  // Shares of the dense network's time, taken in turns, compare even where the machine was busy for a while.
  const shares = points.some(({ timeShare }) => timeShare !== undefined)
  const time = shares
    ? against("time, as a share of the dense network's", whole, (point) => point.timeShare)
    : against(
      'milliseconds per image',
      (value) => `${Number(value.toPrecision(3))}`,
      (point) => point.msPerImage,
    )
  const banded = points.some(({ low, high }) => low !== undefined && high !== undefined && high > low)
  return html`
<section>
<h2>Accuracy against pruning rate</h2>
${legend(rate)}
${responsivePlot(rate)}
${banded && html`<p class="small">A band is the spread over seeds. All figures stand in the lists below.</p>`}
${areaTable(drawn)}
${points.some((point) => point.macs !== before.macs) && html`<h3>Against multiply-adds</h3>${responsivePlot(macs)}`}
${
    points.filter(({ msPerImage, timeShare }) => (shares ? timeShare : msPerImage) !== undefined).length > 1
    && html`<h3>Against measured time</h3>${responsivePlot(time)}`
  }
${drawn.map(pointTable)}
</section>`
}

function seriesOf({ name, points }: Curve, at: (point: CurvePoint) => number | undefined): Series {
  return {
    name,
    points: points.flatMap((point): PlotPoint[] => {
      const x = at(point), { top1: y, low = y, high = y } = point
      return x === undefined
        ? []
        : [{ x, y, low: Math.max(0, low), high, title: `${name}, rate ${whole(point.rate)}: ${accuracy(point)}` }]
    }),
  }
}

const accuracy = ({ top1, low, high, seeds }: CurvePoint) =>
  percent(top1, 1)
  + (seeds > 1 && low !== undefined && high !== undefined
    ? ` (${percent(low, 1)} to ${percent(high, 1)}, ${seeds} seeds)`
    : '')

/** How many seeds a curve is of. */
export const seedsOf = ({ points }: Curve): number => Math.max(0, ...points.map(({ seeds }) => seeds))

/** A_PR with its standard error, as text. */
export const areaOf = ({ area, areaError }: Curve): string =>
  area.toFixed(3) + (areaError === undefined ? '' : ` ± ${areaError.toFixed(3)}`)

function areaTable(curves: readonly Curve[]): Html {
  const trapezoid = curves.some((curve) => curve.trapezoid !== undefined)
  return html`
<div class="scroll"><table>
<thead><tr><th>method</th><th>A<sub>PR</sub></th>${
    trapezoid && html`<th>trapezoid</th>`
  }<th>Top-PR</th><th>seeds</th></tr></thead>
<tbody>${
    curves.toSorted((a, b) => b.area - a.area).map((curve) =>
      html`
<tr><th>${curve.name}</th><td>${areaOf(curve)}</td>${
        trapezoid && html`<td>${curve.trapezoid?.toFixed(3) ?? '–'}</td>`
      }<td>${whole(curve.topRate)}</td><td>${seedsOf(curve)}</td></tr>`
    )
  }
</tbody></table></div>
<p class="small">A<sub>PR</sub> is the mean accuracy over all rates, ± its standard error over seeds; trapezoid,
the area under the curve;
Top-PR, the largest rate that keeps 95 % of the dense accuracy.</p>`
}

function pointTable({ name, points }: Curve): Html {
  const timed = points.some(({ msPerImage }) => msPerImage !== undefined)
  const shared = points.some(({ timeShare }) => timeShare !== undefined)
  return html`
<details><summary>${name}: ${points.length} rates</summary>
<div class="scroll"><table>
<thead><tr><th>rate</th><th>top-1</th><th>MACs</th><th>parameters</th>${timed && html`<th>ms per image</th>`}${
    shared && html`<th>of the dense time</th>`
  }</tr></thead>
<tbody>${
    points.map((point) =>
      html`
<tr><th>${percent(point.rate, 1)}</th><td>${accuracy(point)}</td><td>${count(point.macs)}</td><td>${
        count(point.params)
      }</td>${
        timed
        && html`<td>${point.msPerImage?.toFixed(2) ?? '–'}</td>`
      }${
        shared
        && html`<td>${point.timeShare === undefined ? '–' : percent(point.timeShare, 0)}</td>`
      }</tr>`
    )
  }
</tbody></table></div></details>`
}

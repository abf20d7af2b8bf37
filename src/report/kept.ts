// What is left of each unit, as one bar per unit from the first layer to the last.
import { width } from './figures.ts'
import { html, type Html } from './html.ts'
import type { KeptUnit, Report } from './types.ts'

/** The section with the bars. */
export function unitSection({ units }: Report): Html | null {
  if (!units.length) return null
  const labels = units.map(({ name }) => split(name))
  const touched = units.filter(({ size, kept }) => kept < size)
  const whole = units.length - touched.length
  const [size, kept] = [total(units, 'size'), total(units, 'kept')]
  return html`
<section>
<h2>What is left of each layer</h2>
<p>${kept.toLocaleString('en')} of ${size.toLocaleString('en')} elements in ${units.length} units${
    touched.length > 0 && whole > 0 && `; ${whole === 1 ? 'one unit is' : `${whole} units are`} whole`
  }.</p>
<div class="units">${
    units.map((unit, i) =>
      html`
<div class="${i > 0 && labels[i].layer !== labels[i - 1].layer ? 'unit next' : 'unit'}"><span class="name"><b>${
        breakable(labels[i].layer)
      }</b>${breakable(labels[i].rest)}</span>${
        bar(unit)
      }<span class="count">${unit.kept}<small> / ${unit.size}</small></span></div>`
    )
  }
</div>
</section>`
}

const bar = ({ name, size, kept }: KeptUnit) =>
  html`<span class="bar" role="img" aria-label="${name}: ${kept} of ${size} kept"><i style="width:${
    width(size ? kept / size : 0)
  }"></i></span>`

const total = (units: readonly KeptUnit[], key: 'size' | 'kept') => units.reduce((sum, unit) => sum + unit[key], 0)

/** A path that may break before its dots. */
const breakable = (path: string) => path.split('.').map((part, i) => [i > 0 && html`<wbr>.`, part])

/** `blocks.3` and `.mlp.hidden`, `stages.0.1` and `.inner.0`: a layer ends at the last number that a name follows. */
function split(name: string): { layer: string, rest: string } {
  const layer = /^.*\.\d+(?=\.[A-Za-z])/.exec(name)?.[0] ?? ''
  return { layer, rest: name.slice(layer.length) }
}

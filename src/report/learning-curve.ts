// Learning curves: an SVG drawn by hand, and a line of blocks for the terminal.

/** One line of a plot: a value per epoch, and what it is called. NaN leaves a gap. */
export interface Series {
  name: string
  values: readonly number[]
  colour: string
}

const blocks = '▁▂▃▄▅▆▇█'

/** Values as a line of eight heights, at most `width` of them (neighbours are averaged). */
export function sparkline(values: readonly number[], width = 40): string {
  const groups = Math.min(width, values.length)
  const means = Array.from({ length: groups }, (_, i) => {
    const part = values.slice(Math.floor(i * values.length / groups), Math.floor((i + 1) * values.length / groups))
    return part.reduce((sum, value) => sum + value, 0) / part.length
  })
  const low = Math.min(...means), range = Math.max(...means) - low
  return means.map((value) => blocks[range > 0 ? Math.min(7, Math.floor((value - low) / range * 8)) : 0]).join('')
}

const escaped = (text: string) => text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`)
const short = (value: number) => String(Number(value.toPrecision(3)))

/** Steps of 1, 2 or 5 times a power of ten that cut a range into at most `count` parts. */
function ticks(low: number, high: number, count: number): number[] {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw)!
  const first = Math.ceil(low / step)
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step)
}

/**
 * A self-contained SVG of two panels side by side, one value per epoch: losses left, accuracies (fractions) right. An
 * empty panel is left out.
 */
export function curveSVG(title: string, losses: readonly Series[], accuracies: readonly Series[]): string {
  const panels = [{ label: 'loss', series: losses }, { label: 'accuracy', series: accuracies }]
    .map(({ label, series }) => ({ label, series: series.filter(({ values }) => values.some(Number.isFinite)) }))
    .filter(({ series }) => series.length)
  const width = 460 * Math.max(1, panels.length)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} 320" width="${width}" height="320" `
    + 'font-family="sans-serif" font-size="12">',
    `<rect width="${width}" height="320" fill="#fff"/><text x="20" y="22" font-size="14">${escaped(title)}</text>`,
    ...panels.map(({ label, series }, i) => panel(label, series, 460 * i)),
    '</svg>',
    '',
  ].join('\n')
}

function panel(label: string, series: readonly Series[], x0: number): string {
  const finite = series.flatMap(({ values }) => values.filter(Number.isFinite))
  const epochs = Math.max(2, ...series.map(({ values }) => values.length))
  const low = Math.min(...finite), high = Math.max(...finite) > low ? Math.max(...finite) : low + 1
  const x = (epoch: number) => (x0 + 60 + 380 * (epoch - 1) / (epochs - 1)).toFixed(1)
  const y = (value: number) => (280 - 220 * (value - low) / (high - low)).toFixed(1)
  const grid = ticks(low, high, 5).map((value) =>
    `<path d="M${x(1)} ${y(value)}H${x(epochs)}" stroke="#ddd"/>`
    + `<text x="${x0 + 54}" y="${Number(y(value)) + 4}" text-anchor="end">${short(value)}</text>`
  )
  const marks = ticks(1, epochs, 8).filter(Number.isInteger).map((epoch) =>
    `<text x="${x(epoch)}" y="298" text-anchor="middle">${epoch}</text>`
  )
  const lines = series.map(({ name, values, colour }, i) => {
    const parts: string[] = []
    let pen = 'M'
    values.forEach((value, epoch) => {
      // a lone point shows as a dot
      if (Number.isFinite(value)) parts.push(`${pen}${x(epoch + 1)} ${y(value)}${pen === 'M' ? 'h0' : ''}`)
      pen = Number.isFinite(value) ? 'L' : 'M'
    })
    return `<path d="${parts.join('')}" fill="none" stroke="${colour}" stroke-width="2" stroke-linecap="round"/>`
      + `<text x="${x0 + 440}" y="${44 + 15 * i}" fill="${colour}" text-anchor="end">${escaped(name)}</text>`
  })
  return [
    `<text x="${x0 + 60}" y="44">${label}</text>`,
    ...grid,
    ...marks,
    `<text x="${x0 + 250}" y="314" text-anchor="middle">epoch</text>`,
    ...lines,
  ].join('\n')
}

// Learning curves: as a picture, and as a line of blocks for the terminal.
import { type Plot, plotFile } from './plot.ts'

/** A value per epoch, and what it is called. NaN leaves a gap. */
export interface Curve {
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

const short = (value: number) => String(Number(value.toPrecision(3)))

/**
 * A self-contained SVG of two panels side by side, one value per epoch: losses left, accuracies (fractions) right. An
 * empty panel is left out.
 */
export function curveSVG(title: string, losses: readonly Curve[], accuracies: readonly Curve[]): string {
  const panels = [{ label: 'loss', curves: losses }, { label: 'accuracy', curves: accuracies }]
    .map(({ label, curves }) => ({ label, curves: curves.filter(({ values }) => values.some(Number.isFinite)) }))
    .filter(({ curves }) => curves.length)
  return plotFile(title, panels.map(({ label, curves }) => plotOf(label, curves)))
}

function plotOf(label: string, curves: readonly Curve[]): Plot {
  const finite = curves.flatMap(({ values }) => values.filter(Number.isFinite))
  const epochs = Math.max(2, ...curves.map(({ values }) => values.length))
  const low = Math.min(...finite), high = Math.max(...finite)
  return {
    label,
    x: { label: 'epoch', tick: (epoch) => Number.isInteger(epoch) ? String(epoch) : '', ends: [1, epochs] },
    y: { label, tick: short, ends: [low, high > low ? high : low + 1] },
    series: curves.map(({ name, values, colour }) => ({
      name,
      colour,
      draw: 'line',
      points: values.map((y, i) => ({ x: i + 1, y, low: y, high: y, title: '' })),
    })),
  }
}

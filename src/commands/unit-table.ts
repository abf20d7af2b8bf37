// The units of a model as a table: what goes together, what it costs, and whether cutting it is exact.
import type { Model } from '../nn/model.ts'
import { type ElementCost, unitCosts } from '../pruning/units/unit-cost.ts'
import type { Unit } from '../pruning/units/units.ts'
import { large, table } from './model.ts'

/** One unit as `inspect --units --json` prints it. */
export interface AboutUnit extends Pick<Unit, 'name' | 'kind' | 'size' | 'shape' | 'exact' | 'prunable'> {
  /** Its gates end their axis before a residual sum. */
  closing: boolean
  /** Parameters and multiply-adds that go with one element, the mean where elements differ; null where none can go. */
  perElement: ElementCost | null
  /** Where elements differ, the least and the most. */
  range?: { least: ElementCost, most: ElementCost }
  /** What is cut together: path and axis of each tensor. */
  members: { path: string, axis: number }[]
  /** Paths of its gates. */
  gates: string[]
}

/** Everything there is to say about the units of a model for one size of image. Needs no device. */
export function aboutUnits(
  model: Model,
  input: readonly [number, number, number],
  found: readonly Unit[],
): AboutUnit[] {
  const costs = unitCosts(model, input, found)
  return found.map(({ name, kind, size, shape, exact, prunable, branchLocal, members, gates }) => {
    const cost = costs.get(name)
    const even = !cost || (cost.least.params === cost.most.params && cost.least.macs === cost.most.macs)
    return {
      name,
      kind,
      size,
      shape,
      exact,
      prunable,
      closing: branchLocal,
      perElement: cost?.mean ?? null,
      ...!even && { range: { least: cost.least, most: cost.most } },
      members: members.map(({ path, axis }) => ({ path, axis })),
      gates: gates.map(({ path }) => path),
    }
  })
}

/** The table, with reasons numbered below it and totals by kind. */
export function unitTable(units: readonly AboutUnit[]): string {
  const reasons: string[] = []
  const note = (reason: string) => {
    if (!reasons.includes(reason)) reasons.push(reason)
    return `[${reasons.indexOf(reason) + 1}]`
  }
  const rows = units.map((
    unit,
  ) => [
    unit.name,
    unit.kind,
    unit.shape.join(' x '),
    ...(['params', 'macs'] as const).map((key) => costText(unit, key)),
    unit.prunable !== true
      ? `no ${note(unit.prunable)}`
      : unit.exact === true
      ? unit.closing ? 'closing' : 'yes'
      : `inexact ${note(unit.exact)}`,
    together(unit),
  ])
  const able = units.filter(({ exact, prunable }) => exact === true && prunable === true)
  const totals = [...new Set(able.map(({ kind }) => kind))].map((kind) => {
    const mine = able.filter((unit) => unit.kind === kind)
    return `${mine.reduce((sum, { size }) => sum + size, 0)} ${kind} in ${mine.length} units`
  })
  return [
    table(['unit', 'kind', 'size', 'params each', 'MACs each', 'cut', 'what goes together (axis)'], rows),
    '',
    ...reasons.map((reason, i) => `[${i + 1}] ${reason}`),
    `can be cut exactly: ${totals.join(', ') || 'nothing'}`,
    ...units.some(({ closing, prunable }) => closing && prunable === true)
      ? ['closing: the filters go, the residual width they are added to stays (--residual coupled cuts that instead)']
      : [],
  ].join('\n')
}

function costText({ perElement, range }: AboutUnit, key: keyof ElementCost): string {
  if (!perElement) return ''
  const text = (value: number) => large(Math.round(10 * value) / 10).replace(/\.?0+ /, ' ')
  return range && range.least[key] !== range.most[key]
    ? `${text(range.least[key])} to ${text(range.most[key])}`
    : text(perElement[key])
}

/**
 * Tensors by the axis that is cut, without the layers they share with the unit's name: `norm.gain/bias, conv.weight
 * (0)`; the first few.
 */
function together({ name, members }: AboutUnit): string {
  const own = name.split('.')
  const byAxis = new Map<number, Map<string, string[]>>()
  for (const { path, axis } of members) {
    const parts = path.split('.')
    let same = 0
    while (same < Math.min(own.length, parts.length) - 1 && own[same] === parts[same]) same++
    if (/^\d+$/.test(parts[same])) same-- // a number says nothing without the list it counts
    const layer = parts.slice(Math.max(0, same), -1).join('.')
    const layers = byAxis.get(axis) ?? new Map<string, string[]>()
    byAxis.set(axis, layers.set(layer, [...layers.get(layer) ?? [], parts.at(-1)!]))
  }
  return [...byAxis].sort(([a], [b]) => a - b).map(([axis, layers]) => {
    const names = [...layers].flatMap(([layer, leaves]) => layer ? [`${layer}.${leaves.join('/')}`] : leaves)
    return `${
      names.length > 7 ? `${names.slice(0, 6).join(', ')} and ${names.length - 6} more` : names.join(', ')
    } (${axis})`
  }).join('; ')
}

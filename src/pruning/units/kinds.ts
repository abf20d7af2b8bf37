// What kind of thing a unit is, for flags and tables: read off its gate's axes and name.
import { InputError } from '../../base/errors.ts'
import type { Gate } from '../../nn/gate.ts'
import { gatesOf } from '../../nn/gates.ts'
import type { Unit } from './units.ts'

/** `residual` is a whole residual stream; `filters` are output channels of convolutions. */
export type UnitKind = 'heads' | 'query-key' | 'values' | 'neurons' | 'filters' | 'residual'

/** All kinds. */
export const unitKinds: readonly UnitKind[] = ['heads', 'query-key', 'values', 'neurons', 'filters', 'residual']

/** The kind of each unit of a model, by name. */
export function kindsOf(model: unknown, units: readonly Unit[]): Map<string, UnitKind> {
  const gates = new Map(gatesOf(model))
  return new Map(units.map(({ name }) => [name, kindOf(name, gates.get(name)!)]))
}

function kindOf(name: string, { axes }: Gate): UnitKind {
  const last = name.split('.').at(-1)!
  if (/stream$/i.test(last)) return 'residual'
  if (/heads$/i.test(last)) return 'heads'
  if (axes.length > 1) return /^values?$/i.test(last) ? 'values' : 'query-key'
  return axes[0] === -3 ? 'filters' : 'neurons' // [batch, channel, y, x], or the last axis
}

/**
 * The units of the wanted kinds that can be cut without changing what a mask computes. Default: heads, neurons and
 * filters.
 * @throws InputError for a kind that does not exist, or none of which can be cut here, with the reasons.
 */
export function chooseUnits(
  model: unknown,
  units: readonly Unit[],
  wanted: readonly string[] = ['heads', 'neurons', 'filters'],
): Unit[] {
  const unknown = wanted.find((kind) => !(unitKinds as readonly string[]).includes(kind))
  if (unknown !== undefined) throw new InputError(`--units ${unknown}: expected some of ${unitKinds.join(', ')}`)
  const kinds = kindsOf(model, units)
  const mine = units.filter(({ name }) => wanted.includes(kinds.get(name)!))
  const chosen = mine.filter(({ exact, prunable }) => exact === true && prunable === true)
  if (chosen.length) return chosen
  const reason = mine.map(({ name, exact, prunable }) => `${name}: ${String(prunable === true ? exact : prunable)}`)[0]
  throw new InputError(
    `--units ${wanted.join(',')}: nothing of that can be cut from this network${
      reason ? ` (${reason})` : `; it has ${[...new Set(kinds.values())].join(', ')}`
    }`,
  )
}

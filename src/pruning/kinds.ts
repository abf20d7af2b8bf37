// What kind of thing a unit is, for flags and tables: read off its gate's name and the weights it cuts.
import { InputError } from '../errors.ts'
import { leaves } from '../tree.ts'
import type { Unit } from './units.ts'

/** `residual` is a whole residual stream; `filters` are output channels of convolutions. */
export type UnitKind = 'heads' | 'query-key' | 'values' | 'neurons' | 'filters' | 'residual'

/** All kinds. */
export const unitKinds: readonly UnitKind[] = ['heads', 'query-key', 'values', 'neurons', 'filters', 'residual']

/** The kind of each unit of a model, by name. */
export function kindsOf(model: unknown, units: readonly Unit[]): Map<string, UnitKind> {
  const ranks = new Map(leaves(model).map(([path, { shape }]) => [path, shape.length]))
  return new Map(units.map((unit) => [unit.name, kindOf(unit, ranks)]))
}

function kindOf({ name, shape, members }: Unit, ranks: ReadonlyMap<string, number>): UnitKind {
  const last = name.split('.').at(-1)!
  if (/stream$/i.test(last)) return 'residual'
  if (/heads$/i.test(last)) return 'heads'
  if (shape.length > 1) return /^values?$/i.test(last) ? 'values' : 'query-key'
  const firstAxis = members.filter(({ axis }) => axis === 0)
  return firstAxis.some(({ path }) => ranks.get(path) === 4) ? 'filters' : 'neurons'
}

/**
 * The units of the wanted kinds that can be cut without changing what a mask computes. Default: heads, neurons and filters.
 * @throws InputError for a kind that does not exist, or none of which can be cut here, with the reasons.
 */
export function chooseUnits(model: unknown, units: readonly Unit[], wanted: readonly string[] = ['heads', 'neurons', 'filters']): Unit[] {
  const unknown = wanted.find((kind) => !(unitKinds as readonly string[]).includes(kind))
  if (unknown !== undefined) throw new InputError(`--units ${unknown}: expected some of ${unitKinds.join(', ')}`)
  const kinds = kindsOf(model, units)
  const mine = units.filter(({ name }) => wanted.includes(kinds.get(name)!))
  const chosen = mine.filter(({ exact, prunable }) => exact === true && prunable === true)
  if (chosen.length) return chosen
  const reason = mine.map(({ name, exact, prunable }) => `${name}: ${String(prunable === true ? exact : prunable)}`)[0]
  throw new InputError(`--units ${wanted.join(',')}: nothing of that can be cut from this network${reason ? ` (${reason})` : `; it has ${[...new Set(kinds.values())].join(', ')}`}`)
}

// Which units to prune, by what their gates say they are.
import { InputError } from '../../base/errors.ts'
import { type GateKind, gateKinds } from '../../nn/gate.ts'
import type { Unit } from './units.ts'

/** What a unit can be; `residual` is a whole residual stream, `filters` are output channels of convolutions. */
export type UnitKind = GateKind

/** All kinds that our own networks have; a network of the user's may have others. */
export const unitKinds: readonly UnitKind[] = gateKinds

/**
 * The units of the wanted kinds that can be cut without changing what a mask computes. Default: heads, neurons and
 * filters.
 * @throws InputError for a kind that does not exist, or none of which can be cut here, with the reasons.
 */
export function chooseUnits(
  units: readonly Unit[],
  wanted: readonly string[] = ['heads', 'neurons', 'filters'],
): Unit[] {
  const kinds = new Set(units.map(({ kind }) => kind)), known = new Set<string>([...unitKinds, ...kinds])
  const unknown = wanted.find((kind) => !known.has(kind))
  if (unknown !== undefined) throw new InputError(`--units ${unknown}: expected some of ${[...known].join(', ')}`)
  const mine = units.filter(({ kind }) => wanted.includes(kind))
  const chosen = mine.filter(({ exact, prunable }) => exact === true && prunable === true)
  if (chosen.length) return chosen
  const reason = mine.map(({ name, exact, prunable }) => `${name}: ${String(prunable === true ? exact : prunable)}`)[0]
  throw new InputError(
    `--units ${wanted.join(',')}: nothing of that can be cut from this network${
      reason ? ` (${reason})` : `; it has ${[...kinds].join(', ')}`
    }`,
  )
}

// What a pruned file says about itself: sizes of its units, what was kept in the numbering of the first, dense network,
// where slices scatter to, and constants of the original widths. With it a file needs nothing else to be rebuilt and
// pruned further.
import { InputError } from '../../base/errors.ts'
import { quoted, shown } from '../../base/quote.ts'
import { gatesOf } from '../../nn/gates.ts'
import type { Scatter } from '../../nn/gate.ts'
import { empty } from '../../core/tensor.ts'
import { isBranch, mapTree, nodes } from '../../core/tree.ts'
import type { Plan } from './slice.ts'
import type { Unit } from '../units/units.ts'

/**
 * One unit of a pruned network: its size in the dense one, and the elements that are left, numbered as there (absent:
 * all).
 */
export interface UnitRecord {
  name: string
  size: number
  kept?: number[]
}

/** One pruning: how, with which scores. */
export interface PruningStep {
  method: string
  rate: number
  seed: number
  residual: 'closing' | 'coupled'
  scores: string
}

/** The history of a pruned network. */
export interface PruningRecord {
  units: UnitRecord[]
  /** By the gate's path. */
  scatters: Record<string, Scatter>
  /** Numbers that do not follow from the sliced shapes (the scale of attention), by path. */
  constants: Record<string, number>
  steps: PruningStep[]
}

/** The record of a model that was sliced by a plan, `before` being that of the model it was made from. */
export function recordOf(
  sliced: unknown,
  found: readonly Unit[],
  plan: Plan,
  step: PruningStep,
  before?: PruningRecord,
): PruningRecord {
  const old = new Map(before?.units.map((unit) => [unit.name, unit]))
  const units = found.map(({ name, size, shape: [, dim], outer }): UnitRecord => {
    const flags = plan.get(name), heads = outer === null ? undefined : plan.get(outer)
    const known = old.get(name)
    old.delete(name)
    if (!flags && !heads) return known ?? { name, size }
    const elements = known?.kept ?? Array.from({ length: size }, (_, i) => i)
    return {
      name,
      size: known?.size ?? size,
      kept: elements.filter((_, i) => (flags?.[i] ?? 1) && (heads?.[Math.floor(i / dim)] ?? 1)),
    }
  })
  return {
    units: [...units, ...old.values()], // units of another treatment of residuals stay as they were
    scatters: Object.fromEntries(gatesOf(sliced).flatMap(([path, { scatter }]) => scatter ? [[path, scatter]] : [])),
    constants: constantsOf(sliced),
    steps: [...before?.steps ?? [], step],
  }
}

/**
 * A class names here its numbers that were computed from widths which a cut takes away: `static readonly constants =
 * ['scale']`.
 */
interface HasConstants {
  readonly constants?: readonly string[]
}

/** Such numbers anywhere in a model, by path, with the object and field that hold them. */
function* constantsIn(model: unknown): Generator<{ path: string, owner: object, name: string, value: number }> {
  for (const { path, value: owner } of nodes(model)) {
    if (!isBranch(owner)) continue
    for (const name of (owner.constructor as HasConstants | undefined)?.constants ?? []) {
      const value = (owner as Record<string, unknown>)[name]
      if (typeof value === 'number') yield { path: path ? `${path}.${name}` : name, owner, name, value }
    }
  }
}

/** Numbers that do not follow from the sliced shapes, by path. */
export function constantsOf(model: unknown): Record<string, number> {
  return Object.fromEntries([...constantsIn(model)].map(({ path, value }) => [path, value]))
}

const cure = 'prune the original file again'
/** More elements than any unit has, and positions than any axis. */
const MOST = 2 ** 24

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isWhole = (value: unknown, least: number, most: number): value is number =>
  Number.isInteger(value) && value as number >= least && value as number <= most

/**
 * A record that was read from a file, with everything in it of the right kind; whether it is true of the network is
 * for `checkFits`. @throws InputError saying what is wrong.
 */
export function checkRecord(value: unknown): PruningRecord {
  const { units, scatters, constants, steps } = isObject(value) ? value : {}
  if (!Array.isArray(units) || !Array.isArray(steps) || !isObject(scatters) || !isObject(constants)) {
    throw new InputError(`metadata espalier has a pruning without units, scatters, constants and steps; ${cure}`)
  }
  const names = new Set<unknown>()
  for (const unit of units as unknown[]) {
    const { name, size, kept } = isObject(unit) ? unit : {}
    const bad = (what: string) => new InputError(`metadata espalier: unit ${shown(name, 60)} ${what}; ${cure}`)
    if (typeof name !== 'string') throw bad(`is ${shown(unit, 60)}, expected a name, a size and what is kept`)
    if (names.has(name)) throw bad('stands there twice')
    names.add(name)
    if (!isWhole(size, 1, MOST)) throw bad(`has the size ${shown(size, 30)}, expected a whole number from 1 to ${MOST}`)
    if (kept === undefined) continue
    const wrong = wrongIndices(kept, size, true)
    if (wrong) throw bad(`keeps indices that do not fit its size ${size}: ${wrong}`)
  }
  for (const [path, scatter] of Object.entries(scatters)) {
    const { width, positions } = isObject(scatter) ? scatter : {}
    const wrong = isWhole(width, 1, MOST) ? wrongIndices(positions, width, false) : `a width of ${shown(width, 30)}`
    if (!wrong) continue
    throw new InputError(
      `metadata espalier: the scatter indices of ${quoted(path, 60)} do not fit their width: ${wrong}; ${cure}`,
    )
  }
  for (const [path, number] of Object.entries(constants)) {
    if (typeof number === 'number' && Number.isFinite(number)) continue
    throw new InputError(
      `metadata espalier: constant ${quoted(path, 60)} is ${shown(number, 30)}, expected a number; ${cure}`,
    )
  }
  if (!steps.length || !steps.every(isStep)) {
    throw new InputError(
      `metadata espalier: the steps of its pruning are ${
        shown(steps, 60)
      }, expected at least one with method, rate, seed, residual (closing or coupled) and scores; ${cure}`,
    )
  }
  return value as PruningRecord
}

const isStep = (step: unknown) =>
  isObject(step) && typeof step.method === 'string' && typeof step.rate === 'number' && typeof step.seed === 'number'
  && (step.residual === 'closing' || step.residual === 'coupled') && typeof step.scores === 'string'

/**
 * What is wrong with a list of indices into `size` places, null where nothing is; `rising` where each exceeds the last.
 */
function wrongIndices(list: unknown, size: number, rising: boolean): string | null {
  if (!Array.isArray(list)) return `${shown(list, 30)} is no list`
  if (rising && list.length === 0) return 'none, expected at least one'
  const odd = list.findIndex((index) => !isWhole(index, 0, size - 1))
  if (odd >= 0) return `${shown(list[odd], 30)}, expected whole numbers from 0 to ${size - 1}`
  const seen = new Set(list as number[])
  if (seen.size !== list.length) return 'one of them twice'
  const falls = rising ? (list as number[]).findIndex((index, i) => i > 0 && index < (list as number[])[i - 1]) : -1
  return falls > 0 ? `${list[falls]} after ${list[falls - 1]}, expected rising ones` : null
}

/**
 * The dense model with the sizes of a pruned one: every tensor that `shapes` names with its shape there (without
 * content), scatters and constants as recorded. `hold` is asked for the content of each; without a device there is
 * none.
 * @throws InputError where a tensor is larger than in the dense model, or something is recorded of what it does not
 * have.
 */
export function shrunken<M>(model: M, shapes: ReadonlyMap<string, readonly number[]>, record: PruningRecord): M {
  const small = mapTree(model, (leaf, path) => {
    const shape = shapes.get(path)
    if (!shape || shape.join() === leaf.shape.join()) return leaf
    const grouped = shape.length === leaf.shape.length + 1 // heads that keep channels of their own
    const wide = grouped ? shape.slice(1) : shape
    if (wide.length !== leaf.shape.length || wide.some((size, axis) => size > leaf.shape[axis] || size < 1)) {
      throw new InputError(
        `tensor ${
          quoted(path, 60)
        } is [${shape}], which is no part of the original [${leaf.shape}]; prune the original file again`,
      )
    }
    leaf.dispose()
    return empty([...shape], leaf.dtype)
  })
  const gates = new Map(gatesOf(small))
  for (const [path, scatter] of Object.entries(record.scatters)) {
    const gate = gates.get(path)
    if (gate?.axes.length !== 1) {
      throw new InputError(
        `metadata espalier scatters at ${quoted(path, 60)}, which is no gate of this network; ${cure}`,
      )
    }
    gate.setScatter(scatter)
  }
  setConstants(small, record.constants)
  return small
}

function setConstants(model: unknown, constants: Record<string, number>): void {
  const own = new Map([...constantsIn(model)].map((constant) => [constant.path, constant]))
  for (const [path, value] of Object.entries(constants)) {
    const constant = own.get(path)
    if (!constant || !Number.isFinite(value)) {
      throw new InputError(
        `metadata espalier: constant ${quoted(path, 60)} is ${value}, which this network does not have; ${cure}`,
      )
    }
    ;(constant.owner as Record<string, number>)[constant.name] = value
  }
}

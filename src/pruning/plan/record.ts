// What a pruned file says about itself: sizes of its units, what was kept in the numbering of the first, dense network,
// where slices scatter to, and constants of the original widths. With it a file needs nothing else to be rebuilt and
// pruned further.
import { InputError } from '../../base/errors.ts'
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

/** A record that was read from a file, checked. @throws InputError saying what is wrong. */
export function checkRecord(value: unknown): PruningRecord {
  const record = value as PruningRecord
  const whole = (list: unknown, most: number) =>
    Array.isArray(list) && list.every((i) => Number.isInteger(i) && i >= 0 && i < most)
  const shape = typeof record === 'object' && record !== null && Array.isArray(record.units)
    && Array.isArray(record.steps)
    && typeof record.scatters === 'object' && record.scatters !== null && typeof record.constants === 'object'
    && record.constants !== null
  if (!shape) {
    throw new InputError(
      'metadata espalier has a pruning without units, scatters, constants and steps; prune the original file again',
    )
  }
  const bad = record.units.find((unit) =>
    typeof unit?.name !== 'string' || !Number.isInteger(unit.size)
    || (unit.kept !== undefined && !whole(unit.kept, unit.size))
  )
  if (bad) {
    throw new InputError(
      `metadata espalier: unit ${
        JSON.stringify(bad.name ?? null).slice(0, 60)
      } keeps indices that do not fit its size; prune the original file again`,
    )
  }
  for (const [path, scatter] of Object.entries(record.scatters)) {
    if (Number.isInteger(scatter?.width) && scatter.width < 2 ** 24 && whole(scatter.positions, scatter.width)) continue
    throw new InputError(
      `metadata espalier: the scatter indices of ${
        path.slice(0, 60)
      } do not fit their width; prune the original file again`,
    )
  }
  return record
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
        `tensor '${path}' is [${shape}], which is no part of the original [${leaf.shape}]; prune the original file again`,
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
        `metadata espalier scatters at '${
          path.slice(0, 60)
        }', which is no gate of this network; prune the original file again`,
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
        `metadata espalier: constant '${
          path.slice(0, 60)
        }' is ${value}, which this network does not have; prune the original file again`,
      )
    }
    ;(constant.owner as Record<string, number>)[constant.name] = value
  }
}

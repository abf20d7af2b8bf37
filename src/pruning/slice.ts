// A plan as masks, or as a smaller model.
import { ShapeError } from '../errors.ts'
import { type DType, type Tensor, tensor, type TypedArray } from '../tensor.ts'
import { leaves, mapTree } from '../tree.ts'
import { gatesOf } from '../nn/gates.ts'
import { type Member, type Traceable, type Unit, type UnitOptions, units } from './units.ts'

/** What stays: a flag per element of each unit, by the unit's name. Units that are not named stay whole. */
export type Plan = ReadonlyMap<string, Uint8Array>

/** Multiplies by zero what the plan drops: sets the masks of the model's gates, in place. @throws ShapeError for a wrong length. */
export function maskModel(model: unknown, found: readonly Unit[], plan: Plan): void {
  const gates = new Map(gatesOf(model))
  for (const [unit, keep] of planned(found, plan)) {
    for (const { path, element } of unit.gates) {
      const gate = gates.get(path)!
      const flags = unit.shape.length > 1
        ? Float32Array.from({ length: unit.size }, (_, i) => keep[Math.floor(i / unit.shape[1]) * unit.shape[1] + element[i % unit.shape[1]]])
        : Float32Array.from(element, (each) => keep[each])
      gate.mask?.dispose()
      gate.mask = tensor(flags, unit.shape.length > 1 ? unit.shape : [flags.length])
    }
  }
}

/** Takes the masks away again. */
export function unmaskModel(model: unknown): void {
  for (const [, gate] of gatesOf(model)) {
    gate.mask?.dispose()
    gate.mask = null
  }
}

interface Host { shape: number[], data: TypedArray, dtype: DType }

/**
 * The smaller model: every tensor without the slices the plan drops. Widths are read from shapes and constants of the original
 * widths are kept as numbers, so nothing else changes. Two-axis units go first, each head keeping its own channels.
 * @throws ShapeError if a unit cannot be cut (with its reason), a head keeps another count than its siblings, or nothing is kept.
 */
export async function sliceModel<M extends Traceable>(model: M, inputShape: readonly number[], plan: Plan, options: UnitOptions = {}): Promise<M> {
  let current = model
  for (const two of [true, false]) {
    const found = units(current, inputShape, options)
    if (two) planned(found, plan)                        // refuse a bad plan before anything is cut
    const now = new Set(found.filter(({ shape }) => shape.length > 1 === two).map(({ name }) => name))
    const mine = planned(found, new Map([...plan].filter(([name]) => now.has(name))))
    if (mine.length) {
      const next = await cut(current, mine)
      if (current !== model) for (const [, leaf] of leaves(current)) leaf.dispose()
      current = next
    }
  }
  return current === model ? mapTree(model, (leaf) => leaf) : current
}

function planned(found: readonly Unit[], plan: Plan): [Unit, Uint8Array][] {
  const unknown = [...plan.keys()].filter((name) => !found.some((unit) => unit.name === name))
  if (unknown.length) throw new ShapeError(`the plan names ${unknown.slice(0, 3).join(', ')}, which the model lacks; its units are ${found.slice(0, 6).map(({ name }) => name).join(', ')}`)
  return found.flatMap((unit): [Unit, Uint8Array][] => {
    const keep = plan.get(unit.name)
    if (!keep) return []
    if (keep.length !== unit.size) throw new ShapeError(`${unit.name}: ${keep.length} keep flags for ${unit.size} elements`)
    if (unit.prunable !== true) throw new ShapeError(`${unit.name} cannot be cut: ${unit.prunable}`)
    if (!keep.includes(1)) throw new ShapeError(`${unit.name}: the plan keeps nothing; keep at least one element`)
    return [[unit, keep]]
  })
}

async function cut<M>(model: M, plan: [Unit, Uint8Array][]): Promise<M> {
  const host = new Map<string, Host>()
  for (const [path, leaf] of leaves(model)) host.set(path, { shape: [...leaf.shape], data: await leaf.data(), dtype: leaf.dtype })
  for (const [unit, keep] of plan) {
    for (const member of unit.members) {
      const old = host.get(member.path)!
      host.set(member.path, unit.shape.length > 1 ? takePerHead(old, member, unit, keep) : take(old, member.axis, kept(member.element, keep)))
    }
  }
  const made = mapTree(model, (_, path) => {
    const { data, shape, dtype } = host.get(path)!
    return tensor(data, shape, dtype)
  })
  for (const [path, gate] of gatesOf(made)) {
    for (const [unit, keep] of plan) {
      const mine = unit.gates.find((each) => each.path === path)
      const wide = unit.widened.find((each) => each.path === path)
      if (mine && unit.closing) {
        const positions = kept(mine.element, keep)
        gate.setScatter({ positions: positions.map((i) => gate.scatter?.positions[i] ?? i), width: gate.scatter?.width ?? mine.element.length })
      }
      if (wide && gate.scatter) {
        const left = kept(wide.element, keep)
        gate.setScatter({ positions: gate.scatter.positions.map((at) => left.indexOf(at)).filter((at) => at >= 0), width: left.length })
      }
    }
  }
  return made
}

/** Indices that stay: those of kept elements and those of no element. */
const kept = (element: readonly number[], keep: ArrayLike<number>) => element.flatMap((each, i) => each < 0 || keep[each] ? [i] : [])

function take({ shape, data, dtype }: Host, axis: number, indices: readonly number[]): Host {
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1), outer = shape.slice(0, axis).reduce((a, b) => a * b, 1)
  const out = new (data.constructor as new (n: number) => TypedArray)(outer * indices.length * inner)
  for (let o = 0; o < outer; o++) {
    indices.forEach((index, i) => {
      const from = (o * shape[axis] + index) * inner
      out.set(data.subarray(from, from + inner), (o * indices.length + i) * inner)
    })
  }
  return { shape: shape.with(axis, indices.length), data: out, dtype }
}

/** Each head keeps indices of its own. A tensor without the head axis is broadcast along it first, unless all heads agree. */
function takePerHead(old: Host, { axis, outer, element }: Member, { name, shape: [heads, dim] }: Unit, keep: Uint8Array): Host {
  const perHead = Array.from({ length: heads }, (_, head) => kept(element, keep.subarray(head * dim, (head + 1) * dim)))
  const odd = perHead.find((each) => each.length !== perHead[0].length)
  if (odd) throw new ShapeError(`${name}: heads keep ${perHead.map((each) => each.length).join(', ')} channels; each head may keep its own, but all the same count`)
  if (perHead.every((each) => each.join() === perHead[0].join())) return take(old, axis, perHead[0])
  const parts = perHead.map((indices, head) => {
    const own = outer === null ? old : take(old, outer, [head])
    return take(own, axis, indices)
  })
  return outer === null ? join(parts.map((part) => ({ ...part, shape: [1, ...part.shape] })), 0) : join(parts, outer)
}

function join(parts: readonly Host[], axis: number): Host {
  const [{ shape, data, dtype }] = parts
  const inner = shape.slice(axis).reduce((a, b) => a * b, 1), outer = shape.slice(0, axis).reduce((a, b) => a * b, 1)
  const out = new (data.constructor as new (n: number) => TypedArray)(outer * inner * parts.length)
  for (let o = 0; o < outer; o++) {
    parts.forEach((part, i) => { out.set(part.data.subarray(o * inner, (o + 1) * inner), (o * parts.length + i) * inner) })
  }
  return { shape: shape.with(axis, parts.length), data: out, dtype }
}

/** Tensors of a model that was sliced or copied and is not needed any more. */
export function freeModel(model: unknown): void {
  for (const [, leaf] of leaves(model)) (leaf as Tensor).dispose()
}

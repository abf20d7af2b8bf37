// A plan as a smaller model.
import { checkOptions, type OptionKeys } from '../../base/options.ts'
import { sizeOf } from '../../base/shape.ts'
import { InputError, ShapeError } from '../../base/errors.ts'
import { shown } from '../../base/quote.ts'
import { type DType, empty, tensor, type TypedArray, withoutDevice } from '../../core/tensor.ts'
import { leaves, mapTree } from '../../core/tree.ts'
import { gatesOf } from '../../nn/gates.ts'
import { rememberSlice } from './history.ts'
import { type Member, type Traceable, type Unit, type UnitOptions, units } from '../units/units.ts'

const sliceKeys: OptionKeys<SliceOptions> = { found: true, weights: true, residual: true }

/** What stays: a flag per element of each unit, by the unit's name. Units that are not named stay whole. */
export type Plan = ReadonlyMap<string, Uint8Array>

/** A tensor on the host; without `data` only its shape is of interest. */
export interface HostTensor {
  shape: number[]
  data: TypedArray | null
  dtype: DType
}

/** A model's tensors on the host by path, for many slices of one model. */
export async function hostWeights(model: unknown): Promise<Map<string, HostTensor>> {
  const host = new Map<string, HostTensor>()
  for (const [path, leaf] of leaves(model)) {
    host.set(path, { shape: [...leaf.shape], data: await leaf.data(), dtype: leaf.dtype })
  }
  return host
}

/** What a caller that slices often already has: the model's units for these images and residuals, and its weights. */
export interface SliceOptions extends UnitOptions {
  found?: readonly Unit[]
  weights?: ReadonlyMap<string, HostTensor>
}

/**
 * The smaller model: every tensor without the slices the plan drops. Widths are read from shapes and constants of the
 * original widths are kept as numbers, so nothing else changes. Its tensors are its own, also where the plan drops
 * nothing. Two-axis units go first, each head keeping its own channels.
 * @throws ShapeError if a unit cannot be cut (with its reason), a head keeps another count than its siblings, or
 * nothing is kept; InputError for arguments in another order.
 */
export async function sliceModel<M extends Traceable>(
  model: M,
  inputShape: readonly number[],
  plan: Plan,
  options: SliceOptions = {},
): Promise<M> {
  checkOptions('sliceModel', options, sliceKeys)
  if (!Array.isArray(inputShape)) {
    throw new InputError(`sliceModel: inputShape is ${kind(inputShape)}, expected [n, channels, height, width]`)
  }
  checkPlan('sliceModel(model, inputShape, plan)', options.found ?? [], plan)
  const found = options.found ?? units(model, inputShape, options)
  const mine = planned(found, plan)
  const weights = options.weights ?? await hostWeights(model)
  const small = cut(model, weights, mine)
  rememberSlice(small, model, { found, plan, residual: options.residual ?? 'closing' })
  return small
}

/** The shapes of the sliced model, for costs: no weight is read and no device needed. Shared tensors stay shared. */
export function sliceShapes<M extends Traceable>(model: M, found: readonly Unit[], plan: Plan): M {
  checkPlan('sliceShapes(model, found, plan)', found, plan)
  const shapes = new Map(
    leaves(model).map((
      [path, { shape, dtype }],
    ): [string, HostTensor] => [path, { shape: [...shape], data: null, dtype }]),
  )
  return withoutDevice(() => cut(model, shapes, planned(found, plan)))
}

/** Arguments in another order would end deep inside. @throws InputError naming the one that is something else. */
export function checkPlan(call: string, found: unknown, plan: unknown): void {
  const isUnit = (each: unknown) =>
    typeof (each as Unit | null)?.name === 'string' && Array.isArray((each as Unit).gates)
  const name = call.slice(0, call.indexOf('('))
  if (!Array.isArray(found) || !found.every(isUnit)) {
    throw new InputError(
      `${name}: found is ${kind(found)}, expected the list of units(model, inputShape) as in ${call}`,
    )
  }
  const { get, keys } = Object(plan) as Partial<Plan>
  if (typeof get !== 'function' || typeof keys !== 'function') {
    throw new InputError(
      `${name}: plan is ${kind(plan)}, expected a Map from the names of units to their keep flags as in ${call}`,
    )
  }
}

function kind(value: unknown): string {
  if (Array.isArray(value)) return 'a list of something else'
  if (value instanceof Map) return 'a Map'
  return typeof value === 'object' && value !== null ? 'an object' : value === undefined ? 'missing' : shown(value)
}

/**
 * A plan with its units. `empty` allows units of which nothing stays, which a mask can do and a slice cannot.
 * @throws ShapeError for a name the model lacks, flags of a wrong length, a unit that cannot be cut.
 */
export function planned(found: readonly Unit[], plan: Plan, { empty = false } = {}): [Unit, Uint8Array][] {
  const unknown = [...plan.keys()].filter((name) => !found.some((unit) => unit.name === name))
  if (unknown.length) {
    throw new ShapeError(
      `the plan names ${unknown.slice(0, 3).join(', ')}, which the model lacks; its units are ${
        found.slice(0, 6).map(({ name }) => name).join(', ')
      }`,
    )
  }
  return found.flatMap((unit): [Unit, Uint8Array][] => {
    const keep = plan.get(unit.name)
    if (!keep) return []
    if (keep.length !== unit.size) {
      throw new ShapeError(`${unit.name}: ${keep.length} keep flags for ${unit.size} elements`)
    }
    if (unit.prunable !== true) throw new ShapeError(`${unit.name} cannot be cut: ${unit.prunable}`)
    if (empty) return [[unit, keep]]
    if (!keep.includes(1)) throw new ShapeError(`${unit.name}: the plan keeps nothing; keep at least one element`)
    // Behind a zero-padded shortcut a narrow stage has some of the elements only.
    const bare = unit.shape.length === 1 && unit.members.find(({ element }) => kept(element, keep).length === 0)
    if (bare) {
      throw new ShapeError(
        `${unit.name}: the plan keeps nothing of axis ${bare.axis} of '${bare.path}'; keep at least one element there`,
      )
    }
    return [[unit, keep]]
  })
}

/** Cuts channels of heads one unit after the other, then every other axis once, by all units that it is made of. */
function cut<M>(model: M, weights: ReadonlyMap<string, HostTensor>, plan: [Unit, Uint8Array][]): M {
  const host = new Map(weights)
  // Tensors that all heads shared and now have a head axis in front, because heads keep different channels; with the
  // heads' unit.
  const grown = new Map<string, string | null>()
  const [single, double] = [1, 2].map((axes) => plan.filter(([{ shape }]) => shape.length === axes))
  for (const [unit, keep] of double) {
    for (const { path, axis, outer, element } of unit.members) {
      const old = host.get(path)!, front = grown.has(path) ? 1 : 0
      const next = takePerHead(
        old,
        { path, axis: axis + front, outer: outer === null ? front ? 0 : null : outer + front, element },
        unit,
        keep,
      )
      if (next.shape.length > old.shape.length) grown.set(path, unit.outer)
      host.set(path, next)
    }
  }
  for (const { path, axis, flags } of sharedAxes(single)) {
    const stay = flags.flatMap((flag, i) => flag ? [i] : [])
    host.set(path, take(host.get(path)!, axis + (grown.has(path) ? 1 : 0), stay))
  }
  for (const [unit, keep] of single) {
    for (const [path, heads] of grown) {
      if (heads !== unit.name) continue
      host.set(
        path,
        take(
          host.get(path)!,
          0,
          [...keep.keys()].filter((head) => keep[head]),
        ),
      )
    }
  }
  const made = mapTree(model, (_, path) => {
    const { data, shape, dtype } = host.get(path)!
    return data ? tensor(data, shape, dtype) : empty(shape, dtype)
  })
  for (const [path, gate] of gatesOf(made)) {
    for (const [unit, keep] of plan) {
      const mine = unit.gates.find((each) => each.path === path)
      const wide = unit.scattered.find((each) => each.path === path)
      if (mine && unit.branchLocal) {
        const positions = kept(mine.element, keep)
        gate.setScatter({
          positions: positions.map((i) => gate.scatter?.positions[i] ?? i),
          width: gate.scatter?.width ?? mine.element.length,
        })
      }
      if (wide && gate.scatter) {
        const left = kept(wide.element, keep)
        gate.setScatter({
          positions: gate.scatter.positions.map((at) => left.indexOf(at)).filter((at) => at >= 0),
          width: left.length,
        })
      }
    }
  }
  return made
}

/** Every axis that units cut, with what stays of it: behind a concatenation one axis has elements of several units. */
function sharedAxes(plan: readonly [Unit, Uint8Array][]) {
  const axes = new Map<string, { path: string, axis: number, flags: boolean[] }>()
  for (const [{ members }, keep] of plan) {
    for (const { path, axis, element } of members) {
      const key = `${axis} ${path}`, flags = element.map((each) => each < 0 || keep[each] !== 0), known = axes.get(key)
      if (known) known.flags = known.flags.map((flag, i) => flag && flags[i])
      else axes.set(key, { path, axis, flags })
    }
  }
  return axes.values()
}

/** Indices that stay: those of kept elements and those of no element. */
const kept = (element: readonly number[], keep: ArrayLike<number>) =>
  element.flatMap((each, i) => each < 0 || keep[each] ? [i] : [])

function take({ shape, data, dtype }: HostTensor, axis: number, indices: readonly number[]): HostTensor {
  if (!data) return { shape: shape.with(axis, indices.length), data, dtype }
  const inner = sizeOf(shape.slice(axis + 1)),
    outer = sizeOf(shape.slice(0, axis))
  const out = new (data.constructor as new(n: number) => TypedArray)(outer * indices.length * inner)
  let next = 0
  for (let o = 0; o < outer; o++) {
    for (const index of indices) {
      const from = (o * shape[axis] + index) * inner
      if (inner > 16) out.set(data.subarray(from, from + inner), next)
      else for (let i = 0; i < inner; i++) out[next + i] = data[from + i] // a view costs more than a few numbers
      next += inner
    }
  }
  return { shape: shape.with(axis, indices.length), data: out, dtype }
}

/**
 * Each head keeps indices of its own. A tensor without the head axis is broadcast along it first, unless all heads
 * agree.
 */
function takePerHead(
  old: HostTensor,
  { axis, outer, element }: Member,
  { name, shape: [heads, dim] }: Unit,
  keep: Uint8Array,
): HostTensor {
  const perHead = Array.from({ length: heads }, (_, head) => kept(element, keep.subarray(head * dim, (head + 1) * dim)))
  const odd = perHead.find((each) => each.length !== perHead[0].length)
  if (odd) {
    throw new ShapeError(
      `${name}: heads keep ${
        perHead.map((each) => each.length).join(', ')
      } channels; each head may keep its own, but all the same count`,
    )
  }
  if (perHead.every((each) => each.join() === perHead[0].join())) return take(old, axis, perHead[0])
  const parts = perHead.map((indices, head) => {
    const own = outer === null ? old : take(old, outer, [head])
    return take(own, axis, indices)
  })
  return outer === null ? join(parts.map((part) => ({ ...part, shape: [1, ...part.shape] })), 0) : join(parts, outer)
}

function join(parts: readonly HostTensor[], axis: number): HostTensor {
  const [{ shape, data, dtype }] = parts
  const joined = shape.with(axis, shape[axis] * parts.length)
  if (!data) return { shape: joined, data, dtype }
  const inner = sizeOf(shape.slice(axis)), outer = sizeOf(shape.slice(0, axis))
  const out = new (data.constructor as new(n: number) => TypedArray)(outer * inner * parts.length)
  for (let o = 0; o < outer; o++) {
    parts.forEach((part, i) => {
      out.set(part.data!.subarray(o * inner, (o + 1) * inner), (o * parts.length + i) * inner)
    })
  }
  return { shape: joined, data: out, dtype }
}

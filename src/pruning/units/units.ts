// Prunable units: gates and axes to groups of slices that must go together, with no code per architecture.
import { checkOptions } from '../../base/options.ts'
import type { Gate, GateKind } from '../../nn/gate.ts'
import type { Call } from '../../core/tape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { scatter } from '../../ops/scatter.ts'
import { trace } from '../../core/transform.ts'
import { leaves } from '../../core/tree.ts'
import { AxisClasses } from './classes.ts'
import { exactness } from './exact.ts'
import { gatesOf } from '../../nn/gates.ts'
import { withAnyClass } from '../../nn/masks.ts'

/**
 * One axis of one tensor of the model that is cut with the unit: `element[i]` is the unit's element at index i, -1 for
 * none.
 */
export interface Member {
  path: string
  axis: number
  element: number[]
  /**
   * The axis of the same tensor that belongs to the outer axis of a two-axis unit (heads), or null where it lacks it.
   */
  outer: number | null
}

/** A group of indices that go together. */
export interface Unit {
  /** Path of its (first) gate: `blocks.3.attention.heads`. */
  name: string
  /** Number of elements: heads, neurons, channels; for a two-axis unit heads times channels. */
  size: number
  /** [size], or [heads, channels] for a two-axis unit: each head keeps its own channels, all the same count. */
  shape: number[]
  /**
   * For a two-axis unit the name of the unit along its first axis, if that has one: cutting a head takes its channels
   * along.
   */
  outer: string | null
  /** Paths of all its gates, and for each the element at every index of its axis. */
  gates: { path: string, element: number[] }[]
  /** Gates that scatter into its axis, with the element at every place of the wide axis. */
  scattered: { path: string, element: number[] }[]
  members: Member[]
  /** Whether slicing equals masking; otherwise the op that makes them differ. */
  exact: true | string
  /** Whether it can be cut at all; otherwise why not. */
  prunable: true | string
  /** Its gates end their axis before a residual sum: kept indices scatter back to full width. */
  branchLocal: boolean
  /** What its elements are, as its first gate says: heads, neurons, filters, or a kind of the user's own. */
  kind: GateKind
  /** Its width is rounded to multiples of this; null: to what the caller wants (`multipleOf`). */
  step: number | null
}

/** How residual sums are treated. */
export interface UnitOptions {
  /**
   * `closing`: filters before a residual sum go alone, its width stays. `coupled`: the residual width goes, through all
   * blocks.
   */
  residual?: 'closing' | 'coupled'
}

/** A network to be traced. */
export interface Traceable {
  call(image: Tensor): Tensor
}

/**
 * The prunable units of a model for one input shape, in the order of their gates. Nothing is computed and no device is
 * needed beyond the one that holds the weights.
 */
export function units(
  model: Traceable,
  inputShape: readonly number[],
  options: UnitOptions = {},
): Unit[] {
  checkOptions('units', options, { residual: true })
  const { residual = 'closing' } = options
  let image: Tensor | null = null
  const { calls, result } = trace((input) =>
    withAnyClass(model, inputShape[0], () => model.call(image = input(inputShape)))
  )
  const paths = new Map(gatesOf(model).map(([path, gate]) => [gate, path]))
  const gateOf = (call: Call): Gate | null => {
    const { at } = call.attrs as { at?: Gate }
    return call.op.is('gate') && at && paths.has(at) ? at : null
  }
  const cut = (call: Call) => residual === 'closing' && (gateOf(call)?.branchLocal ?? false)
  const classes = new AxisClasses(calls, cut)
  const places = calls.flatMap((call) => {
    const gate = gateOf(call)
    return gate ? [{ call, gate, path: paths.get(gate)! }] : []
  }).filter(({ gate }) => residual === 'closing' || !gate.branchLocal)
  const ends = [{ tensor: image!, what: 'the input' }, { tensor: result, what: 'the output' }]
  const scatters = calls.flatMap((call) => {
    const gate = call.op === scatter.op
      ? [...paths.keys()].find(({ index }) => index !== null && index === call.args[1])
      : undefined
    return gate ? [{ out: call.out, axis: gate.axes[0] + call.out.shape.length, path: paths.get(gate)! }] : []
  })
  const groups = group(places, classes)
  const whole = (first: number[]) =>
    groups.find(([place]) =>
      place.gate.axes.length === 1 && classesOf(place, classes)?.some((one) => first.includes(one))
    )
  return groups.map((gates) => {
    const { axes } = gates[0].gate
    const outer = axes.length > 1 ? whole(classesOf(gates[0], classes, 0) ?? [])?.[0].path ?? null : null
    return describe(gates, outer, { classes, calls, model: leaves(model), ends, cut, scatters })
  })
}

interface Network {
  classes: AxisClasses
  calls: readonly Call[]
  model: readonly [string, Tensor][]
  ends: readonly { tensor: Tensor, what: string }[]
  cut: (call: Call) => boolean
  scatters: readonly { out: Tensor, axis: number, path: string }[]
}

interface GateCall {
  call: Call
  gate: Gate
  path: string
}

/** Gates over as many axes that share a class belong to one unit: those of a residual width, or of queries and keys. */
function group(places: readonly GateCall[], classes: AxisClasses): GateCall[][] {
  const groups: { places: GateCall[], classes: Set<number> }[] = []
  for (const place of places) {
    const mine = classesOf(place, classes) ?? []
    const hit = groups.filter((each) =>
      each.places[0].gate.axes.length === place.gate.axes.length && mine.some((one) => each.classes.has(one))
    )
    const merged = {
      places: [...hit.flatMap((each) => each.places), place],
      classes: new Set([...hit.flatMap((each) => [...each.classes]), ...mine]),
    }
    for (const each of hit) groups.splice(groups.indexOf(each), 1)
    groups.push(merged)
  }
  return groups.map((each) => each.places)
}

/** Classes along the gate's last axis: the one it stands for. */
function classesOf({ call, gate }: GateCall, classes: AxisClasses, which = gate.axes.length - 1): number[] | null {
  const x = call.args[0]!
  return classes.along(x, gate.axes[which] + x.shape.length)
}

function describe(places: readonly GateCall[], outerUnit: string | null, network: Network): Unit {
  const { classes, calls, model, cut, scatters } = network
  const number = new Map<number, number>()
  const found = places.map((place) => classesOf(place, classes))
  for (const each of found.flatMap((one) => one ?? [])) if (!number.has(each)) number.set(each, number.size)
  const outer = places[0].gate.axes.length > 1 ? new Set(classesOf(places[0], classes, 0) ?? []) : null
  const inside = new Set(number.keys())
  const members = model.flatMap(([path, leaf]) =>
    classes.axesIn(leaf, inside).map((axis): Member => ({
      path,
      axis,
      element: classes.along(leaf, axis)?.map((one) => number.get(one) ?? -1) ?? [],
      outer: outer ? classes.axesIn(leaf, outer).find((other) => other !== axis) ?? null : null,
    }))
  )
  const size = number.size * (outer?.size ?? 1)
  return {
    name: places[0].path,
    size,
    shape: outer ? [outer.size, number.size] : [size],
    outer: outerUnit,
    gates: places.map(({ path }, i) => ({ path, element: found[i]?.map((one) => number.get(one)!) ?? [] })),
    scattered: scatters.flatMap(({ out, axis, path }) =>
      classes.axesIn(out, inside).includes(axis)
        ? [{ path, element: classes.along(out, axis)!.map((one) => number.get(one) ?? -1) }]
        : []
    ),
    members,
    branchLocal: places[0].gate.branchLocal,
    kind: places[0].gate.kind,
    step: places[0].gate.step,
    prunable: reasonAgainst(places, found, members, inside, network) ?? true,
    // One element cannot be sliced away; and reshapes lose sight of axes of size one.
    exact: number.size === 1
      || (exactness({ calls, classes, inside, gates: new Set(places.map(({ call }) => call)), cut, model }) ?? true),
  }
}

function reasonAgainst(
  places: readonly GateCall[],
  found: readonly (number[] | null)[],
  members: readonly Member[],
  inside: ReadonlySet<number>,
  { classes, calls, cut, ends }: Network,
): string | null {
  const merged = found.findIndex((each) => each === null)
  if (merged >= 0) return `the axis of ${places[merged].path} is a product of several axes`
  const twice = found.findIndex((each) => new Set(each).size !== each!.length)
  if (twice >= 0) return `several indices of ${places[twice].path} are one and the same`
  const end = ends.find(({ tensor }) => classes.axesIn(tensor, inside).length)
  if (end) return `the axis reaches ${end.what} of the network`
  if (calls.some((call) => cut(call) && classes.axesIn(call.out, inside).length)) {
    return "closing gates keep this residual width; ask for residual: 'coupled'"
  }
  const blocked = classes.blockedReason(inside)
  if (blocked) return blocked
  const partial = members.find(({ element }) => element.length === 0)
  if (partial) return `axis ${partial.axis} of ${partial.path} merges it with another axis`
  return members.length ? null : 'no weight has this axis'
}

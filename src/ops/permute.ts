// Ops that move values along axes: permute, slice and split, pad, roll, concat.
import type { Link, Mapping } from '../core/axes.ts'
import { ShapeError } from '../base/errors.ts'
import type { Tensor } from '../core/tensor.ts'
import { knownSizes, sameSize } from '../core/onnx-form.ts'
import { axisOf, stridesOf } from './shared/broadcast.ts'
import { moveAxes, put, stridedCopy } from './shared/copies.ts'
import { op, type OpFunction } from '../core/op.ts'

/** One axis of an argument and one of the output, `size` entries of which are the same thing. */
const link = (
  size: number,
  axis: number,
  outAxis: number,
  { tensor = 0, offset = 0, outOffset = 0, stride = 1 } = {},
): Link => ({
  size,
  a: { tensor, axis, offset, stride },
  b: { tensor: -1, axis: outAxis, offset: outOffset, stride: 1 },
})

function checkedOrder({ shape }: Tensor, order: readonly number[]): number[] {
  const axes = order.map((axis) => axisOf('permute', axis, shape.length))
  if (axes.length !== shape.length || new Set(axes).size !== axes.length) {
    throw new ShapeError(
      `permute: order [${order}] does not name every axis of [${shape}] once; expected ${shape.length} different axes`,
    )
  }
  return axes
}

/** Axis i of the result is axis order[i] of x. @throws ShapeError if `order` does not name every axis once. */
export const permute: OpFunction<[Tensor], { order: readonly number[] }> = op<[Tensor], { order: readonly number[] }>({
  name: 'permute',
  attrs: { order: true },
  roles: ['movement'],
  axes([shape], _, attrs): Mapping {
    return {
      links: (attrs as { order: number[] }).order.map((axis, i) =>
        link(shape!.at(axis)!, axisOf('permute', axis, shape!.length), i)
      ),
    }
  },
  run(x, { order }) {
    const axes = checkedOrder(x, order), strides = stridesOf(x.shape)
    return stridedCopy('permute', x, axes.map((axis) => x.shape[axis]), axes.map((axis) => strides[axis]))
  },
  vjp({ args: [x], attrs: { order } }, dy) {
    const axes = checkedOrder(x, order)
    return [permute(dy, { order: axes.map((_, axis) => axes.indexOf(axis)) })]
  },
  onnx: ({ args, attrs: { order } }, graph) =>
    graph.node('Transpose', args, { perm: order.map((axis) => axisOf('permute', axis, order.length)) }),
})

// ---- slice ------------------------------------------------------------------------------------------------------

/** Where a slice begins, ends (exclusive) and how far it steps, per axis. Negative positions count from the end. */
export interface SliceAttributes {
  starts: readonly number[]
  stops: readonly number[]
  steps?: readonly number[]
}

function ranges(shape: readonly number[], { starts, stops, steps }: SliceAttributes) {
  if ([starts, stops, steps ?? starts].some((list) => list.length !== shape.length)) {
    throw new ShapeError(
      `slice: [${shape}] needs ${shape.length} starts, stops and steps, got [${starts}], [${stops}], [${steps ?? ''}]`,
    )
  }
  return shape.map((n, axis) => {
    const position = (at: number) => Math.min(n, at < 0 ? at + n : at)
    const start = position(starts[axis]), stop = position(stops[axis]), step = steps?.[axis] ?? 1
    if (
      !(Number.isInteger(start) && Number.isInteger(stop) && start >= 0 && stop > start && Number.isInteger(step)
        && step >= 1)
    ) {
      throw new ShapeError(
        `slice: ${starts[axis]} to ${stops[axis]} in steps of ${step} takes nothing from axis ${axis} of [${shape}]`
          + `; expected 0 <= start < stop and a whole step of at least 1`,
      )
    }
    return { start, step, size: Math.ceil((stop - start) / step) }
  })
}

/**
 * Entries start, start + step, ... below stop, per axis; stops past the end mean the end, negative positions count from
 * it.
 * @throws ShapeError if nothing is left of an axis.
 */
export const slice = op<[Tensor], SliceAttributes>({
  name: 'slice',
  attrs: { starts: true, stops: true, steps: true },
  roles: ['movement', 'indexing'],
  axes([shape], _, attrs): Mapping {
    return {
      links: ranges(shape!, attrs as SliceAttributes).map(({ start, step, size }, axis) =>
        link(size, axis, axis, { offset: start, stride: step })
      ),
    }
  },
  run(x, attrs) {
    const taken = ranges(x.shape, attrs), strides = stridesOf(x.shape)
    const base = taken.reduce((sum, { start }, axis) => sum + start * strides[axis], 0)
    return stridedCopy(
      'slice',
      x,
      taken.map(({ size }) => size),
      strides.map((stride, axis) => stride * taken[axis].step),
      base,
    )
  },
  vjp({ args: [x], attrs }, dy) {
    const taken = ranges(x.shape, attrs)
    return [moveAxes('slice', dy, x.shape, taken.map(({ start }) => start), taken.map(({ step }) => step), 'pad')]
  },
  onnx({ args: [x], attrs, out }, graph) {
    // An axis that is taken whole, such as one whose size is open, is not named.
    const cut = x.shape.map((_, axis) => axis).filter((axis) => !sameSize(x.shape[axis], out[axis]))
    if (!cut.length) return x.name
    const taken = ranges(knownSizes(x.shape).map((n) => Number.isNaN(n) ? Infinity : n), attrs)
    const part = (what: (range: { start: number, step: number, size: number }) => number) =>
      graph.wholes(cut.map((axis) => what(taken[axis])))
    return graph.node('Slice', [
      x,
      part(({ start }) => start),
      part(({ start, step, size }) => start + step * (size - 1) + 1),
      graph.wholes(cut),
      part(({ step }) => step),
    ])
  },
})

/** Consecutive parts of x along one axis, as slices. @throws ShapeError if the sizes do not add up to the axis. */
export function split(x: Tensor, { axis, sizes }: { axis: number, sizes: readonly number[] }): Tensor[] {
  const along = axisOf('split', axis, x.shape.length)
  const total = sizes.reduce((sum, n) => sum + n, 0)
  if (total !== x.shape[along]) {
    throw new ShapeError(
      `split: sizes [${sizes}] add up to ${total}, expected ${x.shape[along]}, axis ${axis} of [${x.shape}]`,
    )
  }
  let next = 0
  return sizes.map((size) => {
    const starts = x.shape.map((_, i) => (i === along ? next : 0)),
      stops = x.shape.map((n, i) => (i === along ? next + size : n))
    next += size
    return slice(x, { starts, stops })
  })
}

// ---- pad and roll -----------------------------------------------------------------------------------------------

/** Entries to add before and after each axis (negative: to cut off), and their value, default 0. */
export interface PadAttributes {
  before: readonly number[]
  after: readonly number[]
  value?: number
}

/**
 * x with a border of `value` around each axis, or with negative amounts cut off. @throws ShapeError if an axis would
 * vanish.
 */
export const pad: OpFunction<[Tensor], PadAttributes> = op<[Tensor], PadAttributes>({
  name: 'pad',
  attrs: { before: true, after: true, value: true },
  roles: ['movement'],
  axes([shape], out, attrs): Mapping {
    return {
      links: (attrs as PadAttributes).before.map((before, axis) => {
        const offset = Math.max(0, -before), outOffset = Math.max(0, before)
        return link(Math.min(shape![axis] - offset, out[axis] - outOffset), axis, axis, { offset, outOffset })
      }),
    }
  },
  zero: ({ value = 0 }) => [value === 0 ? 'keeps' : 'breaks'],
  run(x, { before, after, value = 0 }) {
    const shape = x.shape.map((n, axis) => before[axis] + n + after[axis])
    const kept = x.shape.map((n, axis) => Math.min(n, n + before[axis], n + after[axis], shape[axis]))
    if (
      before.length !== x.shape.length || after.length !== x.shape.length
      || !kept.every((n) => Number.isInteger(n) && n >= 1)
    ) {
      throw new ShapeError(
        `pad: before [${before}] and after [${after}] do not fit [${x.shape}]`
          + `; expected whole amounts for each axis that leave something of it`,
      )
    }
    return moveAxes('pad', x, shape, before, before.map(() => 1), 'pad', value)
  },
  vjp({ args: [x], attrs: { before, after } }, dy) {
    return [moveAxes('pad', dy, x.shape, before.map((n) => -n), after.map(() => 1), 'pad')]
  },
  onnx: ({ args: [x], attrs: { before, after, value = 0 } }, graph) =>
    graph.node('Pad', [x, graph.wholes([...before, ...after]), graph.floats(value)]),
})

/** How far each named axis turns. */
export interface RollAttributes {
  shifts: readonly number[]
  axes: readonly number[]
}

function turns(shape: readonly number[], { shifts, axes }: RollAttributes, sign = 1): number[] {
  if (shifts.length !== axes.length || !shifts.every(Number.isInteger)) {
    throw new ShapeError(`roll: shifts [${shifts}] and axes [${axes}] do not match; expected one whole shift per axis`)
  }
  const total = shape.map(() => 0)
  axes.forEach((axis, i) => {
    total[axisOf('roll', axis, shape.length)] += sign * shifts[i]
  })
  return total.map((shift, axis) => ((shift % shape[axis]) + shape[axis]) % shape[axis])
}

/** Entry j of a named axis moves to (j + shift) mod size. @throws ShapeError if shifts and axes differ in number. */
export const roll: OpFunction<[Tensor], RollAttributes> = op<[Tensor], RollAttributes>({
  name: 'roll',
  attrs: { shifts: true, axes: true },
  roles: ['movement', 'indexing'],
  axes([shape], _, attrs): Mapping {
    return {
      links: turns(shape!, attrs as RollAttributes).flatMap((shift, axis) => {
        const kept = link(shape![axis] - shift, axis, axis, { outOffset: shift })
        return shift === 0 ? [kept] : [kept, link(shift, axis, axis, { offset: shape![axis] - shift })]
      }),
    }
  },
  run: (x, attrs) => moveAxes('roll', x, x.shape, turns(x.shape, attrs, -1), x.shape.map(() => 1), 'roll'),
  vjp: ({ attrs }, dy) => [moveAxes('roll', dy, dy.shape, turns(dy.shape, attrs), dy.shape.map(() => 1), 'roll')],
  onnx({ args: [x], attrs }, graph) {
    const sizes = knownSizes(x.shape)
    const open = attrs.axes.find((axis, i) => attrs.shifts[i] !== 0 && Number.isNaN(sizes.at(axis)))
    if (open !== undefined) {
      throw new ShapeError(`roll: axis ${open} is the batch, which is open; export it with a fixed one`)
    }
    return turns(sizes, attrs).reduce((value, shift, axis) => {
      if (!shift) return value // of an open size too: nothing turns there
      const cut = sizes[axis] - shift, at = graph.wholes([axis])
      const part = (from: number, to: number) =>
        graph.node('Slice', [value, graph.wholes([from]), graph.wholes([to]), at])
      return graph.node('Concat', [part(cut, sizes[axis]), part(0, cut)], { axis })
    }, x.name)
  },
})

// ---- concat -----------------------------------------------------------------------------------------------------

const join = op<Tensor[], { axis: number }>({
  name: 'concat',
  attrs: { axis: true },
  roles: ['concat'],
  axes(shapes, out, attrs): Mapping {
    const along = axisOf('concat', (attrs as { axis: number }).axis, out.length)
    let next = 0
    return {
      links: shapes.flatMap((shape, tensor) => {
        const links = shape!.map((n, axis) => link(n, axis, axis, { tensor, outOffset: axis === along ? next : 0 }))
        next += shape![along]
        return links
      }),
    }
  },
  run(...all) {
    const { axis } = all.at(-1) as { axis: number }, parts = all.slice(0, -1) as Tensor[]
    if (parts.length === 0) throw new ShapeError('concat: expected at least one tensor')
    const [{ shape }] = parts, along = axisOf('concat', axis, shape.length)
    const odd = parts.find((part) =>
      part.shape.length !== shape.length || part.shape.some((n, i) => i !== along && n !== shape[i])
    )
    if (odd) {
      throw new ShapeError(
        `concat: [${odd.shape}] does not fit beside [${shape}] along axis ${axis}`
          + `; expected the same sizes on all other axes`,
      )
    }
    return put(parts, shape.with(along, parts.reduce((sum, part) => sum + part.shape[along], 0)), along)
  },
  vjp({ args, attrs: { axis }, needs }, dy) {
    const along = axisOf('concat', axis, dy.shape.length), strides = stridesOf(dy.shape)
    let next = 0
    return args.map((part, i) => {
      const base = next * strides[along]
      next += part.shape[along]
      return needs[i] ? stridedCopy('concat', dy, part.shape, strides, base) : null
    })
  },
  onnx: ({ args, attrs: { axis }, out }, graph) =>
    graph.node('Concat', args, { axis: axisOf('concat', axis, out.length) }),
})

/**
 * Tensors one after the other along an axis: `concat(x, y, { axis: 1 })`. @throws ShapeError if the other axes differ.
 */
export const concat = join as unknown as ((...all: [...Tensor[], { axis: number }]) => Tensor) & { op: typeof join.op }

// Reductions over any axes; reduce-axes.ts launches them.
import type { OnnxGraph, OnnxValue } from '../core/onnx-form.ts'
import { sizeOf } from '../base/shape.ts'
import type { Mapping } from '../core/axes.ts'
import { ShapeError } from '../base/errors.ts'
import type { Tensor } from '../core/tensor.ts'
import { axisOf } from './shared/broadcast.ts'
import { combine, div, equal, expanded, mul, overOrZero, sub } from './elementwise.ts'
import { op, type OpFunction } from '../core/op.ts'
import type { Role } from '../core/roles.ts'
import { reduceAxes, unbroadcast } from './shared/reduce-axes.ts'

export { unbroadcast }

/**
 * Which axes are reduced (negative ones count from the back; default all), and whether they stay behind with size 1.
 */
export interface Reduction {
  axes?: readonly number[]
  keep?: boolean
}

/** Flags of the reduced axes, the shape with them as 1 (`kept`), and the result's shape. */
function plan(name: string, shape: readonly number[], { axes, keep = false }: Reduction) {
  const flags = shape.map(() => axes === undefined)
  for (const axis of axes ?? []) {
    const at = axisOf(name, axis, shape.length)
    if (flags[at]) throw new ShapeError(`${name}: axis ${axis} is named twice in [${axes}]`)
    flags[at] = true
  }
  const kept = shape.map((n, axis) => (flags[axis] ? 1 : n))
  return {
    flags,
    kept,
    out: keep ? kept : shape.filter((_, axis) => !flags[axis]),
    count: sizeOf(shape.filter((_, axis) => flags[axis])),
  }
}

/**
 * Kept axes stay what they are. A sum or norm over pruned entries only lacks zeros; other reductions change with their
 * number.
 */
const axesOf =
  (name: string, mixes: boolean) =>
  ([shape]: readonly (readonly number[] | null)[], _: readonly number[], attrs: object): Mapping => {
    const { flags } = plan(name, shape!, attrs as Reduction), { keep = false } = attrs as Reduction
    const mapping: Required<Mapping> = { links: [], blocked: [] }
    let next = 0
    shape!.forEach((size, axis) => {
      if (flags[axis]) {
        if (mixes) {
          mapping.blocked.push({ tensor: 0, axis, reason: `${name} over this axis depends on how many entries it has` })
        }
        if (keep) next++
        return
      }
      mapping.links.push({
        size,
        a: { tensor: 0, axis, offset: 0, stride: 1 },
        b: { tensor: -1, axis: next++, offset: 0, stride: 1 },
      })
    })
    return mapping
  }

function reduction(
  name: string,
  mixes: boolean,
  run: (x: Tensor, planned: ReturnType<typeof plan>) => Tensor | { out: Tensor, mean: Tensor },
  back: (x: Tensor, out: Tensor, dy: Tensor, count: number, saved: Readonly<Record<string, Tensor>>) => Tensor,
  onnx: (x: OnnxValue, graph: OnnxGraph, axes: readonly number[], keep: 0 | 1) => string,
  roles: readonly Role[] = [],
): OpFunction<[Tensor], Reduction> {
  return op<[Tensor], Reduction>({
    name,
    attrs: { axes: true, keep: true },
    roles,
    axes: axesOf(name, mixes),
    run: (x, attrs) => run(x, plan(name, x.shape, attrs)),
    vjp({ args: [x], out, attrs, saved }, dy) {
      const { kept, count } = plan(name, x.shape, attrs)
      return [back(x, out.view(kept), dy.view(kept), count, saved)]
    },
    onnx({ args: [x], attrs: { axes = x.shape.map((_, axis) => axis), keep = false } }, graph) {
      return onnx(x, graph, axes.map((axis) => axisOf(name, axis, x.shape.length)), keep ? 1 : 0)
    },
    flops: ([x]) => x.size,
  })
}

/** One node whose axes are an attribute. */
const reduced = (type: string) => (x: OnnxValue, graph: OnnxGraph, axes: readonly number[], keepdims: 0 | 1) =>
  graph.node(type, [x], { axes, keepdims })

/** Sum over `axes` (default all); `keep` leaves them with size 1. @throws ShapeError for an axis that is not there. */
export const sum = reduction(
  'sum',
  false,
  (x, { out, flags }) => reduceAxes(x, out, flags, { kind: 'sum' }),
  (x, _, dy) => expanded(dy, x.shape),
  (x, graph, axes, keepdims) => graph.node('ReduceSum', [x, graph.wholes(axes)], { keepdims }),
)

/** Mean over `axes`; see `sum`. */
export const mean = reduction(
  'mean',
  true,
  (x, { out, flags, count }) => reduceAxes(x, out, flags, { kind: 'sum', factor: 1 / count }),
  (x, _, dy, count) => expanded(dy, x.shape, 1 / count),
  reduced('ReduceMean'),
)

/** Gradient of a maximum or minimum: entries equal to it share the gradient. */
function toExtremes(x: Tensor, out: Tensor, dy: Tensor): Tensor {
  const hits = equal(x, out)
  return mul(hits, div(dy, unbroadcast(hits, out.shape)))
}

/** Largest entry over `axes`; see `sum`. Entries that tie share the gradient. */
export const max = reduction(
  'max',
  true,
  (x, { out, flags }) => reduceAxes(x, out, flags, { kind: 'max' }),
  toExtremes,
  reduced('ReduceMax'),
)

/** Smallest entry over `axes`; see `sum`. Entries that tie share the gradient. */
export const min = reduction(
  'min',
  true,
  (x, { out, flags }) => reduceAxes(x, out, flags, { kind: 'min' }),
  toExtremes,
  reduced('ReduceMin'),
)

/** Variance over `axes` divided by the count (biased), about the exact mean (two passes); see `sum`. */
export const variance = reduction(
  'variance',
  true,
  (x, { out, kept, flags, count }) => {
    const centre = reduceAxes(x, kept, flags, { kind: 'sum', factor: 1 / count })
    return {
      out: reduceAxes(combine('sub', x, centre), out, flags, { kind: 'sum', squared: true, factor: 1 / count }),
      mean: centre,
    }
  },
  (x, _, dy, count, { mean: centre }) => mul(sub(x, centre), expanded(dy, dy.shape, 2 / count)),
  (x, graph, axes, keepdims) => {
    const centred = graph.node('Sub', [x, graph.node('ReduceMean', [x], { axes, keepdims: 1 })])
    return graph.node('ReduceMean', [graph.node('Mul', [centred, centred])], { axes, keepdims })
  },
  ['statistic'],
)

/** Euclidean norm over `axes`; see `sum`. The gradient where it is 0 is 0. */
export const norm = reduction(
  'norm',
  false,
  (x, { out, flags }) => reduceAxes(x, out, flags, { kind: 'sum', squared: true, root: true }),
  (x, out, dy) => mul(x, overOrZero(dy, out)),
  reduced('ReduceL2'),
  ['statistic'],
)

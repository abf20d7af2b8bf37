// Puts the slices of a narrow axis at given places of a wider one, zeros elsewhere: a pruned branch before a residual
// sum.
import type { Link } from '../core/axes.ts'
import { ShapeError } from '../base/errors.ts'
import { unrecorded } from '../core/tape.ts'
import type { Tensor } from '../core/tensor.ts'
import { gather, scatterAdd } from './gather.ts'
import { op } from '../core/op.ts'

/**
 * `positions[i]` is where slice i of the axis goes (the values of `index`, which the device reads); `width` is the new
 * size.
 */
export interface ScatterAttributes {
  axis: number
  width: number
  positions: readonly number[]
}

/**
 * x [..., n, ...] and index u32 [n] -> [..., width, ...]. @throws ShapeError if the index has another length than the
 * axis.
 */
export const scatter = op<[Tensor, Tensor], ScatterAttributes>({
  name: 'scatter',
  attrs: { axis: true, width: true, positions: true },
  roles: ['movement'],
  dtypes: ['f32', 'u32'],
  axes([shape], out, attrs) {
    const { axis, positions } = attrs as ScatterAttributes
    const wide = axis < 0 ? axis + out.length : axis
    const links: Link[] = out.flatMap((size, at) =>
      at === wide
        ? []
        : [{
          size,
          a: { tensor: 0, axis: at, offset: 0, stride: 1 },
          b: { tensor: -1, axis: at, offset: 0, stride: 1 },
        }]
    )
    for (let i = 0; i < shape![wide]; i++) {
      links.push({
        size: 1,
        a: { tensor: 0, axis: wide, offset: i, stride: 1 },
        b: { tensor: -1, axis: wide, offset: positions[i], stride: 1 },
      })
    }
    return { links }
  },
  run(x, index, { axis, width }) {
    const at = axis < 0 ? axis + x.shape.length : axis
    if (index.size !== x.shape[at]) {
      throw new ShapeError(
        `scatter: ${index.size} positions for axis ${axis} of x [${x.shape}]; expected ${x.shape[at]}`,
      )
    }
    return unrecorded(() => scatterAdd(x, index, { axis: at, size: width }))
  },
  vjp({ args: [x, index], attrs: { axis } }, dy) {
    return [gather(dy, index, { axis: axis < 0 ? axis + x.shape.length : axis }), null]
  },
  // A slice of zeros behind the others, which every place without one of its own reads.
  onnx({ args: [x], attrs: { axis, width, positions } }, graph) {
    const at = axis < 0 ? axis + x.shape.length : axis, { length } = positions
    const amounts = x.shape.map(() => 0), from = Array<number>(width).fill(length)
    positions.forEach((position, i) => {
      from[position] = i
    })
    const wider = graph.node('Pad', [x, graph.wholes([...amounts, ...amounts.with(at, 1)]), graph.floats(0)])
    return graph.node('Gather', [wider, graph.wholes(from)], { axis: at })
  },
})

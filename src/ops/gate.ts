// Multiplication by a mask over some axes: the one place where an axis may shrink.
import type { Mapping } from '../core/axes.ts'
import { ShapeError } from '../base/errors.ts'
import type { Tensor } from '../core/tensor.ts'
import { axisOf, stridesOf } from './shared/broadcast.ts'
import { stridedCopy } from './shared/copies.ts'
import { product } from './elementwise.ts'
import { op } from '../core/op.ts'
import { reduceAxes } from './shared/reduce-axes.ts'

/** Which axis of x each axis of the mask is; negative ones count from the back. `at` is the gate that made the call. */
export interface GateAttributes {
  axes: readonly number[]
  at?: object
}

const named = (shape: readonly number[], { axes }: GateAttributes) =>
  axes.map((axis) => axisOf('gate', axis, shape.length))

/** x and the mask as operands over x's axes: the mask repeats along every axis that is not its own. */
function operandsOf(x: Tensor, mask: Tensor, attrs: GateAttributes) {
  const strides = x.shape.map(() => 0), own = stridesOf(mask.shape)
  named(x.shape, attrs).forEach((axis, i) => {
    strides[axis] = mask.shape[i] === 1 ? 0 : own[i]
  })
  return [{ tensor: x, strides: stridesOf(x.shape) }, { tensor: mask, strides }]
}

/**
 * x times a mask over the named axes: x [B, N, H, D], mask [H], axes [2]; or mask [H, D], axes [-2, -1]. Without a mask
 * it is x itself: nothing is computed, but a tape records the place, where units are found and relevance is read.
 * @throws ShapeError if the mask's sizes are not those of the named axes.
 */
export const gate = op<[Tensor, Tensor | null], GateAttributes>({
  name: 'gate',
  roles: ['gate'],
  axes(shapes, _, attrs): Mapping {
    const x = shapes[0]!
    const whole = { offset: 0, stride: 1 }
    return {
      links: [
        ...x.map((size, axis) => ({ size, a: { tensor: 0, axis, ...whole }, b: { tensor: -1, axis, ...whole } })),
        ...(shapes[1] ? named(x, attrs as GateAttributes) : []).map((axis, i) => ({
          size: x[axis],
          a: { tensor: 0, axis, ...whole },
          b: { tensor: 1, axis: i, ...whole },
        })),
      ],
    }
  },
  run(x, mask, attrs) {
    const axes = named(x.shape, attrs)
    if (!mask) return x
    if (new Set(axes).size !== axes.length || mask.shape.join() !== axes.map((axis) => x.shape[axis]).join()) {
      throw new ShapeError(
        `gate: mask [${mask.shape}] does not fit axes [${attrs.axes}] of x [${x.shape}]; expected mask [${
          axes.map((axis) => x.shape[axis])
        }] and different axes`,
      )
    }
    return product(x.shape, operandsOf(x, mask, attrs))
  },
  vjp({ args: [x, mask], attrs, needs }, dy) {
    if (!mask) return [dy, null]
    const dx = needs[0] ? product(dy.shape, operandsOf(dy, mask, attrs)) : null
    if (!needs[1]) return [dx, null]
    const axes = named(x.shape, attrs)
    const kept = x.shape.map((n, axis) => (axes.includes(axis) ? n : 1))
    const both = [dy, x].map((tensor) => ({ tensor, strides: stridesOf(x.shape) }))
    const sums = reduceAxes(product(x.shape, both), kept, x.shape.map((_, axis) => !axes.includes(axis)), {
      kind: 'sum',
    })
    // The sums have the axes in x's order, the mask in its own.
    const strides = stridesOf(kept), order = axes.map((axis) => strides[axis])
    return [
      dx,
      axes.every((axis, i) => i === 0 || axis > axes[i - 1])
        ? sums.view(mask.shape)
        : stridedCopy('gate', sums, mask.shape, order),
    ]
  },
  flops: ([x]) => x.size,
})

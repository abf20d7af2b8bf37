// Multiplication by a mask over some axes: the one place where an axis may shrink.
import type { Mapping } from '../core/axes.ts'
import { InputError, ShapeError } from '../base/errors.ts'
import type { Tensor } from '../core/tensor.ts'
import { axisOf, stridesOf } from './shared/broadcast.ts'
import { stridedCopy } from './shared/copies.ts'
import { multiplied } from './elementwise.ts'
import { op } from '../core/op.ts'
import { reduceAxes } from './shared/reduce-axes.ts'

/** Which axis of x each axis of the mask is; negative ones count from the back. `at` is the gate that made the call. */
export interface GateAttributes {
  axes: readonly number[]
  /** Whether axis 0 of x holds several entries of each image, one image after the other. */
  windowed?: boolean
  at?: object
}

const named = (shape: readonly number[], { axes }: GateAttributes) =>
  axes.map((axis) => axisOf('gate', axis, shape.length))

/**
 * x as the mask sees it: sizes, and which of them each axis of the mask is. A mask with an axis more than the gate has
 * one row per image; then axis 0 of x is taken apart into images and the entries of each.
 */
function layout(x: readonly number[], mask: readonly number[], attrs: GateAttributes) {
  const axes = named(x, attrs)
  if (mask.length === axes.length) return { sizes: [...x], axes }
  return { sizes: [mask[0], x[0] / mask[0], ...x.slice(1)], axes: [0, ...axes.map((axis) => axis + 1)] }
}

/** A tensor of x's size and the mask as operands: the mask repeats along every axis that is not its own. */
function operandsOf(x: Tensor, mask: Tensor, { sizes, axes }: { sizes: number[], axes: number[] }) {
  const strides = sizes.map(() => 0), own = stridesOf(mask.shape)
  axes.forEach((axis, i) => {
    strides[axis] = mask.shape[i] === 1 ? 0 : own[i]
  })
  return [{ tensor: x.view(sizes), strides: stridesOf(sizes) }, { tensor: mask, strides }]
}

function check(x: Tensor, mask: Tensor, attrs: GateAttributes) {
  const axes = named(x.shape, attrs), wanted = axes.map((axis) => x.shape[axis])
  const perImage = mask.shape.length === axes.length + 1 && !axes.includes(0)
  const [images] = mask.shape, [batch] = x.shape
  const fits = perImage
    ? mask.shape.slice(1).join() === wanted.join() && (attrs.windowed ? batch % images === 0 : batch === images)
    : mask.shape.join() === wanted.join()
  if (fits && new Set(axes).size === axes.length) return
  throw new ShapeError(
    `gate: mask [${mask.shape}] does not fit axes [${attrs.axes}] of x [${x.shape}]; expected mask [${wanted}], or [${[
      attrs.windowed ? 'images' : batch,
      ...wanted,
    ]}] for one per image, and different axes`,
  )
}

/**
 * x times a mask over the named axes: x [B, N, H, D], mask [H], axes [2]; or mask [H, D], axes [-2, -1]. A mask with
 * one axis more has a row per image: [B, H] or [B, H, D], B the entries of axis 0 of x or, where that is `windowed`, a
 * divisor. Without a mask it is x itself: nothing is computed, but a tape records the place, where units are found and
 * relevance is read.
 * @throws ShapeError if the mask's sizes are not those of the named axes.
 */
export const gate = op<[Tensor, Tensor | null], GateAttributes>({
  name: 'gate',
  attrs: { axes: true, windowed: true, at: true },
  roles: ['gate'],
  axes(shapes, _, given): Mapping {
    const attrs = given as GateAttributes, x = shapes[0]!, mask = shapes[1]
    const whole = { offset: 0, stride: 1 }
    const axes = mask ? named(x, attrs) : [], first = mask ? mask.length - axes.length : 0
    return {
      links: [
        ...x.map((size, axis) => ({ size, a: { tensor: 0, axis, ...whole }, b: { tensor: -1, axis, ...whole } })),
        ...axes.map((axis, i) => ({
          size: x[axis],
          a: { tensor: 0, axis, ...whole },
          b: { tensor: 1, axis: first + i, ...whole },
        })),
      ],
    }
  },
  run(x, mask, attrs) {
    if (!mask) {
      named(x.shape, attrs)
      return x
    }
    check(x, mask, attrs)
    const seen = layout(x.shape, mask.shape, attrs)
    return multiplied(seen.sizes, operandsOf(x, mask, seen)).view(x.shape)
  },
  vjp({ args: [x, mask], attrs, needs }, dy) {
    if (!mask) return [dy, null]
    const { sizes, axes } = layout(x.shape, mask.shape, attrs)
    const dx = needs[0] ? multiplied(sizes, operandsOf(dy, mask, { sizes, axes })).view(x.shape) : null
    if (!needs[1]) return [dx, null]
    const kept = sizes.map((n, axis) => (axes.includes(axis) ? n : 1))
    const both = [dy, x].map((tensor) => ({ tensor: tensor.view(sizes), strides: stridesOf(sizes) }))
    const sums = reduceAxes(multiplied(sizes, both), kept, sizes.map((_, axis) => !axes.includes(axis)), {
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
  onnx({ args: [x, mask], attrs }, graph) {
    if (!mask) return x.name
    const rank = x.shape.length, axes = attrs.axes.map((axis) => axisOf('gate', axis, rank))
    if (mask.shape.length !== axes.length) {
      throw new InputError('gate: a mask with a row per image cannot be exported; slice the network, or unmask it')
    }
    // The axes of the mask in the order of x's, with ones between them.
    const order = axes.map((_, i) => i).sort((a, b) => axes[a] - axes[b])
    const sorted = order.every((from, i) => from === i) ? mask : graph.node('Transpose', [mask], { perm: order })
    const shape = Array.from({ length: rank }, (_, axis) => axes.includes(axis) ? mask.shape[axes.indexOf(axis)] : 1)
    return graph.node('Mul', [x, graph.reshape(sorted, shape)])
  },
  flops: ([x]) => x.size,
})

// Ops that move values: permute, slice.
import type { Link, Mapping } from '../axes.ts'
import { ShapeError } from '../errors.ts'
import { kernel } from '../gpu/kernel.ts'
import { grid, launch } from '../launch.ts'
import { empty, type Tensor } from '../tensor.ts'
import { axisOf, collapse, stridesOf } from './broadcast.ts'
import { op, type OpFunction } from './op.ts'

const strided = kernel('permute.wgsl', { entry: 'strided', buffers: ['x', 'out'],
  params: ['size', 'inner', 'n1', 'n2', 'n3', 'n4', 'base', 'x0', 'x1', 'x2', 'x3', 'x4', 'x5'] })

/** Reads x with these strides from element `base` on, as a contiguous tensor of `shape`. Not recorded. */
export function stridedCopy(name: string, x: Tensor, shape: readonly number[], strides: readonly number[], base = 0): Tensor {
  const out = empty(shape)
  const { sizes, strides: [steps] } = collapse(shape, [strides])
  if (sizes.length > 6) throw new ShapeError(`${name}: [${x.shape}] to [${shape}] leaves ${sizes.length} separate axes, expected at most 6; merge axes with reshape first`)
  const inner = sizes.at(-1)!
  const vectors = steps.at(-1) === 1 && [inner, base, ...steps.slice(0, -1)].every((n) => n % 4 === 0)
  const params: Record<string, number> = { size: out.size, inner, base }
  for (let axis = 1; axis < 5; axis++) params[`n${axis}`] = sizes.at(-1 - axis) ?? 1
  for (let axis = 0; axis < 6; axis++) params[`x${axis}`] = steps.at(-1 - axis) ?? 0
  const axes = sizes.length <= 3 ? sizes.length - 1 : 5
  launch(strided, { x, out }, params, grid(Math.ceil(out.size / 256)), { overrides: { AXES: axes, VECTORS: vectors ? 1 : 0 } })
  return out
}

const link = (size: number, axis: number, outAxis: number, offset = 0, outOffset = 0, stride = 1, tensor = 0): Link =>
  ({ size, a: { tensor, axis, offset, stride }, b: { tensor: -1, axis: outAxis, offset: outOffset, stride: 1 } })

function checkedOrder({ shape }: Tensor, order: readonly number[]): number[] {
  const axes = order.map((axis) => axisOf('permute', axis, shape.length))
  if (axes.length !== shape.length || new Set(axes).size !== axes.length) {
    throw new ShapeError(`permute: order [${order}] does not name every axis of [${shape}] once; expected ${shape.length} different axes`)
  }
  return axes
}

/** Axis i of the result is axis order[i] of x. @throws ShapeError if `order` does not name every axis once. */
export const permute: OpFunction<[Tensor], { order: readonly number[] }> = op<[Tensor], { order: readonly number[] }>({
  name: 'permute',
  axes([shape], _, attrs): Mapping {
    return { links: (attrs as { order: number[] }).order.map((axis, i) => link(shape!.at(axis)!, axisOf('permute', axis, shape!.length), i)) }
  },
  run(x, { order }) {
    const axes = checkedOrder(x, order), strides = stridesOf(x.shape)
    return stridedCopy('permute', x, axes.map((axis) => x.shape[axis]), axes.map((axis) => strides[axis]))
  },
  vjp({ args: [x], attrs: { order } }, dy) {
    const axes = checkedOrder(x, order)
    return [permute(dy, { order: axes.map((_, axis) => axes.indexOf(axis)) })]
  },
})

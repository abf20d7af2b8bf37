// Reading along an axis at given positions, and its adjoint. Position tables, keep lists, scattering back to full
// width.
import { sizeOf } from '../base/shape.ts'
import type { Mapping } from '../core/axes.ts'
import { ShapeError } from '../base/errors.ts'
import { kernel } from '../gpu/kernel.ts'
import { grid, launch } from '../core/launch.ts'
import { empty, type Tensor } from '../core/tensor.ts'
import { axisOf } from './shared/broadcast.ts'
import { op, type OpFunction } from '../core/op.ts'

const params = ['outer', 'size', 'inner', 'count'] as const
const take = kernel('gather/gather.wgsl', { buffers: ['x', 'index', 'out'], params })
const list = kernel('gather/scatter-add.wgsl', { entry: 'list', buffers: ['index', 'starts', 'entries'], params })
const add = kernel('gather/scatter-add.wgsl', { entry: 'add', buffers: ['x', 'first', 'members', 'out'], params })

/**
 * Axes other than the indexed one are the same in argument and output; what the index does is known on the device only.
 */
function mapping(
  [x, index]: readonly (readonly number[] | null)[],
  out: readonly number[],
  axis: number,
  reads: boolean,
): Mapping {
  // One side has the axis, the other the index's axes in its place.
  const [whole, wholeTensor, listedTensor] = reads ? [x!, 0, -1] : [out, -1, 0]
  const along = axisOf('gather', axis, whole.length), extra = index!.length - 1
  const join = (size: number, tensor: number, own: number, listed: number) => ({
    size,
    a: { tensor, axis: own, offset: 0, stride: 1 },
    b: { tensor: listedTensor, axis: listed, offset: 0, stride: 1 },
  })
  const others = whole.flatMap((
    size,
    i,
  ) => (i === along ? [] : [join(size, wholeTensor, i, i < along ? i : i + extra)]))
  const reason = 'an index that only the device knows picks entries of this axis'
  return {
    links: [...others, ...index!.map((size, i) => join(size, 1, i, along + i))],
    blocked: [{ tensor: wholeTensor, axis: along, reason }],
  }
}

/**
 * Adds x up at an index; `outer`, `count` and `inner` are the extents before, along and after the indexed axes of x.
 */
function launchScatter(
  x: Tensor,
  index: Tensor,
  shape: readonly number[],
  outer: number,
  size: number,
  inner: number,
): Tensor {
  const count = index.size, sizes = { outer, size, inner, count }
  const out = empty(shape)
  const starts = empty([size + 1], 'u32')
  const entries = empty([count], 'u32')
  launch(list, { index, starts, entries }, sizes, grid(Math.ceil((size + 1) / 64)))
  const threads = count / size >= 64 ? 16 : 1
  launch(add, { x, first: starts, members: entries, out }, sizes, grid(Math.ceil(out.size * threads / 256)), {
    overrides: { VECTORS: inner % 4 === 0 ? 1 : 0, THREADS: threads },
    flops: x.size,
  })
  return out
}

/** Where gather reads and writes: extents before and after the axis, and the shape with the index in its place. */
function layout(name: string, x: readonly number[], index: readonly number[], axis: number) {
  const along = axisOf(name, axis, x.length)
  return {
    along,
    outer: sizeOf(x.slice(0, along)),
    inner: sizeOf(x.slice(along + 1)),
    shape: [...x.slice(0, along), ...index, ...x.slice(along + 1)],
  }
}

/**
 * x read along `axis` at a whole-number index (i32 or u32) of any shape, which takes the place of that axis, as in
 * `jnp.take`: x [V, C], index [B, T], axis 0 give [B, T, C]. An index outside the axis gives NaN.
 */
export const gather: OpFunction<[Tensor, Tensor], { axis: number }> = op<[Tensor, Tensor], { axis: number }>({
  name: 'gather',
  attrs: { axis: true },
  roles: ['movement', 'indexing'],
  dtypes: ['f32', 'index'],
  axes: (shapes, out, attrs) => mapping(shapes, out, (attrs as { axis: number }).axis, true),
  run(x, index, { axis }) {
    const { along, outer, inner, shape } = layout('gather', x.shape, index.shape, axis)
    const out = empty(shape)
    launch(
      take,
      { x, index, out },
      { outer, size: x.shape[along], inner, count: index.size },
      grid(Math.ceil(out.size / 256)),
      { overrides: { VECTORS: inner % 4 === 0 ? 1 : 0 } },
    )
    return out
  },
  vjp({ args: [x, index], attrs: { axis } }, dy) {
    const { along, outer, inner } = layout('gather', x.shape, index.shape, axis)
    return [launchScatter(dy, index, x.shape, outer, x.shape[along], inner), null]
  },
  onnx: ({ args, attrs: { axis } }, graph) =>
    graph.node('Gather', args, { axis: axisOf('gather', axis, args[0].shape.length) }),
})

/**
 * The adjoint of `gather`: zeros of `size` entries along `axis`, to which x is added at the index. x has the index's
 * axes in that place: x [B, T, C], index [B, T], axis 0, size V give [V, C]. Indices that repeat add up, in the order
 * of the index; those outside are left out. @throws ShapeError if x lacks the index's axes.
 */
export const scatterAdd: OpFunction<[Tensor, Tensor], { axis: number, size: number }> = op<
  [Tensor, Tensor],
  { axis: number, size: number }
>({
  name: 'scatter-add',
  attrs: { axis: true, size: true },
  roles: ['indexing'],
  dtypes: ['f32', 'index'],
  axes: (shapes, out, attrs) => mapping(shapes, out, (attrs as { axis: number }).axis, false),
  run(x, index, { axis, size }) {
    const rank = x.shape.length - index.shape.length + 1
    const along = rank >= 1 ? axisOf('scatter-add', axis, rank) : 0
    if (
      rank < 1 || x.shape.slice(along, along + index.shape.length).join() !== index.shape.join()
      || !(Number.isInteger(size) && size >= 1)
    ) {
      throw new ShapeError(
        `scatter-add: x [${x.shape}] has no axes [${index.shape}] of the index at axis ${axis}, or size ${size} is none`
          + `; expected x [..., ${index.shape}, ...]`,
      )
    }
    const before = x.shape.slice(0, along), after = x.shape.slice(along + index.shape.length)
    return launchScatter(x, index, [...before, size, ...after], sizeOf(before), size, sizeOf(after))
  },
  vjp: ({ args: [, index], attrs: { axis } }, dy) => [gather(dy, index, { axis }), null],
})

// Puts the slices of a narrow axis at given places of a wider one, zeros elsewhere: a pruned branch before a residual
// sum.
import { type Link, linksOf } from '../core/axes.ts'
import { ShapeError } from '../base/errors.ts'
import { sizeOf } from '../base/shape.ts'
import { derived } from '../core/derived.ts'
import { grid, launch } from '../core/launch.ts'
import { op } from '../core/op.ts'
import { activeTape, unrecorded } from '../core/tape.ts'
import { empty, type Tensor } from '../core/tensor.ts'
import { kernel, type Kernel } from '../gpu/kernel.ts'
import { add, relu } from './elementwise.ts'
import { gather, scatterAdd } from './gather.ts'
import { opened } from './matmul/linear.ts'

/**
 * `positions[i]` is where slice i of the axis goes (the values of `index`, which the device reads); `width` is the new
 * size.
 */
export interface ScatterAttributes {
  axis: number
  width: number
  positions: readonly number[]
}

const params = ['planes', 'channels', 'count', 'plane'] as const
const invert = kernel('gather/scatter.wgsl', {
  entry: 'invert',
  buffers: ['index', 'written'],
  params,
  splice: { '/*element*/f32': 'f32' },
})
const scatterKernel = (vectors: boolean): Kernel =>
  kernel('gather/scatter.wgsl', {
    buffers: ['x', 'slices', 'residual', 'out'],
    params,
    splice: { '/*element*/f32': vectors ? 'vec4f' : 'f32' },
    label: vectors ? '' : 'unaligned',
  })
const scatterKernels = { vectors: scatterKernel(true), entries: scatterKernel(false) }
const EACH = 16

/** One pass: what x has at its places, a residual, relu. */
function launchScatter(
  x: Tensor,
  index: Tensor,
  residual: Tensor | null,
  { axis, width, positions, relu: positive }: ScatterAttributes & { relu: boolean },
): Tensor {
  if (new Set(positions).size < positions.length) { // what shares a place adds up
    return unrecorded(() => {
      const wide = scatterAdd(x, index, { axis, size: width }), sum = residual ? add(wide, residual) : wide
      return positive ? relu(sum) : sum
    })
  }
  const count = index.size, out = empty(x.shape.with(axis, width)), inner = sizeOf(x.shape.slice(axis + 1))
  const slices = derived(index, `slices of ${width}`, [width], (index, written) => {
    launch(invert, { index, written }, { planes: 1, channels: width, count, plane: 1 }, grid(Math.ceil(width / 64)))
  }, 'u32')
  const vectors = inner % 4 === 0, plane = inner / (vectors ? 4 : 1), planes = out.size / inner
  launch(
    scatterKernels[vectors ? 'vectors' : 'entries'],
    { x, slices, residual: residual ?? x, out },
    { planes, channels: width, count, plane },
    grid(Math.ceil(planes * Math.ceil(plane / EACH) / 64)),
    { overrides: { EACH, RESIDUAL: residual ? 1 : 0, RELU: positive ? 1 : 0 }, flops: residual ? x.size : 0 },
  )
  return out
}

function checkIndex(x: Tensor, index: Tensor, at: number): void {
  if (index.size === x.shape[at]) return
  throw new ShapeError(`scatter: ${index.size} positions for axis ${at} of x [${x.shape}]; expected ${x.shape[at]}`)
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
  run(x, index, { axis, width, positions }) {
    const at = axis < 0 ? axis + x.shape.length : axis
    checkIndex(x, index, at)
    return launchScatter(x, index, null, { axis: at, width, positions, relu: false })
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

/**
 * scatter(x, index) + residual, through relu where asked for: in one pass where no tape records; a tape records the
 * plain ops, so that rules and gates see them. x [..., n, ...], index u32 [n] and residual [..., width, ...] ->
 * [..., width, ...]. @throws ShapeError as the plain ops do.
 */
export function scatterOnto(
  x: Tensor,
  index: Tensor,
  residual: Tensor,
  attrs: ScatterAttributes & { relu?: boolean },
): Tensor {
  return activeTape() ? plain([x, index, residual], attrs) : fused(x, index, residual, attrs)
}

function plain(
  [x, index, residual]: readonly (Tensor | null)[],
  { relu: positive, ...attrs }: ScatterAttributes & { relu?: boolean },
): Tensor {
  const sum = add(scatter(x!, index!, attrs), residual!)
  return positive ? relu(sum) : sum
}

const fused = op<[Tensor, Tensor, Tensor], ScatterAttributes & { relu?: boolean }>({
  name: 'scatter+add+relu',
  attrs: { axis: true, width: true, positions: true, relu: true },
  dtypes: ['f32', 'u32', 'f32'],
  axes([x, index], out, attrs) {
    const { links } = linksOf(scatter.op.axes, [x, index], out, attrs)
    const place = (tensor: number, axis: number) => ({ tensor, axis, offset: 0, stride: 1 })
    return { links: [...links, ...out.map((size, axis) => ({ size, a: place(2, axis), b: place(-1, axis) }))] }
  },
  zero: ['breaks', 'breaks', 'breaks'],
  run(x, index, residual, { axis, width, positions, relu: positive = false }) {
    const at = axis < 0 ? axis + x.shape.length : axis, shape = x.shape.with(at, width)
    checkIndex(x, index, at)
    if (residual.shape.join() !== shape.join()) {
      throw new ShapeError(`scatter+add: residual [${residual.shape}] must have the shape of the output [${shape}]`)
    }
    return launchScatter(x, index, residual, { axis: at, width, positions, relu: positive })
  },
  vjp: (call, dy) => opened(call, dy, (...args) => plain(args, call.attrs)),
})

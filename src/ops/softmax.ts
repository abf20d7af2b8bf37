// Softmax and its logarithm along any axis.
import { sizeOf } from '../base/shape.ts'
import { type AxesSpec } from '../core/axes.ts'
import { ShapeError } from '../base/errors.ts'
import { grid, launch } from '../core/launch.ts'
import { empty, type Tensor } from '../core/tensor.ts'
import { op } from '../core/op.ts'
import { threadsPerRow, pickRowKernel, rowKernels } from './shared/row-kernels.ts'
import { choose, type Variant, variants } from './shared/variants.ts'

/** The axis to normalise over; negative ones count from the end. Default the last. */
export interface SoftmaxOptions {
  axis?: number
}

interface RowWork {
  threads: number
  inner: number
}

/** Whether y keeps the exponentials until their sum is known: on a CPU they are sooner read than computed again. */
const forwardVariants = variants<RowWork, Variant<RowWork> & { KEEP: number }>('softmax', [
  {
    name: 'kept, two entries a turn',
    numeric: 'reordered',
    adapters: ['embedded'],
    runs: (_, { threads, inner }) => threads === 1 && inner === 1,
    KEEP: 2,
  },
  { name: 'kept', numeric: 'reordered', adapters: ['embedded'], KEEP: 1 },
  { name: 'computed again', numeric: 'reordered', KEEP: 0 },
])

const params = ['rows', 'width', 'inner', 'log']
const forward = rowKernels('softmax/forward.wgsl', { buffers: ['x', 'y'], params })
const backward = rowKernels('softmax/gradient.wgsl', { buffers: ['y', 'dy', 'dx'], params })

/**
 * Softmax along `axis`: y = e^x / sum e^x, of any shape. A row of -infinity only gives zeros. @throws ShapeError if
 * there is no such axis.
 */
export const softmax = define('softmax', 0)

/** Logarithm of the softmax along `axis`: y = x - log sum e^x. @throws ShapeError if there is no such axis. */
export const logSoftmax = define('log-softmax', 1)

function define(name: string, log: 0 | 1) {
  return op({
    name,
    attrs: { axis: true },
    axes: normalisedAxis,
    zero: ['breaks'],
    run(x: Tensor, { axis = -1 }: SoftmaxOptions) {
      const { rows, width, inner } = rowsAlong(name, x.shape, axis)
      const y = empty(x.shape)
      const picked = inner === 1 ? pickRowKernel(forward, width) : { kernel: forward.scalar, width }
      // without sharing, neighbouring invocations read neighbouring rows
      const threads = inner === 1 ? threadsPerRow(rows, picked.width) : 1
      launch(
        picked.kernel,
        { x, y },
        { rows, width: picked.width, inner, log },
        grid(Math.ceil(rows / (64 / threads))),
        {
          overrides: {
            THREADS: threads,
            KEEP: choose(forwardVariants, { threads, inner }).KEEP,
          },
        },
      )
      return y
    },
    vjp({ args: [x], out: y, attrs: { axis = -1 }, needs }, dy) {
      if (!needs[0]) return [null]
      const { rows, width, inner } = rowsAlong(name, x.shape, axis)
      const dx = empty(x.shape)
      const picked = inner === 1 ? pickRowKernel(backward, width) : { kernel: backward.scalar, width }
      const threads = inner === 1 ? threadsPerRow(rows, picked.width) : 1
      launch(
        picked.kernel,
        { y, dy, dx },
        { rows, width: picked.width, inner, log },
        grid(Math.ceil(rows / (64 / threads))),
        { overrides: { THREADS: threads } },
      )
      return [dx]
    },
    onnx: ({ args, attrs: { axis = -1 } }, graph) => graph.node(log ? 'LogSoftmax' : 'Softmax', args, { axis }),
    flops: ([x]) => 5 * x.size,
  })
}

/** Cuts a shape at one axis: `width` entries along it, at a distance of `inner`, in `rows` rows. */
function rowsAlong(
  name: string,
  shape: readonly number[],
  axis: number,
): { rows: number, width: number, inner: number } {
  const at = axis < 0 ? axis + shape.length : axis
  if (!Number.isInteger(axis) || at < 0 || at >= shape.length) {
    throw new ShapeError(`${name}: axis ${axis} of x [${shape}]; expected ${-shape.length} to ${shape.length - 1}`)
  }
  const width = shape[at], inner = sizeOf(shape.slice(at + 1))
  return { rows: sizeOf(shape) / width, width, inner }
}

/** Every axis is kept; the one that is normalised over mixes its values. */
function normalisedAxis(
  [x]: Parameters<Exclude<AxesSpec, string>>[0],
  out: readonly number[],
  attrs: object,
): ReturnType<Exclude<AxesSpec, string>> {
  const { axis = -1 } = attrs as SoftmaxOptions
  const mixed = axis < 0 ? axis + out.length : axis
  return {
    links: x!.map((size, i) => ({
      size,
      a: { tensor: 0, axis: i, offset: 0, stride: 1 },
      b: { tensor: -1, axis: i, offset: 0, stride: 1 },
    })),
    blocked: [{ tensor: -1, axis: mixed, reason: 'the op mixes values along this axis' }],
  }
}

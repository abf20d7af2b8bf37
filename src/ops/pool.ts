// Maximum, average and adaptive average pooling of images.
import { knownSizes } from '../core/onnx-form.ts'
import { ShapeError } from '../base/errors.ts'
import { kernel } from '../gpu/kernel.ts'
import { grid, launch } from '../core/launch.ts'
import { empty, type Tensor } from '../core/tensor.ts'
import { op } from '../core/op.ts'
import { pair, type Pair, windowsAlong } from './shared/windows.ts'

const params = [
  'planes',
  'height',
  'width',
  'rows',
  'columns',
  'size_y',
  'size_x',
  'stride_y',
  'stride_x',
  'padding_y',
  'padding_x',
]
const adaptiveParams = { size_y: 0, size_x: 0, stride_y: 0, stride_x: 0, padding_y: 0, padding_x: 0 }
const maximum = kernel('pool/forward.wgsl', { entry: 'maximum', buffers: ['x', 'y', 'best'], params })
const average = kernel('pool/forward.wgsl', { entry: 'average', buffers: ['x', 'y'], params })
const adaptive = kernel('pool/forward.wgsl', { entry: 'adaptive', buffers: ['x', 'y'], params })
const maximumGrad = kernel('pool/gradient.wgsl', { entry: 'maximum', buffers: ['dy', 'best', 'dx'], params })
const averageGrad = kernel('pool/gradient.wgsl', { entry: 'average', buffers: ['dy', 'dx'], params })
const adaptiveGrad = kernel('pool/gradient.wgsl', { entry: 'adaptive', buffers: ['dy', 'dx'], params })

/** A pooling window: numbers or [y, x]; the stride is the size unless given, the padding 0. */
export interface PoolAttrs {
  size: Pair
  stride?: Pair
  padding?: Pair
}

/**
 * The largest value of each window. x [N, C, H, W] -> [N, C, H', W'], H' = floor((H + 2 padding - size) / stride) + 1;
 * padding never wins. The gradient goes to the first of equal values, as in PyTorch.
 * @throws ShapeError if a window does not fit, or the padding exceeds half of it.
 */
export const maxPool = op({
  name: 'max-pool',
  attrs: { size: true, stride: true, padding: true },
  axes: 'n c . . -> n c . .',
  run(x: Tensor, attrs: PoolAttrs) {
    const { shape, values } = windows('max-pool', x.shape, attrs)
    const out = empty(shape), best = empty(shape, 'u32')
    launch(maximum, { x, y: out, best }, values, grid(jobs(shape)))
    return { out, best }
  },
  vjp({ args: [x], attrs, saved: { best }, needs }, dy) {
    if (!needs[0]) return [null]
    const { values } = windows('max-pool', x.shape, attrs)
    const dx = empty(x.shape)
    launch(maximumGrad, { dy, best, dx }, values, grid(jobs(x.shape)))
    return [dx]
  },
  onnx: ({ args, attrs }, graph) => graph.node('MaxPool', args, onnxWindows(attrs)),
})

/**
 * The mean of each window, over its full size: padding counts as zeros (count_include_pad true). Shapes as `maxPool`.
 * @throws ShapeError if a window does not fit, or the padding exceeds half of it.
 */
export const avgPool = op({
  name: 'avg-pool',
  attrs: { size: true, stride: true, padding: true },
  axes: 'n c . . -> n c . .',
  run(x: Tensor, attrs: PoolAttrs) {
    const { shape, values } = windows('avg-pool', x.shape, attrs)
    const out = empty(shape)
    launch(average, { x, y: out }, values, grid(jobs(shape)))
    return out
  },
  vjp({ args: [x], attrs, needs }, dy) {
    if (!needs[0]) return [null]
    const { values } = windows('avg-pool', x.shape, attrs)
    const dx = empty(x.shape)
    launch(averageGrad, { dy, dx }, values, grid(jobs(x.shape)))
    return [dx]
  },
  onnx: ({ args, attrs }, graph) => graph.node('AveragePool', args, { ...onnxWindows(attrs), count_include_pad: 1 }),
  flops: (_, out, { size }) => out.size * areaOf(size),
})

/**
 * The mean of windows that divide the image into out[0] x out[1]: rows floor(i H / h) to ceil((i + 1) H / h) - 1,
 * columns likewise, as in PyTorch: they overlap where the division leaves a remainder, and repeat where the output is
 * the larger one. x [N, C, H, W] -> [N, C, h, w].
 * @throws ShapeError unless x has four axes and `out` two whole numbers.
 */
export const adaptiveAvgPool = op({
  name: 'adaptive-avg-pool',
  attrs: { out: true },
  axes: 'n c . . -> n c . .',
  run(x: Tensor, { out: size }: { out: Pair }) {
    const shape = adaptiveShape(x.shape, size)
    const out = empty(shape)
    launch(adaptive, { x, y: out }, { ...sizes(x.shape, shape), ...adaptiveParams }, grid(jobs(shape)))
    return out
  },
  vjp({ args: [x], attrs, needs }, dy) {
    if (!needs[0]) return [null]
    const dx = empty(x.shape)
    launch(
      adaptiveGrad,
      { dy, dx },
      { ...sizes(x.shape, adaptiveShape(x.shape, attrs.out)), ...adaptiveParams },
      grid(jobs(x.shape)),
    )
    return [dx]
  },
  onnx({ args: [x], attrs: { out } }, graph) {
    const [, , height, width] = knownSizes(x.shape), [rows, columns] = pair('adaptive-avg-pool', 'out', out, 1)
    if (rows === 1 && columns === 1) return graph.node('GlobalAveragePool', [x])
    if (height % rows === 0 && width % columns === 0) {
      const size = [height / rows, width / columns]
      return graph.node('AveragePool', [x], { kernel_shape: size, strides: size, pads: [0, 0, 0, 0] })
    }
    // Windows of several sizes: a product with a matrix of means on either side.
    const across = graph.node('MatMul', [x, graph.floats(means(width, columns, true), [width, columns])])
    return graph.node('MatMul', [graph.floats(means(height, rows, false), [rows, height]), across])
  },
  flops: ([x], out) => Math.max(x.size, out.size),
})

/** Four pixels of a row per invocation, 64 invocations per workgroup. */
const jobs = ([n, c, rows, columns]: readonly number[]) => Math.ceil(n * c * rows * Math.ceil(columns / 4) / 64)

/** Attributes of an ONNX pool. */
function onnxWindows({ size, stride = size, padding = 0 }: PoolAttrs) {
  const [top, left] = pair('pool', 'padding', padding, 0)
  return {
    kernel_shape: pair('pool', 'size', size, 1),
    strides: pair('pool', 'stride', stride, 1),
    pads: [top, left, top, left],
  }
}

/** The matrix [out, from] whose product takes the means of adaptive windows; transposed if so. */
function means(from: number, out: number, transposed: boolean): Float32Array {
  const matrix = new Float32Array(from * out)
  for (let i = 0; i < out; i++) {
    const first = Math.floor(i * from / out), stop = Math.ceil((i + 1) * from / out)
    for (let j = first; j < stop; j++) matrix[transposed ? j * out + i : i * from + j] = 1 / (stop - first)
  }
  return matrix
}

const areaOf = (size: Pair) => (typeof size === 'number' ? size * size : size[0] * size[1])

const sizes = ([n, c, height, width]: readonly number[], [, , rows, columns]: readonly number[]) => ({
  planes: n * c,
  height,
  width,
  rows,
  columns,
})

function windows(op: string, x: readonly number[], { size, stride = size, padding = 0 }: PoolAttrs) {
  checkImage(op, x)
  const [sizeY, sizeX] = pair(op, 'size', size, 1)
  const [strideY, strideX] = pair(op, 'stride', stride, 1)
  const [top, left] = pair(op, 'padding', padding, 0)
  if (2 * top > sizeY || 2 * left > sizeX) {
    throw new ShapeError(
      `${op}: padding [${top}, ${left}] exceeds half of the window [${sizeY}, ${sizeX}], so that windows could be empty`
        + `; use less padding`,
    )
  }
  const shape = [
    x[0],
    x[1],
    windowsAlong(op, 'height', x[2], sizeY, strideY, top, 1),
    windowsAlong(op, 'width', x[3], sizeX, strideX, left, 1),
  ]
  return {
    shape,
    values: {
      ...sizes(x, shape),
      size_y: sizeY,
      size_x: sizeX,
      stride_y: strideY,
      stride_x: strideX,
      padding_y: top,
      padding_x: left,
    },
  }
}

function adaptiveShape(x: readonly number[], out: Pair): number[] {
  checkImage('adaptive-avg-pool', x)
  return [x[0], x[1], ...pair('adaptive-avg-pool', 'out', out, 1)]
}

function checkImage(op: string, x: readonly number[]) {
  if (x.length !== 4) {
    throw new ShapeError(`${op}: x [${x}] has ${x.length} axes, expected 4: [batch, channels, height, width]`)
  }
}

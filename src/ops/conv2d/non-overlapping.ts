// Convolutions whose windows do not overlap: 1 x 1 kernels and patch embeddings. Their windows are the columns of a
// matrix without repeating a pixel, so all three passes are plain matrix products.
import { kernel } from '../../gpu/kernel.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { product } from '../matmul/product.ts'
import { choose, type Variant, variants } from '../shared/variants.ts'
import { sumSplits } from '../shared/split-sum.ts'

const params = [
  'size',
  'height',
  'width',
  'kernel_y',
  'kernel_x',
  'rows',
  'columns',
  'stride_y',
  'stride_x',
  'padding_y',
  'padding_x',
  'dilation_y',
  'dilation_x',
]
const im2colKernel = kernel('conv2d/non-overlapping.wgsl', { entry: 'im2col', buffers: ['x', 'out'], params })
const col2imKernel = kernel('conv2d/non-overlapping.wgsl', { entry: 'col2im', buffers: ['x', 'out'], params })
const biasKernel = kernel('conv2d/non-overlapping.wgsl', {
  entry: 'add_bias',
  buffers: ['bias', 'y'],
  params: ['planes', 'channels', 'pixels'],
})

/** Windows of a convolution, [y, x] each, and the shape of its output. */
export interface Windows {
  kernel: readonly [number, number]
  stride: readonly [number, number]
  padding: readonly [number, number]
  dilation: readonly [number, number]
  groups: number
  out: readonly number[]
}

/** Whether no pixel is in two windows. */
export function doNotOverlap({ kernel, stride, dilation }: Windows): boolean {
  return [0, 1].every((axis) => (kernel[axis] - 1) * dilation[axis] < stride[axis])
}

/** Whether a window is one pixel of the image, in steps of any size. */
export function isPixel({ kernel, padding }: Windows): boolean {
  return kernel.every((n) => n === 1) && padding.every((n) => n === 0)
}

/** The weight is [groups * outputs, K] with K = channels * taps, an image is [groups, K, pixels]. */
function sizes(w: readonly number[], { groups, out }: Windows) {
  return { N: out[0], M: w[0] / groups, K: w[1] * w[2] * w[3], P: out[2] * out[3] }
}

/** y [N, O, H', W'] of x, w and an optional bias. */
export function nonOverlappingForward(x: Tensor, w: Tensor, b: Tensor | null, at: Windows): Tensor {
  const { N, M, K, P } = sizes(w.shape, at), { groups } = at
  const y = empty(at.out)
  product(w, im2col(x, at), y, {
    M,
    N: P,
    K,
    batch: [N, groups],
    strideA: [0, M * K],
    strideB: [groups * K * P, K * P],
  })
  if (b) {
    launch(
      biasKernel,
      { bias: b, y },
      { planes: N * groups * M, channels: groups * M, pixels: P },
      grid(Math.ceil(N * groups * M * Math.ceil(P / 8) / 64)),
    )
  }
  return y
}

/** Gradient to the input of `shape`. */
export function nonOverlappingInput(dy: Tensor, w: Tensor, shape: readonly number[], at: Windows): Tensor {
  const { N, M, K, P } = sizes(w.shape, at), { groups } = at
  const columns = empty([N, groups * K, at.out[2], at.out[3]])
  product(w, dy, columns, {
    M: K,
    N: P,
    K: M,
    transposeA: true,
    batch: [N, groups],
    strideA: [0, M * K],
    strideB: [groups * M * P, M * P],
  })
  if (isPlain(at)) return columns.view(shape)
  const dx = empty(shape)
  launch(col2imKernel, { x: columns, out: dx }, { ...values(shape, at), size: dx.size }, grid(Math.ceil(dx.size / 64)))
  return dx
}

/** Elements of the gradients to the weight of all images. */
export function productSize(w: readonly number[], at: Windows): number {
  const { N, M, K } = sizes(w, at)
  return N * at.groups * M * K
}

/** Gradient to the weight of `shape`, one product per image. */
export function nonOverlappingWeight(x: Tensor, dy: Tensor, shape: readonly number[], at: Windows): Tensor {
  const { N, M, K, P } = sizes(shape, at), { groups } = at
  const partial = empty([N, ...shape])
  product(dy, im2col(x, at), partial, {
    M,
    N: K,
    K: P,
    transposeB: true,
    batch: [N, groups],
    strideA: [groups * M * P, M * P],
    strideB: [groups * K * P, K * P],
  })
  return sumSplits(partial, shape)
}

/** Whether the image already is its columns. */
const isPlain = ({ kernel, stride, padding }: Windows) =>
  [...kernel, ...stride].every((n) => n === 1) && padding[0] === 0 && padding[1] === 0

function values(shape: readonly number[], { kernel, stride, padding, dilation, out }: Windows) {
  return {
    height: shape[2],
    width: shape[3],
    kernel_y: kernel[0],
    kernel_x: kernel[1],
    rows: out[2],
    columns: out[3],
    stride_y: stride[0],
    stride_x: stride[1],
    padding_y: padding[0],
    padding_x: padding[1],
    dilation_y: dilation[0],
    dilation_x: dilation[1],
  }
}

/** Pixels that an invocation copies: to find where they begin takes several divisions, which a processor feels. */
const im2colVariants = variants<null, Variant<null> & { each: number }>('conv2d im2col', [
  { name: '16 pixels', numeric: 'exact-order', adapters: ['embedded'], each: 16 },
  { name: '4 pixels', numeric: 'exact-order', each: 4 },
])

function im2col(x: Tensor, at: Windows): Tensor {
  if (isPlain(at)) return x
  const [N, C] = x.shape, [rows, width] = at.out.slice(2)
  const columns = empty([N, C * at.kernel[0] * at.kernel[1], rows, width])
  const { each } = choose(im2colVariants, null), size = columns.size / width * Math.ceil(width / each)
  launch(im2colKernel, { x, out: columns }, { ...values(x.shape, at), size }, grid(Math.ceil(size / 64)), {
    overrides: { EACH: each },
  })
  return columns
}

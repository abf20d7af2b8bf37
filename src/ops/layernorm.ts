// Layer norm over the last axis, or over as many trailing axes as the gain has.
import { linksOf } from '../core/axes.ts'
import { ShapeError } from '../base/errors.ts'
import { grid, launch } from '../core/launch.ts'
import { empty, type Tensor } from '../core/tensor.ts'
import { op } from '../core/op.ts'
import { threadsPerRow, pickRowKernel, rowKernels } from './shared/row-kernels.ts'
import { choose, type Variant, variants } from './shared/variants.ts'

/** `eps` is added to the variance; default 1e-5. */
export interface LayerNormOptions {
  eps?: number
}

interface RowWork {
  threads: number
}

/** How many entries of a row an invocation takes in a turn; the embedded device may do two at once. */
const forwardVariants = variants<RowWork, Variant<RowWork> & { PAIRS: number }>('layer-norm', [
  {
    name: 'two entries a turn',
    numeric: 'reordered',
    adapters: ['embedded'],
    runs: (_, { threads }) => threads === 1,
    PAIRS: 1,
  },
  { name: 'one entry a turn', numeric: 'reordered', PAIRS: 0 },
])

const normalize = rowKernels('layernorm/forward.wgsl', {
  buffers: ['x', 'gain', 'bias', 'y', 'mean', 'rstd'],
  params: ['rows', 'width', 'scale', 'eps'],
})

const params = ['rows', 'width', 'scale', 'detached', 'splits']
const inputGradient = rowKernels('layernorm/gradient.wgsl', {
  entry: 'input',
  buffers: ['x', 'dy', 'gain', 'mean', 'rstd', 'dx'],
  params,
})
const columnSums = rowKernels('layernorm/gradient.wgsl', {
  entry: 'columns',
  buffers: ['x', 'dy', 'mean', 'rstd', 'sums'],
  params,
})
const combineSums = rowKernels('layernorm/gradient.wgsl', {
  entry: 'combine',
  buffers: ['sums', 'dgain', 'dbias'],
  params,
})

/**
 * Layer norm (arXiv 1607.06450): y = (x - mean) / sqrt(variance + eps) gain + bias, over the trailing axes that `gain`
 * and
 * `bias` have: [C] on [..., C], or [2, 2, C] on [..., 2, 2, C] (Swin's patch merging). A detached call holds 1 / std
 * constant in the backward pass, as LRP wants it (arXiv 2202.07304); the path through the mean stays.
 * @throws ShapeError if the trailing axes differ.
 */
export const layerNorm = op({
  name: 'layer-norm',
  attrs: { eps: true },
  roles: ['normalization'],
  addends: [2],
  axes: (shapes, out, attrs) => {
    const letters = 'abcdefgh'.slice(0, shapes[1]!.length).split('')
    const names = letters.join(' ')
    return linksOf(
      `... ${names}, ${names}, ${names} -> ... ${letters.map((letter) => `${letter}!`).join(' ')}`,
      shapes,
      out,
      attrs,
    )
  },
  zero: ['breaks', 'breaks', 'breaks'],
  run(x: Tensor, gain: Tensor, bias: Tensor, { eps = 1e-5 }: LayerNormOptions) {
    const { width, rows } = check(x, gain, bias)
    const y = empty(x.shape)
    const mean = empty([rows])
    const rstd = empty([rows])
    const { kernel, width: reads } = pickRowKernel(normalize, width)
    const threads = threadsPerRow(rows, reads)
    launch(
      kernel,
      { x, gain, bias, y, mean, rstd },
      { rows, width: reads, scale: 1 / width, eps },
      grid(Math.ceil(rows / (64 / threads))),
      { overrides: { THREADS: threads, PAIRS: choose(forwardVariants, { threads }).PAIRS } },
    )
    return { out: y, mean, rstd }
  },
  vjp({ args: [x, gain, bias], saved: { mean, rstd }, needs, detached }, dy) {
    const { width, rows } = check(x, gain, bias)
    const reads = pickRowKernel(normalize, width).width
    // About 32 rows to a sum: enough invocations for every adapter, and few sums to add up afterwards.
    const splits = Math.min(256, Math.ceil(rows / 32))
    const numbers = { rows, width: reads, scale: 1 / width, detached: detached ? 1 : 0, splits }
    let dx: Tensor | null = null, dgain: Tensor | null = null, dbias: Tensor | null = null
    if (needs[0]) {
      dx = empty(x.shape)
      const threads = threadsPerRow(rows, reads)
      launch(
        pickRowKernel(inputGradient, width).kernel,
        { x, dy, gain, mean, rstd, dx },
        numbers,
        grid(Math.ceil(rows / (64 / threads))),
        { overrides: { THREADS: threads } },
      )
    }
    if (needs[1] || needs[2]) {
      dgain = empty(gain.shape)
      dbias = empty(bias.shape)
      const sums = empty([splits, 2, width])
      launch(
        pickRowKernel(columnSums, width).kernel,
        { x, dy, mean, rstd, sums },
        numbers,
        grid(Math.ceil(splits * reads / 64)),
      )
      launch(pickRowKernel(combineSums, width).kernel, { sums, dgain, dbias }, numbers, grid(Math.ceil(reads / 64)))
      sums.dispose()
    }
    return [dx, needs[1] ? dgain : null, needs[2] ? dbias : null]
  },
  onnx: ({ args, attrs: { eps = 1e-5 } }, graph) =>
    graph.node('LayerNormalization', args, { axis: -args[1].shape.length, epsilon: { float: eps } }),
  flops: ([x]) => 8 * x.size,
})

function check(x: Tensor, gain: Tensor, bias: Tensor): { width: number, rows: number } {
  const over = gain.shape.length
  if (over === 0 || over > x.shape.length || x.shape.slice(-over).join() !== gain.shape.join()) {
    throw new ShapeError(
      `layer-norm: gain [${gain.shape}] does not fit x [${x.shape}]; expected the size of its last axis (or axes), ${
        over ? `[${x.shape.slice(-over)}]` : 'not a scalar'
      }`,
    )
  }
  if (bias.shape.join() !== gain.shape.join()) {
    throw new ShapeError(`layer-norm: bias [${bias.shape}] must have the shape of gain [${gain.shape}]`)
  }
  return { width: gain.size, rows: x.size / gain.size }
}

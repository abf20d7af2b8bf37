// The classification loss: softmax, logarithm and mean in one, for index labels and for soft ones.
import { InputError, ShapeError } from '../base/errors.ts'
import { kernel } from '../gpu/kernel.ts'
import { grid, launch } from '../core/launch.ts'
import { empty, type Tensor } from '../core/tensor.ts'
import { op } from '../core/op.ts'
import { threadsPerRow } from './shared/row-kernels.ts'

/** `smoothing` s replaces a target t by (1 - s) t + s / classes; 0 to 1, default 0. */
export interface CrossEntropyOptions {
  smoothing?: number
}

const params = ['rows', 'width', 'smoothing']
const average = kernel('cross-entropy.wgsl', { entry: 'average', buffers: ['losses', 'loss'], params })

/**
 * Mean over the batch of -sum_c t_c log softmax(logits)_c, one number of shape []. logits [B, C], labels i32 [B] from 0
 * to C - 1; a label outside makes the loss NaN. The labels have no gradient.
 * @throws ShapeError if logits are not [B, C] or labels not [B], or for a smoothing outside 0 to 1.
 */
export const crossEntropy = define('cross-entropy', 'i32', {})

/**
 * As `crossEntropy` with soft labels: targets f32 [B, C], of any sum (mixup, cutmix, distillation). Targets have no
 * gradient.
 */
export const softCrossEntropy = define('soft-cross-entropy', 'f32', {
  '/*type*/i32': 'f32',
  '/*target*/one_hot(given[row], c)': 'given[row * p.width + c]',
})

function define(name: string, type: 'i32' | 'f32', splice: Record<string, string>) {
  const label = type === 'f32' ? 'soft labels' : undefined
  const rowLoss = kernel('cross-entropy.wgsl', {
    entry: 'rows',
    buffers: ['x', 'given', 'logsum', 'weight', 'losses'],
    params,
    splice,
    label: label && `rows, ${label}`,
  })
  const backward = kernel('cross-entropy.wgsl', {
    entry: 'backward',
    buffers: ['x', 'given', 'logsum', 'weight', 'dloss', 'dx'],
    params,
    splice,
    label: label && `backward, ${label}`,
  })
  return op({
    name,
    attrs: { smoothing: true },
    axes: type === 'i32' ? 'b c!, b -> ' : 'b c!, b c! -> ',
    dtypes: ['f32', type],
    zero: ['breaks', 'breaks'],
    run(x: Tensor, given: Tensor, { smoothing = 0 }: CrossEntropyOptions) {
      const [rows, width] = x.shape
      if (x.shape.length !== 2) throw new ShapeError(`${name}: logits [${x.shape}]; expected [batch, classes]`)
      const expected = type === 'i32' ? [rows] : [rows, width]
      if (given.shape.join() !== expected.join()) {
        throw new ShapeError(
          `${name}: ${
            type === 'i32' ? 'labels' : 'targets'
          } [${given.shape}] do not fit logits [${x.shape}]; expected [${expected}]`,
        )
      }
      const { range } = given
      if (type === 'i32') given.below = width
      if (type === 'i32' && range && (range[0] < 0 || range[1] >= width)) {
        throw new InputError(
          `${name}: label ${range[0] < 0 ? range[0] : range[1]} with logits [${x.shape}]; expected labels 0 to ${
            width - 1
          } for ${width} classes`,
        )
      }
      if (!(smoothing >= 0 && smoothing <= 1)) throw new ShapeError(`${name}: smoothing ${smoothing}; expected 0 to 1`)
      const logsum = empty([rows])
      const weight = empty([rows])
      const losses = empty([rows])
      const loss = empty([])
      const threads = threadsPerRow(rows, width)
      launch(
        rowLoss,
        { x, given, logsum, weight, losses },
        { rows, width, smoothing },
        grid(Math.ceil(rows / (64 / threads))),
        { overrides: { THREADS: threads } },
      )
      launch(average, { losses, loss }, { rows, width, smoothing }, [1], { overrides: { THREADS: 64 } })
      losses.dispose()
      return { out: loss, logsum, weight }
    },
    vjp({ args: [x, given], attrs: { smoothing = 0 }, saved: { logsum, weight }, needs }, dloss) {
      if (!needs[0]) return [null, null]
      const [rows, width] = x.shape
      const dx = empty(x.shape)
      launch(
        backward,
        { x, given, logsum, weight, dloss, dx },
        { rows, width, smoothing },
        grid(Math.ceil(x.size / 64)),
      )
      return [dx, null]
    },
    flops: ([x]) => 8 * x.size,
  })
}

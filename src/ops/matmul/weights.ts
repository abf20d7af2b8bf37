// Products of x with a weight that stays: on the embedded device the weight lies in strips beside itself, which it
// keeps; elsewhere it is the plain product.
import { grid, launch } from '../../core/launch.ts'
import { isTracing, type Tensor } from '../../core/tensor.ts'
import { kernel } from '../../gpu/kernel.ts'
import { STRIP, stripsOf } from '../shared/strips.ts'
import { choose, type Variant, variants } from '../shared/variants.ts'
import { type Epilogue, switches } from './kernels.ts'
import { product } from './product.ts'

/** Rows of x, outputs and inputs of the weight. */
export interface WeightSizes {
  M: number
  N: number
  K: number
}

/** Writes x [M, K] times the transpose of weight [N, K], with the epilogue, into out [M, N]. */
export interface WeightVariant extends Variant<WeightSizes> {
  readonly run: (x: Tensor, weight: Tensor, out: Tensor, sizes: WeightSizes, epilogue: Epilogue) => void
}

/** The kernel that reads strips. */
export const stripsProduct = kernel('matmul/strips.wgsl', {
  buffers: ['x', 'w', 'bias', 'residual', 'out'],
  params: ['M', 'N', 'K'],
})

/** All of them. */
export const weightVariants = variants<WeightSizes, WeightVariant>('linear', [
  {
    name: 'strips',
    numeric: 'reordered',
    adapters: ['embedded'],
    runs: (_, { N }) => N % STRIP === 0,
    // Longer sums are split, to keep their digits; few rows make too little use of what is laid in strips.
    fits: ({ M, K }, { columns }) => M >= 16 && K <= 8192 && columns === 4,
    run(x, weight, out, { M, N, K }, epilogue) {
      const w = stripsOf(weight, {
        groups: 1,
        outputs: N,
        channels: K,
        tapsY: 1,
        tapsX: 1,
        groupStride: 0,
        outputStride: K,
        channelStride: 1,
        width: 1,
        firstY: 0,
        stepY: 0,
        firstX: 0,
        stepX: 0,
      })
      launch(
        stripsProduct,
        { x, w, bias: epilogue.bias ?? w, residual: epilogue.residual ?? w, out },
        { M, N, K },
        grid(Math.ceil(M / 64) * Math.ceil(N / (4 * STRIP))),
        { overrides: switches(epilogue), flops: 2 * M * N * K },
      )
    },
  },
  {
    name: 'product',
    numeric: 'reordered',
    run: (x, weight, out, sizes, epilogue) => {
      product(x, weight, out, { ...sizes, transposeB: true }, epilogue)
    },
  },
])

/** The product of x with a weight that stays, by the row that fits. */
export function weightProduct(
  x: Tensor,
  weight: Tensor,
  out: Tensor,
  sizes: WeightSizes,
  epilogue: Epilogue = {},
): void {
  if (!isTracing()) choose(weightVariants, sizes).run(x, weight, out, sizes, epilogue)
}

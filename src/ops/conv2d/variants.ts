// The variants of a general convolution: of pixels times weights (forward, gradient to the input) and of pixels times
// gradients (gradient to the weight). To add one, write its kernel and launcher and a row here. Each adds in an order
// of its own, so the choice depends on adapter and sizes only.
import type { Tensor } from '../../core/tensor.ts'
import { choose, type Variant, variants } from '../shared/variants.ts'
import type { PixelWork, WeightWork } from './convolution.ts'
import { blockedWeight, fitsBlocks } from './blocked-weight.ts'
import { blockedPixels } from './blocked.ts'
import { finishInPlace } from './finish.ts'
import { fitsPlanes, planesPixels } from './planes.ts'
import { registersPixels, registersWeight } from './registers.ts'
import { isWinograd, winogradPixels, worthTiles } from './winograd.ts'
import { smallTile, tiledPixels, tiledWeight } from './tiled.ts'

/** One way to multiply pixels with weights. */
export interface PixelVariant extends Variant<PixelWork> {
  readonly run: (work: PixelWork) => void
  /** Whether it finishes what it makes, where `work.to.finish` asks for that. */
  readonly finishes?: true
}

/** One way to multiply pixels with gradients. */
export interface WeightVariant extends Variant<WeightWork> {
  readonly run: (work: WeightWork) => Tensor
}

// The small ones go by name only: they compile and interpret quickly, for tests of the kernels.

/** Pixels times weights. Without fast workgroup memory, many products per load count most. */
export const pixelVariants = variants<PixelWork, PixelVariant>('conv2d pixels', [
  {
    name: 'tiled',
    numeric: 'reordered',
    adapters: ['gpu'],
    fits: ({ order }) => order.outputs > 4,
    run: (work) => {
      tiledPixels(work)
    },
  },
  {
    // Errors of 5e-6 to 2e-5 of the largest output.
    name: 'winograd 4',
    numeric: 'lossy',
    adapters: ['embedded'],
    runs: (_, work) => isWinograd(work),
    fits: (work, { columns }) => columns === 4 && worthTiles(work, 4),
    run: (work) => {
      winogradPixels(work, 4)
    },
  },
  {
    // Errors to 2e-6 of the largest output, as the sums of the others have them.
    name: 'winograd 2',
    numeric: 'transformed',
    adapters: ['embedded'],
    runs: (_, work) => isWinograd(work),
    fits: (work, { columns }) => columns === 4 && worthTiles(work, 2),
    run: (work) => {
      winogradPixels(work, 2)
    },
  },
  {
    name: 'planes',
    finishes: true,
    numeric: 'reordered',
    adapters: ['embedded'],
    runs: (_, work) => fitsPlanes(work),
    fits: ({ order }, { columns }) => columns === 4 && order.outputs > 4,
    run: (work) => {
      planesPixels(work)
    },
  },
  {
    // Sixteen sums need the registers of an engine that joins vectors; with half of them `registers` is faster.
    name: 'blocked',
    finishes: true,
    numeric: 'reordered',
    adapters: ['embedded'],
    fits: ({ order }, { columns }) => columns === 4 && order.outputs > 4,
    run: (work) => {
      blockedPixels(work)
    },
  },
  {
    name: 'registers',
    numeric: 'reordered',
    run: (work) => {
      registersPixels(work)
    },
  },
  {
    name: 'tiled small',
    numeric: 'reordered',
    adapters: [],
    run: (work) => {
      tiledPixels(work, smallTile)
    },
  },
  {
    name: 'registers small',
    numeric: 'reordered',
    adapters: [],
    run: (work) => {
      registersPixels(work, true)
    },
  },
])

/**
 * Pixels times gradients. The embedded device likes register tiles too, but not where many outputs make them narrow.
 */
export const weightVariants = variants<WeightWork, WeightVariant>('conv2d weight', [
  {
    name: 'blocked',
    numeric: 'reordered',
    adapters: ['embedded'],
    runs: (_, work) => fitsBlocks(work),
    fits: ({ shape }, { columns }) => columns === 4 && shape[0] > 4,
    run: (work) => blockedWeight(work),
  },
  {
    name: 'tiled',
    numeric: 'reordered',
    adapters: ['gpu', 'embedded'],
    fits: ({ groups, shape }, { kind }) => shape[0] / groups > (kind === 'gpu' ? 4 : 16),
    run: (work) => tiledWeight(work),
  },
  { name: 'registers', numeric: 'reordered', run: (work) => registersWeight(work) },
  { name: 'tiled small', numeric: 'reordered', adapters: [], run: (work) => tiledWeight(work, smallTile) },
  { name: 'registers small', numeric: 'reordered', adapters: [], run: (work) => registersWeight(work, true) },
])

/** Multiplies pixels with weights and writes them (plus bias, finished) to `to.out`. */
export function convolve(work: PixelWork): void {
  const row = choose(pixelVariants, work), { to } = work
  if (!to.finish || row.finishes) {
    row.run(work)
    return
  }
  row.run({ ...work, to: { ...to, finish: null } })
  finishInPlace(to.out, to.finish)
}

/** Gradient to the weight. */
export function convolveWeight(work: WeightWork): Tensor {
  return choose(weightVariants, work).run(work)
}

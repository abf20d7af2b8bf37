// The ways to compute a convolution: by channel where channels do not mix, as matrix products where no pixel is in two
// windows, else pixels times weights. To add one, write its three passes and a row here.
import { sizeOf } from '../../base/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { choose, type Variant, variants } from '../shared/variants.ts'
import { depthwiseForward, depthwiseInput, depthwiseWeight } from './depthwise-variants.ts'
import { type Finish, finishInPlace } from './finish.ts'
import { generalForward, generalInput, generalWeight } from './general.ts'
import { doNotOverlap, isPixel, nonOverlappingForward, nonOverlappingInput, nonOverlappingWeight, productSize,
  type Windows } from './non-overlapping.ts'

/** One pass of a convolution. */
export interface ConvolutionPass {
  pass: 'forward' | 'input' | 'weight'
  /** Shape of the weight. */
  w: readonly number[]
  at: Windows
  /** Pixels of x and y together. */
  values: number
}

/** One way to compute all three passes. */
export interface PassVariant extends Variant<ConvolutionPass> {
  /** y [N, O, H', W'] of x, w and an optional bias. */
  readonly forward: (x: Tensor, w: Tensor, b: Tensor | null, at: Windows, finish?: Finish | null) => Tensor
  /** Whether `forward` finishes what it makes if asked to. */
  readonly finishes?: true
  /** Gradient to the input of `shape`. */
  readonly input: (dy: Tensor, w: Tensor, shape: readonly number[], at: Windows) => Tensor
  /** Gradient to the weight of `shape`. */
  readonly weight: (x: Tensor, dy: Tensor, shape: readonly number[], at: Windows) => Tensor
}

/** All of them. */
export const passVariants = variants<ConvolutionPass, PassVariant>('conv2d', [
  {
    name: 'depthwise',
    numeric: 'reordered',
    runs: (_, { w, at }) => w[1] === 1 && w[0] === at.groups,
    forward: (x, w, b, at) => depthwiseForward(x, w, b, at.out, at),
    input: depthwiseInput,
    weight: depthwiseWeight,
  },
  {
    name: 'matrix products',
    numeric: 'reordered',
    runs: (_, { at }) => doNotOverlap(at),
    // The gradient to the weight is a product per image. Where these would be much larger than the images, the general
    // kernel, which sums over the batch as it goes, is the better one. So it is for single pixels where it reads images
    // in place.
    fits: ({ pass, w, at, values }, { kind, columns }) =>
      pass === 'weight'
        ? at.out[0] === 1 || productSize(w, at) <= 2 * values
        : kind !== 'embedded' || columns !== 4 || !isPixel(at) || w[0] / at.groups < 16 || w[1] < 16,
    forward: nonOverlappingForward,
    input: nonOverlappingInput,
    weight: nonOverlappingWeight,
  },
  {
    name: 'general',
    numeric: 'reordered',
    finishes: true,
    forward: generalForward,
    input: generalInput,
    weight: generalWeight,
  },
])

/** y of x, w and an optional bias, finished if asked. */
export function forward(
  x: Tensor,
  w: Tensor,
  b: Tensor | null,
  at: Windows,
  finish: Finish | null = null,
): Tensor {
  const values = x.size + sizeOf(at.out), row = passes({ pass: 'forward', w: w.shape, at, values })
  const y = row.forward(x, w, b, at, row.finishes ? finish : null)
  if (finish && !row.finishes) finishInPlace(y, finish)
  return y
}

/** The way to compute a pass. */
export const passes = (work: ConvolutionPass): PassVariant => choose(passVariants, work)

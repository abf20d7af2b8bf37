// The ways to compute a convolution: by channel where channels do not mix, as matrix products where no pixel is in two
// windows, else pixels times weights. To add one, write its three passes and a row here.
import type { Tensor } from '../../core/tensor.ts'
import { choose, type Variant, variants } from '../shared/variants.ts'
import { depthwiseForward, depthwiseInput, depthwiseWeight } from './depthwise-kernels.ts'
import { generalForward, generalInput, generalWeight } from './general.ts'
import { doNotOverlap, nonOverlappingForward, nonOverlappingInput, nonOverlappingWeight, productSize,
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
  readonly forward: (x: Tensor, w: Tensor, b: Tensor | null, at: Windows) => Tensor
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
    // kernel, which sums over the batch as it goes, is the better one.
    fits: ({ pass, w, at, values }) => pass !== 'weight' || at.out[0] === 1 || productSize(w, at) <= 2 * values,
    forward: nonOverlappingForward,
    input: nonOverlappingInput,
    weight: nonOverlappingWeight,
  },
  { name: 'general', numeric: 'reordered', forward: generalForward, input: generalInput, weight: generalWeight },
])

/** The way to compute a pass. */
export const passes = (work: ConvolutionPass): PassVariant => choose(passVariants, work)

// Sizes of sliding windows, shared by convolution, depthwise convolution and pooling.
import { ShapeError } from '../../base/errors.ts'

/** One number for both axes of an image, or [vertical, horizontal]. */
export type Pair = number | readonly [number, number]

/** Both entries of a pair. @throws ShapeError unless both are whole numbers of at least `least`. */
export function pair(op: string, name: string, value: Pair, least: number): readonly [number, number] {
  const both = typeof value === 'number' ? [value, value] as const : value
  if (both.length !== 2 || !both.every((n) => Number.isInteger(n) && n >= least)) {
    throw new ShapeError(
      `${op}: ${name} is ${JSON.stringify(value)}, expected a whole number of at least ${least} or two of them [y, x]`,
    )
  }
  return both
}

/**
 * How many windows fit along an axis: floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1, as in
 * PyTorch.
 */
export function windowsAlong(
  op: string,
  axis: string,
  size: number,
  kernel: number,
  stride: number,
  padding: number,
  dilation: number,
): number {
  const reach = dilation * (kernel - 1) + 1
  if (size + 2 * padding < reach) {
    throw new ShapeError(
      `${op}: a window of ${reach} does not fit ${axis} ${size} with padding ${padding}`
        + `; use more padding, a smaller window or a larger image`,
    )
  }
  return Math.floor((size + 2 * padding - reach) / stride) + 1
}

// What a convolution computes, in the terms of its kernels: pixels times weights, and pixels times gradients. conv2d.ts
// says which of the two a forward or a backward pass is; variants.ts says which kernels do it.
import { kernel, type Kernel } from '../../gpu/kernel.ts'
import type { Tensor } from '../../core/tensor.ts'
import type { Finish } from './finish.ts'
import type { Images, PaddedInput, Taps, WeightOrder } from './layout.ts'

/**
 * What an output pixel (i, j) of the grid reads, and where in `out` [batch, channels, height, width] its result goes.
 */
export interface Convolution {
  images: Images
  batch: number
  tapsY: Taps
  tapsX: Taps
  /** Row and column of the first read. */
  start: readonly [number, number]
  /** Pixels computed. */
  pixels: readonly [number, number]
  out: Tensor
  /** Position in `out` of the first pixel, and the distance of neighbours. */
  first: readonly [number, number]
  step: readonly [number, number]
  bias: Tensor | null
  /** What becomes of the sums, bias included; a row that does not say that it finishes is not asked to. */
  finish?: Finish | null
}

/** Pixels times weights taken from `w` as `order` says. */
export interface PixelWork {
  to: Convolution
  w: Tensor
  order: WeightOrder
}

/** Pixels times gradients: what the forward pass read, and `dy` [batch, groups * outputs, height, width]. */
export interface WeightWork {
  images: Images
  dy: Tensor
  groups: number
  /** The weight's: [groups * outputs, channels, kernel y, kernel x]. */
  shape: readonly number[]
  tapsY: Taps
  tapsX: Taps
}

/** Multiplications and additions of either. */
export function flopsOfPixels({ to: { batch, tapsY, tapsX, pixels }, order }: PixelWork): number {
  const { groups, outputs, channels } = order
  return 2 * batch * pixels[0] * pixels[1] * groups * outputs * channels * tapsY.count * tapsX.count
}

/** As `flopsOfPixels`. */
export function flopsOfWeight({ dy, shape, tapsY, tapsX }: WeightWork): number {
  return 2 * dy.size * shape[1] * tapsY.count * tapsX.count
}

/** Splits of a weight gradient without which a sum would have more terms than keep float32 exact enough. */
export function leastSplits({ dy: { shape: [batch, , height, width] } }: WeightWork): number {
  return Math.ceil(batch * height * width / 4096)
}

/** Parameters that all kernels of pixels times weights of images in planes have. */
export function pixelParams(
  { to, order: { groups, outputs, channels } }: PixelWork,
  input: PaddedInput,
): Record<string, number> {
  const { tapsY, start, pixels, out, first, step, bias } = to
  return {
    groups,
    outputs,
    height: pixels[0],
    width: pixels[1],
    batch_stride: groups * channels * input.plane,
    group_stride: channels * input.plane,
    row: tapsY.stride * input.row,
    start: start[0] * input.row + start[1],
    height_out: out.shape[2],
    width_out: out.shape[3],
    first_y: first[0],
    step_y: step[0],
    first_x: first[1],
    step_x: step[1],
    has_bias: bias ? 1 : 0,
  }
}

const made = new Map<string, Kernel>()

/** A kernel file with its constants at the top set to these numbers. */
export function withConstants(
  file: string,
  buffers: string[],
  params: string[],
  defaults: Record<string, number>,
  values: Record<string, number>,
): Kernel {
  const label = Object.entries(values).map(([name, value]) => `${name}=${value}`).join(' ')
  const key = `${file} ${label}`
  let found = made.get(key)
  if (!found) {
    const splice = Object.fromEntries(
      Object.entries(values).map((
        [name, value],
      ) => [`const ${name} = ${defaults[name]}u;`, `const ${name} = ${value}u;`]),
    )
    made.set(key, found = kernel(file, { buffers, params, splice, label }))
  }
  return found
}

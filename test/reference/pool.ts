/** Pooling over images [N, C, H, W] with PyTorch's windows (ceil_mode false). */
import { build } from './nd.ts'
import type { Nd } from './nd.ts'
import { pair } from './conv.ts'
import type { Pair } from './conv.ts'

/** Attributes of a pooling window; the stride is the kernel's size unless given. */
export interface Pooling {
  kernel: Pair
  stride?: Pair
  padding?: Pair
}

const pool =
  (reduce: (inside: number[], windowSize: number) => number) =>
  (x: Nd, { kernel, stride = kernel, padding = 0 }: Pooling): Nd => {
    const [kh, kw] = pair(kernel)
    const [sy, sx] = pair(stride)
    const [py, px] = pair(padding)
    const [N, C, H, W] = x.shape
    const shape = [N, C, Math.floor((H + 2 * py - kh) / sy) + 1, Math.floor((W + 2 * px - kw) / sx) + 1]
    return build(shape, ([n, c, i, j]) => {
      const inside: number[] = []
      for (let row = i * sy - py; row < i * sy - py + kh; row++) {
        for (let column = j * sx - px; column < j * sx - px + kw; column++) {
          if (row >= 0 && row < H && column >= 0 && column < W) {
            inside.push(x.data[((n * C + c) * H + row) * W + column])
          }
        }
      }
      return reduce(inside, kh * kw)
    })
  }

/** Largest value of each window; padding counts as -Infinity. */
export const maxPool = pool((inside) => inside.reduce((a, b) => Math.max(a, b), -Infinity))

/** Sum of each window over kh kw: the padding's zeros are counted (count_include_pad true). */
export const avgPool = pool((inside, windowSize) => inside.reduce((a, b) => a + b, 0) / windowSize)

/**
 * Mean of rows floor(i H / h) to ceil((i + 1) H / h) - 1 and columns likewise, for an output of `size` h x w: windows
 * overlap where the division leaves a remainder, and repeat where the output is the larger one.
 */
export function adaptiveAvgPool(x: Nd, { size }: { size: Pair }): Nd {
  const [h, w] = pair(size), [N, C, H, W] = x.shape
  return build([N, C, h, w], ([n, c, i, j]) => {
    const top = Math.floor(i * H / h), bottom = Math.ceil((i + 1) * H / h)
    const left = Math.floor(j * W / w), right = Math.ceil((j + 1) * W / w)
    let total = 0
    for (let row = top; row < bottom; row++) {
      for (let column = left; column < right; column++) total += x.data[((n * C + c) * H + row) * W + column]
    }
    return total / ((bottom - top) * (right - left))
  })
}

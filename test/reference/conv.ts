/** Convolutions (cross-correlations, as everywhere in deep learning) over images [N, C, H, W]. */
import { nd } from './nd.ts'
import type { Nd } from './nd.ts'
import { reshape } from './shape.ts'

/** One number for both axes of an image, or [vertical, horizontal]. */
export type Pair = number | [number, number]

/** Both entries of a pair. */
export const pair = (value: Pair): [number, number] => typeof value === 'number' ? [value, value] : value

/** Attributes of a convolution; PyTorch's defaults. */
export interface Convolution {
  stride?: Pair
  padding?: Pair
  dilation?: Pair
  groups?: number
}

/**
 * y[n,o,i,j] = b[o] + sum_{c,u,v} x[n, g C/G + c, i s - p + u d, j s - p + v d] w[o,c,u,v], g = floor(o G / O), zero
 * outside. x [N, C, H, W], w [O, C/G, kh, kw], b [O] or null, y [N, O, floor((H + 2p - d(kh - 1) - 1) / s) + 1, the
 * same for W].
 */
export function conv2d(
  x: Nd,
  w: Nd,
  b: Nd | null = null,
  { stride = 1, padding = 0, dilation = 1, groups = 1 }: Convolution = {},
): Nd {
  const [sy, sx] = pair(stride)
  const [py, px] = pair(padding)
  const [dy, dx] = pair(dilation)
  const [N, C, H, W] = x.shape, [O, perGroup, kh, kw] = w.shape
  if (C !== perGroup * groups || O % groups) {
    throw new Error(`conv2d: [${x.shape}] with [${w.shape}] in ${groups} groups`)
  }
  const outH = Math.floor((H + 2 * py - dy * (kh - 1) - 1) / sy) + 1
  const outW = Math.floor((W + 2 * px - dx * (kw - 1) - 1) / sx) + 1
  const out = nd([N, O, outH, outW])
  for (let n = 0; n < N; n++) {
    for (let o = 0; o < O; o++) {
      const first = Math.floor(o / (O / groups)) * perGroup
      for (let i = 0; i < outH; i++) {
        for (let j = 0; j < outW; j++) {
          let total = b ? b.data[o] : 0
          for (let c = 0; c < perGroup; c++) {
            for (let u = 0; u < kh; u++) {
              for (let v = 0; v < kw; v++) {
                const row = i * sy - py + u * dy, column = j * sx - px + v * dx
                if (row < 0 || row >= H || column < 0 || column >= W) continue
                total += x.data[((n * C + first + c) * H + row) * W + column]
                  * w.data[((o * perGroup + c) * kh + u) * kw + v]
              }
            }
          }
          out.data[((n * O + o) * outH + i) * outW + j] = total
        }
      }
    }
  }
  return out
}

/**
 * Every channel convolved with its own kernel: x [N, C, H, W], w [C, kh, kw] or PyTorch's [C, 1, kh, kw], b [C] or
 * null.
 */
export function depthwise(x: Nd, w: Nd, b: Nd | null = null, options: Omit<Convolution, 'groups'> = {}): Nd {
  const [kh, kw] = w.shape.slice(-2), C = x.shape[1]
  return conv2d(x, reshape(w, { shape: [C, 1, kh, kw] }), b, { ...options, groups: C })
}

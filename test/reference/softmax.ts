/** Softmax, its logarithm, and the loss made of it. */
import { axisOf, nd, sizeOf } from './nd.ts'
import type { Nd } from './nd.ts'

/** log softmax: y = x - max - log sum e^(x - max) along one axis. */
export function logSoftmax(x: Nd, { axis = -1 }: { axis?: number } = {}): Nd {
  const along = axisOf(x.shape.length, axis)
  const extent = x.shape[along], inner = sizeOf(x.shape.slice(along + 1)), outer = sizeOf(x.shape.slice(0, along))
  const out = nd(x.shape)
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const at = (j: number) => (o * extent + j) * inner + i
      let largest = -Infinity, total = 0
      for (let j = 0; j < extent; j++) largest = Math.max(largest, x.data[at(j)])
      for (let j = 0; j < extent; j++) total += Math.exp(x.data[at(j)] - largest)
      for (let j = 0; j < extent; j++) out.data[at(j)] = x.data[at(j)] - largest - Math.log(total)
    }
  }
  return out
}

/** softmax: y_j = e^(x_j) / sum_i e^(x_i) along one axis. */
export function softmax(x: Nd, options: { axis?: number } = {}): Nd {
  const logarithm = logSoftmax(x, options)
  return nd(x.shape, logarithm.data.map(Math.exp))
}

/**
 * Mean over the batch of -sum_c t_c log softmax(x)_c, a scalar of shape []. x [B, C]. `target` is [B] whole-number
 * labels or [B, C] soft labels p; with smoothing s, t = (1 - s) p + s / C, where p of a label is its one-hot row.
 */
export function crossEntropy(x: Nd, target: Nd, { smoothing = 0 }: { smoothing?: number } = {}): Nd {
  const [B, C] = x.shape
  const soft = target.shape.length === 2
  const logarithm = logSoftmax(x).data
  let total = 0
  for (let b = 0; b < B; b++) {
    for (let c = 0; c < C; c++) {
      const p = soft ? target.data[b * C + c] : target.data[b] === c ? 1 : 0
      total -= ((1 - smoothing) * p + smoothing / C) * logarithm[b * C + c]
    }
  }
  return nd([], [total / B])
}

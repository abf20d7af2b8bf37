/** Matrix products: batched, over several axes at once, and with a masked weight. */
import { broadcast, broadcastShape, nd, sizeOf } from './nd.ts'
import type { Nd } from './nd.ts'
import { mul } from './elementwise.ts'
import { permute } from './shape.ts'

/** Whether either side's last two axes are swapped before the product. */
export interface Transposes {
  transposeA?: boolean
  transposeB?: boolean
}

const transposed = (x: Nd): Nd => {
  const order = x.shape.map((_, axis) => axis), last = order.length - 1
  return permute(x, { order: [...order.slice(0, -2), last, last - 1] })
}

/**
 * c[..., i, j] = sum_k a[..., i, k] b[..., k, j]. a [..., M, K] (or [..., K, M] with transposeA), b [..., K, N] (or
 * [..., N, K] with transposeB); the leading axes broadcast.
 */
export function matmul(a: Nd, b: Nd, { transposeA = false, transposeB = false }: Transposes = {}): Nd {
  if (transposeA) a = transposed(a)
  if (transposeB) b = transposed(b)
  const [M, K] = a.shape.slice(-2), [K2, N] = b.shape.slice(-2)
  if (K !== K2) throw new Error(`matmul: [${a.shape}] times [${b.shape}]`)
  const batch = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2))
  const left = broadcast(a, [...batch, M, K]).data, right = broadcast(b, [...batch, K, N]).data
  const out = nd([...batch, M, N])
  for (let n = 0; n < sizeOf(batch); n++) {
    for (let i = 0; i < M; i++) {
      for (let j = 0; j < N; j++) {
        let total = 0
        for (let k = 0; k < K; k++) total += left[(n * M + i) * K + k] * right[(n * K + k) * N + j]
        out.data[(n * M + i) * N + j] = total
      }
    }
  }
  return out
}

/** a times (b mask): the mask has b's shape as it is stored, before any transpose. */
export const maskedMatmul = (a: Nd, b: Nd, mask: Nd, options: Transposes = {}): Nd => matmul(a, mul(b, mask), options)

/**
 * y[..., o...] = sum_c x[..., c...] w[o..., c...] + b[o...]. The last `over` axes of x and of w are contracted; what is
 * left of w are the output axes. x [B, T, C] with w [O, C] is PyTorch's linear; w [H, D, C] gives [B, T, H, D]; x [B,
 * T, H, D] with w [O, H, D] and over 2 gives [B, T, O].
 */
export function linear(x: Nd, w: Nd, b: Nd | null = null, { over = 1 }: { over?: number } = {}): Nd {
  const contracted = x.shape.slice(-over)
  if (String(contracted) !== String(w.shape.slice(-over))) {
    throw new Error(`linear: [${x.shape}] with [${w.shape}] over ${over}`)
  }
  const outputs = w.shape.slice(0, -over)
  const rows = sizeOf(x.shape.slice(0, -over))
  const C = sizeOf(contracted)
  const O = sizeOf(outputs)
  const out = nd([...x.shape.slice(0, -over), ...outputs])
  for (let row = 0; row < rows; row++) {
    for (let o = 0; o < O; o++) {
      let total = b ? b.data[o] : 0
      for (let c = 0; c < C; c++) total += x.data[row * C + c] * w.data[o * C + c]
      out.data[row * O + o] = total
    }
  }
  return out
}

/**
 * Rules of layer-wise relevance propagation in matrix form: z = W x + b for one sample, W as rows of doubles. A
 * convolution becomes such a matrix first, with a column per pixel of the image, so that padding has no column.
 */
export interface Dense {
  W: number[][]
  b: number[]
}

const sgn = (x: number) => (x >= 0 ? 1 : -1)
const stab = (q: number, eps: number) => q + eps * sgn(q)
const p = (x: number) => Math.max(x, 0), n = (x: number) => Math.min(x, 0)

/** z = W x + b. */
export const forward = ({ W, b }: Dense, x: readonly number[]): number[] =>
  W.map((row, o) => b[o] + row.reduce((sum, w, i) => sum + w * x[i], 0))

/** A rule from relevance of the outputs to relevance of the inputs. */
export type MatrixRule = (layer: Dense, x: readonly number[], R: readonly number[]) => number[]

/** Sum over outputs of what `part` gives for input i of output o. */
const gather = (W: number[][], inputs: number, part: (o: number, i: number) => number): number[] =>
  Array.from({ length: inputs }, (_, i) => W.reduce((sum, _row, o) => sum + part(o, i), 0))

const total = (count: number, term: (i: number) => number) =>
  Array.from({ length: count }, (_, i) => term(i)).reduce((a, b) => a + b, 0)

export const epsilon = (eps: number): MatrixRule => ({ W, b }, x, R) => {
  const z = forward({ W, b }, x)
  return gather(W, x.length, (o, i) => x[i] * W[o][i] * R[o] / stab(z[o], eps))
}

/** Positive contributions to output o by input i, and negative ones. */
const above = (W: number[][], x: readonly number[], o: number, i: number) => p(x[i]) * p(W[o][i]) + n(x[i]) * n(W[o][i])
const below = (W: number[][], x: readonly number[], o: number, i: number) => p(x[i]) * n(W[o][i]) + n(x[i]) * p(W[o][i])

export const alphaBeta = (alpha: number, beta: number, eps: number): MatrixRule => ({ W, b }, x, R) => {
  const qa = W.map((_, o) => p(b[o]) + total(x.length, (i) => above(W, x, o, i)))
  const qb = W.map((_, o) => n(b[o]) + total(x.length, (i) => below(W, x, o, i)))
  return gather(
    W,
    x.length,
    (o, i) => alpha * above(W, x, o, i) * R[o] / stab(qa[o], eps) - beta * below(W, x, o, i) * R[o] / stab(qb[o], eps),
  )
}

export const zPlus = (eps: number): MatrixRule => alphaBeta(1, 0, eps)

export const gamma = (g: number, eps: number): MatrixRule => ({ W, b }, x, R) => {
  const z = forward({ W, b }, x)
  const positive = (w: number) => w + g * p(w), negative = (w: number) => w + g * n(w)
  const upper = (o: number, i: number) => p(x[i]) * positive(W[o][i]) + n(x[i]) * negative(W[o][i])
  const lower = (o: number, i: number) => p(x[i]) * negative(W[o][i]) + n(x[i]) * positive(W[o][i])
  const q = W.map((_, o) =>
    z[o] > 0
      ? total(x.length, (i) => upper(o, i)) + positive(b[o])
      : total(x.length, (i) => lower(o, i)) + negative(b[o])
  )
  return gather(W, x.length, (o, i) => z[o] === 0 ? 0 : (z[o] > 0 ? upper(o, i) : lower(o, i)) * R[o] / stab(q[o], eps))
}

export const wSquare = (eps: number): MatrixRule => ({ W, b }, x, R) => {
  const q = W.map((row, o) => b[o] ** 2 + total(x.length, (i) => row[i] ** 2))
  return gather(W, x.length, (o, i) => W[o][i] ** 2 * R[o] / stab(q[o], eps))
}

/** `taps` tells which inputs an output reads, whatever their weight; default all. */
export const flat =
  (eps: number, taps: (o: number, i: number) => boolean = () => true): MatrixRule => ({ W }, x, R) => {
    const count = W.map((_, o) => total(x.length, (i) => Number(taps(o, i))))
    return gather(W, x.length, (o, i) => taps(o, i) ? R[o] / stab(count[o], eps) : 0)
  }

export const zBox =
  (low: (i: number) => number, high: (i: number) => number, eps: number): MatrixRule => ({ W, b }, x, R) => {
    const part = (o: number, i: number) => x[i] * W[o][i] - low(i) * p(W[o][i]) - high(i) * n(W[o][i])
    const q = W.map((_, o) => total(x.length, (i) => part(o, i)) + b[o] - p(b[o]) - n(b[o]))
    return gather(W, x.length, (o, i) => part(o, i) * R[o] / stab(q[o], eps))
  }

/** A convolution of one image [C, H, W] as a matrix, with a flag for every tap that lies inside the image. */
export function convolution(
  [C, H, Wd]: readonly [number, number, number],
  weight: { shape: readonly number[], data: ArrayLike<number> },
  bias: ArrayLike<number> | null,
  { stride = 1, padding = 0, dilation = 1, groups = 1 }: {
    stride?: number,
    padding?: number,
    dilation?: number,
    groups?: number,
  },
): Dense & { taps: boolean[][] } {
  const [O, I, kh, kw] = weight.shape
  const height = Math.floor((H + 2 * padding - dilation * (kh - 1) - 1) / stride) + 1
  const width = Math.floor((Wd + 2 * padding - dilation * (kw - 1) - 1) / stride) + 1
  const W: number[][] = [], b: number[] = [], taps: boolean[][] = []
  for (let o = 0; o < O; o++) {
    const first = Math.floor(o / (O / groups)) * I
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const row = new Array<number>(C * H * Wd).fill(0), tapped = new Array<boolean>(C * H * Wd).fill(false)
        for (let c = 0; c < I; c++) {
          for (let u = 0; u < kh; u++) {
            for (let v = 0; v < kw; v++) {
              const yy = y * stride - padding + u * dilation, xx = x * stride - padding + v * dilation
              if (yy < 0 || yy >= H || xx < 0 || xx >= Wd) continue
              const at = ((first + c) * H + yy) * Wd + xx
              row[at] += weight.data[((o * I + c) * kh + u) * kw + v]
              tapped[at] = true
            }
          }
        }
        W.push(row)
        taps.push(tapped)
        b.push(bias?.[o] ?? 0)
      }
    }
  }
  return { W, b, taps }
}

/** z-plus rule of a softmax over one row of logits, by its Jacobian. */
export function softmaxZPlus(x: readonly number[], R: readonly number[], virtualBias: boolean, eps: number): number[] {
  const largest = Math.max(...x)
  const e = x.map((value) => Math.exp(value - largest))
  const sum = e.reduce((a, b) => a + b, 0)
  const s = e.map((value) => value / sum)
  const Z = x.map((value, j) => s.map((si, i) => si * (Number(i === j) - s[j]) * value))
  const o = s.map((si, i) =>
    total(x.length, (j) => p(Z[j][i])) + (virtualBias ? p(si - total(x.length, (j) => Z[j][i])) : 0)
  )
  return x.map((_, j) => total(x.length, (i) => p(Z[j][i]) * R[i] / stab(o[i], eps)))
}

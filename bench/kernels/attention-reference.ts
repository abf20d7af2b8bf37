// Both attentions of one picture, with their four layers, in plain loops over doubles: softmax attention (Vaswani et
// al. 2017, equation 1) and focused linear attention (Han et al., "FLatten Transformer", ICCV 2023, equations 5 to 12).
// Arrays are as the modules have their tensors: x [N, C], query, key, value [H, D, C], out [C, H, D], C = H D.

/** Parameters of a module by the names of its leaves. */
export type Values = Readonly<Record<string, Float64Array>>

/** Sizes of a module, and the side of its grid of tokens: N = side^2. */
export interface AttentionSizes {
  width: number
  heads: number
  side: number
}

/** softmax(q k^T / sqrt D) v by head, then the layer `out` -> [N, C]. */
export function softmaxInDoubles(x: Float64Array, values: Values, sizes: AttentionSizes): Float64Array {
  const { width, heads, side } = sizes, tokens = side ** 2, dim = width / heads
  const [q, k, v] = ['query', 'key', 'value'].map((name) =>
    layer(x, values[name], values[`${name}Bias`], tokens, width)
  )
  const context = new Float64Array(tokens * width), weights = new Float64Array(tokens)
  for (let head = 0; head < heads; head++) {
    const first = head * dim
    for (let i = 0; i < tokens; i++) {
      let most = -Infinity, total = 0
      for (let j = 0; j < tokens; j++) {
        weights[j] = dot(q, i * width + first, k, j * width + first, dim) * dim ** -0.5
        most = Math.max(most, weights[j])
      }
      for (let j = 0; j < tokens; j++) total += weights[j] = Math.exp(weights[j] - most)
      for (let j = 0; j < tokens; j++) addTo(context, i * width + first, weights[j] / total, v, j * width + first, dim)
    }
  }
  return layer(context, values.out, values.outBias, tokens, width)
}

/** Focused features, linear attention and the depthwise branch, then the layer `out` -> [N, C]. */
export function focusedInDoubles(x: Float64Array, values: Values, sizes: AttentionSizes): Float64Array {
  const { width, heads, side } = sizes, tokens = side ** 2, dim = width / heads
  const [q, k, v] = ['query', 'key', 'value'].map((name) =>
    layer(x, values[name], values[`${name}Bias`], tokens, width)
  )
  for (let i = 0; i < k.length; i++) k[i] += values.positions[i]
  for (const features of [q, k]) focus(features, values.sharpness, width)
  const context = new Float64Array(tokens * width)
  for (let head = 0; head < heads; head++) {
    const first = head * dim, sum = new Float64Array(dim), product = new Float64Array(dim * dim)
    for (let j = 0; j < tokens; j++) {
      addTo(sum, 0, 1, k, j * width + first, dim)
      for (let c = 0; c < dim; c++) addTo(product, c * dim, k[j * width + first + c], v, j * width + first, dim)
    }
    for (let i = 0; i < tokens; i++) {
      const at = i * width + first, z = 1 / (dot(q, at, sum, 0, dim) / tokens + 1e-6) / tokens
      for (let c = 0; c < dim; c++) addTo(context, at, z * q[at + c], product, c * dim, dim)
    }
  }
  addLocal(context, v, values, sizes)
  return layer(context, values.out, values.outBias, tokens, width)
}

/** In place: t = (relu(t) + 1e-6) / softplus(sharpness), then |t| t^3 / |t^3| over all channels of a token. */
function focus(features: Float64Array, sharpness: Float64Array, width: number): void {
  for (let at = 0; at < features.length; at += width) {
    let length = 0, cubed = 0
    for (let c = 0; c < width; c++) {
      const t = (Math.max(0, features[at + c]) + 1e-6) / Math.log1p(Math.exp(sharpness[c]))
      length += t ** 2
      cubed += t ** 6
      features[at + c] = t ** 3
    }
    for (let c = 0; c < width; c++) features[at + c] *= Math.sqrt(length / cubed)
  }
}

/** Adds the depthwise convolution of v over the grid; kernel [D, 1, k, k] is the same for all heads. */
function addLocal(out: Float64Array, v: Float64Array, { kernel, kernelBias }: Values, sizes: AttentionSizes): void {
  const { width, heads, side } = sizes, dim = width / heads, taps = Math.sqrt(kernel.length / dim), reach = taps >> 1
  const inside = (at: number) => at >= 0 && at < side
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      for (let c = 0; c < width; c++) {
        let sum = kernelBias[c % dim]
        for (let tap = 0; tap < taps ** 2; tap++) {
          const y = row + Math.floor(tap / taps) - reach, x = column + tap % taps - reach
          if (inside(y) && inside(x)) sum += kernel[c % dim * taps ** 2 + tap] * v[(y * side + x) * width + c]
        }
        out[(row * side + column) * width + c] += sum
      }
    }
  }
}

/** y = x w^T + b: x [rows, width], w [width, width]. */
function layer(x: Float64Array, w: Float64Array, b: Float64Array, rows: number, width: number): Float64Array {
  return Float64Array.from({ length: rows * width }, (_, i) => {
    const row = Math.floor(i / width), o = i % width
    return b[o] + dot(x, row * width, w, o * width, width)
  })
}

function dot(a: Float64Array, at: number, b: Float64Array, from: number, length: number): number {
  let sum = 0
  for (let i = 0; i < length; i++) sum += a[at + i] * b[from + i]
  return sum
}

function addTo(out: Float64Array, at: number, by: number, values: Float64Array, from: number, length: number): void {
  for (let i = 0; i < length; i++) out[at + i] += by * values[from + i]
}

// The products of a packed weight beside sums in doubles: for patterns of users' own, with kernels that they bring.
import { fillNormal } from '../base/random.ts'
import { full } from '../core/fill.ts'
import { tensor, type Tensor } from '../core/tensor.ts'
import { disposeTree } from '../core/tree.ts'
import { sparseBack, sparseProduct, sparseValues, walkProduct } from './product.ts'
import { placeInTile } from './tiles.ts'
import type { SparseWeight } from './weight.ts'

/**
 * A few rows times the weight by our product with the walk, and what kernels that the pattern brings make, beside sums
 * in doubles. `fail` gets the sentence that says which of them is wrong.
 */
export async function checkProducts(
  sparse: SparseWeight,
  positions: Uint32Array,
  weight: Float32Array,
  fail: (sentence: string) => never,
): Promise<void> {
  const { packing, packing: { pattern: { kernels = {}, walk }, shape: [N, K] } } = sparse, M = 5
  const rows = (size: number, name: string) => fillNormal(new Float32Array(size), 1, name)
  const x = rows(M * K, 'x'), dy = rows(M * N, 'dy'), inputs = [tensor(x, [M, K]), tensor(dy, [M, N])] as const
  const forward = productInDoubles(x, weight, [M, N, K], 1)
  // What a kernel leaves out stays NaN.
  const unwritten = (shape: readonly number[]) => full(shape, NaN)
  const compare = async (out: Tensor, expected: Float64Array, width: number, what: string): Promise<void> => {
    const values = await out.data()
    out.dispose()
    const { error, at } = worstOf(values, expected)
    if (error <= 1e-5) return
    const place = width === 0 ? `value ${at}` : `row ${Math.floor(at / width)}, column ${at % width}`
    fail(`${what} gives ${values[at]} at ${place}, expected ${expected[at].toPrecision(6)}`)
  }
  const parts = {
    async forward() {
      const out = unwritten([M, N])
      sparseProduct(inputs[0], sparse, packing, out, M)
      await compare(out, forward, N, ofOwn('forward', 'of x and the weight'))
    },
    async input() {
      const out = unwritten([M, K])
      sparseBack(inputs[1], sparse, packing, out, M)
      await compare(out, productInDoubles(dy, weight, [M, K, N], 0), K, ofOwn('input', 'of the gradient to x'))
    },
    async values() {
      const out = sparseValues(inputs[1], inputs[0], sparse, packing, M, unwritten)
      await compare(
        out,
        valuesInDoubles(sparse, positions, dy, x, M),
        0,
        ofOwn('values', 'of the gradient to the values'),
      )
    },
  }
  try {
    if (walk.wgsl.trim() !== '') {
      const out = unwritten([M, N])
      walkProduct(inputs[0], sparse, packing, out, M)
      await compare(out, forward, N, 'our product with its walk')
    }
    for (const part of ['forward', 'input', 'values'] as const) if (kernels[part]) await parts[part]()
  } finally {
    disposeTree(inputs)
  }
}

const ofOwn = (part: string, what: string) =>
  `its keep, pack and places are right, but its own kernel (kernels.${part}, ${what})`

/** a [M, K] times the transpose of b [N, K] (turned 1), or times b [K, N]; sizes are [M, N, K]. */
function productInDoubles(
  a: Float32Array,
  b: Float32Array,
  [M, N, K]: readonly [number, number, number],
  turned: 0 | 1,
): Float64Array {
  return Float64Array.from({ length: M * N }, (_, i) => {
    const m = Math.floor(i / N), n = i % N
    let sum = 0
    for (let k = 0; k < K; k++) sum += a[m * K + k] * b[turned ? n * K + k : k * N + n]
    return sum
  })
}

/** The gradient to every stored value; zero where a tile reaches over the edge of the weight. */
function valuesInDoubles(
  { packing: { shape: [N, K], tile, slots } }: SparseWeight,
  positions: Uint32Array,
  dy: Float32Array,
  x: Float32Array,
  M: number,
): Float64Array {
  const [height, width] = tile, expected = new Float64Array(Math.max(1, slots) * height * width)
  for (let slot = 0; slot < slots; slot++) {
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        const n = positions[2 * slot] * height + i, k = positions[2 * slot + 1] * width + j
        if (n >= N || k >= K) continue
        let sum = 0
        for (let m = 0; m < M; m++) sum += dy[m * N + n] * x[m * K + k]
        expected[slot * height * width + placeInTile(tile, i, j)] = sum
      }
    }
  }
  return expected
}

/** The largest error as a share of the largest expected value, and where. */
function worstOf(found: ArrayLike<number>, expected: Float64Array): { error: number, at: number } {
  let worst = 0, at = 0, largest = 1e-30
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]))
    const error = Math.abs(found[i] - expected[i])
    if (error <= worst || Number.isNaN(worst)) continue // a NaN is worse than all that follow
    worst = error
    at = i
  }
  return { error: Number.isNaN(worst) ? Infinity : worst / largest, at }
}

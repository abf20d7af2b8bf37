// Checks of sparse products as those of op-checks.ts: against the dense product in doubles, with both ways back.
import { patternOf, sparseLinear, SparseWeight, tensor, tileMaskedLinear, vjp } from '../../src/index.ts'
import { gradientError, numericalGradient } from '../reference/gradient.ts'
import { linear } from '../reference/matmul.ts'
import { nd, type Nd, random, relativeError } from '../reference/nd.ts'
import type { Check } from './op-checks.ts'

const shapes: [string, number, [number, number]][] = [
  ['block:16x16', 35, [50, 44]],
  ['block:8x4', 5, [30, 41]],
  ['nm:2:4', 9, [20, 24]],
  ['block:6x10', 33, [17, 33]],
  ['strided:8:3', 40, [64, 64]],
  ['unstructured', 70, [40, 112]],
]

const toTensor = ({ shape, data }: Nd) => tensor(Float32Array.from(data), shape)

/** Products by patterns of all loops, and the masked one. */
export const sparseChecks = (): Check[] => [
  ...shapes.map(([name, M, shape]): Check => ({
    name: `sparse-linear ${name} [${M}] [${shape}]`,
    tolerance: 1e-5,
    run: () => checkPattern(name, M, shape),
  })),
  { name: 'tile-masked-linear', tolerance: 1e-5, run: checkMasked },
]

async function checkPattern(name: string, M: number, shape: [number, number]): Promise<number> {
  const pattern = patternOf(name), weight = random(2, shape)
  const keep = pattern.keep(weight.data.map(Math.abs), shape, 0.4)
  const sparse = SparseWeight.of(pattern, weight.data, keep, shape)
  const dense = nd(shape, weight.data.map((value, i) => keep[i] ? value : 0))
  const x = random(1, [M, shape[1]]), bias = random(3, [shape[0]]), weights = random(77, [M, shape[0]])
  const { outputs: [y], back, free } = vjp(
    (x, values, bias) => sparseLinear(x, { ...sparse, values } as SparseWeight, bias),
    toTensor(x),
    sparse.values,
    toTensor(bias),
  )
  const [dx, dvalues] = back(toTensor(weights))
  const errors = [
    relativeError(await y.data(), linear(x, dense, bias).data),
    gradientError(await dx!.data(), numericalGradient((x) => linear(x, dense, bias), [x], weights, 0, { samples: 6 })),
    relativeError(...await valueGradients(sparse, keep, await dvalues!.data() as Float32Array, x, weights)),
  ]
  free()
  return Math.max(...errors)
}

/** The gradient to kept entries, unpacked, beside dy^T x in doubles. */
async function valueGradients(
  sparse: SparseWeight,
  keep: Uint8Array,
  values: Float32Array,
  x: Nd,
  dy: Nd,
): Promise<[Float64Array, Float64Array]> {
  const { packing: { pattern, shape: [N, K] } } = sparse
  const found = pattern.unpack({ ...await sparse.packed(), values })
  const expected = new Float64Array(N * K)
  for (let m = 0; m < dy.shape[0]; m++) {
    for (let i = 0; i < N * K; i++) expected[i] += dy.data[m * N + Math.floor(i / K)] * x.data[m * K + i % K]
  }
  return [Float64Array.from(found, (value, i) => keep[i] ? value : 0), expected.map((value, i) => keep[i] ? value : 0)]
}

async function checkMasked(): Promise<number> {
  const shape = [44, 40], x = random(1, [19, 40]), weight = random(2, shape), weights = random(77, [19, 44])
  // Every other tile of 8 x 16 keeps some of its entries.
  const mask = nd(
    shape,
    random(4, shape).data.map((value, i) =>
      (Math.floor(i / 320) + Math.floor(i % 40 / 16)) % 2 && value > 0 ? value : 0
    ),
  )
  const plain = (x: Nd, w: Nd) => linear(x, nd(shape, w.data.map((value, i) => value * mask.data[i])), null)
  const { outputs: [y], back, free } = vjp(
    (x, w) => tileMaskedLinear(x, w, toTensor(mask), null, { tile: [8, 16] }),
    toTensor(x),
    toTensor(weight),
  )
  const found = back(toTensor(weights))
  const errors = [relativeError(await y.data(), plain(x, weight).data)]
  for (const i of [0, 1]) {
    const expected = numericalGradient(plain, [x, weight], weights, i, { samples: 6 })
    errors.push(gradientError(await found[i]!.data(), expected))
  }
  free()
  return Math.max(...errors)
}

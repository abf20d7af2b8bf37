// Matrix products at the level of launches: variants, split sums, epilogues. No shapes of tensors are checked here and
// nothing is recorded: matmul.ts, linear.ts and others that contract (1x1 convolution) stand on this. Kernels:
// matmul-kernels.ts.
import { gpu } from '../../gpu/device.ts'
import { type Trial } from '../../gpu/tune.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, isTracing, type Tensor } from '../../core/tensor.ts'
import { addUp } from '../shared/split-sum.ts'
import { choose } from '../shared/variants.ts'
import { type Alignment, type Epilogue, productKernel, switches, whole } from './kernels.ts'
import { type ProductVariant, productVariants, splitsFor } from './variants.ts'

/**
 * Sizes of a product out[batch, M, N] = a b. `batch` is [outer, inner] with the distance in elements between
 * neighbouring matrices of a and b along either (0 where one is shared). `first` are the elements at which a, b and out
 * begin.
 */
export interface ProductShape {
  M: number
  N: number
  K: number
  transposeA?: boolean
  transposeB?: boolean
  batch?: readonly [outer: number, inner: number]
  strideA?: readonly [outer: number, inner: number]
  strideB?: readonly [outer: number, inner: number]
  first?: readonly [a: number, b: number, out: number]
}

/** Writes a b (b times mask, if there is one, which is laid out as b), with the epilogue, into `out`. */
export function product(
  a: Tensor,
  b: Tensor,
  out: Tensor,
  shape: ProductShape,
  epilogue: Epilogue = {},
  mask?: Tensor,
): void {
  if (isTracing()) return
  const variant = choose(productVariants, shape, { key: classOf(shape), prepare: () => trial(shape) })
  productWith(variant, a, b, out, shape, epilogue, mask)
}

/** As `product`, by a given variant and with k in `split` splits: for the tuner, tests and benches. */
export function productWith(
  variant: ProductVariant,
  a: Tensor,
  b: Tensor,
  out: Tensor,
  shape: ProductShape,
  epilogue: Epilogue = {},
  mask?: Tensor,
  split = splitsFor(shape),
): void {
  const {
    M,
    N,
    K,
    transposeA = false,
    transposeB = false,
    batch = [1, 1],
    strideA = [0, 0],
    strideB = [0, 0],
    first = [0, 0, 0],
  } = shape
  const { file, tile, overrides } = variant
  const matrices = batch[0] * batch[1]
  const tiles = Math.ceil(M / tile[0]) * Math.ceil(N / tile[1]) * matrices
  // Splits of k are whole quads of steps; partial sums need an output that begins at 0.
  const perSplit = Math.ceil(K / (first[2] === 0 ? split : 1) / 4) * 4, splits = Math.ceil(K / perSplit)
  const partial = splits > 1 ? empty([splits, matrices, M, N]) : null
  const buffers: Record<string, Tensor> = {
    a,
    b,
    bias: epilogue.bias ?? b,
    residual: epilogue.residual ?? b,
    out: partial ?? out,
  }
  if (mask) buffers.mask = mask
  launch(
    productKernel(file, { ...alignment(shape), block: blockOf(variant, shape) }, mask ? 'masked' : 'plain'),
    buffers,
    {
      M,
      N,
      K,
      batch: matrices,
      inner: batch[1],
      a_outer: strideA[0],
      a_inner: strideA[1],
      b_outer: strideB[0],
      b_inner: strideB[1],
      a_first: first[0],
      b_first: first[1],
      out_first: first[2],
      out_step: M * N,
      splits,
      per_split: perSplit,
    },
    grid(tiles * splits),
    {
      overrides: {
        TRANSPOSE_A: Number(transposeA),
        TRANSPOSE_B: Number(transposeB),
        ...overrides,
        ...partial ? {} : switches(epilogue),
      },
      flops: 2 * matrices * M * N * K,
    },
  )
  if (!partial) return
  addUp(partial, out, { outer: 1, count: splits, M: matrices * M, N, splits: 1, per_split: splits }, epilogue)
  partial.dispose()
}

/**
 * Writes a weights[i]^T + biases[i] into outs[i] in one launch, if this adapter does that well, else returns false:
 * weights [N, K] of one shape, two or three of them, with a bias each or none.
 */
export function products(
  a: Tensor,
  weights: readonly Tensor[],
  outs: readonly Tensor[],
  { M, N, K }: { M: number, N: number, K: number },
  biases: readonly (Tensor | null)[],
): boolean {
  if (isTracing() || weights.length < 2 || weights.length > 3) return false
  const shape = { M, N, K, transposeB: true }
  const variant = choose(productVariants, shape)
  if (!variant.together || splitsFor(shape) > 1) return false
  if (gpu().limits.maxStorageBuffersPerShaderStage < 1 + 3 * weights.length) return false
  if (biases.some((bias) => (bias === null) !== (biases[0] === null))) return false
  const buffers: Record<string, Tensor> = { a }
  weights.forEach((weight, i) => {
    buffers[`b${i}`] = weight
    buffers[`bias${i}`] = biases[i] ?? weight
    buffers[`out${i}`] = outs[i]
  })
  const count = weights.length as 2 | 3
  launch(
    productKernel(variant.file, alignment(shape), count),
    buffers,
    {
      M,
      N,
      K,
      batch: count,
      inner: 1,
      a_outer: 0,
      a_inner: 0,
      b_outer: 0,
      b_inner: 0,
      a_first: 0,
      b_first: 0,
      out_first: 0,
      out_step: 0,
      splits: 1,
      per_split: Math.ceil(K / 4) * 4,
    },
    grid(Math.ceil(M / variant.tile[0]) * Math.ceil(N / variant.tile[1]) * count),
    {
      overrides: { TRANSPOSE_A: 0, TRANSPOSE_B: 1, ...variant.overrides, ...switches({ bias: biases[0] }) },
      flops: 2 * count * M * N * K,
    },
  )
  return true
}

/** Whether the rows of either operand and of the output are whole vectors of four. */
function alignment(
  { M, N, K, transposeA, transposeB, strideA = [0, 0], strideB = [0, 0], first = [0, 0, 0] }: ProductShape,
): Alignment {
  return {
    a: whole(transposeA ? M : K, ...strideA, first[0]),
    b: whole(transposeB ? K : N, ...strideB, first[1]),
    out: whole(N, first[2]),
  }
}

/** Vectors in a block of a row of the output, if the variant makes its rows in blocks and they are whole. */
function blockOf({ block }: ProductVariant, { N, first = [0, 0, 0] }: ProductShape): 2 | 4 | undefined {
  return block && [N, first[2]].every((size) => size % (4 * block) === 0) ? block : undefined
}

/** Products that the tuner takes for alike: same layout, sizes within the same power of two. */
function classOf(shape: ProductShape): string {
  const { a, b, out } = alignment(shape), up = (n: number) => 2 ** Math.ceil(Math.log2(n))
  const layout = `${shape.transposeA ? 'T' : 'N'}${shape.transposeB ? 'T' : 'N'}${a && b && out ? '' : ' unaligned'}`
  return `matmul ${layout} ${up(shape.M)}x${up(shape.K)}x${up(shape.N)}${
    shape.batch ? ` batch ${up(shape.batch[0] * shape.batch[1])}` : ''
  }`
}

function trial(
  { batch = [1, 1], strideA = [0, 0], strideB = [0, 0], first: _, ...shape }: ProductShape,
): Trial<ProductVariant> {
  // Operands that other matrices share are shared here too, so that caches see what they will see.
  const length = (
    matrix: number,
    [outer, inner]: readonly [number, number],
  ) => [matrix + outer * (batch[0] - 1) + inner * (batch[1] - 1)]
  const { M, N, K } = shape
  const a = empty(length(M * K, strideA))
  const b = empty(length(K * N, strideB))
  const out = empty([...batch, M, N])
  return {
    run: (variant) => {
      productWith(variant, a, b, out, { ...shape, batch, strideA, strideB })
    },
    dispose: () => {
      for (const scratch of [a, b, out]) scratch.dispose()
    },
  }
}

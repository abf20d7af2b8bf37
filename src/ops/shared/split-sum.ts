// Sums that were split among workgroups, sums over a middle axis, and sums per channel.
import { kernel } from '../../gpu/kernel.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { type Epilogue, sumKernel, switches, whole } from '../matmul/kernels.ts'
import { choose, type Variant, variants } from './variants.ts'

const sumChannels = kernel('shared/channel-sum.wgsl', { buffers: ['x', 'out'], params: ['batch', 'channels', 'size'] })

/** How many quads of columns an invocation sums side by side: four fill a line of a processor's cache. */
const sumVariants = variants<Sum, Variant<Sum> & { EACH: number }>('matmul sum', [
  { name: '4 quads', numeric: 'exact-order', adapters: ['embedded'], runs: (_, { N }) => N % 16 === 0, EACH: 4 },
  { name: '1 quad', numeric: 'exact-order', EACH: 1 },
])

/** Sums of x [outer, count, M, N] over `per_split` terms each: out [outer, splits, M, N]. */
export interface Sum {
  outer: number
  count: number
  M: number
  N: number
  splits: number
  per_split: number
}

/** Adds up a, and puts the epilogue of a product on the sums. */
export function addUp(a: Tensor, out: Tensor, sum: Sum, epilogue: Epilogue = {}): void {
  const { EACH } = choose(sumVariants, sum)
  launch(
    sumKernel(whole(sum.N)),
    { a, bias: epilogue.bias ?? a, residual: epilogue.residual ?? a, out },
    { ...sum },
    grid(Math.ceil(sum.outer * sum.splits * sum.M * Math.ceil(sum.N / (4 * EACH)) / 64)),
    { overrides: { ...switches(epilogue), EACH } },
  )
}

/** Adds the partial results [splits, ...shape] to one of `shape`, and frees them. */
export function sumSplits(partial: Tensor, shape: readonly number[]): Tensor {
  const count = partial.shape[0], out = count === 1 ? partial.view(shape) : empty(shape)
  if (count > 1) addUp(partial, out, { outer: 1, count, M: 1, N: out.size, splits: 1, per_split: count })
  partial.dispose()
  return out
}

/** Sums x, seen as [outer, count, M, N], over count: a tensor of the given shape with outer x M x N elements. */
export function sumMiddle(
  x: Tensor,
  { outer = 1, count, M = 1, N }: { outer?: number, count: number, M?: number, N: number },
  shape: readonly number[],
): Tensor {
  const out = empty(shape)
  // A few columns with many rows would keep only a few invocations busy: split the rows and add those in a
  // second launch.
  const wanted = count >= 64 && outer * M * N < 16384 ? Math.min(64, Math.ceil(count / 32)) : 1
  const per_split = Math.ceil(count / wanted), splits = Math.ceil(count / per_split)
  if (splits === 1) {
    addUp(x, out, { outer, count, M, N, splits, per_split })
    return out
  }
  const partial = empty([outer, splits, M, N])
  addUp(x, partial, { outer, count, M, N, splits, per_split })
  addUp(partial, out, { outer, count: splits, M, N, splits: 1, per_split: splits })
  partial.dispose()
  return out
}

/** Sum over every axis but the second, the channels: [N, C, ...] -> [C]. */
export function channelSum(x: Tensor): Tensor {
  const [batch, channels] = x.shape
  const out = empty([channels])
  launch(sumChannels, { x, out }, { batch, channels, size: x.size / (batch * channels) }, grid(channels), {
    flops: x.size,
  })
  return out
}

/** Divides `count` things into about `wanted` splits of a multiple of `unit`, none of them empty. */
export function splitEvenly(count: number, wanted: number, unit: number): { per_split: number, splits: number } {
  const per_split = Math.ceil(count / Math.min(count, wanted) / unit) * unit
  return { per_split, splits: Math.ceil(count / per_split) }
}

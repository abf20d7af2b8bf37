// Sums that were split among workgroups, and sums per channel.
import { kernel } from '../../gpu/kernel.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'

const addSplits = kernel('shared/split-sum.wgsl', { buffers: ['split_sums', 'out'], params: ['splits', 'size'] })
const sumChannels = kernel('shared/channel-sum.wgsl', { buffers: ['x', 'out'], params: ['batch', 'channels', 'size'] })

/** Adds the partial results [splits, ...shape] to one of `shape`. */
export function sumSplits(partial: Tensor, shape: readonly number[]): Tensor {
  if (partial.shape[0] === 1) return partial.view(shape)
  const out = empty(shape)
  launch(
    addSplits,
    { split_sums: partial, out },
    { splits: partial.shape[0], size: out.size },
    grid(Math.ceil(out.size / 64)),
  )
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

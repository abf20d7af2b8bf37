// The variants of softmax attention. To add one, write its kernels and launcher and a row here. Each adds in an order
// of its own, so the choice depends on adapter and sizes only.
import type { Tensor } from '../../core/tensor.ts'
import { type Variant, variants } from '../shared/variants.ts'
import { blockedBackward, blockedForward } from './blocked.ts'
import type { AttentionCall, AttentionSizes } from './shapes.ts'
import { subgroupBackward, subgroupForward } from './subgroup.ts'
import { tiledBackward, tiledForward } from './tiled.ts'

/** One way to compute attention, forward and backward. */
export interface AttentionVariant extends Variant<AttentionSizes> {
  /** Writes `out` [B, N, H, E] and `logsum` [B, H, N]; `flops` is for the profiler. */
  readonly forward: (call: AttentionCall, out: Tensor, logsum: Tensor, flops: number) => void
  /** Gradients of q, k, v and bias as far as `needs` asks; `stats` [B, H, N, 2] is what `rowStatistics` makes. */
  readonly backward: (
    call: AttentionCall,
    dout: Tensor,
    stats: Tensor,
    needs: readonly boolean[],
  ) => (Tensor | null)[]
}

const blocked = (columns: 2 | 4): AttentionVariant => ({
  name: `blocked by ${4 * columns}`,
  numeric: 'reordered',
  adapters: ['embedded'],
  fits: (_, machine) => machine.columns === columns,
  forward: (...args) => {
    blockedForward(columns, ...args)
  },
  backward: (...args) => blockedBackward(columns, ...args),
})

/** All of them. */
export const attentionVariants = variants<AttentionSizes, AttentionVariant>('attention', [
  {
    // Where a load costs as much as ten multiply-adds: the rows of a subgroup are shuffled between its lanes.
    name: 'subgroup',
    numeric: 'reordered',
    adapters: ['software'],
    features: ['subgroups'],
    runs: ({ lanes, buffers }) => lanes > 0 && lanes <= 16 && buffers >= 9,
    forward: subgroupForward,
    backward: subgroupBackward,
  },
  blocked(2),
  blocked(4),
  { name: 'tiled', numeric: 'reordered', forward: tiledForward, backward: tiledBackward },
])

// Launches of the attention kernels for the embedded device: many rows of a head at a time, in blocks that fit the
// caches.
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { rowVersions } from './rows.ts'
import type { AttentionCall } from './shapes.ts'
import { tiledBackward, forwardRows, gradReads, gradRows, numbered, numbers, switches } from './tiled.ts'
import { sumSplits } from '../shared/split-sum.ts'

const forwardKernel = rowVersions('attention/blocked.wgsl', forwardRows, {
  buffers: ['q', 'k', 'v', 'biases', 'masks', 'out', 'logsum'],
  params: numbered,
})
const gradKernel = rowVersions('attention/blocked-gradient.wgsl', {
  ...gradRows,
  dq: { width: 'D', load: true, store: true },
}, { buffers: [...gradReads, 'dq', 'dk', 'dv'], params: [...numbered, 'splits'] })

/**
 * The forward pass into `out` and `logsum`, for head widths up to 128. `columns`: vectors of four an invocation makes
 * of a row.
 */
export function blockedForward(
  columns: 2 | 4,
  call: AttentionCall,
  out: Tensor,
  logsum: Tensor,
  flops: number,
): void {
  const { q, k, v, bias, mask, B, N, H, D, E } = call
  const wide = D > 64 || E > 64, own = wide ? 32 : ownRows(N, B * H < 8 ? 64 : 208), other = wide ? 32 : 64
  launch(
    forwardKernel(D, E),
    { q, k, v, biases: bias ?? q, masks: mask ?? q, out, logsum },
    numbers(call),
    grid(B * H * Math.ceil(N / own)),
    { overrides: { ...tile(call, own, other, columns), E_TILES: Math.ceil(E / other) }, flops },
  )
}

/** Gradients of q, k, v and the bias, as far as `needs` asks. */
export function blockedBackward(
  columns: 2 | 4,
  call: AttentionCall,
  dout: Tensor,
  stats: Tensor,
  needs: readonly boolean[],
): (Tensor | null)[] {
  const { q, k, v, bias, mask, B, N, M, H, D, E } = call
  // Sums of wider rows would be too many to carry from tile to tile; the bias has no blocked kernel.
  if (D > 64 || E > 64) return tiledBackward(call, dout, stats, needs)
  const [, , , dbias] = tiledBackward(call, dout, stats, [false, false, false, needs[3]])
  if (!needs[0] && !needs[1] && !needs[2]) return [null, null, null, dbias]
  // All three from one kernel, since they share the probabilities. Few heads are split, so that there is work
  // for more threads: at most four, because each has a dq of its own, and none of them empty.
  const own = ownRows(M, B * H < 4 ? 64 : 112)
  const other = 64
  const blocks = Math.ceil(M / own)
  const wanted = Math.min(blocks, Math.ceil(4 / (B * H)))
  const splits = Math.ceil(blocks / Math.ceil(blocks / wanted))
  const partial = empty([splits, ...q.shape])
  const dk = empty(k.shape)
  const dv = empty(v.shape)
  launch(
    gradKernel(D, E),
    { q, k, v, dout, biases: bias ?? q, masks: mask ?? q, stats, dq: partial, dk, dv },
    { ...numbers(call), splits },
    grid(B * H * splits),
    { overrides: tile(call, own, other, columns), flops: 2 * B * H * N * M * (3 * D + 2 * E) },
  )
  const dq = needs[0] ? sumSplits(partial, q.shape) : null
  if (!dq) partial.dispose()
  for (const [grad, needed] of [[dk, needs[1]], [dv, needs[2]]] as const) if (!needed) grad.dispose()
  return [dq, needs[1] ? dk : null, needs[2] ? dv : null, dbias]
}

/**
 * Rows that a workgroup takes: at most `most`, so that there is work for all threads and a tile stays in the caches,
 * but as alike for all as multiples of sixteen allow, because walking over the other rows costs the same for a few.
 */
function ownRows(rows: number, most: number): number {
  return Math.max(64, 16 * Math.ceil(rows / Math.ceil(rows / most) / 16))
}

/** Overrides of a workgroup that takes `own` rows and walks over `other` rows at a time. */
function tile(call: AttentionCall, own: number, other: number, columns: 2 | 4) {
  const { D, E } = call, depth = (size: number) => 16 * Math.ceil(size / 16)
  return {
    OWN: own,
    OTHER: other,
    COLUMNS: columns,
    THREADS: own * other / (16 * columns),
    DDEPTH: depth(D),
    EDEPTH: depth(E),
    ...switches(call),
  }
}

// Launches of the attention kernels for the embedded device: 32 or 64 rows of a head at a time, packed for the caches.
import { wgsl } from '../gpu/wgsl.generated.ts'
import { grid, launch } from '../launch.ts'
import { empty, type Tensor } from '../tensor.ts'
import { rowVersions } from './attention-rows.ts'
import type { AttentionCall } from './attention-shapes.ts'
import { backwardByTiles, forwardRows, gradReads, gradRows, numbered, numbers, switches } from './attention-tiles.ts'
import { tileColumns } from './rows.ts'

const splice = { '/*extra*/': wgsl['attention_extra.wgsl'] }
const forwardKernel = rowVersions('attention_packed.wgsl', forwardRows,
  { buffers: ['q', 'k', 'v', 'biases', 'masks', 'out', 'logsum'], params: numbered, splice })
const queries = rowVersions('attention_packed_grad.wgsl', gradRows, { entry: 'queries', buffers: [...gradReads, 'dq'], params: numbered, splice })
const keys = rowVersions('attention_packed_grad.wgsl', gradRows, { entry: 'keys', buffers: [...gradReads, 'dk', 'dv'], params: numbered, splice })

/** The forward pass into `out` and `logsum`, for head widths up to 128. `columns`: vectors of four an invocation makes of a row. */
export function forwardPacked(call: AttentionCall, out: Tensor, logsum: Tensor, flops: number, columns = tileColumns()): void {
  const { q, k, v, bias, mask, B, N, H, D, E } = call
  const own = D > 64 || E > 64 ? 32 : 64
  launch(forwardKernel(D, E), { q, k, v, biases: bias ?? q, masks: mask ?? q, out, logsum }, numbers(call),
    grid(B * H * Math.ceil(N / own)), { overrides: tile(call, own, own, E, columns), flops })
}

/** Gradients of q, k, v and the bias, as far as `needs` asks. */
export function backwardPacked(
  call: AttentionCall, dout: Tensor, stats: Tensor, needs: readonly boolean[], columns = tileColumns()): (Tensor | null)[] {
  const { q, k, v, bias, mask, B, N, M, H, D, E } = call
  // Sums of wider rows would be too many to carry from tile to tile; the bias has no packed kernel.
  if (D > 64 || E > 64) return backwardByTiles(call, dout, stats, needs)
  const [, , , dbias] = backwardByTiles(call, dout, stats, [false, false, false, needs[3]])
  const read = { q, k, v, dout, biases: bias ?? q, masks: mask ?? q, stats }, own = 64, other = 32
  const overrides = { ...tile(call, own, other, Math.max(D, E), columns), WEIGHTS: own * other / 4 }
  const dq = needs[0] ? empty(q.shape) : null
  const pairs = 2 * B * H * N * M
  if (dq) launch(queries(D, E), { ...read, dq }, numbers(call), grid(B * H * Math.ceil(N / own)), { overrides, flops: pairs * (2 * D + E) })
  if (!needs[1] && !needs[2]) return [dq, null, null, dbias]
  // One kernel makes both, since they share the probabilities.
  const dk = empty(k.shape), dv = empty(v.shape)
  launch(keys(D, E), { ...read, dk, dv }, numbers(call), grid(B * H * Math.ceil(M / own)),
    { overrides: { ...overrides, WEIGHTS: own * other / 2 }, flops: pairs * 2 * (D + E) })
  for (const [grad, needed] of [[dk, needs[1]], [dv, needs[2]]] as const) if (!needed) grad.dispose()
  return [dq, needs[1] ? dk : null, needs[2] ? dv : null, dbias]
}

/** Overrides of a workgroup that takes `own` rows, walks over `other` rows at a time and makes rows of `width`. */
function tile(call: AttentionCall, own: number, other: number, width: number, columns: 2 | 4) {
  const { D, E } = call, depth = (size: number) => 16 * Math.ceil(size / 16)
  return { OWN: own, OTHER: other, COLUMNS: columns, LANES: own * other / (16 * columns), DDEPTH: depth(D), EDEPTH: depth(E),
    CHUNKS: Math.ceil(width / other), ...switches(call) }
}

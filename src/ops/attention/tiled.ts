// Launches of the attention kernels for GPUs: tiles of 32 queries and 32 keys in workgroup memory.
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { rowVersions } from './rows.ts'
import type { AttentionCall } from './shapes.ts'
import { sumSplits } from '../shared/split-sum.ts'

const load = true, store = true
/** Parameters of the kernels in their order; `numbers` gives their values. */
export const numbered = ['B', 'N', 'M', 'H', 'D', 'E', 'G', 'scale']
/** Rows of the forward kernels. */
export const forwardRows = {
  q: { width: 'D', load },
  k: { width: 'D', load },
  v: { width: 'E', load },
  out: { width: 'E', store },
} as const
/** Rows of the backward kernels. */
export const gradRows = {
  q: { width: 'D', load },
  k: { width: 'D', load },
  v: { width: 'E', load },
  dout: { width: 'E', load },
  dq: { width: 'D', store },
  dk: { width: 'D', store },
  dv: { width: 'E', store },
} as const
/** What the backward kernels read, in the order of their buffers. */
export const gradReads = ['q', 'k', 'v', 'dout', 'biases', 'masks', 'stats']
const forwardKernel = rowVersions('attention/tiled.wgsl', forwardRows, {
  buffers: ['q', 'k', 'v', 'biases', 'masks', 'out', 'logsum'],
  params: numbered,
})

const params = [...numbered, 'splits']
const queries = rowVersions('attention/tiled-gradient.wgsl', gradRows, {
  entry: 'queries',
  buffers: [...gradReads, 'dq'],
  params,
})
const keys = rowVersions('attention/tiled-gradient.wgsl', gradRows, {
  entry: 'keys',
  buffers: [...gradReads, 'dk'],
  params,
})
const values = rowVersions('attention/tiled-gradient.wgsl', gradRows, {
  entry: 'values',
  buffers: [...gradReads, 'dv'],
  params,
})
const biasSums = rowVersions('attention/tiled-gradient.wgsl', gradRows, {
  entry: 'bias',
  buffers: [...gradReads, 'dbias'],
  params,
})

/** The forward pass into `out` and `logsum`. */
export function tiledForward(call: AttentionCall, out: Tensor, logsum: Tensor, flops: number): void {
  const { q, k, v, bias, mask, B, N, H, D, E } = call
  launch(
    forwardKernel(D, E),
    { q, k, v, biases: bias ?? q, masks: mask ?? q, out, logsum },
    numbers(call),
    grid(B * H * Math.ceil(N / 32)),
    { overrides: { E_TILES: Math.ceil(E / 32), ...switches(call) }, flops },
  )
}

/** Gradients of q, k, v and the bias, as far as `needs` asks. */
export function tiledBackward(
  call: AttentionCall,
  dout: Tensor,
  stats: Tensor,
  needs: readonly boolean[],
): (Tensor | null)[] {
  const { q, k, v, bias, mask, B, N, M, H, D, E } = call
  const read = { q, k, v, dout, biases: bias ?? q, masks: mask ?? q, stats }
  const settings = { ...numbers(call), splits: 1 }
  const D_TILES = Math.ceil(D / 32), E_TILES = Math.ceil(E / 32)
  let dq: Tensor | null = null, dk: Tensor | null = null, dv: Tensor | null = null, dbias: Tensor | null = null
  if (needs[0]) {
    dq = empty(q.shape)
    launch(queries(D, E), { ...read, dq }, settings, grid(B * H * Math.ceil(N / 32)), {
      overrides: { D_TILES, ...switches(call) },
      flops: 2 * B * H * N * M * (2 * D + E),
    })
  }
  if (needs[1]) {
    dk = empty(k.shape)
    launch(keys(D, E), { ...read, dk }, settings, grid(B * H * Math.ceil(M / 32)), {
      overrides: { D_TILES, ...switches(call) },
      flops: 2 * B * H * N * M * (2 * D + E),
    })
  }
  if (needs[2]) {
    dv = empty(v.shape)
    launch(values(D, E), { ...read, dv }, settings, grid(B * H * Math.ceil(M / 32)), {
      overrides: { E_TILES, ...switches(call) },
      flops: 2 * B * H * N * M * (D + E),
    })
  }
  if (bias && needs[3]) {
    const tiles = Math.ceil(M / 32) * Math.ceil(N / 32) * H
    const splits = Math.min(B, Math.ceil(512 / tiles)) // parts of the batch, so that every core has work
    const partial = empty([splits, H, N, M])
    launch(biasSums(D, E), { ...read, dbias: partial }, { ...settings, splits }, grid(tiles * splits), {
      overrides: switches(call),
      flops: 2 * B * H * N * M * (D + E),
    })
    dbias = sumSplits(partial, [H, N, M])
  }
  return [dq, dk, dv, dbias]
}

/** Values of `numbered`. */
export const numbers = ({ B, N, M, H, D, E, G, scale }: AttentionCall) => ({ B, N, M, H, D, E, G, scale })
/** Overrides that say whether there are a bias and a mask. */
export const switches = ({ bias, mask }: AttentionCall) => ({ BIAS: bias ? 1 : 0, MASK: mask ? 1 : 0 })

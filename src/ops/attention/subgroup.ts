// Launches of the attention kernels for software drivers: a workgroup is one subgroup, keys are shuffled between its
// lanes.
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { rowVersions } from './rows.ts'
import type { AttentionCall } from './shapes.ts'
import { sumSplits } from '../shared/split-sum.ts'
import { machine } from '../shared/variants.ts'

const load = true, store = true
const forwardKernel = rowVersions('attention/subgroup.wgsl', {
  q: { width: 'D', load },
  k: { width: 'D', load },
  v: { width: 'E', load },
  out: { width: 'E', load, store },
}, {
  buffers: ['q', 'k', 'v', 'biases', 'masks', 'out', 'logsum'],
  params: ['B', 'N', 'M', 'H', 'D', 'E', 'G', 'scale', 'bias', 'mask', 'biased_lanes'],
})

const gradRows = {
  q: { width: 'D', load },
  k: { width: 'D', load },
  v: { width: 'E', load },
  dout: { width: 'E', load },
  dq: { width: 'D', load, store },
  dk: { width: 'D', load, store },
  dv: { width: 'E', load, store },
} as const
const common = ['q', 'k', 'v', 'dout', 'biases', 'masks', 'stats']
const params = ['B', 'N', 'M', 'H', 'D', 'E', 'G', 'scale', 'bias', 'mask', 'biased_lanes', 'splits']
const queries = rowVersions('attention/subgroup-gradient.wgsl', gradRows, {
  entry: 'queries',
  buffers: [...common, 'dq'],
  params,
})
const keys = rowVersions('attention/subgroup-gradient.wgsl', gradRows, {
  entry: 'keys',
  buffers: [...common, 'dk', 'dv'],
  params,
})
const biasSums = rowVersions('attention/subgroup-gradient.wgsl', gradRows, {
  entry: 'bias',
  buffers: [...common, 'dbias'],
  params,
})

// Rows a lane owns and vectors of other rows it meets at a time: more of either means fewer loads, but more spilling
// and much more to compile. Measured on lavapipe, time over that of a 512^3 product, 197 tokens / 7x7 windows: 2 x 4
// 0.7-1.5 / 2.0-2.9, 2 x 3 0.9-1.2 / 1.9-2.1, 3 x 2 1.0 / 2.2, 2 x 2 1.1 / 2.5, 4 x 1 1.5 / 2.4. Against the open form
// 2 x 4 won each time.
const forwardTile = (lanes: number) => ({ R: 2, KEYS: Math.min(4, 32 / lanes) })

/** The forward pass into `out` and `logsum`. */
export function subgroupForward(call: AttentionCall, out: Tensor, logsum: Tensor, flops: number): void {
  const { lanes } = machine()
  const { q, k, v, bias, mask, B, N, H, D, E } = call
  const { R, KEYS } = forwardTile(lanes)
  launch(
    forwardKernel(D, E),
    { q, k, v, biases: bias ?? q, masks: mask ?? q, out, logsum },
    numbers(call, lanes),
    grid(B * H * Math.ceil(N / (lanes * R))),
    { overrides: { LANES: lanes, R, KEYS }, flops },
  )
}

/** Gradients of q, k, v and the bias, as far as `needs` asks. */
export function subgroupBackward(
  call: AttentionCall,
  dout: Tensor,
  stats: Tensor,
  needs: readonly boolean[],
): (Tensor | null)[] {
  const { q, k, v, bias, mask, B, N, M, H, D, E } = call
  const read = { q, k, v, dout, biases: bias ?? q, masks: mask ?? q, stats }
  const { lanes } = machine(), R = 2, KEYS = lanes > 8 ? 1 : 2
  const overrides = { LANES: lanes, R, KEYS }
  const settings = { ...numbers(call, lanes), splits: 1 }
  let dq: Tensor | null = null, dk: Tensor | null = null, dv: Tensor | null = null, dbias: Tensor | null = null
  if (needs[0]) {
    dq = empty(q.shape)
    launch(queries(D, E), { ...read, dq }, settings, grid(B * H * Math.ceil(N / (lanes * R))), {
      overrides,
      flops: 2 * B * H * N * M * (2 * D + E),
    })
  }
  if (needs[1] || needs[2]) { // both, since they share the probabilities
    dk = empty(k.shape)
    dv = empty(v.shape)
    launch(keys(D, E), { ...read, dk, dv }, settings, grid(B * H * Math.ceil(M / (lanes * R))), {
      overrides,
      flops: 2 * B * H * N * M * (2 * D + 2 * E),
    })
    if (!needs[1]) dk.dispose()
    if (!needs[2]) dv.dispose()
  }
  if (bias && needs[3]) {
    const tiles = Math.ceil(M / (lanes * R)) * Math.ceil(N / (lanes * KEYS)) * H
    const splits = Math.min(B, Math.ceil(256 / tiles)) // parts of the batch, so that every thread has work
    const partial = empty([splits, H, N, M])
    launch(biasSums(D, E), { ...read, dbias: partial }, { ...settings, splits }, grid(tiles * splits), {
      overrides,
      flops: 2 * B * H * N * M * (D + E),
    })
    dbias = sumSplits(partial, [H, N, M])
  }
  return [dq, needs[1] ? dk : null, needs[2] ? dv : null, dbias]
}

const numbers = ({ bias, mask, B, N, M, H, D, E, G, scale }: AttentionCall, lanes: number) => ({
  B,
  N,
  M,
  H,
  D,
  E,
  G,
  scale,
  bias: bias ? 1 : 0,
  mask: mask ? 1 : 0,
  biased_lanes: bias || mask ? lanes : 0,
})

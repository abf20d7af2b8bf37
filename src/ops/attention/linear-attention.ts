// Linear attention, whose cost is linear in the number of tokens; the core of focused linear attention.
import { grid, launch } from '../../core/launch.ts'
import { unrecorded } from '../../core/tape.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { onnxHeads } from './attention.ts'
import { rowVersions } from './rows.ts'
import { attentionSizes } from './shapes.ts'
import { op } from '../../core/op.ts'
import { sum } from '../reduce.ts'

/** `eps` is added to the normaliser; default 1e-6. */
export interface LinearAttentionOptions {
  eps?: number
}

const params = ['B', 'T', 'H', 'D', 'E', 'A', 'splits', 'divide', 'detached', 'eps']
const version = (entry: string, buffers: string[]) =>
  rowVersions('attention/linear-attention.wgsl', {
    x: { width: 'D', load: true },
    v: { width: 'E', load: true },
    dout: { width: 'E', load: true },
    dx: { width: 'D', store: true },
    o: { width: 'E', store: true },
  }, { entry, buffers, params })
const append = version('append', ['v', 'appended'])
const outer = version('outer', ['x', 'y', 'sums'])
const normalisers = version('normalisers', ['x', 'matrix', 'norm'])
const rows = version('rows', ['x', 'matrix', 'z', 'o'])
const columns = version('columns', ['y', 'matrix', 'dx'])
const cotangents = version('cotangents', ['v', 'dout', 'z', 'appended'])

/**
 * o_i = q_i (sum_j k_j v_j) / (q_i . sum_j k_j + eps), per head, with q and k already mapped to positive features
 * (FLatten, arXiv 2308.00442, Eq. 5; there eps is M 1e-6). q [B, N, H, D], k [B, M, H, D], v [B, M, H, E] -> [B, N, H,
 * E], any widths and lengths. A detached call holds the normaliser constant in the backward pass, as LRP wants it.
 * @throws ShapeError if shapes do not fit.
 */
export const linearAttention = op({
  name: 'linear-attention',
  attrs: { eps: true },
  roles: ['attention'],
  axes: 'b n h d, b m h d, b m h e -> b n h e',
  run(q: Tensor, k: Tensor, v: Tensor, { eps = 1e-6 }: LinearAttentionOptions) {
    const { B, N, M, H, D, E } = attentionSizes('linear-attention', q, k, v, null, null)
    const A = appendedWidth(E)
    const common = { B, H, D, E, A, splits: 1, divide: 1, detached: 0, eps }
    const values = empty([B, M, H, A])
    const z = empty([B, N, H])
    const out = empty([B, N, H, E])
    launch(append(D, E), { v, appended: values }, { ...common, T: M }, grid(Math.ceil(values.size / 256)))
    const matrix = outerSum(k, values, E)
    launch(normalisers(D, E), { x: q, matrix, norm: z }, { ...common, T: N }, grid(Math.ceil(z.size / 64)))
    timesMatrix(q, matrix, z, out, true)
    return { out, matrix, z }
  },
  vjp({ args: [q, k, v], saved: { matrix, z }, out, needs, detached }, dout) {
    const { B, N, M, H, D, E } = attentionSizes('linear-attention', q, k, v, null, null)
    const A = appendedWidth(E)
    const common = { B, H, D, E, A, splits: 1, divide: 0, detached: detached ? 1 : 0, eps: 0 }
    const dy = empty([B, N, H, A])
    launch(cotangents(D, E), { v: out, dout, z, appended: dy }, { ...common, T: N }, grid(Math.ceil(B * N * H / 64)))
    let dq: Tensor | null = null, dk: Tensor | null = null, dv: Tensor | null = null
    if (needs[0]) {
      dq = empty(q.shape)
      timesTransposed(dy, matrix, dq, E)
    }
    if (needs[1] || needs[2]) {
      const dmatrix = outerSum(q, dy, E)
      if (needs[1]) {
        const values = empty([B, M, H, A])
        launch(append(D, E), { v, appended: values }, { ...common, T: M }, grid(Math.ceil(values.size / 256)))
        dk = empty(k.shape)
        timesTransposed(values, dmatrix, dk, E)
      }
      if (needs[2]) {
        dv = empty(v.shape)
        timesMatrix(k, dmatrix, z, dv, false)
      }
    }
    return [dq, dk, dv]
  },
  onnx({ args: [q, k, v], attrs: { eps = 1e-6 } }, graph) {
    const [queries, keys, values] = onnxHeads(graph, q, k, v)
    const sums = graph.node('ReduceSum', [keys, graph.wholes([-1])], { keepdims: 1 })
    const norm = graph.node('Add', [graph.node('MatMul', [queries, sums]), graph.floats(eps)])
    const weighted = graph.node('MatMul', [queries, graph.node('MatMul', [keys, values])])
    return graph.node('Transpose', [graph.node('Div', [weighted, norm])], { perm: [0, 2, 1, 3] })
  },
  macs: ([q, k, v]) => (q.size + k.size) * (v.shape[3] + 1),
})

// A one is appended to each value (its column of the matrix sums k), and rows are whole pairs of vectors.
const appendedWidth = (E: number) => 8 * (Math.floor(E / 8) + 1)

/**
 * sum over t of x_t y_t per head: x [B, T, H, D], y [B, T, H, A] -> [B, H, D, A]. Long sums are split: more
 * invocations, fewer rounding errors.
 */
function outerSum(x: Tensor, y: Tensor, E: number): Tensor {
  const [B, T, H, D] = x.shape, A = y.shape[3]
  const tiles = A / 8 * Math.ceil(D / 8) * B * H
  const splits = Math.max(1, Math.min(Math.ceil(T / 64), Math.ceil(8192 / tiles)))
  const partial = empty([splits, B, H, D, A])
  launch(
    outer(D, E),
    { x, y, sums: partial },
    { B, T, H, D, E, A, splits, divide: 0, detached: 0, eps: 0 },
    grid(Math.ceil(tiles * splits / 64)),
    { flops: 2 * B * T * H * D * A },
  )
  return splits === 1 ? partial.view([B, H, D, A]) : unrecorded(() => sum(partial, { axes: [0] }))
}

/** out_t = x_t matrix (over z_t): x [B, T, H, D], matrix [B, H, D, A] -> out [B, T, H, E]. */
function timesMatrix(x: Tensor, matrix: Tensor, z: Tensor, out: Tensor, divide: boolean) {
  const [B, T, H, E] = out.shape, [, , D, A] = matrix.shape
  launch(
    rows(D, E),
    { x, matrix, z, o: out },
    { B, T, H, D, E, A, splits: 1, divide: divide ? 1 : 0, detached: 0, eps: 0 },
    grid(Math.ceil(B * H * Math.ceil(E / 8) * Math.ceil(T / 4) / 64)),
    { flops: 2 * B * T * H * D * E },
  )
}

/** out_t = matrix y_t: y [B, T, H, A], matrix [B, H, D, A] -> out [B, T, H, D]. */
function timesTransposed(y: Tensor, matrix: Tensor, out: Tensor, E: number) {
  const [B, T, H, A] = y.shape, D = matrix.shape[2]
  launch(
    columns(D, E),
    { y, matrix, dx: out },
    { B, T, H, D, E, A, splits: 1, divide: 0, detached: 0, eps: 0 },
    grid(Math.ceil(B * H * Math.ceil(D / 4) * Math.ceil(T / 4) / 64)),
    { flops: 2 * B * T * H * D * A },
  )
}

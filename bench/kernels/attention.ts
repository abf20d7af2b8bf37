// Softmax attention of a ViT-Tiny (197 tokens, 3 heads of 64), fused here, as product, softmax, product at the peers.
import { deviceTime } from '../../src/gpu/timing.ts'
import { attention, attentionOpen } from '../../src/ops/attention/attention.ts'
import { fillNormal } from '../../src/base/random.ts'
import { tensor, type Tensor } from '../../src/core/tensor.ts'
import { scope } from '../../src/core/transform.ts'
import type { BenchCase, CaseMaker } from '../harness.ts'
import type { Peer } from '../peers.ts'
import { peerSubject } from './networks.ts'

/** Batches of one and eight; the open form (three ops) without peers, for what fusing saves. */
export function attentionCases(peers: readonly Peer[]): CaseMaker[] {
  return [1, 8].flatMap((B) => [
    {
      name: 'attention',
      make: () => attentionCase('attention', B, peers, (q, k, v, scale) => attention(q, k, v, null, null, { scale })),
    },
    {
      name: 'attention open',
      make: () =>
        attentionCase('attention open', B, [], (q, k, v, scale) => attentionOpen(q, k, v, null, null, { scale })),
    },
  ])
}

async function attentionCase(
  name: string,
  B: number,
  peers: readonly Peer[],
  run: (q: Tensor, k: Tensor, v: Tensor, scale: number) => Tensor,
): Promise<BenchCase> {
  const [H, N, D] = [3, 197, 64], scale = D ** -0.5, shape = [B, H, N, D] as const
  const [q, k, v] = ['q', 'k', 'v'].map((part) => fillNormal(new Float32Array(B * H * N * D), 1, part))
  const [tq, tk, tv] = [q, k, v].map((x) => tensor(swapped(x, B, H, N, D), [B, N, H, D]))
  const once = () => run(tq, tk, tv, scale)
  const expected = inDoubles(q, k, v, shape, scale)
  const subjects: BenchCase['subjects'] = [{
    impl: 'espalier',
    async run() {
      const out = scope(once)
      const values = await out.data()
      out.dispose()
      return values
    },
    inOrder: (values) => swapped(values, B, N, H, D),
    device: () =>
      deviceTime(() => {
        scope(() => {
          once()
        })
      }),
    dispose: () => {
      for (const x of [tq, tk, tv]) x.dispose()
    },
  }]
  for (const peer of peers) {
    subjects.push(...await peerSubject(peer, { kind: 'attention', shape, scale, q, k, v }))
  }
  return {
    suite: 'kernels',
    name,
    shape: `batch=${B} heads=${H} tokens=${N} width=${D}`,
    flops: 4 * B * H * N * N * D,
    bytes: 16 * B * H * N * D,
    expected,
    subjects,
  }
}

/** [a, b, c, d] to [a, c, b, d]: the peers have the head axis before the tokens. */
function swapped(x: ArrayLike<number>, a: number, b: number, c: number, d: number): Float32Array {
  const out = new Float32Array(x.length)
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) {
      for (let l = 0; l < c; l++) {
        for (let m = 0; m < d; m++) out[((i * c + l) * b + j) * d + m] = x[((i * b + j) * c + l) * d + m]
      }
    }
  }
  return out
}

function inDoubles(
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
  [B, H, N, D]: readonly [number, number, number, number],
  scale: number,
): Float64Array {
  const out = new Float64Array(q.length), weights = new Float64Array(N)
  for (let matrix = 0; matrix < B * H; matrix++) {
    const start = matrix * N * D
    for (let i = 0; i < N; i++) {
      let most = -Infinity, total = 0
      for (let j = 0; j < N; j++) {
        let score = 0
        for (let d = 0; d < D; d++) score += q[start + i * D + d] * k[start + j * D + d]
        weights[j] = score * scale
        most = Math.max(most, weights[j])
      }
      for (let j = 0; j < N; j++) total += weights[j] = Math.exp(weights[j] - most)
      for (let j = 0; j < N; j++) {
        for (let d = 0; d < D; d++) out[start + i * D + d] += weights[j] / total * v[start + j * D + d]
      }
    }
  }
  return out
}

// The products of a ViT-Tiny, M x K x N: tokens of one image (197) or of eight (1576) times the widths of its layers.
import { deviceTime } from '../../src/gpu/timing.ts'
import { type MatmulOptions, matmul } from '../../src/ops/matmul/matmul.ts'
import { fillUniform } from '../../src/base/random.ts'
import { tensor } from '../../src/core/tensor.ts'
import { scope } from '../../src/core/transform.ts'
import type { BenchCase, CaseMaker, Subject } from '../harness.ts'
import type { Peer } from '../peers.ts'
import { peerSubject } from './networks.ts'

/** The shapes that are compared with peers. */
const matmulShapes = [[512, 512, 512], [197, 192, 768], [197, 768, 192], [1576, 192, 576], [
  1576,
  192,
  192,
]] as const

/**
 * Products as they are written, against the peers; and the three products of a linear layer's forward and backward
 * pass.
 */
export function matmulCases(peers: readonly Peer[]): CaseMaker[] {
  const one = (
    name: string,
    shape: readonly [number, number, number],
    options: MatmulOptions,
    against: readonly Peer[] = [],
  ): CaseMaker => ({ name, make: () => matmulCase(name, shape, options, against) })
  return [
    ...matmulShapes.map((shape) => one('matmul', shape, {}, peers)),
    // y = x W^T, dx = dy W, dW = dy^T x of 1576 tokens; a head that lost channels, so that no row is a whole vector
    one('linear forward', [1576, 192, 768], { transposeB: true }),
    one('linear dx', [1576, 768, 192], {}),
    one('linear dW', [768, 1576, 192], { transposeA: true }),
    one('linear forward odd', [1576, 191, 767], { transposeB: true }),
    one('linear one row', [1, 192, 1000], { transposeB: true }),
  ]
}

async function matmulCase(
  name: string,
  [M, K, N]: readonly [number, number, number],
  options: MatmulOptions,
  peers: readonly Peer[],
): Promise<BenchCase> {
  const a = fillUniform(new Float32Array(M * K), 1, 'a', -1), b = fillUniform(new Float32Array(K * N), 1, 'b', -1)
  const ta = tensor(options.transposeA ? flipped(a, M, K) : a, options.transposeA ? [K, M] : [M, K])
  const tb = tensor(options.transposeB ? flipped(b, K, N) : b, options.transposeB ? [N, K] : [K, N])
  const subjects: Subject[] = [{
    impl: 'espalier',
    async run() {
      const out = matmul(ta, tb, options)
      const values = await out.data()
      out.dispose()
      return values
    },
    device: () =>
      deviceTime(() => {
        scope(() => {
          matmul(ta, tb, options)
        })
      }),
    dispose() {
      ta.dispose()
      tb.dispose()
    },
  }]
  for (const peer of peers) {
    subjects.push(...await peerSubject(peer, { kind: 'matmul', M, K, N, a, b }))
  }
  return {
    suite: 'kernels',
    name,
    shape: `${M}x${K}x${N}`,
    flops: 2 * M * K * N,
    bytes: 4 * (M * K + K * N + M * N),
    expected: inDoubles(a, b, M, K, N),
    subjects,
  }
}

function flipped(x: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(x.length)
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = x[i * columns + j]
  return out
}

function inDoubles(a: Float32Array, b: Float32Array, M: number, K: number, N: number): Float64Array {
  const out = new Float64Array(M * N)
  for (let m = 0; m < M; m++) {
    for (let k = 0; k < K; k++) {
      const factor = a[m * K + k]
      for (let n = 0; n < N; n++) out[m * N + n] += factor * b[k * N + n]
    }
  }
  return out
}

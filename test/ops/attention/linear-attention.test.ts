import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ShapeError } from '../../../src/base/errors.ts'
import { close, gpu, init } from '../../../src/gpu/device.ts'
import { declaredKernels } from '../../../src/gpu/kernel.ts'
import { linearAttention } from '../../../src/ops/attention/linear-attention.ts'
import { pullback, record } from '../../../src/core/tape.ts'
import { tensor, type Tensor } from '../../../src/core/tensor.ts'
import { vjp } from '../../../src/core/transform.ts'
import { checkOp, checkRaces, toTensor } from '../../support/check-op.ts'
import { describeDawn } from '../../support/dawn.ts'
import { describeDevice } from '../../support/device.ts'
import * as reference from '../../reference/attention.ts'
import { numericalGradient } from '../../reference/gradient.ts'
import { type Nd, nd, random, relativeError, uniform } from '../../reference/nd.ts'

/** Batch, queries, keys, heads, width of q and k, width of v. */
type Shape = [B: number, N: number, M: number, H: number, D: number, E: number]

const inputs = (
  [B, N, M, H, D, E]: Shape,
): Nd[] => [uniform(1, [B, N, H, D], 0.1, 1), uniform(2, [B, M, H, D], 0.1, 1), random(3, [B, M, H, E])]

describeDevice('linearAttention', () => {
  test.each<Shape>([
    [1, 1, 2, 1, 4, 4],
    [2, 5, 3, 2, 8, 4],
    [1, 17, 33, 1, 7, 21],
    [1, 70, 65, 2, 12, 16],
    [2, 9, 300, 1, 5, 3],
    [2, 6, 4, 1, 6, 9],
    [1, 4, 6, 1, 61, 61],
    [1, 3, 5, 1, 128, 128],
  ])('batch %i, %i queries, %i keys, %i heads, widths %i and %i', async (...shape) => {
    await checkOp({
      call: (q, k, v) => linearAttention(q, k, v, { eps: 1e-3 }),
      reference: (q, k, v) => reference.linearAttention(q, k, v, { eps: 1e-3 }),
      args: inputs(shape),
      samples: 12,
    })
  })

  test('the worked example of focused linear attention', async () => {
    // Features and result of channel-pruning-mha.md, part 2 (h): 4 tokens, 2 heads of 2; eps is M 1e-6.
    const q = [
      0.409964,
      0,
      0.051246,
      3.279711,
      0.012617,
      0.100936,
      1.577118,
      0,
      3.229718,
      0.403715,
      0,
      0.0109,
      0.721349,
      0.721349,
      0.721349,
      0.721349,
    ]
    const k = [
      0.190534,
      1.524268,
      0,
      1.524268,
      1.533,
      0.012264,
      0.041391,
      0,
      0,
      2.50899,
      0.743405,
      0.005947,
      0.010371,
      0.010371,
      3.072837,
      0.082967,
    ]
    const v = [1, 0, 2, -1, 0, 1, 1, 1, 2, 1, 0, 0.5, -1, 0.5, 1, 0]
    const expected = [
      0.103905,
      0.887117,
      1.900353,
      -0.905215,
      1.534028,
      0.636303,
      0.807289,
      0.107085,
      0.444755,
      0.827344,
      1.940755,
      -0.942825,
      1.159286,
      0.702032,
      1.141644,
      -0.202566,
    ]
    const out = linearAttention(tensor(q, [1, 4, 2, 2]), tensor(k, [1, 4, 2, 2]), tensor(v, [1, 4, 2, 2]), {
      eps: 4e-6,
    })
    // The zeros of the example were 1e-18 when its result was printed, and it has six digits.
    expect(relativeError(await out.data(), expected)).toBeLessThan(1e-4)
  })

  test('detached: the normaliser is constant', async () => {
    const args = inputs([1, 5, 6, 2, 4, 3])
    const [q, k, v] = args.map((x) => toTensor(x))
    const { result, calls } = record(() => linearAttention(q, k, v, { eps: 0 }), [q, k, v])
    const weights = random(4, [1, 5, 2, 3])
    const found = pullback(calls, [[result, toTensor(weights)]], {
      ruleFor: ({ op }) => (call, c) => op.vjp({ ...call, detached: true }, c),
    })
    // One value of one: the numerator alone is the normaliser.
    const z = numerator(args[0], args[1], nd([1, 6, 2, 1], new Float64Array(12).fill(1))).data
    const held = (a: Nd, b: Nd, c: Nd) => {
      const top = numerator(a, b, c)
      return nd(top.shape, top.data.map((x, i) => x / z[Math.floor(i / 3)]))
    }
    for (const [i, leaf] of [q, k, v].entries()) {
      expect(relativeError(await found.get(leaf)!.data(), numericalGradient(held, args, weights, i).values))
        .toBeLessThan(1e-5)
    }
  })

  test('only the gradients that are needed', () => {
    const [q, k, v] = inputs([1, 5, 5, 1, 4, 4]).map((x) => toTensor(x))
    for (const leaf of [q, k, v]) {
      const { result, calls } = record(() => linearAttention(q, k, v), [leaf])
      expect([...pullback(calls, [[result, result]], { wanted: [q, k, v] }).keys()]).toEqual([leaf])
    }
  })

  test('no races', () => {
    const args = inputs([1, 2, 3, 1, 4, 3]).map((x) => toTensor(x))
    checkRaces(() => {
      const { outputs: [out], back } = vjp((q, k, v) => linearAttention(q, k, v), ...args)
      back(out)
    })
  })

  describe('errors', () => {
    const zeros = (...shape: number[]): Tensor => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape)
    test('shapes that do not fit', () => {
      expect(() => linearAttention(zeros(1, 2, 3), zeros(1, 2, 1, 3), zeros(1, 2, 1, 3))).toThrow(ShapeError)
      expect(() => linearAttention(zeros(1, 2, 1, 3), zeros(1, 2, 1, 4), zeros(1, 2, 1, 3))).toThrow(/k \[1,2,1,4\]/)
      expect(() => linearAttention(zeros(1, 2, 1, 3), zeros(1, 2, 1, 3), zeros(1, 3, 1, 3))).toThrow(/v \[1,3,1,3\]/)
    })
  })
})

/** q (k^T v) without the normaliser. */
function numerator(q: Nd, k: Nd, v: Nd): Nd {
  const [, N, H, D] = q.shape, M = k.shape[1], E = v.shape[3]
  const out = nd([1, N, H, E])
  for (let i = 0; i < N; i++) {
    for (let h = 0; h < H; h++) {
      for (let j = 0; j < M; j++) {
        let dot = 0
        for (let d = 0; d < D; d++) dot += q.data[(i * H + h) * D + d] * k.data[(j * H + h) * D + d]
        for (let e = 0; e < E; e++) out.data[(i * H + h) * E + e] += dot * v.data[(j * H + h) * E + e]
      }
    }
  }
  return out
}

describeDawn('linearAttention on the null backend', () => {
  beforeAll(async () => {
    await init({ backend: 'null' })
  })
  afterAll(close)

  test('every version compiles', async () => {
    const found = declaredKernels().filter(({ file }) => file === 'attention/linear-attention.wgsl')
    expect(found.length).toBe(24)
    for (const kernel of found) gpu().launches.pipeline(kernel)
    await gpu().failures.settle()
  })
})

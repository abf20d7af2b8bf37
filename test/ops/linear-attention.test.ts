import { expect, test } from 'vitest'
import { ShapeError } from '../../src/errors.ts'
import { linearAttention } from '../../src/ops/linear-attention.ts'
import { pullback, record } from '../../src/tape.ts'
import { checkOp, toTensor } from '../check-op.ts'
import { describeDevice } from '../device.ts'
import { linearAttention as reference } from '../reference/attention.ts'
import { nd, type Nd, random, relativeError, uniform } from '../reference/nd.ts'

describeDevice('linear attention', () => {
  for (const [B, N, M, H, D, E] of [[1, 1, 2, 1, 4, 4], [2, 9, 9, 3, 8, 8], [2, 5, 17, 2, 7, 3], [1, 33, 12, 1, 21, 13]]) {
    test(`B ${B}, N ${N}, M ${M}, H ${H}, D ${D}, E ${E}`, async () => {
      // Features are positive, as the focusing map makes them: with mixed signs the normaliser may come near zero.
      await checkOp({ call: (q, k, v) => linearAttention(q, k, v, { eps: 1e-3 }), reference: (q, k, v) => reference(q, k, v, { eps: 1e-3 }),
        args: [uniform(1, [B, N, H, D], 0.1, 1), uniform(2, [B, M, H, D], 0.1, 1), random(3, [B, M, H, E])] })
    })
  }

  test('a frozen call holds the normaliser constant', async () => {
    const [q, k, v] = [uniform(4, [1, 4, 1, 3], 0.1, 1), uniform(5, [1, 5, 1, 3], 0.1, 1), random(6, [1, 5, 1, 2])].map((x) => toTensor(x))
    const { result, calls } = record(() => linearAttention(q, k, v), [q, v])
    const seed = random(7, [1, 4, 1, 2])
    const found = pullback(calls.map((call) => ({ ...call, frozen: true })), [[result, toTensor(seed)]])
    // With the normaliser z held, d out / d q = (k^T v) / z.
    const [K, V] = [await k.data(), await v.data()], Q = await q.data()
    const expected: Nd = nd([1, 4, 1, 3])
    for (let n = 0; n < 4; n++) {
      let z = 1e-6
      for (let d = 0; d < 3; d++) for (let m = 0; m < 5; m++) z += Q[n * 3 + d] * K[m * 3 + d]
      for (let d = 0; d < 3; d++) for (let m = 0; m < 5; m++) for (let e = 0; e < 2; e++) expected.data[n * 3 + d] += seed.data[n * 2 + e] * K[m * 3 + d] * V[m * 2 + e] / z
    }
    expect(relativeError(await found.get(q)!.data(), expected.data)).toBeLessThanOrEqual(1e-5)
  })

  test('shapes that do not fit', () => {
    const x = toTensor(random(1, [1, 2, 3, 4]))
    expect(() => linearAttention(x, toTensor(random(1, [1, 2, 3, 5])), x)).toThrow(ShapeError)
  })
})

// Linear maps whose weight lies in strips, by name on every device: the embedded one takes them where vectors are wide.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { unrecorded } from '../../../src/core/tape.ts'
import { linear, linearAdd, linearGelu } from '../../../src/ops/matmul/linear.ts'
import { stripsProduct, weightVariants } from '../../../src/ops/matmul/weights.ts'
import { STRIP } from '../../../src/ops/shared/strips.ts'
import { candidates, force, type Machine } from '../../../src/ops/shared/variants.ts'
import { close, gpu, init } from '../../../src/gpu/device.ts'
import { checkOp, checkRaces, observeLaunches, toTensor } from '../../support/check-op.ts'
import { describeDawn } from '../../support/dawn.ts'
import { describeDevice } from '../../support/device.ts'
import { add, gelu } from '../../reference/elementwise.ts'
import * as reference from '../../reference/matmul.ts'
import { random, relativeError } from '../../reference/nd.ts'

describeDevice('linear maps by strips', (adapter) => {
  beforeAll(() => {
    force(weightVariants, 'strips')
  })
  afterAll(() => {
    force(weightVariants, null)
  })

  // Rows that are no whole quads or workgroups, odd depths, more strips than a workgroup has.
  const sizes = adapter === 'cpu' ? [[1, 16, 1], [3, 32, 7], [66, 16, 33], [37, 80, 20], [5, 144, 9]] : [[5, 32, 7]]
  test.each(sizes)('%i rows, %i outputs, %i inputs', { timeout: 120_000 }, async (M, N, K) => {
    await checkOp({
      call: (x, w, b) => linear(x, w, b),
      reference: (x, w, b) => reference.linear(x, w, b),
      args: [random(1, [M, K]), random(2, [N, K]), random(3, [N])],
      samples: 12,
    })
  })

  test('several axes, and the fused forms', { timeout: 120_000 }, async () => {
    const [x, w, b, residual] = [
      random(1, [2, 3, 4, 5]),
      random(2, [4, 8, 4, 5]),
      random(3, [4, 8]),
      random(4, [2, 3, 4, 8]),
    ]
    const plain = reference.linear(x, w, b, { over: 2 })
    const [tx, tw, tb, tr] = [x, w, b, residual].map((each) => toTensor(each)), over = { over: 2 }
    for (
      const [y, expected] of unrecorded(() =>
        [
          [linear(tx, tw, tb, over), plain],
          [linearGelu(tx, tw, tb, over), gelu(plain)],
          [linearAdd(tx, tw, tb, tr, over), add(plain, residual)],
        ] as const
      )
    ) expect(relativeError(await y.data(), expected.data)).toBeLessThan(1e-5)
  })

  test('strips are made once for a weight, and anew when it was written', async () => {
    const x = toTensor(random(1, [4, 6])), w = toTensor(random(2, [16, 6])), other = random(3, [16, 6])
    const files = () => observeLaunches(() => linear(x, w, null)).map(({ kernel }) => kernel.file)
    expect(files()).toEqual(['shared/strips.wgsl', 'matmul/strips.wgsl'])
    expect(files()).toEqual(['matmul/strips.wgsl'])
    w.write(Float32Array.from(other.data))
    expect(files()).toEqual(['shared/strips.wgsl', 'matmul/strips.wgsl'])
    const y = linear(x, w, null)
    expect(relativeError(await y.data(), reference.linear(random(1, [4, 6]), other, null).data)).toBeLessThan(1e-5)
  })

  test('no races', () => {
    const x = toTensor(random(1, [5, 6])), w = toTensor(random(2, [32, 6])), b = toTensor(random(3, [32]))
    checkRaces(() => linear(x, w, b))
  })

  test('outputs that are no whole strips are left to the product', () => {
    const x = toTensor(random(1, [4, 6])), w = toTensor(random(2, [20, 6]))
    const files = observeLaunches(() => linear(x, w, null)).map(({ kernel }) => kernel.file)
    expect(files).not.toContain('matmul/strips.wgsl')
  })
})

test('which rows are taken where', () => {
  const wide: Machine = { kind: 'embedded', features: new Set(), lanes: 0, columns: 4, buffers: 8, fixed: false }
  const row = (on: Machine, M: number, N: number, K = 64) => candidates(weightVariants, { M, N, K }, on)[0].name
  expect(row(wide, 197, 12 * STRIP)).toBe('strips')
  expect(row(wide, 197, 12 * STRIP + 8)).toBe('product')
  expect(row(wide, 1, 192)).toBe('product')
  expect(row(wide, 197, 192, 25_088)).toBe('product')
  expect(row({ ...wide, columns: 2 }, 197, 192)).toBe('product')
  expect(row({ ...wide, kind: 'gpu' }, 197, 192)).toBe('product')
})

describeDawn('on the null backend', () => {
  beforeAll(async () => {
    await init({ backend: 'null', fixedVariants: true })
  })
  afterAll(close)
  test('it compiles', async () => {
    const { launches, failures } = gpu()
    for (const on of [0, 1]) launches.pipeline(stripsProduct, { BIAS: on, GELU: on, RESIDUAL: on })
    await failures.settle()
  })
})

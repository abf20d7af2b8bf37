import { afterAll, beforeAll, expect, test } from 'vitest'
import { close, gpu, init } from '../../../src/gpu/device.ts'
import { type Alignment, productKernel, type ProductForm, sumKernel } from '../../../src/ops/matmul/kernels.ts'
import { productVariants, splitsFor } from '../../../src/ops/matmul/variants.ts'
import { describeDawn } from '../../support/dawn.ts'

const both = [false, true]

describeDawn('matmul variants on the null backend', () => {
  beforeAll(async () => {
    await init({ backend: 'null', fixedVariants: true })
  })
  afterAll(close)

  // The tiles of real use of the embedded device need more workgroup memory than the null backend has; matmul.test.ts
  // runs them there, and the small ones of the same loop compile here.
  for (const variant of productVariants.rows.filter(({ adapters }) => adapters?.join() !== 'embedded')) {
    test(`${variant.name} compiles in every form`, async () => {
      if (variant.features?.some((name) => !gpu().features.has(name))) return
      const { launches, failures } = gpu()
      // Three weights need ten buffers, two more than the null backend has; linears asks the adapter first, and its
      // test runs them.
      for (const form of ['plain', 'masked', 2] as ProductForm[]) {
        const { block } = variant, whole = { a: true, b: true, out: true }
        const alignments: Alignment[] = [
          { a: false, b: false, out: false },
          whole,
          ...block && typeof form === 'string' ? [{ ...whole, block }] : [],
        ]
        for (const alignment of alignments) {
          for (const [TRANSPOSE_A, TRANSPOSE_B] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
            launches.pipeline(productKernel(variant.file, alignment, form), {
              TRANSPOSE_A,
              TRANSPOSE_B,
              ...variant.overrides,
              BIAS: 1,
              GELU: 1,
              RESIDUAL: 1,
            })
          }
        }
      }
      await failures.settle()
    })
  }

  test('the second pass compiles', async () => {
    for (const aligned of both) {
      for (const on of [0, 1]) {
        for (const EACH of [1, 4]) {
          gpu().launches.pipeline(sumKernel(aligned), { BIAS: on, GELU: on, RESIDUAL: on, EACH })
        }
      }
    }
    await gpu().failures.settle()
  })
})

test('few outputs with many steps are split, many outputs are not', () => {
  const on = (kind: 'gpu' | 'software', M: number, N: number, K: number) =>
    splitsFor({ adapter: { kind } } as Parameters<typeof splitsFor>[0], { M, N, K })
  expect(on('gpu', 192, 192, 1576)).toBeGreaterThan(4)
  expect(on('software', 10, 10, 5000)).toBeGreaterThan(1)
  expect(on('gpu', 4096, 4096, 4096)).toBe(1)
  expect(on('software', 512, 512, 512)).toBe(1)
  // A sum of more than 8192 terms is cut for its accuracy, however many outputs there are.
  expect(on('gpu', 4096, 4096, 20000)).toBe(3)
})

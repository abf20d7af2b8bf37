import { afterAll, beforeAll, expect, test } from 'vitest'
import { close, gpu, init } from '../../../src/gpu/device.ts'
import type { Overrides } from '../../../src/gpu/kernel.ts'
import { type Alignment, productKernel, type ProductForm, sumKernel } from '../../../src/ops/matmul/kernels.ts'
import { type ProductVariant, productVariants, splitsFor } from '../../../src/ops/matmul/variants.ts'
import { machine } from '../../../src/ops/shared/variants.ts'
import { describeDawn } from '../../support/dawn.ts'

const both = [false, true]

// Other tiles that the overrides of a loop allow, by its file: the rows of the table take some of them.
const otherTiles: Record<string, Overrides[]> = {
  'matmul/registers.wgsl': [{ ROWS: 8, COLUMNS: 1, X: 8, Y: 8 }, { ROWS: 4, COLUMNS: 2, X: 16, Y: 4 }],
  'matmul/subgroup.wgsl': [{ ROWS: 4, LANES: 8 }],
  'matmul/tiled.wgsl': [{ STEP: 8 }],
  'matmul/blocked.wgsl': [
    { X: 8, Y: 8, STEP: 16, COLUMNS: 2 },
    { X: 16, Y: 8, STEP: 32, COLUMNS: 2 },
    { X: 8, Y: 4, STEP: 16, COLUMNS: 4 },
  ],
}

/** The overrides of a row, its blocks cut where the machine has less room than the embedded device. */
function fitting({ file, overrides }: ProductVariant): Overrides {
  if (file !== 'matmul/blocked.wgsl') return overrides
  const { maxComputeWorkgroupStorageSize: bytes, maxComputeInvocationsPerWorkgroup: invocations } = gpu().limits
  const { Y, COLUMNS } = overrides
  const X = Math.min(overrides.X, 4 * Math.floor(invocations / Y / 4))
  return { ...overrides, X, STEP: Math.min(overrides.STEP, 4 * Math.floor(bytes / (64 * (X + COLUMNS * Y)))) }
}

describeDawn('matmul variants on the null backend', () => {
  beforeAll(async () => {
    await init({ backend: 'null', fixedVariants: true })
  })
  afterAll(close)

  async function compile({ features, file, block }: ProductVariant, overrides: Overrides) {
    if (features?.some((name) => !gpu().features.has(name))) return
    const { launches, failures } = gpu()
    // Three weights need ten buffers, two more than the null backend has; linears asks the adapter first, and its test
    // runs them.
    for (const form of ['plain', 'masked', 2] as ProductForm[]) {
      const whole = { a: true, b: true, out: true }
      const alignments: Alignment[] = [
        { a: false, b: false, out: false },
        whole,
        ...block && typeof form === 'string' ? [{ ...whole, block }] : [],
      ]
      for (const alignment of alignments) {
        for (const [TRANSPOSE_A, TRANSPOSE_B] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
          launches.pipeline(productKernel(file, alignment, form), {
            TRANSPOSE_A,
            TRANSPOSE_B,
            ...overrides,
            BIAS: 1,
            GELU: 1,
            RESIDUAL: 1,
          })
        }
      }
    }
    await failures.settle()
  }

  const files = new Set<string>()
  for (const variant of productVariants.rows) {
    test(`${variant.name} compiles in every form`, () => compile(variant, fitting(variant)))
    if (files.has(variant.file)) continue
    files.add(variant.file)
    for (const overrides of otherTiles[variant.file]) {
      const block = overrides.COLUMNS as 2 | 4
      test(`${variant.file} compiles with ${JSON.stringify(overrides)}`, () =>
        compile(variant.block ? { ...variant, block } : variant, overrides))
    }
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
    splitsFor({ M, N, K }, { ...machine(), kind })
  expect(on('gpu', 192, 192, 1576)).toBeGreaterThan(4)
  expect(on('software', 10, 10, 5000)).toBeGreaterThan(1)
  expect(on('gpu', 4096, 4096, 4096)).toBe(1)
  expect(on('software', 512, 512, 512)).toBe(1)
  // A sum of more than 8192 terms is cut for its accuracy, however many outputs there are.
  expect(on('gpu', 4096, 4096, 20000)).toBe(3)
})

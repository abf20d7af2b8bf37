// Every variant of the kernels of elementwise, reduce, permute, gather, scatter and dropout compiles on dawn's null
// backend, which offers the least that WebGPU guarantees.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { close, gpu, init } from '../../src/gpu/device.ts'
import { declaredKernels, type Overrides } from '../../src/gpu/kernel.ts'
import { elementwiseKernels } from '../../src/ops/elementwise.ts'
import '../../src/ops/dropout.ts'
import '../../src/ops/gate.ts'
import '../../src/ops/gather.ts'
import '../../src/ops/permute.ts'
import '../../src/ops/reduce.ts'
import '../../src/ops/scatter.ts'
import { describeDawn } from '../support/dawn.ts'

/** All combinations of override values. */
function combinations(choices: Record<string, number[]>): Overrides[] {
  return Object.entries(choices).reduce<Overrides[]>(
    (all, [name, values]) => all.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))),
    [{}],
  )
}

const variants: Record<string, Record<string, number[]>> = {
  'elementwise.wgsl': { PAIRS: [0, 1] },
  'shared/broadcast.wgsl': { AXES: [0, 1, 2, 5], ELEMENTWISE: [0, 1] },
  'permute.wgsl': { AXES: [0, 1, 2, 5], VECTORS: [0, 1] },
  'pad.wgsl': { AXES: [0, 1, 2, 5], VECTORS: [0, 1], ROLL: [0, 1] },
  'concat.wgsl': {},
  'gather/gather.wgsl': { VECTORS: [0, 1] },
  'dropout.wgsl': {},
  'gather/scatter-add.wgsl': { VECTORS: [0, 1], THREADS: [1, 16] },
  'gather/scatter.wgsl': { RESIDUAL: [0, 1], RELU: [0, 1] },
  'reduce.wgsl': { KIND: [0, 1, 2], SQUARE: [0, 1], ROOT: [0, 1], THREADS: [1, 4, 8, 16, 64] },
}

describeDawn('variants on the null backend', () => {
  beforeAll(async () => {
    await init({ backend: 'null' })
  })
  afterAll(close)

  test.each(Object.keys(variants))('%s', async (file) => {
    elementwiseKernels()
    const kernels = declaredKernels().filter((kernel) => kernel.file === file)
    expect(kernels.length).toBeGreaterThan(0)
    for (const kernel of kernels) {
      // An entry point takes the overrides of its file, whether it uses them or not.
      for (const overrides of combinations(variants[file])) gpu().launches.pipeline(kernel, overrides)
    }
    await gpu().failures.settle()
  })
})

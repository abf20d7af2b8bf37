// Every variant of the row kernels compiles on dawn's null backend, which offers the least that WebGPU guarantees.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { close, gpu, init } from '../../src/gpu/device.ts'
import { declaredKernels } from '../../src/gpu/kernel.ts'
import '../../src/ops/cross-entropy.ts'
import '../../src/ops/layernorm.ts'
import '../../src/ops/softmax.ts'
import { describeDawn } from '../support/dawn.ts'

describeDawn('row kernels on the null backend', () => {
  beforeAll(async () => {
    await init({ backend: 'null' })
  })
  afterAll(close)

  test.each([
    'softmax/forward',
    'softmax/gradient',
    'layernorm/forward',
    'layernorm/gradient',
    'cross-entropy',
  ])('%s', async (name) => {
    const kernels = declaredKernels().filter(({ file }) => file === `${name}.wgsl`)
    expect(kernels.length).toBeGreaterThan(1)
    const extra = {
      'softmax/forward': [{ KEEP: 0 }, { KEEP: 1 }, { KEEP: 2 }],
      'layernorm/forward': [{ PAIRS: 0 }, { PAIRS: 1 }],
    }[name]
      ?? [{}]
    for (const kernel of kernels) {
      for (const THREADS of [1, 8, 32, 64]) {
        for (const more of extra) gpu().launches.pipeline(kernel, { THREADS, ...more })
      }
    }
    await gpu().failures.settle()
  })
})

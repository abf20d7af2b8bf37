// Every variant of the convolution, depthwise, pooling and batch norm kernels compiles within the limits of dawn's null
// backend.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { close, gpu, init } from '../../../src/gpu/device.ts'
import { declaredKernels } from '../../../src/gpu/kernel.ts'
import '../../../src/ops/batchnorm.ts'
import { blockedKernels } from '../../../src/ops/conv2d/blocked.ts'
import { stagedKernel, stagedWeightKernel, stageOf } from '../../../src/ops/conv2d/depthwise-staged.ts'
import { registersKernel, registersWeightKernel } from '../../../src/ops/conv2d/registers.ts'
import { tiledKernel, smallTile, tiledWeightKernel, tiles } from '../../../src/ops/conv2d/tiled.ts'
import { winogradProduct } from '../../../src/ops/conv2d/winograd-kernels.ts'
import '../../../src/ops/conv2d/conv2d.ts'
import '../../../src/ops/conv2d/depthwise.ts'
import '../../../src/ops/pool.ts'
import { describeDawn } from '../../support/dawn.ts'

describeDawn('variants on the null backend', () => {
  beforeAll(async () => {
    await init({ backend: 'null' })
  })
  afterAll(close)

  test('all compile', async () => {
    for (const shared of [1, 2, 3, 4, 5, 6, 7, 8]) {
      for (const TM of [1, 2]) for (const TN of [4, 8]) registersKernel(TM, TN, shared)
      registersWeightKernel(1, 2, shared, 1)
    }
    for (const shared of [1, 2, 3, 4, 5, 6, 7, 8]) {
      for (const TC of [1, shared === 1 ? 8 : shared <= 3 ? 4 : 2]) registersWeightKernel(2, TC, shared, 2)
    }
    for (const tile of [...tiles, smallTile]) {
      tiledKernel(tile)
      tiledWeightKernel(tile)
    }
    for (const n of [1, 2, 3]) {
      for (const step of [1, 2]) {
        const at = { stride: [n, n], padding: [1, 1], dilation: [n, 2] } as const
        const work = { x: [1, 1, 9, 9], y: [1, 1, 9, 9], w: [1, 1, 3, n + 1], at, step: [step, 1] } as const
        const { constants } = stageOf({ ...work, reverse: false, products: 1 })!
        for (const vectors of [true, false]) stagedKernel(constants, vectors)
        stagedWeightKernel(constants)
      }
    }
    const { launches, failures } = gpu()
    for (const kernel of Object.values(blockedKernels).flatMap((some) => Object.values(some))) {
      launches.pipeline(kernel, { X: 4, Y: 2 })
    }
    launches.pipeline(winogradProduct, { X: 4, Y: 2 })
    for (const kernel of declaredKernels()) launches.pipeline(kernel)
    await failures.settle()
    expect(launches.counts.pipelines).toBeGreaterThan(40)
  })
})

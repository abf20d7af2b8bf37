import { expect, test } from 'vitest'
import { Identity, foldBatchNorm } from '../../src/nn/fold.ts'
import { BatchNorm, Conv2d, disposeTree, leaves, scope, tensor, type Tensor } from '../../src/index.ts'
import { gatesOf } from '../../src/nn/gates.ts'
import { loadGolden } from '../support/attribution-goldens.ts'
import { describeDevice } from '../support/device.ts'
import { relativeError } from '../reference/nd.ts'

describeDevice('foldBatchNorm', () => {
  test('the worked vector', async () => {
    const conv = new Conv2d(1, 1, 1), norm = new BatchNorm(1)
    for (
      const [target, value] of [[conv.weight, 2], [conv.bias!, 1], [norm.gain, 3], [norm.bias, 0.5], [norm.mean, 1], [
        norm.variance,
        3.99999,
      ]] as const
    ) target.write(Float32Array.of(value))
    const model = {
      conv,
      norm,
      call(x: Tensor): Tensor {
        return this.norm.call(this.conv.call(x))
      },
    }
    const folded = foldBatchNorm(model, [1, 1, 2, 2])
    expect((await folded.conv.weight.data())[0]).toBeCloseTo(3, 5)
    expect((await folded.conv.bias!.data())[0]).toBeCloseTo(0.5, 5)
    expect(folded.norm).toBeInstanceOf(Identity)
    disposeTree([model, folded])
  })

  for (const name of ['tv_vgg11_bn_d16', 'tv_resnet_bottleneck_w4'] as const) {
    test(`${name} computes the same without batch norms, under the same gates and masks`, async () => {
      const { model, images } = loadGolden(name)
      const masked = gatesOf(model).find(([, gate]) => !gate.branchLocal)!
      masked[1].mask = tensor(Float32Array.from({ length: 4 }, (_, i) => i % 2))
      const folded = foldBatchNorm(model, images.shape)
      expect(leaves(folded).filter(([path]) => /norm\./.test(path))).toEqual([])
      expect(gatesOf(folded).map(([path]) => path)).toEqual(gatesOf(model).map(([path]) => path))
      const before = scope(() => model.call(images))
      disposeTree(model) // shared buffers stay as long as either needs them
      const after = scope(() => folded.call(images))
      expect(relativeError(await after.data(), await before.data())).toBeLessThan(1e-5)
      disposeTree([folded, images, before, after])
    })
  }

  test('a layer that also feeds something else keeps its batch norm', async () => {
    const conv = new Conv2d(2, 2, 1), norm = new BatchNorm(2)
    const { add } = await import('../../src/index.ts')
    const model = {
      conv,
      norm,
      call(x: Tensor): Tensor {
        const y = this.conv.call(x)
        return add(this.norm.call(y), y)
      },
    }
    const folded = foldBatchNorm(model, [1, 2, 3, 3])
    expect(folded.norm).toBeInstanceOf(BatchNorm)
    disposeTree([model, folded])
  })
})

// What an evaluation's clock counts, on a network that is slow on purpose the first times it runs.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { close, init } from '../../src/gpu/device.ts'
import { linear } from '../../src/ops/matmul/linear.ts'
import { reshape } from '../../src/ops/reshape.ts'
import { type Tensor, tensor } from '../../src/core/tensor.ts'
import type { Batch, Dataset } from '../../src/data/datasets.ts'
import { defaultPreprocessing } from '../../src/data/preprocess.ts'
import { accuracyOf, evaluate } from '../../src/train/evaluate.ts'
import { timeBoth, timeOf } from '../../src/train/timing.ts'

beforeAll(() => init({ adapter: 'cpu', threads: 1 }))
afterAll(close)

/** Burns time on this thread; what runs outside a captured list (the first, eager pass and the capture) pays it. */
function burn(ms: number) {
  for (const start = performance.now(); performance.now() - start < ms;);
}

class Cold {
  weight: Tensor
  readonly cold: number
  runs = 0

  constructor(cold: number, width = 16, classes = 4) {
    this.cold = cold
    this.weight = tensor(Float32Array.from({ length: classes * width }, (_, i) => Math.sin(i)), [classes, width])
  }

  call(x: Tensor): Tensor {
    this.runs++
    burn(this.cold)
    return linear(reshape(x, { shape: [x.shape[0], 16] }), this.weight, null, {})
  }
}

const images = (count: number): Dataset => ({
  name: 'noise',
  length: count,
  labels: new Int32Array(count),
  preprocessing: defaultPreprocessing('cnn', 4, 1),
  inputShape: () => Promise.resolve([1, 4, 4]),
  async *batches({ size }) {
    for (let start = 0; start < count; start += size) {
      const n = Math.min(size, count - start)
      const values = Float32Array.from({ length: n * 16 }, (_, i) => Math.cos(start * 16 + i))
      const indices = Int32Array.from({ length: n }, (_, i) => start + i)
      const batch: Batch = { images: values, shape: [n, 1, 4, 4], labels: new Int32Array(n), indices }
      yield await Promise.resolve(batch)
    }
  },
})

test.each([[4], [20], [21], [100]])('%i images: cold starts are not in the time per image', async (count) => {
  const model = new Cold(80)
  const found = await evaluate(model, images(count), { batch: 4 })
  // Cold, four images take 20 ms each.
  expect(found.msPerImage).toBeLessThan(10)
  expect(found.imagesPerSecond).toBeCloseTo(1000 / found.msPerImage)
  expect(found.msPerImageMad).toBeGreaterThanOrEqual(0)
  const { msPerImage: _, msPerImageMad: __, imagesPerSecond: ___, ...accuracy } = found
  expect(await accuracyOf(model, images(count), { batch: 4 })).toEqual(accuracy)
})

test('without a clock nothing runs that accuracy does not need', async () => {
  const clocked = new Cold(0), plain = new Cold(0)
  await evaluate(clocked, images(8), { batch: 8 })
  await accuracyOf(plain, images(8), { batch: 8 })
  expect(plain.runs).toBeLessThan(clocked.runs) // the capture alone
})

test('networks in turns: the cold start of neither counts, and equal ones do not differ by much', async () => {
  const { before, after } = await timeBoth(new Cold(100), new Cold(0), [4, 1, 4, 4])
  expect(before.msPerImage).toBeLessThan(10)
  expect(after.timeShareLow).toBeLessThanOrEqual(after.timeShare)
  expect(after.timeShareHigh).toBeGreaterThanOrEqual(after.timeShare)
  expect((await timeOf(new Cold(100), [4, 1, 4, 4])).msPerImage).toBeLessThan(10)
})

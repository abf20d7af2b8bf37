// Scores of weights by images, put together to tiles, against plain loops.
import { expect, test } from 'vitest'
import { disposeTree } from '../../../src/core/tree.ts'
import { tensor, type Tensor } from '../../../src/core/tensor.ts'
import type { Dataset } from '../../../src/data/datasets.ts'
import { linear } from '../../../src/ops/matmul/linear.ts'
import { reshape } from '../../../src/ops/reshape.ts'
import { byEntry, readWeights } from '../../../src/pruning/scores/weights.ts'
import { defaultPreprocessing } from '../../../src/data/preprocess.ts'
import { describeDevice } from '../../support/device.ts'

const W = [[0.5, 1, -1, 2], [2, -1, 0.5, -3]], pictures = [[1, -2, 3, 1], [2, 1, -1, 0.5]], labels = [1, 0]
const references: Dataset = {
  name: 'two',
  length: 2,
  labels: Int32Array.from(labels),
  preprocessing: defaultPreprocessing('cnn', 2),
  inputShape: () => Promise.resolve([1, 2, 2]),
  async *batches({ size }) {
    for (let i = 0; i < 2; i += size) {
      const indices = Int32Array.from([0, 1].slice(i, i + size))
      yield {
        images: Float32Array.from(pictures.slice(i, i + size).flat()),
        shape: [indices.length, 1, 2, 2],
        labels: indices.map((at) => labels[at]),
        indices,
      }
    }
  },
}
const values = new Map([['weight', Float32Array.from(W.flat())]])
const site = { path: 'weight', paths: ['weight'], outputs: [2], inputs: [4], matrix: [2, 4] } as const
const shared = { sites: [site], values, references, classes: 2, batch: 2, seed: 0 }

describeDevice('readWeights', () => {
  test.each(['signed', 'abs-of-mean', 'mean-of-abs', 'mean-of-abs-everywhere'] as const)('%s', async (aggregation) => {
    const weight = tensor(W)
    const model = { weight, call: (x: Tensor) => linear(reshape(x, { shape: [x.shape[0], 4] }), weight, null) }
    const scores = await readWeights({ ...shared, model, aggregation, tile: () => [2, 2] }, {
      seed: 'logit',
      composite: null,
      read: 'relevance',
    })
    // by hand: w x for the row of the image's class, summed over tiles of 2 x 2, here in the columns 0, 1 and 2, 3
    const each = pictures.map((x, n) => W.flatMap((row, r) => row.map((w, c) => r === labels[n] ? w * x[c] : 0)))
    const sum = (of: number[], tile: number) => of.reduce((a, v, i) => a + (Math.floor(i % 4 / 2) === tile ? v : 0), 0)
    const want = Array.from({ length: 8 }, (_, i) => {
      const tile = Math.floor(i % 4 / 2), sums = each.map((of) => sum(of, tile))
      if (aggregation === 'mean-of-abs-everywhere') return (Math.abs(each[0][i]) + Math.abs(each[1][i])) / 2
      if (aggregation === 'mean-of-abs') return (Math.abs(sums[0]) + Math.abs(sums[1])) / 2 / 4
      const mean = (sums[0] + sums[1]) / 2 / 4
      return aggregation === 'abs-of-mean' ? Math.abs(mean) : mean
    })
    const got = [...scores.get('weight')! as Float32Array]
    got.forEach((value, i) => expect(value, `entry ${i}`).toBeCloseTo(want[i], 5))
    disposeTree(weight)
  })

  test('byEntry takes each weight alone', async () => {
    const weight = tensor(W), model = { weight, call: (x: Tensor) => x }
    const scores = await byEntry({ ...shared, model, aggregation: 'signed', tile: () => [1, 1] }, Math.abs)
    expect([...scores.get('weight')! as Float32Array]).toEqual(W.flat().map(Math.abs))
    disposeTree(weight)
  })
})

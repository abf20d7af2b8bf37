// `espalier demo`: the first thing a newcomer runs. Trains a small network on the digits that ship with the package.
import { close, init } from '../gpu/device.ts'
import { evaluate } from '../evaluation.ts'
import { openDataset } from '../io/datasets.ts'
import { packageFile, packageVersion } from '../io/package.ts'
import { MLP } from '../../models/mlp.ts'
import { initialize } from '../nn/init.ts'
import { fit } from '../training.ts'
import type { CommandSpec } from './command.ts'

const epochs = 8
const digits = (first: number, last: number) =>
  `idx:${packageFile('models/data/digits/images-idx3-ubyte.gz')},${packageFile('models/data/digits/labels-idx1-ubyte.gz')}#${first}-${last}`

/** The command `espalier demo`. */
export const demo: CommandSpec = {
  name: 'demo',
  summary: 'trains a small network on the handwritten digits that ship with the package',
  declare() {},
  async run({ adapter, threads, seed = 0 }, talk) {
    const gpu = await init({ adapter, threads })
    try {
      const preprocessing = { resize: null, crop: null, interpolation: 'bilinear', mean: [0.1307], std: [0.3081], channels: 1, cropRounding: 'floor' } as const
      const train = await openDataset(digits(0, 1599), { preprocessing, classes: 10 })
      const test = await openDataset(digits(1600, 1999), { preprocessing, classes: 10 })
      const model = initialize(new MLP({ hidden: [128] }), seed, 'kaiming')
      talk.say(`espalier demo on ${gpu.adapter.name}: a perceptron learns ${train.length} handwritten digits`)
      const before = await evaluate(model, test, { batch: 100 })
      const progress = talk.progress('training', epochs * train.length)
      const { losses } = await fit(model, train, { epochs, batch: 50, rate: 2e-3, seed, classes: 10,
        onStep: (images, loss, epoch) => { progress.update(epoch * train.length + images, `loss ${loss.toFixed(3)}`) } })
      progress.stop()
      const after = await evaluate(model, test, { batch: 100 })
      const figures = ({ top1, top5, loss, images }: typeof after) => ({ top1, top5, loss, images })
      return {
        json: { before: figures(before), after: figures(after), losses, seed, adapter: gpu.adapter.name, version: packageVersion() },
        text: [`loss per epoch: ${losses.map((loss) => loss.toFixed(3)).join('  ')}`,
          `top-1 on ${test.length} digits it has not seen: ${percent(before.top1)} before, ${percent(after.top1)} after training`].join('\n'),
      }
    } finally {
      await close()
    }
  },
}

const percent = (fraction: number) => `${(100 * fraction).toFixed(1)} %`

// A network of one's own: trained a step, pruned, saved and loaded with nothing but its file and its class.
// Run it in the package's folder with `node examples/own-model.ts` (Node 22.18 or later), or any runner of TypeScript.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { adamW, close, Conv2d, crossEntropy, evaluate, Gate, init, initialize, Linear, loadModel, mean, openDataset,
  type Preprocessing, relu, registerArchitecture, saveModel, score, select, sliceModel, tensor, type Tensor, units,
  valueAndGrad } from 'espalier'

/** Two convolutions with a gate between, the mean over the picture, and a layer of classes. */
class Small {
  first: Conv2d
  between = new Gate([-3])
  second: Conv2d
  classes: Linear

  constructor({ width, classes }: { width: number, classes: number }) {
    this.first = new Conv2d(3, width, 3, { padding: 1, stride: 2 })
    this.second = new Conv2d(width, 32, 3, { padding: 1, stride: 2 })
    this.classes = new Linear(32, classes)
  }

  call(image: Tensor): Tensor {
    const inner = this.between.call(relu(this.first.call(image)))
    return this.classes.call(mean(relu(this.second.call(inner)), { axes: [-2, -1] }))
  }
}
registerArchitecture('small', (options: { width: number, classes: number }) => new Small(options))

await init({ adapter: process.argv[2] })
const folder = mkdtempSync(join(tmpdir(), 'own-model-')), file = join(folder, 'small.safetensors')
const preprocessing: Preprocessing = {
  resize: null,
  crop: null,
  interpolation: 'bilinear',
  mean: [0.5, 0.5, 0.5],
  std: [0.25, 0.25, 0.25],
  channels: 3,
  cropRounding: 'floor',
}
const data = await openDataset('cifar10:models/data/cifar10/test200.bin', { preprocessing })

const options = { width: 16, classes: 10 }, model = initialize(new Small(options), 0, 'kaiming')
const optimizer = adamW(model, { rate: 1e-3 })
for await (const { images, shape, labels } of data.batches({ size: 100 })) {
  const [, gradient] = valueAndGrad((net: Small) => crossEntropy(net.call(tensor(images, shape)), tensor(labels)))(
    model,
  )
  optimizer.update(model, gradient)
}

const found = units(model, [1, 3, 32, 32])
const scores = await score(model, found, { method: 'magnitude' })
const pruned = await sliceModel(model, [1, 3, 32, 32], select(found, scores, { keep: 0.5 }), { found })
await saveModel(file, pruned, { architecture: { type: 'small', ...options } })

// In another process: the class, registerArchitecture, and this line.
const loaded = await loadModel<Small>(file)
const [before, after] = [await evaluate(pruned, data), await evaluate(loaded.model, data)]
console.log(`${pruned.first.weight.shape[0]} of ${options.width} filters, loss ${before.loss}; loaded, ${after.loss}`)

rmSync(folder, { recursive: true })
await close()

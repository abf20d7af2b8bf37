// Prunes the ResNet-20 that ships with the package: in one call, and in the steps that the call is made of.
// Run it in the package's folder with `node examples/prune.ts` (Node 22.18 or later), or any runner of TypeScript.
import { close, evaluate, init, loadCheckpoint, openDataset, prune, score, select, sliceModel, units } from 'espalier'

const cifar = 'models/data/cifar10/'

await init({ adapter: process.argv[2] })
const { model, preprocessing } = await loadCheckpoint(`${cifar}resnet20.safetensors`)
const images = await openDataset(`cifar10:${cifar}train100.bin`, { preprocessing })
const test = await openDataset(`cifar10:${cifar}test200.bin#0-99`, { preprocessing })

// One call: score by relevance, cut to 70 % of the multiply-adds, compare with the masked network.
const small = await prune(model, { method: 'pxp', data: images, macs: 0.7 })
console.log(`${(100 * small.rate).toFixed(1)} % of the filters are gone; ${small.notes.join('; ')}`)

// In steps: what may go, how much it matters, what stays, the smaller network.
const found = units(model, [1, 3, 32, 32])
const scores = await score(model, found, { method: 'magnitude' })
const other = await sliceModel(model, [1, 3, 32, 32], select(found, scores, { keep: 0.8 }), { found })

for (const [name, network] of Object.entries({ dense: model, relevance: small.model, magnitude: other })) {
  console.log(`${name}: top-1 ${(100 * (await evaluate(network, test)).top1).toFixed(1)} %`)
}
await close()

// Loads a model file that holds a packed network, in a process of its own, and prunes the network again:
// node model-file-program.mjs <file> <file of the network pruned again>. Prints JSON, or the error's message.
import { close, init } from '../../src/gpu/device.ts'
import { InputError, loadModel, patternOf, registerArchitecture, saveModel, sparsify,
  sparseWeights } from '../../src/index.ts'
import { type Garden, gardenImages, gardenOf } from './own-models.ts'

const [file, again] = process.argv.slice(2)
registerArchitecture('garden', gardenOf)
await init({ adapter: 'cpu', threads: 1, fixedVariants: true })
try {
  const { model, architecture } = await loadModel<Garden>(file), images = gardenImages()
  const logits = [...await model.call(images).data()]
  const packed = sparseWeights(model).map(([path, { packing: { pattern } }]) => [path, pattern.name])
  const more = await sparsify(model, images.shape, { pattern: patternOf('unstructured'), density: 0.5 })
  await saveModel(again, more, { architecture: architecture! })
  console.log(JSON.stringify({ logits, packed, more: [...await more.call(images).data()] }))
} catch (error) {
  if (!(error instanceof InputError)) throw error
  console.log(JSON.stringify({ refused: error.message }))
}
await close()

// What a program does with the package in a page, and in Node the same: a checkpoint and a picture from bytes, the
// network's answer, why, as PNG. `read` gives the bytes of a file by its name.
import { close, foldBatchNorm, heatmapOf, heatmapPixels, heatmapPng, init, loadImage } from 'espalier'
import { lrp, oneHot, tensor } from 'espalier'
import { attnLRP, attributionMethodOf, inference, matmul } from 'espalier'
import { loadCheckpoint } from 'espalier/models'

export async function story(read, options) {
  const { adapter } = await init(options)
  const bytes = await read('resnet20.safetensors')
  const { model, preprocessing, classCount } = await loadCheckpoint(bytes, { name: 'resnet20.safetensors' })
  const answers = {}
  for (const name of ['photo.jpg', 'photo.png']) {
    const { pixels, input } = await loadImage(await read(name), { ...preprocessing, resize: 32, crop: 32 })
    const shape = [1, pixels.channels, pixels.height, pixels.width], images = tensor(input, shape)
    const logits = [...await model.call(images).data()], best = logits.indexOf(Math.max(...logits))
    const folded = foldBatchNorm(model, shape)
    const reading = attributionMethodOf('epsilon-gamma-box', preprocessing)(folded, images, oneHot([best], classCount))
    const heatmap = heatmapOf(await reading.input.data(), ...shape.slice(1))
    const png = heatmapPng(heatmap, { over: pixels, width: 128 })
    answers[name] = {
      best,
      logits,
      pixels: checksum(pixels.data),
      sum: heatmap.values.reduce((sum, value) => sum + value, 0),
      png: [png.length > 500, ...png.subarray(1, 4), png[16 + 2] * 256 + png[16 + 3]],
    }
  }
  // names that are imported but not called must be there too
  const typeNames = [lrp, attnLRP, inference, matmul].map((value) => typeof value).join()
  await close()
  return { adapter: adapter.kind, answers, typeNames }
}

/** A map of red, blue, white and half red in the corners. */
export const corners = heatmapOf(Float32Array.of(1, -1, 0, 0.5), 1, 2, 2)

export const drawn = () => heatmapPixels(corners, { width: 8 })

export const checksum = (bytes) => bytes.reduce((sum, byte, i) => (sum * 31 + byte + i) >>> 0, 7)

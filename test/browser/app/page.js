// The page of every bundler's project: runs the story on the embedded device, draws on canvases, posts what it found.
import { drawHeatmap, loadImage } from 'espalier'
import { explain, open } from './readme.js'
import { checksum, corners, story } from './story.js'

const query = new URLSearchParams(location.search)
const post = (found) => fetch(`${query.get('post') ?? ''}/result`, { method: 'POST', body: JSON.stringify(found) })
const read = async (name) => new Uint8Array(await (await fetch(`./${name}`)).arrayBuffer())

/** Every kind of picture a page may have gives the same planes, of a PNG at least. */
async function sources() {
  const bytes = await read('photo.png'), blob = new Blob([bytes], { type: 'image/png' })
  const bitmap = await createImageBitmap(blob)
  const canvas = document.createElement('canvas'), offscreen = new OffscreenCanvas(bitmap.width, bitmap.height)
  canvas.width = bitmap.width
  canvas.height = bitmap.height
  for (const each of [canvas, offscreen]) each.getContext('2d').drawImage(bitmap, 0, 0)
  const img = new Image()
  img.src = URL.createObjectURL(blob)
  await img.decode()
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
  const size = { resize: null, crop: null, interpolation: 'bilinear', cropRounding: 'floor' }
  const asIs = { ...size, mean: [0], std: [1], channels: 3 }
  const file = new File([blob], 'photo.png')
  const all = { bytes, buffer: bytes.buffer, blob, file, bitmap, canvas, offscreen, img, data,
    address: './photo.png', url: new URL('./photo.png', location.href) }
  const found = {}
  for (const [kind, source] of Object.entries(all)) found[kind] = checksum((await loadImage(source, asIs)).pixels.data)
  return found
}

function drawing() {
  const canvas = document.createElement('canvas')
  drawHeatmap(canvas, corners, { width: 8 })
  const at = (x, y) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data]
  return { size: [canvas.width, canvas.height], red: at(0, 0), blue: at(7, 0), white: at(0, 7) }
}

async function main() {
  const worker = query.get('worker') ?? undefined
  const found = await story(read, { adapter: 'cpu', worker })
  const net = await open('./resnet20.safetensors', { worker }), canvas = document.createElement('canvas')
  net.preprocessing = { ...net.preprocessing, resize: 32, crop: 32 }
  const readme = [await explain(net, new File([await read('photo.jpg')], 'photo.jpg'), canvas), canvas.width]
  return { ...found, readme, sources: await sources(), drawing: drawing(), isolated: crossOriginIsolated }
}

main().catch((error) => ({ error: String(error), stack: String(error.stack) })).then(post)

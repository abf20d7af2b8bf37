// Training augmentation on the CPU. Everything is drawn from (seed, epoch, image index), so a resumed run, another
// batch size or another thread sees the same pictures. Geometry and colour act on 8-bit planes before resizing and
// normalising; erasing, mixup and cutmix act on the finished batch. Papers: Cubuk et al. 2020 (RandAugment), Zhong et
// al. 2020 (random erasing), Zhang et al. 2018 (mixup), Yun et al. 2019 (cutmix), Szegedy et al. 2015 (random resized
// crop).
import { InputError } from '../base/errors.ts'
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { type Draw, random } from '../base/random.ts'
import { brightness, colourfulness, contrast, equalize, posterize, solarize, stretchContrast, warp } from './colour.ts'
import type { Pixels } from './images.ts'
import { crop } from './preprocess.ts'
import { type Interpolation, resize } from './resize.ts'

/** What to do to training pictures; whatever is absent or 0 is left out. */
export interface Augmentation {
  /** Pads by this many pixels of black and cuts a random window of the old size (CIFAR: 4). */
  padCrop?: number
  /**
   * Cuts a random rectangle of this share of the area, e.g. [0.08, 1], sides 3:4 to 4:3, and resizes it to the crop
   * size.
   */
  resizedCrop?: readonly [number, number]
  /** Probability of mirroring left to right, e.g. 0.5. */
  flip?: number
  /** RandAugment: `ops` random operations of strength `magnitude` 0..10, e.g. { ops: 2, magnitude: 9 }. */
  randAugment?: { ops: number, magnitude: number }
  /** Probability of filling a random rectangle with noise, e.g. 0.25. */
  erase?: number
  /** Beta(a, a) parameter of mixup, e.g. 0.8. */
  mixup?: number
  /** Beta(a, a) parameter of cutmix, e.g. 1; with both, each batch picks one. */
  cutmix?: number
}

const augmentationKeys: OptionKeys<Augmentation> = {
  padCrop: true,
  resizedCrop: true,
  flip: true,
  randAugment: true,
  erase: true,
  mixup: true,
  cutmix: true,
}

/** Throws InputError where a parameter is out of range, or there is none of that name. */
export function checkAugmentation(a: Augmentation): void {
  checkOptions('augmentation', a, augmentationKeys)
  const within = (name: string, value: number | undefined, low: number, high: number) => {
    if (value !== undefined && !(value >= low && value <= high)) {
      throw new InputError(`augmentation: ${name} must lie in ${low}..${high}, got ${value}`)
    }
  }
  within('padCrop', a.padCrop, 0, 1024)
  within('flip', a.flip, 0, 1)
  within('erase', a.erase, 0, 1)
  within('mixup', a.mixup, 0, 100)
  within('cutmix', a.cutmix, 0, 100)
  within('randAugment ops', a.randAugment?.ops, 0, 16)
  within('randAugment magnitude', a.randAugment?.magnitude, 0, 10)
  within('resizedCrop low', a.resizedCrop?.[0], 0.001, 1)
  within('resizedCrop high', a.resizedCrop?.[1], a.resizedCrop?.[0] ?? 0, 1)
}

/** The random choices for one image of one epoch; the same for the same three numbers. */
export function drawFor(seed: number, epoch: number, index: number): Draw {
  return random(seed, `augment ${epoch} ${index}`)
}

/**
 * Crop, mirror and RandAugment of one picture; `size` is the side that `resizedCrop` delivers (null: the picture's
 * own).
 */
export function augmentPixels(
  image: Pixels,
  a: Augmentation,
  draw: Draw,
  size: number | null,
  interpolation: Interpolation,
): Pixels {
  let result = image
  if (a.resizedCrop) result = randomResizedCrop(result, a.resizedCrop, draw, size, interpolation)
  if (a.padCrop) result = padAndCrop(result, a.padCrop, draw)
  if (a.flip && draw.next() < a.flip) result = mirror(result)
  if (a.randAugment) {
    for (let i = 0; i < a.randAugment.ops; i++) result = randomOperation(result, a.randAugment.magnitude / 10, draw)
  }
  return result
}

/** Mirrored left to right. */
export function mirror(image: Pixels): Pixels {
  const { width, data } = image, out = new Uint8Array(data.length)
  for (let row = 0; row < data.length; row += width) {
    for (let x = 0; x < width; x++) out[row + x] = data[row + width - 1 - x]
  }
  return { ...image, data: out }
}

function padAndCrop(image: Pixels, pad: number, draw: Draw): Pixels {
  const { width, height, channels, data } = image, out = new Uint8Array(data.length)
  const dx = draw.integer(2 * pad + 1) - pad, dy = draw.integer(2 * pad + 1) - pad
  const x0 = Math.max(0, -dx), x1 = Math.min(width, width - dx)
  for (let y = Math.max(0, -dy); y < Math.min(height, height - dy); y++) {
    for (let c = 0; c < channels && x0 < x1; c++) {
      const from = (c * height + y + dy) * width + dx
      out.set(data.subarray(from + x0, from + x1), (c * height + y) * width + x0)
    }
  }
  return { ...image, data: out }
}

function randomResizedCrop(
  image: Pixels,
  [low, high]: readonly [number, number],
  draw: Draw,
  size: number | null,
  interpolation: Interpolation,
): Pixels {
  const { width, height } = image, outWidth = size ?? width, outHeight = size ?? height
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = width * height * (low + (high - low) * draw.next())
    const ratio = Math.exp(Math.log(3 / 4) + (Math.log(4 / 3) - Math.log(3 / 4)) * draw.next())
    const w = Math.round(Math.sqrt(area * ratio)), h = Math.round(Math.sqrt(area / ratio))
    if (w < 1 || h < 1 || w > width || h > height) continue
    const left = draw.integer(width - w + 1), top = draw.integer(height - h + 1)
    return resize(crop(image, left, top, w, h), outWidth, outHeight, interpolation)
  }
  const side = Math.min(width, height) // no rectangle fitted: the centre square
  return resize(crop(image, width - side >> 1, height - side >> 1, side, side), outWidth, outHeight, interpolation)
}

// RandAugment with ten of its fourteen operations; `m` is 0..1 and geometry goes either way.
function randomOperation(image: Pixels, m: number, draw: Draw): Pixels {
  const signed = draw.next() < 0.5 ? -m : m, { width, height } = image
  const cos = Math.cos(signed * Math.PI / 6), sin = Math.sin(signed * Math.PI / 6) // up to 30 degrees
  switch (draw.integer(10)) {
    case 0:
      return stretchContrast(image)
    case 1:
      return equalize(image)
    case 2:
      return warp(image, [cos, sin, 0, -sin, cos, 0])
    case 3:
      return warp(image, [1, 0.3 * signed, 0, 0, 1, 0])
    case 4:
      return warp(image, [1, 0, 0, 0.3 * signed, 1, 0])
    case 5:
      return warp(image, [1, 0, 0.3 * signed * width, 0, 1, 0.3 * signed * height])
    case 6:
      return brightness(image, 1 + 0.9 * signed)
    case 7:
      return contrast(image, 1 + 0.9 * signed)
    case 8:
      return colourfulness(image, 1 + 0.9 * signed)
    default:
      return draw.next() < 0.5 ? posterize(image, 8 - Math.round(4 * m)) : solarize(image, 256 - Math.round(256 * m))
  }
}

/**
 * Random erasing of one image [c, h, w] at `offset` of a batch: a rectangle of 2 to 33 % of the area becomes normal
 * noise.
 */
export function erase(
  images: Float32Array,
  offset: number,
  [channels, height, width]: readonly [number, number, number],
  probability: number,
  draw: Draw,
): void {
  if (draw.next() >= probability) return
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = height * width * (0.02 + 0.31 * draw.next())
    const ratio = Math.exp(Math.log(0.3) + (Math.log(1 / 0.3) - Math.log(0.3)) * draw.next())
    const w = Math.round(Math.sqrt(area * ratio)), h = Math.round(Math.sqrt(area / ratio))
    if (w < 1 || h < 1 || w >= width || h >= height) continue
    const left = draw.integer(width - w + 1), top = draw.integer(height - h + 1)
    for (let c = 0; c < channels; c++) {
      for (let y = top; y < top + h; y++) {
        for (let x = left; x < left + w; x++) images[offset + (c * height + y) * width + x] = draw.normal()
      }
    }
    return
  }
}

/**
 * Mixes a batch [n, c, h, w] with itself in reverse order, in place, and returns soft labels [n, classes]: mixup blends
 * whole images, cutmix pastes a rectangle. The share drawn from Beta(a, a) holds for the whole batch, as in timm.
 */
export function mixBatch(
  images: Float32Array,
  [n, channels, height, width]: readonly [number, number, number, number],
  labels: Int32Array,
  classes: number,
  { mixup = 0, cutmix = 0 }: Pick<Augmentation, 'mixup' | 'cutmix'>,
  draw: Draw,
): Float32Array {
  const size = channels * height * width
  const useCut = cutmix > 0 && (mixup === 0 || draw.next() < 0.5), parameter = useCut ? cutmix : mixup
  let kept = parameter > 0 ? draw.beta(parameter) : 1 // share of an image's own content
  if (useCut) {
    const side = Math.sqrt(1 - kept)
    const h = Math.floor(height * side)
    const w = Math.floor(width * side)
    const middleX = draw.integer(width), middleY = draw.integer(height)
    const left = Math.max(0, middleX - (w >> 1)), right = Math.min(width, middleX - (w >> 1) + w)
    const top = Math.max(0, middleY - (h >> 1)), bottom = Math.min(height, middleY - (h >> 1) + h)
    const swap = new Float32Array(Math.max(0, right - left))
    for (let i = 0; i < n >> 1; i++) {
      for (let c = 0; c < channels; c++) {
        for (let y = top; y < bottom; y++) {
          const a = i * size + (c * height + y) * width + left, b = (n - 1 - i) * size + (c * height + y) * width + left
          swap.set(images.subarray(a, a + swap.length))
          images.copyWithin(a, b, b + swap.length)
          images.set(swap, b)
        }
      }
    }
    kept = 1 - swap.length * Math.max(0, bottom - top) / (height * width) // the rectangle may have been clipped
  } else if (kept < 1) {
    for (let i = 0; i < n >> 1; i++) {
      for (let j = 0, a = i * size, b = (n - 1 - i) * size; j < size; j++, a++, b++) {
        const own = images[a], other = images[b]
        images[a] = kept * own + (1 - kept) * other
        images[b] = kept * other + (1 - kept) * own
      }
    }
  }
  const soft = new Float32Array(n * classes)
  for (let i = 0; i < n; i++) {
    soft[i * classes + labels[i]] += kept
    soft[i * classes + labels[n - 1 - i]] += 1 - kept
  }
  return soft
}

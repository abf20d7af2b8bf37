// From an 8-bit picture to what a network was trained on: resize, centre crop, normalise.
import { InputError } from '../base/errors.ts'
import { shown } from '../base/quote.ts'
import type { Pixels } from './images.ts'
import { type Interpolation, interpolations, resize, shortSideSize, type Window } from './resize.ts'

/** How pictures become inputs. `mean` and `std` have one entry per channel, or one for all; values are of 0..1. */
export interface Preprocessing {
  /** Length the shorter side is resized to; null leaves the size alone. */
  resize: number | null
  /** Both sides are resized to `resize`, whatever the proportions (timm's squash, transformers' height and width). */
  squash?: boolean
  /** Side of the square cut out of the centre; null keeps all. */
  crop: number | null
  interpolation: Interpolation
  mean: readonly number[]
  std: readonly number[]
  /** What the network reads: 3, or 1 for grey. */
  channels: 1 | 3
  /**
   * Where an odd margin's extra pixel goes: `floor` starts at (size - crop) >> 1, `torchvision` rounds half to even.
   */
  cropRounding: 'floor' | 'torchvision'
}

const IMAGENET_MEAN = [0.485, 0.456, 0.406], IMAGENET_STD = [0.229, 0.224, 0.225]

/**
 * Defaults of timm and torchvision for a network that reads `size` x `size` pictures: bicubic for transformers,
 * bilinear for CNNs; resize to size * 256 / 224 then crop; below 64 pixels (CIFAR, MNIST) neither. ImageNet's mean and
 * deviation.
 */
export function defaultPreprocessing(kind: 'transformer' | 'cnn', size = 224, channels: 1 | 3 = 3): Preprocessing {
  const small = size < 64
  return {
    resize: small ? null : Math.round(size * 256 / 224),
    crop: small ? null : size,
    interpolation: kind === 'transformer' ? 'bicubic' : 'bilinear',
    mean: channels === 3 ? IMAGENET_MEAN : [0.5],
    std: channels === 3 ? IMAGENET_STD : [0.5],
    channels,
    cropRounding: 'floor',
  }
}

/** `--resize`, `--crop`, `--mean`, `--std`, `--crop-rounding`, `--interpolation` as typed on the command line. */
export interface PreprocessingFlags {
  resize?: string
  crop?: string
  mean?: string
  std?: string
  'crop-rounding'?: string
  interpolation?: string
  'resize-mode'?: string
}

/**
 * What a checkpoint's metadata says over `base`: JSON arrays `mean` and `std`, and `preprocessing`, an object with any
 * field of Preprocessing. Throws InputError naming `source`.
 */
export function preprocessingOf(metadata: Record<string, string>, base: Preprocessing, source: string): Preprocessing {
  const found: Record<string, unknown> = { ...base }
  for (const key of ['preprocessing', 'mean', 'std'] as const) {
    if (metadata[key] === undefined) continue
    let value: unknown
    try {
      value = JSON.parse(metadata[key])
    } catch (error) {
      throw new InputError(`${source}: metadata ${key} is not valid JSON; remove it or write it anew`, { cause: error })
    }
    if (key !== 'preprocessing') found[key] = value
    else {Object.assign(
        found,
        Object.fromEntries(
          Object.entries(Object(value)).filter(([field]) => field === 'squash' || Object.hasOwn(base, field)),
        ),
      )}
  }
  const result = found as unknown as Preprocessing
  checkPreprocessing(result, source)
  return result
}

/**
 * Command-line flags over `base`; sizes are numbers or `none`, lists have commas. Throws InputError naming the flag.
 */
export function withFlags(base: Preprocessing, flags: PreprocessingFlags): Preprocessing {
  const size = (name: 'resize' | 'crop') => {
    const text = flags[name]
    if (text === undefined) return base[name]
    if (text === 'none') return null
    if (!/^\d+$/.test(text)) throw new InputError(`--${name} ${text}: expected a number of pixels or none`)
    return Number(text)
  }
  const list = (name: 'mean' | 'std') =>
    flags[name] === undefined ? base[name] : flags[name].split(',').map((part) => {
      if (part.trim() === '' || !Number.isFinite(Number(part))) {
        throw new InputError(`--${name} ${flags[name]}: expected numbers of 0..1 with commas, e.g. 0.485,0.456,0.406`)
      }
      if (Number(part) > 1) {
        throw new InputError(
          `--${name} ${flags[name]}: expected numbers of 0..1, which is what pixels are scaled to; divide by 255`,
        )
      }
      return Number(part)
    })
  const one = <T extends string>(
    name: 'crop-rounding' | 'interpolation' | 'resize-mode',
    allowed: readonly T[],
    old: T,
  ): T => {
    const text = flags[name]
    if (text !== undefined && !allowed.includes(text as T)) {
      throw new InputError(`--${name} ${text}: expected ${allowed.join(' or ')}`)
    }
    return text as T | undefined ?? old
  }
  const result: Preprocessing = {
    ...base,
    resize: size('resize'),
    ...flags['resize-mode'] !== undefined && {
      squash: one('resize-mode', ['shortest', 'squash'], 'shortest') === 'squash',
    },
    crop: size('crop'),
    mean: list('mean'),
    std: list('std'),
    cropRounding: one('crop-rounding', ['floor', 'torchvision'], base.cropRounding),
    interpolation: one('interpolation', interpolations, base.interpolation),
  }
  checkPreprocessing(result, '--resize, --crop, --mean, --std')
  return result
}

/** Throws InputError where mean, std, sizes or rounding make no sense; `source` is named in the message. */
export function checkPreprocessing(p: Preprocessing, source = 'preprocessing'): void {
  if (
    !interpolations.includes(p.interpolation) || !['floor', 'torchvision'].includes(p.cropRounding)
    || (p.channels !== 1 && p.channels !== 3) || !['undefined', 'boolean'].includes(typeof p.squash)
  ) {
    throw new InputError(
      `${source}: expected interpolation ${interpolations.join(', ')}, cropRounding floor or torchvision, `
        + `1 or 3 channels; got ${[p.interpolation, p.cropRounding, p.channels].map((each) => shown(each)).join(', ')}`,
    )
  }
  const side = (name: string, value: number | null) => {
    if (value !== null && !(Number.isInteger(value) && value >= 1 && value <= 16384)) {
      throw new InputError(`${source}: ${name} must be a whole number from 1 to 16384, or none; got ${shown(value)}`)
    }
  }
  side('resize', p.resize)
  side('crop', p.crop)
  if (p.crop !== null && p.resize !== null && p.crop > p.resize) {
    throw new InputError(
      `${source}: crop ${p.crop} is larger than resize ${p.resize}; make resize at least as large as crop`,
    )
  }
  for (const [name, list] of [['mean', p.mean], ['std', p.std]] as const) {
    if (!Array.isArray(list) || (list.length !== 1 && list.length !== p.channels) || !list.every(Number.isFinite)) {
      throw new InputError(`${source}: ${name} needs 1 or ${p.channels} finite numbers, got ${shown(list)}`)
    }
  }
  if (!p.std.every((s) => s > 0)) throw new InputError(`${source}: std must be positive, got ${shown(p.std)}`)
}

/** What a picture may be after resizing and cropping: 4096 x 4096 pixels. */
const MAX_SHAPED = 2 ** 24

/**
 * Resized, cropped and brought to the channels asked for; still 8 bits. Of the resized picture only what the crop keeps
 * is computed. Throws InputError if it is too small to crop, or what is left is larger than 4096 x 4096 pixels.
 */
export function shape(image: Pixels, p: Preprocessing, name = 'image'): Pixels {
  const [width, height] = p.resize === null
    ? [image.width, image.height]
    : p.squash
    ? [p.resize, p.resize]
    : shortSideSize(image, p.resize)
  const kept = p.crop === null
    ? { left: 0, top: 0, width, height }
    : centre(width, height, p.crop, p.cropRounding, name)
  if (kept.width * kept.height > MAX_SHAPED) {
    throw new InputError(
      `${name}: ${kept.width}x${kept.height} pixels are left for the network, expected at most ${MAX_SHAPED}; `
        + 'give a smaller --resize or --crop',
    )
  }
  const shaped = width === image.width && height === image.height
    ? crop(image, kept.left, kept.top, kept.width, kept.height)
    : resize(image, width, height, p.interpolation, kept)
  return toChannels(shaped, p.channels)
}

function centre(
  width: number,
  height: number,
  size: number,
  rounding: Preprocessing['cropRounding'],
  name: string,
): Window {
  if (width < size || height < size) {
    throw new InputError(
      `${name}: ${width}x${height} pixels cannot be cropped to ${size}x${size}; give --resize ${size} or more`,
    )
  }
  const start = (length: number) => rounding === 'floor' ? length - size >> 1 : halfToEven((length - size) / 2)
  return { left: start(width), top: start(height), width: size, height: size }
}

function halfToEven(x: number): number {
  const floor = Math.floor(x)
  return x - floor === 0.5 ? floor + floor % 2 : Math.round(x)
}

/** The rectangle at (left, top) of every plane; it must lie inside. */
export function crop(image: Pixels, left: number, top: number, width: number, height: number): Pixels {
  if (left === 0 && top === 0 && width === image.width && height === image.height) return image
  const data = new Uint8Array(image.channels * height * width)
  for (let c = 0; c < image.channels; c++) {
    for (let y = 0; y < height; y++) {
      const from = (c * image.height + top + y) * image.width + left
      data.set(image.data.subarray(from, from + width), (c * height + y) * width)
    }
  }
  return { width, height, channels: image.channels, data }
}

/** Grey to three equal planes, or RGB to grey by ITU-R 601-2 luma in Pillow's integer form. */
export function toChannels(image: Pixels, channels: 1 | 3): Pixels {
  if (image.channels === channels) return image
  const { width, height, data } = image, area = width * height, out = new Uint8Array(channels * area)
  if (channels === 3) { for (let c = 0; c < 3; c++) out.set(data, c * area) }
  else {
    for (let i = 0; i < area; i++) {
      out[i] = data[i] * 19595 + data[area + i] * 38470 + data[2 * area + i] * 7471 + 0x8000 >> 16
    }
  }
  return { width, height, channels, data: out }
}

/**
 * Writes `(u8 / 255 - mean) / std` of every plane into `out` at `offset`, each step rounded to float32 as torch does.
 */
export function normalise(image: Pixels, p: Pick<Preprocessing, 'mean' | 'std'>, out: Float32Array, offset = 0): void {
  const area = image.width * image.height, f = Math.fround, level = new Float32Array(256)
  for (let c = 0; c < image.channels; c++) {
    const mean = f(p.mean[c % p.mean.length]), std = f(p.std[c % p.std.length])
    for (let v = 0; v < 256; v++) level[v] = f(f(f(v / 255) - mean) / std)
    for (let i = c * area; i < (c + 1) * area; i++) out[offset + i] = level[image.data[i]]
  }
}

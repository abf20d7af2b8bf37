// How pictures are prepared, as preprocessor_config.json of transformers and the pretrained_cfg of timm say it.
import type { Preprocessing } from '../data/preprocess.ts'
import type { Interpolation } from '../data/resize.ts'

type Fields = Record<string, unknown>

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isSize = (value: unknown): value is number => Number.isInteger(value) && (value as number) > 0
const isList = (value: unknown): value is number[] =>
  Array.isArray(value) && (value.length === 1 || value.length === 3) && value.every(Number.isFinite)

/** What a configuration says of pictures. */
export interface PreprocessingTold {
  preprocessing: Partial<Preprocessing>
  notes: string[]
  /** Why its mean and deviation are not taken, where they cannot be meant for the values that they are said of. */
  refused?: string
}

/** Steps of transformers' processors that change pixels and are not done here. */
const otherSteps = [
  'do_flip_channel_order',
  'do_pad',
  'do_convert_grayscale',
  'do_grayscale',
  'do_color_quantize',
  'do_align_long_axis',
  'do_crop_margin',
  'do_thumbnail',
  'offset',
  'rescale_offset',
]

/** Any of these makes a configuration one of transformers' processors. */
const processorKeys = [
  'image_mean',
  'image_std',
  'size',
  'image_processor_type',
  'do_resize',
  'do_rescale',
  'do_normalize',
  'do_center_crop',
]

/** What of a configuration concerns pictures; `side` is what the network reads where that is fixed, else NaN. */
export function preprocessingTold(config: Fields, side: number): PreprocessingTold {
  const timm = isObject(config.pretrained_cfg) ? config.pretrained_cfg : config
  if (Array.isArray(timm.input_size)) return fromTimm(timm)
  // ConvNeXt's processor, which ResNets have too, says crop_pct as timm does.
  const isProcessor = processorKeys.some((key) => config[key] !== undefined)
    || otherSteps.some((key) => config[key] === true)
  if (isProcessor) return fromTransformers(config, side)
  if (timm.crop_pct !== undefined) return fromTimm(timm)
  const { found, refused } = statistics(timm.mean, timm.std)
  return { preprocessing: found, notes: [], ...refused }
}

/**
 * Mean and deviation of values from 0 to `top`, as they are said. Those of another range, usually bytes, are refused:
 * which one is meant is not guessed.
 */
function statistics(
  mean: unknown,
  std: unknown,
  top = 1,
): { found: { mean?: number[], std?: number[] }, refused: { refused?: string } } {
  const found: { mean?: number[], std?: number[] } = {}
  if (isList(mean)) found.mean = mean
  if (isList(std) && std.every((value) => value > 0)) found.std = std
  const most = top * (1 + 1e-6)
  if (
    found.mean?.every((value) => value <= most) !== false
    && found.std?.every((value) => value <= Math.max(1, most)) !== false
  ) return { found, refused: {} }
  const said = Object.entries(found).map(([name, list]) => `${name} ${list.join(' ')}`).join(' and ')
  return {
    found: {},
    refused: {
      refused: `${said}, expected 0..${Number(top.toPrecision(6))}, which is what pixels are scaled to; `
        + `${top === 1 ? 'divide by 255 there, or ' : ''}give --mean and --std`,
    },
  }
}

/** timm: the shorter side becomes floor(crop / crop_pct), the centre is cut out. */
function fromTimm(config: Fields): PreprocessingTold {
  const { found: said, refused } = statistics(config.mean, config.std)
  const found: Partial<Preprocessing> = said, notes: string[] = []
  const [, height, width] = Array.isArray(config.input_size) ? config.input_size as unknown[] : []
  if (isSize(height) && height !== width) {
    notes.push(`input_size ${height} x ${String(width)} is not square and is left alone`)
  } else if (isSize(height)) {
    const share = typeof config.crop_pct === 'number' && config.crop_pct > 0 && config.crop_pct <= 1
      ? config.crop_pct
      : 0.875
    found.crop = height
    found.resize = Math.floor(height / share)
    found.squash = config.crop_mode === 'squash'
    if (config.crop_mode === 'border') notes.push("crop_mode 'border' is not supported, the centre is cropped")
  }
  Object.assign(found, filterOf(config.interpolation, notes))
  return { preprocessing: found, notes, ...refused }
}

/** transformers: resize, centre crop, rescale and normalise, each with a switch. */
function fromTransformers(config: Fields, side: number): PreprocessingTold {
  const found: Partial<Preprocessing> = {}
  const notes = otherSteps.filter((key) => config[key] === true).map((key) => `${key} is not supported, ignored`)
  const type = String(config.image_processor_type ?? config.feature_extractor_type ?? '')
  const size = sizeOf(config.size, /clip|convnext|levit/i.test(type), notes)
  const crop = sizeOf(config.crop_size, false, notes)
  const doesCrop = config.do_center_crop ?? config.crop_size !== undefined
  if (config.do_resize === false) found.resize = null
  else if (size) {
    const share = typeof config.crop_pct === 'number' ? config.crop_pct : 0.875
    // ConvNeXt's processor crops by a share below 384 pixels
    const shares = /convnext/i.test(type) && size.side < 384
    found.resize = shares ? Math.floor(size.side / share) : size.side
    found.squash = size.squash && !shares
    if (shares) found.crop = size.side
  }
  if (doesCrop && crop) found.crop = crop.side
  else if (found.crop === undefined && found.squash) found.crop = null
  else if (found.crop === undefined && isSize(side) && found.resize) found.crop = Math.min(side, found.resize)
  // (u8 * factor - mean) / std, where 1 / 255 is what is done here
  const factor = config.do_rescale === false ? 1 : config.rescale_factor
  const top = typeof factor === 'number' && factor > 0 && Math.abs(factor * 255 - 1) > 1e-6 ? 255 * factor : 1
  const { found: said, refused } = config.do_normalize === false
    ? { found: { mean: [0], std: [1] }, refused: {} }
    : statistics(config.image_mean, config.image_std, top)
  Object.assign(found, said)
  if (top !== 1 && !('refused' in refused)) {
    found.mean = (found.mean ?? [0]).map((value) => value / top)
    found.std = (found.std ?? [1]).map((value) => value / top)
  }
  Object.assign(found, filterOf(config.resample, notes))
  return { preprocessing: found, notes, ...refused }
}

/** A size as an int, { shortest_edge } or { height, width }. */
function sizeOf(
  value: unknown,
  intIsShortest: boolean,
  notes: string[],
): { side: number, squash: boolean } | undefined {
  if (isSize(value)) return { side: value, squash: !intIsShortest }
  if (!isObject(value)) return undefined
  if (isSize(value.shortest_edge)) return { side: value.shortest_edge, squash: false }
  if (isSize(value.height) && value.height === value.width) return { side: value.height, squash: true }
  notes.push(`the size ${JSON.stringify(value).slice(0, 60)} is not square and is left alone`)
  return undefined
}

const pillow: readonly Interpolation[] = ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming']

function filterOf(value: unknown, notes: string[]): Partial<Preprocessing> {
  const name = typeof value === 'number' ? pillow[value] as string | undefined ?? value : value
  const known = pillow.find((each) => each === name)
  if (known) return { interpolation: known }
  if (name !== undefined) {
    notes.push(`interpolation ${JSON.stringify(name)} is not supported, bicubic takes its place`)
    return { interpolation: 'bicubic' }
  }
  return {}
}

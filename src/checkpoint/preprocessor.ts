// How pictures are prepared, as preprocessor_config.json of transformers and the pretrained_cfg of timm say it.
import type { Preprocessing } from '../data/preprocess.ts'
import type { Interpolation } from '../data/resize.ts'

type Fields = Record<string, unknown>

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isSize = (value: unknown): value is number => Number.isInteger(value) && (value as number) > 0
const isList = (value: unknown): value is number[] =>
  Array.isArray(value) && (value.length === 1 || value.length === 3) && value.every(Number.isFinite)

/** What of a configuration concerns pictures; `side` is what the network reads where that is fixed, else NaN. */
export function preprocessingTold(
  config: Fields,
  side: number,
): { preprocessing: Partial<Preprocessing>, notes: string[] } {
  const timm = isObject(config.pretrained_cfg) ? config.pretrained_cfg : config
  if (Array.isArray(timm.input_size)) return fromTimm(timm)
  // ConvNeXt's processor, which ResNets have too, says crop_pct as timm does.
  const isProcessor = config.image_mean !== undefined || config.do_resize !== undefined || config.size !== undefined
    || config.image_processor_type !== undefined
  if (isProcessor) return fromTransformers(config, side)
  if (timm.crop_pct !== undefined) return fromTimm(timm)
  const found: Partial<Preprocessing> = {}
  if (isList(timm.mean)) found.mean = timm.mean
  if (isList(timm.std) && timm.std.every((value) => value > 0)) found.std = timm.std
  return { preprocessing: found, notes: [] }
}

/** timm: the shorter side becomes floor(crop / crop_pct), the centre is cut out. */
function fromTimm(config: Fields): { preprocessing: Partial<Preprocessing>, notes: string[] } {
  const found: Partial<Preprocessing> = {}, notes: string[] = []
  if (isList(config.mean)) found.mean = config.mean
  if (isList(config.std) && config.std.every((value) => value > 0)) found.std = config.std
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
  return { preprocessing: found, notes }
}

/** transformers: resize, centre crop, rescale and normalise, each with a switch. */
function fromTransformers(config: Fields, side: number): { preprocessing: Partial<Preprocessing>, notes: string[] } {
  const found: Partial<Preprocessing> = {}, notes: string[] = []
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
  if (isList(config.image_mean)) found.mean = config.image_mean
  if (isList(config.image_std) && config.image_std.every((value) => value > 0)) found.std = config.image_std
  if (config.do_normalize === false) Object.assign(found, { mean: [0], std: [1] })
  // (u8 * factor - mean) / std, where 1 / 255 is what is done here
  const factor = config.do_rescale === false ? 1 : config.rescale_factor
  if (typeof factor === 'number' && factor > 0 && Math.abs(factor * 255 - 1) > 1e-6) {
    found.mean = (found.mean ?? [0]).map((value) => value / (255 * factor))
    found.std = (found.std ?? [1]).map((value) => value / (255 * factor))
  }
  Object.assign(found, filterOf(config.resample, notes))
  return { preprocessing: found, notes }
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

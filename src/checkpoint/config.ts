// What weights do not say and the files beside them do: `config.json` of Hugging Face's transformers or of timm, and
// `preprocessor_config.json`. Only fields that are understood count; what contradicts the weights belongs to another
// network and is left alone, with a word.
import type { Architecture } from '../../models/registry.ts'
import type { Preprocessing } from '../data/preprocess.ts'
import { preprocessingTold } from './preprocessor.ts'

/** A configuration with the name that messages call it. */
export interface SideFile {
  name: string
  text: string
}

/** What the files beside a checkpoint say, each with where it stands. */
export interface Told {
  /** Options of the architecture that no tensor shows. */
  options: Record<string, unknown>
  preprocessing: Partial<Preprocessing>
  classes?: string[]
  /** By option, field of preprocessing, or `classes`: the file's name. */
  from: Record<string, string>
  notes: string[]
  /** Why a mean and deviation are not taken, with the file that says them, where no other file says better ones. */
  refused?: string
  /** Why the network is not the one known here, if so. */
  unsupported?: string
}

type Fields = Record<string, unknown>

/** Parses what stands beside a checkpoint and in its metadata, for the architecture that its tensors show. */
export function toldBy(files: readonly SideFile[], architecture: Architecture, classCount: number): Told {
  const told: Told = { options: {}, preprocessing: {}, from: {}, notes: [] }
  for (const { name, text } of files) {
    const config = objectOf(text)
    if (!config) {
      told.notes.push(`${name} is no JSON object and is left alone`)
      continue
    }
    const other = contradiction(config, architecture, classCount)
    if (other) {
      told.notes.push(`${name} describes another network (${other}) and is left alone`)
      continue
    }
    const options = optionsOf(config, architecture)
    const found = preprocessingTold(config, Number(architecture.image ?? NaN))
    told.unsupported ??= unsupported(config, name)
    told.notes.push(...found.notes.map((note) => `${name}: ${note}`))
    // as for values: a file that goes first hides what those after it say
    const { mean, std } = told.preprocessing
    if (found.refused !== undefined && !(mean && std)) told.refused ??= `${name}: ${found.refused}`
    for (const [key, value] of Object.entries(options)) {
      told.options[key] ??= value
      told.from[key] ??= name
    }
    for (const [key, value] of Object.entries(found.preprocessing)) {
      if (Object.hasOwn(told.preprocessing, key)) continue
      Object.assign(told.preprocessing, { [key]: value })
      told.from[key] = name
    }
    const classes = classesOf(config, classCount)
    if (classes && !told.classes) {
      told.classes = classes
      told.from.classes = name
    }
  }
  return told
}

function objectOf(text: string): Fields | null {
  try {
    const value = JSON.parse(text) as unknown
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Fields : null
  } catch {
    return null
  }
}

/** The object in a field, or none. */
export const inside = (config: Fields, key: string): Fields => {
  const value = config[key]
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Fields : {}
}

const numberIn = (config: Fields, ...keys: string[]): number | undefined => {
  const key = keys.find((each) => typeof config[each] === 'number')
  return key === undefined ? undefined : config[key] as number
}

/** A number that tensors show too and that differs there; null where all agree. */
function contradiction(config: Fields, architecture: Architecture, classCount: number): string | null {
  const args = inside(config, 'model_args'), labels = Object.keys(inside(config, 'id2label')).length
  const first = (value: unknown) => Array.isArray(value) ? value[0] as unknown : value
  const pairs: [key: string, said: unknown, shown: unknown][] = [
    [
      'width',
      architecture.type === 'vit' ? numberIn(config, 'hidden_size') ?? numberIn(args, 'embed_dim') : undefined,
      architecture.width,
    ],
    [
      'width',
      architecture.type === 'swin' ? numberIn(config, 'embed_dim') ?? numberIn(args, 'embed_dim') : undefined,
      architecture.width,
    ],
    ['patch size', first(config.patch_size ?? args.patch_size), architecture.patch],
    [
      'layers',
      architecture.type === 'vit' ? numberIn(config, 'num_hidden_layers') ?? numberIn(args, 'depth') : undefined,
      architecture.depth,
    ],
    ['classes', numberIn(config, 'num_classes', 'num_labels') ?? (labels || undefined), classCount],
    ['channels', numberIn(config, 'num_channels'), architecture.channels],
    ['image size', architecture.type === 'vit' ? first(config.image_size) : undefined, architecture.image],
  ]
  const odd = pairs.find(([, said, shown]) => typeof said === 'number' && shown !== undefined && said !== shown)
  return odd ? `${odd[0]} ${String(odd[1])}, the weights have ${String(odd[2])}` : null
}

/** Heads of timm's and DeiT's sizes by the name of the architecture, where the width is not 64 times as much. */
const headsByName: readonly (readonly [name: RegExp, width: number, heads: number])[] = [
  [/vit_small_patch(16|32)_224/, 768, 8],
  [/vit_huge/, 1280, 16],
  [/vit_giant/, 1408, 16],
  [/vit_gigantic/, 1664, 16],
  [/vit_so400m/, 1152, 16],
  [/vit_small.*moco/, 384, 12],
  [/(vit|deit3?)_(tiny|small|medium|base|large)/, NaN, NaN],
]

function optionsOf(config: Fields, architecture: Architecture): Fields {
  const args = inside(config, 'model_args'), found: Fields = {}, width = Number(architecture.width)
  const eps = numberIn(config, 'layer_norm_eps') ?? numberIn(args, 'layer_norm_eps')
  if (eps !== undefined && eps > 0 && eps < 1 && ['vit', 'swin'].includes(architecture.type)) found.eps = eps
  if (architecture.type === 'vit') {
    const named = headsByName.find(([name, wide]) =>
      name.test(String(config.architecture)) && (Number.isNaN(wide) || wide === width)
    )
    const heads = numberIn(config, 'num_attention_heads') ?? numberIn(args, 'num_heads')
      ?? (named && (Number.isNaN(named[2]) ? width / 64 : named[2]))
    if (heads !== undefined && Number.isInteger(heads) && heads > 0 && width % heads === 0) found.heads = heads
  }
  if (architecture.type === 'swin') {
    const size = numberIn(config, 'image_size')
      ?? (inside(config, 'pretrained_cfg').input_size as number[] | undefined)?.[1]
    if (size !== undefined && Number.isInteger(size)) found.image = size
  }
  return found
}

/** What a configuration says of the network that no tensor shows and that is not computed here. */
function unsupported(config: Fields, name: string): string | undefined {
  const args = inside(config, 'model_args')
  const activation = config.hidden_act ?? args.act_layer
  if (typeof activation === 'string' && !['gelu', 'relu'].includes(activation)) {
    return `${name} says hidden_act ${JSON.stringify(activation)}, which is not supported; exact gelu is`
  }
  if (activation === 'relu' && typeof config.hidden_size === 'number') {
    return `${name} says hidden_act "relu", which is not supported in a transformer; exact gelu is`
  }
  const pool = args.global_pool ?? config.global_pool
  if (pool === 'map') return `${name} says global_pool "map" (attention pooling), which is not supported`
  return undefined
}

/** Names of the classes: `id2label` of transformers unless made up, `label_names` of timm, also in `pretrained_cfg`. */
function classesOf(config: Fields, count: number): string[] | undefined {
  const timm = inside(config, 'pretrained_cfg'), labels = inside(config, 'id2label')
  const texts = { ...inside(timm, 'label_descriptions'), ...inside(config, 'label_descriptions') }
  const list = Array.from({ length: count }, (_, i) => labels[String(i)])
  if (list.every((name) => typeof name === 'string') && !list.every((name, i) => name === `LABEL_${i}`)) {
    return list as string[]
  }
  const names = config.label_names ?? timm.label_names
  if (!Array.isArray(names) || names.length !== count || !names.every((name) => typeof name === 'string')) {
    return undefined
  }
  return (names as string[]).map((name) => typeof texts[name] === 'string' ? texts[name] as string : name)
}

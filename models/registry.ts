// Architectures by name: what a checkpoint's metadata holds and `--arch` takes. An architecture is plain data, `type`
// being one of the names below and everything else an option of that family's constructor: `{ "type": "vit", "width":
// 96, "depth": 4 }`.
import { describedLeaves, nameOf } from '../src/core/index.ts'
import { type Model, packedWeights, type Scheme } from '../src/nn/index.ts'
import { defaultPreprocessing, type Preprocessing } from '../src/data/preprocess.ts'
import { InputError, ShapeError } from '../src/base/errors.ts'
import { distance } from '../src/base/options.ts'
import { plain, shown } from '../src/base/quote.ts'
import { flattenDeiTSmall, flattenDeiTTiny, flattenSwinBase, flattenSwinSmall, flattenSwinTiny } from './flatten.ts'
import { MLP } from './mlp.ts'
import { checkBudget } from './budget.ts'
import { GraphNetwork, type GraphOptions, graphType } from './graph.ts'
import { checkGraph } from './graph-check.ts'
import { FlattenPVT, flattenPVTSmall, flattenPVTTiny } from './pvt.ts'
import { cifarResNet, ResNet, type ResNetOptions, resnet101, resnet18, resnet34, resnet50 } from './resnet.ts'
import { Swin, swinBase, swinSmall, swinTiny } from './swin.ts'
import { plans, tinyVGG, VGG, type VGGOptions } from './vgg.ts'
import { ViT, vitBase, vitSmall, vitTiny } from './vit.ts'

/** Families of architectures; each has its own options. */
export type Family = 'vit' | 'swin' | 'pvt' | 'vgg' | 'resnet' | 'mlp' | 'onnx'

/** A name of the registry, and options that differ from what the name stands for. */
export interface Architecture {
  type: string
  [option: string]: unknown
}

/** One name: its family, its constructor, and the side of its images where the options do not say it. */
export interface ArchitectureEntry {
  family: Family
  image: number
  make(options: object): Model
}

const vit = (make: ArchitectureEntry['make']): ArchitectureEntry => ({ family: 'vit', image: 224, make })
const swin = (make: ArchitectureEntry['make']): ArchitectureEntry => ({ family: 'swin', image: 224, make })
const pvt = (make: ArchitectureEntry['make']): ArchitectureEntry => ({ family: 'pvt', image: 224, make })
const resnet = (make: ArchitectureEntry['make']): ArchitectureEntry => ({ family: 'resnet', image: 224, make })
const cifar = (depth: number): ArchitectureEntry => ({
  family: 'resnet',
  image: 32,
  make: (options) => cifarResNet(depth, options),
})
const vgg = (options: VGGOptions): ArchitectureEntry => ({
  family: 'vgg',
  image: 224,
  make: (more) => new VGG({ ...options, ...more }),
})

const distilled = (make: ArchitectureEntry['make']) => vit((options) => make({ distilled: true, ...options }))
const compact = { image: 32, patch: 4, width: 96, depth: 4, heads: 3, hidden: 192, classes: 10 }

/** Every name that `--arch` and `train` know. */
export const architectures: Readonly<Record<string, ArchitectureEntry>> = {
  'vit': vit((options) => new ViT(options)),
  'vit-tiny': vit(vitTiny),
  'vit-small': vit(vitSmall),
  'vit-base': vit(vitBase),
  'deit-tiny': vit(vitTiny),
  'deit-small': vit(vitSmall),
  'deit-base': vit(vitBase),
  'deit-tiny-distilled': distilled(vitTiny),
  'deit-small-distilled': distilled(vitSmall),
  'deit-base-distilled': distilled(vitBase),
  'vit-compact': { family: 'vit', image: 32, make: (options) => new ViT({ ...compact, ...options }) },
  'swin': swin((options) => new Swin(options)),
  'swin-tiny': swin(swinTiny),
  'swin-small': swin(swinSmall),
  'swin-base': swin(swinBase),
  'flatten-swin-tiny': swin(flattenSwinTiny),
  'flatten-swin-small': swin(flattenSwinSmall),
  'flatten-swin-base': swin(flattenSwinBase),
  'flatten-deit-tiny': vit(flattenDeiTTiny),
  'flatten-deit-small': vit(flattenDeiTSmall),
  'flatten-pvt': pvt((options) => new FlattenPVT(options)),
  'flatten-pvt-tiny': pvt(flattenPVTTiny),
  'flatten-pvt-small': pvt(flattenPVTSmall),
  'vgg': vgg({}),
  ...Object.fromEntries(
    Object.entries(plans).flatMap((
      [name, plan],
    ) => [[name, vgg({ plan })], [`${name}-bn`, vgg({ plan, batchNorm: true })]]),
  ),
  'tiny-vgg': { family: 'vgg', image: 64, make: tinyVGG },
  'resnet': resnet((options) => new ResNet(options)),
  'resnet18': resnet(resnet18),
  'resnet34': resnet(resnet34),
  'resnet50': resnet(resnet50),
  'resnet101': resnet(resnet101),
  'resnet20': cifar(20),
  'resnet32': cifar(32),
  'resnet44': cifar(44),
  'resnet56': cifar(56),
  'mlp': { family: 'mlp', image: 28, make: (options) => new MLP(options) },
}

/** A network that another program's file describes: nothing of it goes by a name. */
const graph: ArchitectureEntry = {
  family: 'onnx',
  image: 224,
  make: (options) => new GraphNetwork(options as GraphOptions),
}

// ---- options ----------------------------------------------------------------------------------------------------

/** Says what was expected of a value, or null where it is right. Bounds keep a lying header from building a giant. */
type Check = (value: unknown) => string | null

const isWhole = (value: unknown, least: number, most: number) =>
  Number.isInteger(value) && value as number >= least && value as number <= most
const whole = (most: number, least = 1): Check => (value) =>
  isWhole(value, least, most) ? null : `a whole number from ${least} to ${most}`
const list = (most: number, least = 1, { empty = false } = {}): Check => (value) =>
  Array.isArray(value) && value.length <= 64 && (empty || value.length > 0)
    && value.every((item) => isWhole(item, least, most))
    ? null
    : `a list of whole numbers from ${least} to ${most}`
const within = (low: number, high: number): Check => (value) =>
  typeof value === 'number' && value >= low && value <= high ? null : `a number from ${low} to ${high}`
const flag: Check = (value) => typeof value === 'boolean' ? null : 'true or false'
const one = (...words: string[]): Check => (value) => words.includes(value as string) ? null : words.join(' or ')
const either = (first: Check, second: Check): Check => (value) => {
  const reason = first(value)
  return reason && second(value) ? `${reason}, or ${second(value)}` : null
}
const plan: Check = (value) =>
  Array.isArray(value) && value.length > 0 && value.length <= 256 && value.some((step) => step !== 'pool')
    && value.every((step) => step === 'pool' || isWhole(step, 1, 16384))
    ? null
    : "a list of channel counts and 'pool'"
const kinds: Check = (value) =>
  typeof value === 'string' && /^[SL]{1,64}$/.test(value)
    ? null
    : 'one letter for each stage, S (softmax) or L (focused linear)'

const width = whole(16384)
const depth = whole(512)
const image = whole(4096)
const patch = whole(1024)
const channels = whole(4096)
const classes = whole(2 ** 20)
const eps = within(1e-15, 1), rate = within(0, 0.99)

const options: Record<Exclude<Family, 'onnx'>, Record<string, Check>> = {
  vit: {
    image,
    patch,
    channels,
    width,
    depth,
    heads: whole(1024),
    hidden: whole(2 ** 17),
    classes,
    eps,
    distilled: flag,
    distillHead: flag,
    norm: one('pre', 'post'),
    classToken: flag,
    attention: one('softmax', 'focused'),
    dropPath: rate,
  },
  swin: {
    image,
    patch,
    channels,
    width,
    depths: list(512),
    heads: list(1024),
    windows: either(whole(256), list(256)),
    kinds,
    ratio: within(0.01, 64),
    classes,
    eps,
    dropPath: rate,
    fit: one('shrink', 'pad'),
  },
  pvt: {
    image,
    channels,
    patches: list(1024),
    widths: list(16384),
    depths: list(512),
    heads: list(1024),
    ratios: list(64),
    classes,
    eps,
    dropPath: rate,
  },
  vgg: {
    plan,
    channels,
    classes,
    batchNorm: flag,
    padding: whole(1, 0),
    side: whole(1024),
    adaptive: flag,
    hidden: list(2 ** 17, 1, { empty: true }),
    dropout: rate,
  },
  resnet: {
    layers: list(512),
    width,
    classes,
    channels,
    block: one('basic', 'bottleneck'),
    stem: one('imagenet', 'cifar'),
  },
  mlp: { inputs: whole(2 ** 24), hidden: list(2 ** 17, 1, { empty: true }), classes },
}

/**
 * The registry's entry of an architecture; `source` is what messages call it. @throws InputError for a name that is not
 * here.
 */
export function entryOf({ type }: Architecture, source = 'architecture'): ArchitectureEntry {
  const name = canonical(type)
  if (name === graphType) return graph
  if (!Object.hasOwn(architectures, name)) {
    const names = Object.keys(architectures), far = new Map(names.map((each) => [each, distance(name, each)]))
    const near = [...names].sort((a, b) => far.get(a)! - far.get(b)!).slice(0, 4)
    throw new InputError(
      `${source}: unknown architecture ${shown(type, 60)}, expected one of ${names.length} names, of which `
        + `${near.join(', ')} are near; 'espalier inspect --list' has them all`,
    )
  }
  return architectures[name]
}

const canonical = (type: unknown) => (typeof type === 'string' ? type : shown(type)).toLowerCase().replaceAll('_', '-')

/**
 * Reads `--arch`: a name, or JSON with options and, if it stands alone, a `type`. Options are checked, not yet that
 * they fit together.
 * @throws InputError naming the option, what it may be and what it is.
 */
export function parseArchitecture(text: string, source = '--arch'): Partial<Architecture> {
  if (!text.trimStart().startsWith('{')) {
    entryOf({ type: text }, source)
    return { type: canonical(text) }
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const reason = plain((error as Error).message, 80)
    throw new InputError(`${source}: not valid JSON (${reason}); expected a name, or e.g. {"type":"vit","width":96}`, {
      cause: error,
    })
  }
  const architecture = value as Partial<Architecture>
  if (architecture.type !== undefined) return checkArchitecture(architecture as Architecture, source)
  return architecture
}

/**
 * Checks names and values of all options; returns the architecture with its name as the registry writes it. @throws
 * InputError.
 */
export function checkArchitecture(architecture: Architecture, source = 'architecture'): Architecture {
  if (typeof architecture !== 'object' || architecture === null || typeof architecture.type !== 'string') {
    throw new InputError(
      `${source}: expected an object with a type, e.g. {"type":"vit","width":96}, got ${shown(architecture, 60)}`,
    )
  }
  const { family } = entryOf(architecture, source), { type, ...given } = architecture
  if (family === 'onnx') {
    checkGraph(given, source)
    return { ...given, type: canonical(type) }
  }
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(options[family], name)) {
      throw new InputError(
        `${source}: ${architecture.type} has no option ${shown(name, 60)}, expected ${
          Object.keys(options[family]).join(', ')
        }`,
      )
    }
    const expected = options[family][name](value)
    if (expected) throw new InputError(`${source}: ${name} is ${shown(value, 60)}, expected ${expected}`)
  }
  if (family === 'swin') checkSwin(architecture, source)
  if (family === 'pvt') checkPVT(architecture, source)
  return { ...architecture, type: canonical(architecture.type) }
}

interface SwinSizes {
  depths?: number[]
  heads?: number[]
  windows?: number | number[]
  kinds?: string
  image?: number
  patch?: number
}

/** Sizes of one stage each, and tables that grow with the fourth power of a window. */
function checkSwin(architecture: Architecture, source: string): void {
  const { depths, heads, windows, kinds, image = 224, patch = 4 } = architecture as SwinSizes
  const lengths = [depths, heads, Array.isArray(windows) ? windows : undefined, kinds].filter((list) =>
    list !== undefined
  ).map(({ length }) => length)
  if (lengths.some((length) => length !== (depths?.length ?? 4))) {
    throw new InputError(
      `${source}: depths, heads, windows and kinds name ${lengths.join(', ')} stages, expected the same number in each`,
    )
  }
  const softmax = [windows ?? 7].flat().filter((_, i) => kinds?.[i] !== 'L')
  const largest = Math.max(0, ...softmax.map((window) => Math.min(window, Math.ceil(image / patch))))
  if (largest > 64 || largest * image / patch > 4096) {
    const map = Math.floor(image / patch)
    throw new InputError(
      `${source}: a softmax window of ${largest} on a map of ${map} is too large, expected at most 64; `
        + 'make windows smaller',
    )
  }
}

/** One entry per stage in every list, whether given or not, and a map in each stage. */
function checkPVT(architecture: Architecture, source: string): void {
  const names = ['patches', 'widths', 'depths', 'heads', 'ratios'], image = Number(architecture.image ?? 224)
  const lengths = names.map((name) => (architecture[name] as number[] | undefined)?.length ?? 4)
  if (lengths.some((length) => length !== lengths[0])) {
    throw new InputError(
      `${source}: ${names.join(', ')} name ${
        lengths.join(', ')
      } stages (4 where not given), expected the same number in each`,
    )
  }
  const patches = (architecture.patches as number[] | undefined) ?? [4, 2, 2, 2]
  if (patches.reduce((side, patch) => Math.floor(side / patch), image) < 1) {
    throw new InputError(
      `${source}: images of ${image} are too small for patches of ${
        patches.join(', ')
      }, which leave nothing; expected at least ${patches.reduce((a, b) => a * b)}`,
    )
  }
}

/** The network with zero weights. @throws InputError where sizes do not fit together. */
export function buildModel(architecture: Architecture, source = 'architecture'): Model {
  const checked = checkArchitecture(architecture, source), { type, ...rest } = checked
  checkBudget(entryOf(checked).family, checked, source)
  try {
    return entryOf(checked).make(rest)
  } catch (error) {
    if (!(error instanceof ShapeError || error instanceof RangeError || error instanceof TypeError)) throw error
    const reason = `${type} with ${shown(rest, 60)} cannot be built (${error.message})`
    throw new InputError(`${source}: ${reason}; heads must divide the width, patches the image`, { cause: error })
  }
}

const transformers: ReadonlySet<Family> = new Set(['vit', 'swin', 'pvt'])

/** [channels, height, width] of the images an architecture reads. */
export function inputOf(architecture: Architecture): [number, number, number] {
  const { family, image } = entryOf(architecture)
  if (family === 'onnx') return [...architecture.image as [number, number, number]]
  if (family === 'mlp') {
    const inputs = Number(architecture.inputs ?? 784)
    const channels = [1, 3].find((count) => Number.isInteger(Math.sqrt(inputs / count)))
    return channels ? [channels, Math.sqrt(inputs / channels), Math.sqrt(inputs / channels)] : [1, 1, inputs]
  }
  const small = family === 'resnet' && (architecture as ResNetOptions & Architecture).stem === 'cifar'
  const side = Number(architecture.image ?? (small ? 32 : image))
  return [Number(architecture.channels ?? 3), side, side]
}

/**
 * Side of the square pictures that an architecture can only have been trained on: fixed by its positions or its
 * classifier, or 32 for the stem of the CIFAR ResNets; null where any size will do.
 */
export function trainedSide(architecture: Architecture): number | null {
  const { family } = entryOf(architecture), [, height, width] = inputOf(architecture)
  const fixed = transformers.has(family) || family === 'mlp' || family === 'onnx' || architecture.type === 'tiny-vgg'
  const small = family === 'resnet' && height === 32
  return (fixed || small) && height === width ? height : null
}

/** The architecture with sizes taken from data wherever it does not state them: image side, channels, classes. */
export function fitToData(
  architecture: Architecture,
  [channels, height, width]: readonly [number, number, number],
  classes: number,
): Architecture {
  const { family } = entryOf(architecture)
  if (family === 'onnx') return architecture
  const found: Record<string, unknown> = family === 'mlp'
    ? { inputs: channels * height * width, classes }
    : { channels, classes }
  if (transformers.has(family)) found.image = height
  if (architecture.type === 'tiny-vgg') found.side = Math.floor((Math.floor((height - 4) / 2) - 4) / 2)
  return {
    ...architecture,
    ...Object.fromEntries(Object.entries(found).filter(([name]) => !Object.hasOwn(architecture, name))),
  }
}

/**
 * How pictures are prepared for an architecture where its checkpoint says nothing: timm's and torchvision's defaults.
 */
export function preprocessingFor(architecture: Architecture, channels = inputOf(architecture)[0]): Preprocessing {
  const { family } = entryOf(architecture)
  const [, side] = inputOf(architecture)
  return defaultPreprocessing(transformers.has(family) ? 'transformer' : 'cnn', side, channels === 1 ? 1 : 3)
}

/** How many classes a model of the registry tells apart. */
export function classesOf(model: Model): number {
  if (model instanceof GraphNetwork) return model.classes
  const packed = new Map(packedWeights(model))
  const shapes = describedLeaves(model).filter(([, , { role }]) => role === 'classifier')
    .map(([path, { shape }, traits]) => packed.get(nameOf(path, traits))?.shape ?? shape)
  return shapes.findLast((shape) => shape.length > 1)![0]
}

/** Start values that suit the family: a small deviation for transformers, He's for relu networks. */
export function startOf(architecture: Architecture): Scheme {
  const { family } = entryOf(architecture)
  return transformers.has(family) ? { std: 0.02 } : 'kaiming'
}

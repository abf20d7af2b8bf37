// Published checkpoints: how each way of naming tensors is recognised, how sizes are read off shapes, and which rules
// rename it.
import { InputError } from '../base/errors.ts'
import { shown } from '../base/quote.ts'
import type { Architecture } from '../../models/registry.ts'
import { huggingFaceSwin, huggingFaceViT, microsoftSwin, type Naming, resnet, timmSwin, timmViT, tinyVGG,
  torchvisionSwin, torchvisionVGG, torchvisionViT } from './weights.ts'

/** Shapes of a file's tensors by name. */
export type Shapes = ReadonlyMap<string, readonly number[]>

/** One way of naming the tensors of one family. */
export interface Published {
  family: 'vit' | 'swin' | 'vgg' | 'resnet'
  /** Whether a file's tensors are named this way. */
  fits(shapes: Shapes): boolean
  /** The architecture, as far as shapes tell it. @throws InputError where they do not. */
  sizes(shapes: Shapes): Architecture
  naming(architecture: Architecture): Naming
}

/** The shape of a tensor that must be there with this many axes. */
function need(shapes: Shapes, name: string, axes: number): readonly number[] {
  const shape = shapes.get(name)
  if (!shape && /head|classifier|(^|\.)fc\./.test(name)) {
    throw new InputError(
      `it has no classifier (tensor '${name}'); it is a backbone for features, `
        + 'get the file that was trained to classify',
    )
  }
  if (!shape) {
    throw new InputError(`expected a tensor '${name}' beside the others, found none; the checkpoint is incomplete`)
  }
  if (shape.length === axes) return shape
  throw new InputError(
    `tensor '${name}' has shape [${shape}], expected ${axes} axes; `
      + 'the checkpoint is damaged or of another architecture',
  )
}

/** How many numbers follow a prefix: one more than the largest in `prefix.<number>.`. */
function countOf(shapes: Shapes, prefix: string): number {
  let count = 0
  for (const name of shapes.keys()) {
    const number = name.startsWith(prefix) ? /^\d+/.exec(name.slice(prefix.length)) : null
    if (number) count = Math.max(count, Number(number[0]) + 1)
  }
  return count
}

const unclear = (what: string, option: string, example: string) =>
  new InputError(`${what}, so the shapes do not tell the ${option}; give it, e.g. --arch '{"${option}":${example}}'`)

/** Side of a square of this many entries. @throws InputError if it is none. */
function sideOf(name: string, count: number): number {
  const side = Math.sqrt(count)
  if (Number.isInteger(side)) return side
  throw new InputError(
    `tensor '${name}' has ${count} entries for a square map, expected a square number; `
      + 'only square images and windows are read',
  )
}

interface ViTNames {
  projection: string
  positions: string
  classToken: string
  distillToken?: string
  blocks: string
  hidden: string
  head: string
  /** The distillation token is there and its classifier is not, as transformers saves DeiT. */
  oneHead?: boolean
}

function vitSizes(shapes: Shapes, names: ViTNames, extra: object = {}): Architecture {
  const [width, channels, patch] = need(shapes, names.projection, 4), [, tokens] = need(shapes, names.positions, 3)
  const [classes] = need(shapes, names.head, 2), [hidden] = need(shapes, names.hidden, 2)
  const classToken = shapes.has(names.classToken),
    distilled = names.distillToken !== undefined && shapes.has(names.distillToken)
  const side = sideOf(names.positions, tokens - Number(classToken) - Number(distilled))
  // No tensor holds the number of heads; every published size but ViT-H has 64 channels in each.
  const heads = width === 1280 ? 16 : width % 64 ? undefined : width / 64
  return {
    type: 'vit',
    image: side * patch,
    patch,
    channels,
    width,
    depth: countOf(shapes, names.blocks),
    ...heads && { heads },
    hidden,
    classes,
    distilled,
    ...distilled && names.oneHead && { distillHead: false },
    classToken,
    ...extra,
  }
}

const vit = (mark: string, names: ViTNames, naming: Naming, extra?: object): Published => ({
  family: 'vit',
  fits: (shapes) => shapes.has(mark),
  sizes: (shapes) => vitSizes(shapes, names, extra),
  naming: () => naming,
})

const huggingFace = (root: 'vit' | 'deit', distilled: boolean) =>
  vit(
    distilled ? 'distillation_classifier.weight' : `${root}.encoder.layer.0.attention.attention.query.weight`,
    {
      projection: `${root}.embeddings.patch_embeddings.projection.weight`,
      positions: `${root}.embeddings.position_embeddings`,
      classToken: `${root}.embeddings.cls_token`,
      distillToken: `${root}.embeddings.distillation_token`,
      blocks: `${root}.encoder.layer.`,
      hidden: `${root}.encoder.layer.0.intermediate.dense.weight`,
      head: distilled ? 'cls_classifier.weight' : 'classifier.weight',
      oneHead: !distilled,
    },
    huggingFaceViT(root, distilled),
    { eps: 1e-12 },
  )

interface SwinNames {
  projection: string
  head: string
  /** Prefix of stage `i`, to which a block's number is added. */
  blocks(stage: number): string
  table: string
  hidden: string
  fit?: 'pad'
}

function swinSizes(shapes: Shapes, names: SwinNames): Architecture {
  const [width, channels, patch] = need(shapes, names.projection, 4), [classes] = need(shapes, names.head, 2)
  const depths: number[] = [], heads: number[] = [], windows: number[] = []
  let kinds = ''
  for (let stage = 0; stage < 64 && countOf(shapes, names.blocks(stage)); stage++) {
    const block = `${names.blocks(stage)}0.`,
      table = block + names.table,
      positions = `${block}attn.positional_encoding`
    depths.push(countOf(shapes, names.blocks(stage)))
    if (shapes.has(table)) {
      const [places, count] = need(shapes, table, 2)
      heads.push(count)
      windows.push((sideOf(table, places) + 1) / 2)
      kinds += 'S'
    } else {
      const [, tokens, wide] = need(shapes, positions, 3), [dim] = need(shapes, `${block}attn.dwc.weight`, 4)
      heads.push(wide / dim)
      windows.push(sideOf(positions, tokens))
      kinds += 'L'
    }
  }
  const [hidden] = need(shapes, `${names.blocks(0)}0.${names.hidden}`, 2)
  // Only masks of shifted windows show the size of a map; without one the last stage is one window, as in every
  // published size.
  const masked = depths.findIndex((_, stage) => shapes.has(`${names.blocks(stage)}1.attn_mask`))
  const image = masked >= 0
    ? patch * 2 ** masked * windows[masked]
      * sideOf('attn_mask', need(shapes, `${names.blocks(masked)}1.attn_mask`, 3)[0])
    : patch * 2 ** (depths.length - 1) * windows.at(-1)!
  const ratio = hidden / width
  return {
    type: 'swin',
    image,
    patch,
    channels,
    width,
    depths,
    heads,
    windows,
    kinds,
    ratio,
    classes,
    ...names.fit && { fit: names.fit },
  }
}

const swin = (mark: (shapes: Shapes) => boolean, names: SwinNames, naming: (stages: number) => Naming): Published => ({
  family: 'swin',
  fits: mark,
  sizes: (shapes) => swinSizes(shapes, names),
  naming: ({ depths = [2, 2, 6, 2] }) => naming((depths as number[]).length),
})

const microsoft = {
  projection: 'patch_embed.proj.weight',
  blocks: (stage: number) => `layers.${stage}.blocks.`,
  table: 'attn.relative_position_bias_table',
  hidden: 'mlp.fc1.weight',
}

function resnetSizes(shapes: Shapes, head: 'fc' | 'linear'): Architecture {
  const [, channels, size] = need(shapes, 'conv1.weight', 4), [width] = need(shapes, 'layer1.0.conv1.weight', 4)
  const [classes] = need(shapes, `${head}.weight`, 2), expected = head === 'fc' ? 7 : 3
  if (size !== expected) {
    throw new InputError(
      `tensor 'conv1.weight' has a kernel of ${size}, `
        + `expected ${expected} in a ResNet that ends in '${head}'; this variant is not known here`,
    )
  }
  const layers: number[] = []
  while (layers.length < 64 && countOf(shapes, `layer${layers.length + 1}.`)) {
    layers.push(countOf(shapes, `layer${layers.length + 1}.`))
  }
  const block = shapes.has('layer1.0.conv3.weight') ? 'bottleneck' : 'basic'
  return { type: 'resnet', layers, width, classes, channels, block, stem: head === 'fc' ? 'imagenet' : 'cifar' }
}

const residual = (head: 'fc' | 'linear'): Published => ({
  family: 'resnet',
  fits: (shapes) => shapes.has('layer1.0.conv1.weight') && shapes.has(`${head}.weight`),
  sizes: (shapes) => resnetSizes(shapes, head),
  naming: () => resnet(head),
})

/** Convolutions and pools, told by the gaps between the numbers of torchvision's layers. */
function vggSizes(shapes: Shapes): Architecture {
  const batchNorm = shapes.has('features.1.running_mean'), step = batchNorm ? 3 : 2
  const plan: (number | 'pool')[] = []
  for (let at = 0, end = Math.min(1024, countOf(shapes, 'features.')); at < end;) {
    const name = `features.${at}.weight`
    if (shapes.get(name)?.length === 4) {
      plan.push(shapes.get(name)![0])
      at += step
    } else if (plan.length && plan.at(-1) !== 'pool') {
      plan.push('pool')
      at++
    } else {throw new InputError(
        `expected a tensor '${name}' of a convolution, found none; `
          + 'the checkpoint is incomplete or no VGG of torchvision',
      )}
  }
  plan.push('pool')
  const [, channels] = need(shapes, 'features.0.weight', 4), last = Number(plan.at(-2))
  const [first, inputs] = need(shapes, 'classifier.0.weight', 2), [second] = need(shapes, 'classifier.3.weight', 2)
  const [classes] = need(shapes, 'classifier.6.weight', 2), side = sideOf('classifier.0.weight', inputs / last)
  return { type: 'vgg', plan, channels, classes, batchNorm, side, hidden: [first, second] }
}

function tinySizes(shapes: Shapes): Architecture {
  const widths = ['conv_1_1', 'conv_1_2', 'conv_2_1', 'conv_2_2'].map((name) => need(shapes, `${name}.weight`, 4)[0])
  const [classes, inputs] = need(shapes, 'output.weight', 2), [, channels] = need(shapes, 'conv_1_1.weight', 4)
  const plan = [...widths.slice(0, 2), 'pool', ...widths.slice(2), 'pool']
  return { type: 'tiny-vgg', plan, channels, classes, side: sideOf('output.weight', inputs / widths[3]) }
}

/** Every naming that is read and written, most particular first. */
export const published: Readonly<Record<string, Published>> = {
  'hf-deit-distilled': huggingFace('deit', true),
  'hf-deit': huggingFace('deit', false),
  'hf-vit': huggingFace('vit', false),
  'hf-swin': swin((shapes) => shapes.has('swin.embeddings.patch_embeddings.projection.weight'), {
    projection: 'swin.embeddings.patch_embeddings.projection.weight',
    head: 'classifier.weight',
    blocks: (stage) => `swin.encoder.layers.${stage}.blocks.`,
    table: 'attention.self.relative_position_bias_table',
    hidden: 'intermediate.dense.weight',
  }, () => huggingFaceSwin),
  'timm-swin': swin((shapes) => shapes.has('layers.0.blocks.0.attn.qkv.weight') && shapes.has('head.fc.weight'), {
    ...microsoft,
    head: 'head.fc.weight',
  }, timmSwin),
  'microsoft-swin': swin((shapes) => shapes.has('layers.0.blocks.0.attn.qkv.weight'), {
    ...microsoft,
    head: 'head.weight',
  }, () => microsoftSwin),
  'torchvision-swin': swin((shapes) => shapes.has('features.1.0.attn.qkv.weight'), {
    projection: 'features.0.0.weight',
    head: 'head.weight',
    blocks: (stage) => `features.${2 * stage + 1}.`,
    table: 'attn.relative_position_bias_table',
    hidden: 'mlp.0.weight',
    fit: 'pad',
  }, torchvisionSwin),
  'timm-vit': vit('blocks.0.attn.qkv.weight', {
    projection: 'patch_embed.proj.weight',
    positions: 'pos_embed',
    classToken: 'cls_token',
    distillToken: 'dist_token',
    blocks: 'blocks.',
    hidden: 'blocks.0.mlp.fc1.weight',
    head: 'head.weight',
  }, timmViT),
  'torchvision-vit': vit('conv_proj.weight', {
    projection: 'conv_proj.weight',
    positions: 'encoder.pos_embedding',
    classToken: 'class_token',
    blocks: 'encoder.layers.encoder_layer_',
    hidden: 'encoder.layers.encoder_layer_0.mlp.0.weight',
    head: 'heads.head.weight',
  }, torchvisionViT),
  'torchvision-resnet': residual('fc'),
  'cifar-resnet': residual('linear'),
  'torchvision-vgg': {
    family: 'vgg',
    fits: (shapes) => shapes.has('features.0.weight') && shapes.has('classifier.6.weight'),
    sizes: vggSizes,
    naming: ({ plan, batchNorm = false }) => torchvisionVGG(plan as (number | 'pool')[], batchNorm as boolean),
  },
  'tiny-vgg': {
    family: 'vgg',
    fits: (shapes) => shapes.has('conv_1_1.weight'),
    sizes: tinySizes,
    naming: () => tinyVGG,
  },
}

/** The naming of a file's tensors. @throws InputError naming some of them where it is none of those known. */
export function recognise(shapes: Shapes): string {
  const found = Object.entries(published).find(([, { fits }]) => fits(shapes))
  if (found) return found[0]
  const some = [...shapes.keys()].slice(0, 4).map((name) => name.slice(0, 60)).join(', ')
  throw new InputError(
    `its tensors (${some}${shapes.size > 4 ? ', …' : ''}) belong to no architecture known here; `
      + `known are the names of ${Object.keys(published).join(', ')}`,
  )
}

/** Refuses an architecture that still lacks what no shape tells. @throws InputError. */
export function checkComplete(architecture: Architecture): void {
  const { type, width, heads } = architecture
  if (type === 'vit' && width !== undefined && heads === undefined) {
    throw unclear(`a width of ${String(width)} is no multiple of 64`, 'heads', '3')
  }
}

// The JSON `arch` in the metadata of this project's own reference weights: constructor arguments of
// shared/tools/ref_models.py.
const references: Record<string, (given: Record<string, unknown>) => Architecture> = {
  ViT: (
    {
      in_ch = 3,
      dim = 192,
      image = 224,
      patch = 16,
      depth = 12,
      heads = 3,
      hidden = 768,
      classes = 1000,
      eps = 1e-6,
      distilled = false,
    },
  ) => ({ type: 'vit', image, patch, channels: in_ch, width: dim, depth, heads, hidden, classes, eps, distilled }),
  PostNormViT: ({ dim = 32, depth = 1, heads = 1, hidden = 64, classes = 10, eps = 1e-5 }) => ({
    type: 'vit',
    image: 28,
    patch: 7,
    channels: 1,
    width: dim,
    depth,
    heads,
    hidden,
    classes,
    eps,
    norm: 'post',
    classToken: false,
  }),
  CifarResNet: ({ n = 3, width = 16, classes = 10 }) => ({
    type: 'resnet',
    layers: [n, n, n],
    width,
    classes,
    stem: 'cifar',
  }),
  TinyVGG: () => ({ type: 'tiny-vgg' }),
  FlattenSwin: (
    {
      image = 32,
      patch = 2,
      dim = 24,
      depths = [2, 2],
      heads = [2, 4],
      windows = [8, 4],
      kinds = 'LS',
      mlp_ratio = 4,
      classes = 10,
      eps = 1e-5,
    },
  ) => ({ type: 'swin', image, patch, width: dim, depths, heads, windows, kinds, ratio: mlp_ratio, classes, eps }),
}

/** The architecture that metadata `arch` names. @throws InputError if it is damaged or names an unknown type. */
export function referenceArchitecture(text: string): Architecture {
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch (error) {
    throw new InputError('metadata arch is not valid JSON; remove it or give --arch', { cause: error })
  }
  const type = (given as { type?: unknown } | null)?.type
  if (typeof type !== 'string' || !Object.hasOwn(references, type)) {
    const found = shown(type ?? null, 60)
    throw new InputError(
      `metadata arch has the type ${found}, expected one of ${
        Object.keys(references).join(', ')
      }; remove it or give --arch`,
    )
  }
  return references[type](given as Record<string, unknown>)
}

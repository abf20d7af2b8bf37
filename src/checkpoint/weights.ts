// Published parameter names and fused layouts to ours, and back. A rule is a pair of templates: `{i}` stands for a
// number on both sides. One published tensor may hold several of ours, one after the other along its first axis (a
// fused qkv).
import { InputError, ShapeError } from '../base/errors.ts'
import type { Tensor } from '../core/tensor.ts'
import { describedLeaves, leaves } from '../core/tree.ts'

/**
 * How a published tensor's shape follows from ours: rows or columns merged, everything merged, or a leading axis of 1.
 */
type Form = 'same' | 'rows' | 'columns' | 'flat' | 'leading' | 'channels'

interface NameRule {
  published: string
  ours: readonly string[]
  form: Form
}

/** The rules of one family of checkpoints. */
export type Naming = readonly NameRule[]

/** Host values of one tensor. */
export interface HostTensor {
  shape: readonly number[]
  data: Float32Array
}

const rule = (published: string, ours: string | readonly string[], form: Form = 'same'): NameRule => ({
  published,
  ours: typeof ours === 'string' ? [ours] : ours,
  form,
})

const affine = (
  published: string,
  ours: string,
  form: Form = 'same',
) => [rule(`${published}.weight`, `${ours}.weight`, form), rule(`${published}.bias`, `${ours}.bias`)]
const layerNorm = (
  published: string,
  ours: string,
  form: Form = 'same',
) => [rule(`${published}.weight`, `${ours}.gain`, form), rule(`${published}.bias`, `${ours}.bias`, form)]
const batchNorm = (published: string, ours: string) => [
  rule(`${published}.weight`, `${ours}.gain`),
  rule(`${published}.bias`, `${ours}.bias`),
  rule(`${published}.running_mean`, `${ours}.mean`),
  rule(`${published}.running_var`, `${ours}.variance`),
]
const qkv = (published: string, ours: string, weight = '.weight', bias = '.bias') => [
  rule(published + weight, [`${ours}.query`, `${ours}.key`, `${ours}.value`], 'rows'),
  rule(published + bias, [`${ours}.queryBias`, `${ours}.keyBias`, `${ours}.valueBias`], 'flat'),
]
const projection = (
  published: string,
  ours: string,
) => [rule(`${published}.weight`, `${ours}.out`, 'columns'), rule(`${published}.bias`, `${ours}.outBias`)]

const merging = (
  published: string,
  ours: string,
) => [
  ...layerNorm(`${published}.norm`, `${ours}.norm`, 'flat'),
  rule(`${published}.reduction.weight`, `${ours}.weight`, 'columns'),
]

/** ViT and DeiT as timm names them. */
export const timmViT: Naming = [
  rule('cls_token', 'classToken'),
  rule('dist_token', 'distillToken'),
  rule('pos_embed', 'positions', 'leading'),
  ...affine('patch_embed.proj', 'patches.projection'),
  ...layerNorm('blocks.{i}.norm1', 'blocks.{i}.norm1'),
  ...layerNorm('blocks.{i}.norm2', 'blocks.{i}.norm2'),
  ...qkv('blocks.{i}.attn.qkv', 'blocks.{i}.attention'),
  ...projection('blocks.{i}.attn.proj', 'blocks.{i}.attention'),
  ...affine('blocks.{i}.mlp.fc1', 'blocks.{i}.mlp.fc1'),
  ...affine('blocks.{i}.mlp.fc2', 'blocks.{i}.mlp.fc2'),
  ...layerNorm('norm', 'norm'),
  ...affine('head', 'head'),
  ...affine('head_dist', 'distillHead'),
]

const encoder = 'encoder.layers.encoder_layer_{i}'

/** ViT as torchvision names it. */
export const torchvisionViT: Naming = [
  rule('class_token', 'classToken'),
  rule('encoder.pos_embedding', 'positions', 'leading'),
  ...affine('conv_proj', 'patches.projection'),
  ...layerNorm(`${encoder}.ln_1`, 'blocks.{i}.norm1'),
  ...layerNorm(`${encoder}.ln_2`, 'blocks.{i}.norm2'),
  ...qkv(`${encoder}.self_attention`, 'blocks.{i}.attention', '.in_proj_weight', '.in_proj_bias'),
  ...projection(`${encoder}.self_attention.out_proj`, 'blocks.{i}.attention'),
  ...affine(`${encoder}.mlp.0`, 'blocks.{i}.mlp.fc1'),
  ...affine(`${encoder}.mlp.3`, 'blocks.{i}.mlp.fc2'),
  ...layerNorm('encoder.ln', 'norm'),
  ...affine('heads.head', 'head'),
]

const block = 'stages.{i}.blocks.{j}'

/** Swin and FLatten-Swin as Microsoft, timm and LeapLabTHU name them. */
export const microsoftSwin: Naming = [
  ...affine('patch_embed.proj', 'patches.projection'),
  ...layerNorm('patch_embed.norm', 'patchNorm'),
  ...layerNorm('layers.{i}.blocks.{j}.norm1', `${block}.norm1`),
  ...layerNorm('layers.{i}.blocks.{j}.norm2', `${block}.norm2`),
  rule('layers.{i}.blocks.{j}.attn.relative_position_bias_table', `${block}.attention.table`),
  // Softmax stages keep their projections in `inner`, linear ones in the attention itself: the model decides which path
  // exists.
  ...qkv('layers.{i}.blocks.{j}.attn.qkv', `${block}.attention.inner`),
  ...projection('layers.{i}.blocks.{j}.attn.proj', `${block}.attention.inner`),
  ...qkv('layers.{i}.blocks.{j}.attn.qkv', `${block}.attention`),
  ...projection('layers.{i}.blocks.{j}.attn.proj', `${block}.attention`),
  rule('layers.{i}.blocks.{j}.attn.scale', `${block}.attention.sharpness`, 'channels'),
  rule('layers.{i}.blocks.{j}.attn.positional_encoding', `${block}.attention.positions`, 'channels'),
  rule('layers.{i}.blocks.{j}.attn.dwc.weight', `${block}.attention.kernel`),
  rule('layers.{i}.blocks.{j}.attn.dwc.bias', `${block}.attention.kernelBias`),
  ...affine('layers.{i}.blocks.{j}.mlp.fc1', `${block}.mlp.fc1`),
  ...affine('layers.{i}.blocks.{j}.mlp.fc2', `${block}.mlp.fc2`),
  ...merging('layers.{i}.downsample', 'stages.{i}.merging'),
  ...layerNorm('norm', 'norm'),
  ...affine('head', 'head'),
]

/**
 * Swin as torchvision names it: `features.{2 stage + 1}.{block}`, merging layers in between. `stages` is their number.
 */
export const torchvisionSwin = (stages: number): Naming => [
  ...affine('features.0.0', 'patches.projection'),
  ...layerNorm('features.0.2', 'patchNorm'),
  ...Array.from({ length: stages }, (_, stage) => {
    const theirs = `features.${2 * stage + 1}.{j}`, mine = `stages.${stage}.blocks.{j}`
    return [
      ...layerNorm(`${theirs}.norm1`, `${mine}.norm1`),
      ...layerNorm(`${theirs}.norm2`, `${mine}.norm2`),
      rule(`${theirs}.attn.relative_position_bias_table`, `${mine}.attention.table`),
      ...qkv(`${theirs}.attn.qkv`, `${mine}.attention.inner`),
      ...projection(`${theirs}.attn.proj`, `${mine}.attention.inner`),
      ...affine(`${theirs}.mlp.0`, `${mine}.mlp.fc1`),
      ...affine(`${theirs}.mlp.3`, `${mine}.mlp.fc2`),
      ...merging(`features.${2 * stage + 2}`, `stages.${stage}.merging`),
    ]
  }).flat(),
  ...layerNorm('norm', 'norm'),
  ...affine('head', 'head'),
]

/**
 * Swin as newer versions of timm name it: Microsoft's names, but merging layers stand at the start of the stage they
 * lead to and the classifier is `head.fc`.
 */
export const timmSwin = (stages: number): Naming => [
  ...microsoftSwin.filter(({ published }) => !/downsample|^head/.test(published)),
  ...Array.from(
    { length: stages - 1 },
    (_, stage) => merging(`layers.${stage + 1}.downsample`, `stages.${stage}.merging`),
  ).flat(),
  ...affine('head.fc', 'head'),
]

const separate = (published: string, ours: string) =>
  ['query', 'key', 'value'].flatMap((name) => [
    rule(`${published}.${name}.weight`, `${ours}.${name}`, 'rows'),
    rule(`${published}.${name}.bias`, `${ours}.${name}Bias`, 'flat'),
  ])
const huggingFaceBlock = (theirs: string, ours: string, attention: string, self: string) => [
  ...layerNorm(`${theirs}.layernorm_before`, `${ours}.norm1`),
  ...layerNorm(`${theirs}.layernorm_after`, `${ours}.norm2`),
  ...separate(`${theirs}.attention.${self}`, attention),
  ...projection(`${theirs}.attention.output.dense`, attention),
  ...affine(`${theirs}.intermediate.dense`, `${ours}.mlp.fc1`),
  ...affine(`${theirs}.output.dense`, `${ours}.mlp.fc2`),
]

/** ViT and DeiT as Hugging Face's transformers name them: query, key and value apart. `root` is `vit` or `deit`. */
export const huggingFaceViT = (root: 'vit' | 'deit', distilled: boolean): Naming => [
  rule(`${root}.embeddings.cls_token`, 'classToken'),
  rule(`${root}.embeddings.distillation_token`, 'distillToken'),
  rule(`${root}.embeddings.position_embeddings`, 'positions', 'leading'),
  ...affine(`${root}.embeddings.patch_embeddings.projection`, 'patches.projection'),
  ...huggingFaceBlock(`${root}.encoder.layer.{i}`, 'blocks.{i}', 'blocks.{i}.attention', 'attention'),
  ...layerNorm(`${root}.layernorm`, 'norm'),
  ...distilled
    ? [...affine('cls_classifier', 'head'), ...affine('distillation_classifier', 'distillHead')]
    : affine('classifier', 'head'),
]

const swinRoot = 'swin.encoder.layers.{i}'

/** Swin as Hugging Face's transformers name it. */
export const huggingFaceSwin: Naming = [
  ...affine('swin.embeddings.patch_embeddings.projection', 'patches.projection'),
  ...layerNorm('swin.embeddings.norm', 'patchNorm'),
  ...huggingFaceBlock(`${swinRoot}.blocks.{j}`, block, `${block}.attention.inner`, 'self'),
  rule(`${swinRoot}.blocks.{j}.attention.self.relative_position_bias_table`, `${block}.attention.table`),
  ...merging(`${swinRoot}.downsample`, 'stages.{i}.merging'),
  ...layerNorm('swin.layernorm', 'norm'),
  ...affine('classifier', 'head'),
]

const stageBlock = (stage: number) => `stages.${stage - 1}.{i}`
const conv = (published: string, ours: string) => rule(`${published}.weight`, `${ours}.weight`)

/** ResNet as torchvision names it (`fc`), or as the CIFAR ResNets do (`linear`). */
export const resnet = (head: 'fc' | 'linear'): Naming => [
  conv('conv1', 'stem.conv'),
  ...batchNorm('bn1', 'stem.norm'),
  ...[1, 2, 3, 4].flatMap((stage) => [
    ...[1, 2, 3].flatMap((layer) => [
      conv(`layer${stage}.{i}.conv${layer}`, `${stageBlock(stage)}.layers.${layer - 1}.conv`),
      ...batchNorm(`layer${stage}.{i}.bn${layer}`, `${stageBlock(stage)}.layers.${layer - 1}.norm`),
    ]),
    conv(`layer${stage}.{i}.downsample.0`, `${stageBlock(stage)}.shortcut.conv`),
    ...batchNorm(`layer${stage}.{i}.downsample.1`, `${stageBlock(stage)}.shortcut.norm`),
  ]),
  ...affine(head, 'head'),
]

/** VGG as torchvision names it: layers are numbered through convolutions, norms, relus and pools. */
export function torchvisionVGG(plan: readonly (number | 'pool')[], batchNormed: boolean): Naming {
  let at = 0
  const features = plan.flatMap((step, layer) => {
    if (step === 'pool') {
      at++
      return []
    }
    const rules = [
      ...affine(`features.${at}`, `layers.${layer}.conv`),
      ...batchNormed ? batchNorm(`features.${at + 1}`, `layers.${layer}.norm`) : [],
    ]
    at += batchNormed ? 3 : 2
    return rules
  })
  return [
    ...features,
    ...[0, 3, 6].flatMap((published, layer) => affine(`classifier.${published}`, `classifier.${layer}`, 'columns')),
  ]
}

/** Tiny VGG of CNN Explainer. */
export const tinyVGG: Naming = [
  ...affine('conv_1_1', 'layers.0.conv'),
  ...affine('conv_1_2', 'layers.1.conv'),
  ...affine('conv_2_1', 'layers.3.conv'),
  ...affine('conv_2_2', 'layers.4.conv'),
  ...affine('output', 'classifier.0', 'columns'),
]

const patterns = new Map<string, RegExp>()

/** Fills templates: `blocks.{i}.attn` matched by `blocks.3.attn` gives i = 3. */
function match(template: string, name: string): Record<string, string> | null {
  const fixed = template.indexOf('{')
  if (fixed < 0) return template === name ? {} : null
  if (!name.startsWith(template.slice(0, fixed))) return null
  let pattern = patterns.get(template)
  if (!pattern) {
    patterns.set(
      template,
      pattern = new RegExp(`^${template.replace(/[.]/g, '\\.').replace(/\{(\w)\}/g, '(?<$1>\\d+)')}$`),
    )
  }
  return pattern.exec(name)?.groups ?? null
}

const fill = (template: string, values: Record<string, string>) =>
  template.replace(/\{(\w)\}/g, (_, key: string) => values[key])

const shapeOf = (form: Form, shape: readonly number[], parts: number): number[] => {
  const product = (axes: readonly number[]) => axes.reduce((a, b) => a * b, 1)
  switch (form) {
    case 'rows':
      return [parts * product(shape.slice(0, -1)), shape.at(-1)!]
    case 'columns':
      return [shape[0], product(shape.slice(1))]
    case 'flat':
      return [parts * product(shape)]
    case 'leading':
      return [1, ...shape]
    case 'channels':
      return shape.length === 2 ? [1, 1, product(shape)] : [1, shape[0], product(shape.slice(1))]
    case 'same':
      return parts === 1 ? [...shape] : [parts * shape[0], ...shape.slice(1)]
  }
}

/** The tensors that published checkpoints hold: all but what follows from the sizes, and masks. */
const savedLeaves = (model: unknown) =>
  describedLeaves(model).flatMap(([path, leaf, { saved = true }]): [string, Tensor][] =>
    saved === true ? [[path, leaf]] : []
  )

/** Where one published tensor goes, by the first rule that fits; null if none does. */
function placeOf(
  name: string,
  naming: Naming,
  tensors: ReadonlyMap<string, Tensor>,
): { paths: string[], shape: number[] } | null {
  for (const { published, ours, form } of naming) {
    const values = match(published, name)
    if (!values) continue
    const paths = ours.map((path) => fill(path, values))
    if (paths.length === 0 || !paths.every((path) => tensors.has(path))) continue
    return { paths, shape: shapeOf(form, tensors.get(paths[0])!.shape, paths.length) }
  }
  return null
}

/**
 * Where each published tensor goes: for every name the paths of ours that it fills, with the shape it must have.
 * @throws InputError naming the tensors that fit no rule, have the wrong size, or are missing.
 */
export function layoutOf(
  model: unknown,
  naming: Naming,
  names: Iterable<string>,
): Map<string, { paths: string[], shape: number[] }> {
  const tensors = new Map(leaves(model))
  const missing = new Set(savedLeaves(model).map(([path]) => path))
  const layout = new Map<string, { paths: string[], shape: number[] }>()
  const unknown: string[] = []
  for (const name of names) {
    const found = placeOf(name, naming, tensors)
    if (!found) unknown.push(name)
    else {
      layout.set(name, found)
      for (const path of found.paths) missing.delete(path)
    }
  }
  if (unknown.length || missing.size) {
    const some = (list: string[]) =>
      list.slice(0, 4).join(', ') + (list.length > 4 ? `, and ${list.length - 4} more` : '')
    throw new InputError(`the checkpoint does not fit the architecture: ${
      [
        unknown.length ? `it has ${some(unknown)}, which the model lacks` : '',
        missing.size ? `it lacks ${some([...missing])}` : '',
      ].filter(Boolean).join('; ')
    }; check --arch and the sizes`)
  }
  return layout
}

/**
 * Writes a checkpoint's tensors into a model of the right sizes. Integer buffers (`num_batches_tracked`, indices) are
 * not passed in.
 * @throws InputError if names or sizes differ.
 */
export function loadWeights(model: unknown, naming: Naming, source: ReadonlyMap<string, HostTensor>): void {
  const tensors = new Map(leaves(model))
  for (const [name, { paths, shape }] of layoutOf(model, naming, source.keys())) {
    const { data, shape: found } = source.get(name)!
    checkShape(name, found, shape)
    const part = data.length / paths.length
    paths.forEach((path, i) => {
      tensors.get(path)!.write(data.subarray(i * part, (i + 1) * part))
    })
  }
}

/** @throws InputError where a published tensor is not of the shape that the model's tensor makes it. */
export function checkShape(name: string, found: readonly number[], expected: readonly number[]): void {
  if (found.join() === expected.join()) return
  throw new InputError(
    `tensor '${name}' has shape [${found}], the architecture expects [${expected}]; check --arch, `
      + 'image size and class count',
  )
}

/** A model's tensors under published names, fused as the checkpoint they came from: the inverse of `loadWeights`. */
export async function saveWeights(model: unknown, naming: Naming): Promise<Map<string, HostTensor>> {
  const tensors = new Map(savedLeaves(model))
  const done = new Set<string>()
  const out = new Map<string, HostTensor>()
  for (const { published, ours, form } of naming) {
    for (const path of tensors.keys()) {
      const values = match(ours[0], path)
      if (!values || done.has(path)) continue
      const paths = ours.map((template) => fill(template, values))
      const parts = paths.map((each) => tensors.get(each))
      if (parts.some((part) => part === undefined)) continue
      const found = parts as Tensor[]
      const data = new Float32Array(found.reduce((sum, { size }) => sum + size, 0))
      let at = 0
      for (const part of found) {
        data.set(await part.data() as Float32Array, at)
        at += part.size
      }
      for (const each of paths) done.add(each)
      out.set(fill(published, values), { shape: shapeOf(form, found[0].shape, found.length), data })
    }
  }
  const left = [...tensors.keys()].filter((path) => !done.has(path))
  if (left.length) throw new ShapeError(`saveWeights: the naming has no place for ${left.slice(0, 4).join(', ')}`)
  return out
}

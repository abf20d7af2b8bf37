// Checkpoints as other programs write them, with made-up weights: tensors by name for encodeSafetensors.
import type { TensorToStore } from '../../src/files/safetensors.ts'

/** Tensors of a file by name. */
export type Tensors = Record<string, TensorToStore>

/** Values that differ from place to place, the same every time. */
export const tensorOf = (...shape: number[]): TensorToStore => ({
  shape,
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 1.7 + shape.length) / 4),
})

const affine = (name: string, out: number, into: number): Tensors => ({
  [`${name}.weight`]: tensorOf(out, into),
  [`${name}.bias`]: tensorOf(out),
})
const norm = (name: string, width: number): Tensors => ({
  [`${name}.weight`]: tensorOf(width),
  [`${name}.bias`]: tensorOf(width),
})

/** A ViT of one block as timm names it: 16 x 16 pixels in patches of 4. */
export function timmViT({ width = 64, classes = 5, hidden = 16 } = {}): Tensors {
  return {
    cls_token: tensorOf(1, 1, width),
    pos_embed: tensorOf(1, 17, width),
    'patch_embed.proj.weight': tensorOf(width, 3, 4, 4),
    'patch_embed.proj.bias': tensorOf(width),
    ...norm('blocks.0.norm1', width),
    ...affine('blocks.0.attn.qkv', 3 * width, width),
    ...affine('blocks.0.attn.proj', width, width),
    ...norm('blocks.0.norm2', width),
    ...affine('blocks.0.mlp.fc1', hidden, width),
    ...affine('blocks.0.mlp.fc2', width, hidden),
    ...norm('norm', width),
    ...affine('head', classes, width),
  }
}

/** The same as torchvision names it. */
export function torchvisionViT({ width = 64, classes = 5, hidden = 16 } = {}): Tensors {
  const block = 'encoder.layers.encoder_layer_0'
  return {
    class_token: tensorOf(1, 1, width),
    'conv_proj.weight': tensorOf(width, 3, 4, 4),
    'conv_proj.bias': tensorOf(width),
    'encoder.pos_embedding': tensorOf(1, 17, width),
    ...norm(`${block}.ln_1`, width),
    [`${block}.self_attention.in_proj_weight`]: tensorOf(3 * width, width),
    [`${block}.self_attention.in_proj_bias`]: tensorOf(3 * width),
    ...affine(`${block}.self_attention.out_proj`, width, width),
    ...norm(`${block}.ln_2`, width),
    ...affine(`${block}.mlp.0`, hidden, width),
    ...affine(`${block}.mlp.3`, width, hidden),
    ...norm('encoder.ln', width),
    ...affine('heads.head', classes, width),
  }
}

/** The same as transformers names DeiT: always with a distillation token, here with one classifier. */
export function transformersDeiT({ width = 64, classes = 5, hidden = 16 } = {}): Tensors {
  const block = 'deit.encoder.layer.0'
  return {
    'deit.embeddings.cls_token': tensorOf(1, 1, width),
    'deit.embeddings.distillation_token': tensorOf(1, 1, width),
    'deit.embeddings.position_embeddings': tensorOf(1, 18, width),
    'deit.embeddings.patch_embeddings.projection.weight': tensorOf(width, 3, 4, 4),
    'deit.embeddings.patch_embeddings.projection.bias': tensorOf(width),
    ...norm(`${block}.layernorm_before`, width),
    ...norm(`${block}.layernorm_after`, width),
    ...affine(`${block}.attention.attention.query`, width, width),
    ...affine(`${block}.attention.attention.key`, width, width),
    ...affine(`${block}.attention.attention.value`, width, width),
    ...affine(`${block}.attention.output.dense`, width, width),
    ...affine(`${block}.intermediate.dense`, hidden, width),
    ...affine(`${block}.output.dense`, width, hidden),
    ...norm('deit.layernorm', width),
    ...affine('classifier', classes, width),
  }
}

const batchNorm = (name: string, width: number): Tensors => ({
  ...norm(name, width),
  [`${name}.running_mean`]: tensorOf(width),
  [`${name}.running_var`]: { shape: [width], data: new Float32Array(width).fill(1) },
})

/** A CIFAR ResNet of three blocks with widths 4, 8, 16. */
export function cifarResNet({ classes = 5 } = {}): Tensors {
  return {
    'conv1.weight': tensorOf(4, 3, 3, 3),
    ...batchNorm('bn1', 4),
    ...Object.assign(
      {},
      ...[4, 8, 16].map((width, i) => ({
        [`layer${i + 1}.0.conv1.weight`]: tensorOf(width, i ? width / 2 : 4, 3, 3),
        ...batchNorm(`layer${i + 1}.0.bn1`, width),
        [`layer${i + 1}.0.conv2.weight`]: tensorOf(width, width, 3, 3),
        ...batchNorm(`layer${i + 1}.0.bn2`, width),
      })),
    ) as Tensors,
    ...affine('linear', classes, 16),
  }
}

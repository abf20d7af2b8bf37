// Relatives of the networks known here that are not read: told by their tensors, so that the refusal says what they
// are.
import { InputError } from '../base/errors.ts'
import type { Shapes } from './published.ts'

/** Names that only one kind of network has, and what to say of it. */
const marks: readonly (readonly [mark: RegExp, what: string])[] = [
  [
    /attn\.(logit_scale|cpb_mlp\.)|continuous_position_bias_mlp/,
    'Swin V2 (cosine attention, continuous position bias)',
  ],
  [/(^|\.)(reg_token|register_tokens)$/, 'a ViT with register tokens'],
  [/\.(ls1|ls2)\.gamma$|\.gamma_[12]$|lambda1$/, "LayerScale in a network other than timm's ViT"],
  [
    /^(blocks|(beit\.)?encoder\.layer)\.\d+\.(attn|attention\.attention)\.(q_bias|relative_position_bias)|rel_pos_bias/,
    'BEiT (relative positions, no key bias)',
  ],
  [/attn\.[qk]_norm\./, 'attention with normalised queries and keys (qk_norm)'],
  [/mlp\.(w12|w1|w3|fc1_g|gate_proj)\./, 'a gated perceptron (SwiGLU)'],
  [/(^|\.)attn_pool\.|\.probe$/, 'attention pooling (SigLIP, MAP heads)'],
  [/(^|\.)norm_pre\.|pre_layrnorm|ln_pre/, "CLIP's vision transformer (a norm before the blocks)"],
  [/(^|\.)fc_norm\./, 'a ViT that pools tokens before a last norm (fc_norm, global_pool avg)'],
  [/lora_[AB]\b|lora_(up|down)/, 'a LoRA adapter, which holds no network; merge it into its base first'],
  [
    /layer\d\.\d+\.se\.|\.se_module\.|squeeze_excitation|\.se\.(fc|conv)/,
    'squeeze and excitation (SE-ResNet, EfficientNet)',
  ],
  [/^layer1\.0\.(conv2\.conv|radix|attn_gate)|splat/, 'ResNeSt'],
  [/^conv1\.\d\.weight$/, 'a ResNet with a deep stem (ResNet-D)'],
  [/^resnet\.embedder\./, "a ResNet as Hugging Face names it; take torchvision's or timm's file"],
  [
    /conv_dw\.weight|dwconv\.weight|^features\.\d+\.\d+\.block\./,
    'ConvNeXt or another network of depthwise convolutions',
  ],
  [/denseblock\d|denselayer\d/, 'DenseNet'],
  [/^Mixed_\d|inception/i, 'Inception'],
  [/^features\.\d+\.(conv\.|\d+\.block\.)/, 'MobileNet or EfficientNet'],
  [/^(embeddings\.cls_token|encoder\.layer\.0\.)/, 'a backbone of Hugging Face without a classifier'],
  [/self_attn\.q_proj|model\.embed_tokens|wte\.weight|h\.0\.attn\.c_attn/, 'a language model'],
  [/^(down_blocks|up_blocks|mid_block)\./, 'a diffusion model'],
]

/** @throws InputError naming what a file holds where it is a known relative that is not read. */
export function refuseVariants(shapes: Shapes): void {
  for (const [mark, what] of marks) {
    const name = [...shapes.keys()].find((each) => mark.test(each))
    if (name !== undefined) refuse(what, name)
  }
  refuseResNets(shapes)
}

function refuse(what: string, name: string): never {
  throw new InputError(
    `it is not supported: tensor '${name.slice(0, 80)}' shows ${what}; take a plain ViT, DeiT, Swin, VGG or ResNet`,
  )
}

/** Convolutions of ResNets whose shapes only groups or wider insides explain. */
function refuseResNets(shapes: Shapes) {
  for (const [name, shape] of shapes) {
    const found = /^layer(\d)\.(\d+)\.conv2\.weight$/.exec(name)
    if (!found || shape.length !== 4) continue
    const before = shapes.get(`layer${found[1]}.${found[2]}.conv1.weight`)
    if (before && before[0] !== shape[1]) {
      refuse(`grouped convolutions (ResNeXt, RegNet) of ${before[0] / shape[1]} groups`, name)
    }
  }
  const stem = shapes.get('conv1.weight'), inner = shapes.get('layer1.0.conv1.weight')
  const closing = shapes.get('layer1.0.conv3.weight')
  if (stem && inner && closing && closing[0] === 4 * stem[0] && inner[0] !== stem[0]) {
    refuse(
      `an inner width of ${inner[0]} that differs from the outer ${
        stem[0]
      } (Wide ResNet, a ResNet with another base width)`,
      'layer1.0.conv1.weight',
    )
  }
}

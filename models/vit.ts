// Vision Transformer (Dosovitskiy et al. 2021) and DeiT (Touvron et al. 2021), with distillation token or without,
// pre- or post-norm, class token or mean over tokens, softmax attention or FLatten's focused linear attention (Han et
// al. 2023).
//   B images, T tokens, C width
import { type Tensor, zeros } from '../src/core/index.ts'
import { add, concat, dropPath, mean, reshape, scale, slice } from '../src/ops/index.ts'
import { Attention, type Context, FocusedAttention, Gate, LayerNorm, Linear, Mlp, Patches } from '../src/nn/index.ts'
import { ShapeError } from '../src/base/errors.ts'

/** Sizes of a ViT; the defaults are DeiT-Tiny/16 on 224 x 224. */
export interface ViTOptions {
  image?: number
  patch?: number
  channels?: number
  width?: number
  depth?: number
  heads?: number
  hidden?: number
  classes?: number
  eps?: number
  distilled?: boolean
  /** Whether the distillation token has a classifier of its own, averaged with the other (default: as `distilled`). */
  distillHead?: boolean
  norm?: 'pre' | 'post'
  classToken?: boolean
  /** `focused` is linear in the number of tokens; it works on the grid of patches, so `classToken` must be false. */
  attention?: 'softmax' | 'focused'
  /** Drop-path rate of the last block in training; earlier blocks less, linearly. */
  dropPath?: number
}

/** One encoder block: attention and perceptron, each beside a residual. */
export class Block {
  norm1: LayerNorm
  attention: Attention | FocusedAttention
  norm2: LayerNorm
  mlp: Mlp
  readonly norm: 'pre' | 'post'
  readonly dropPath: number

  /** `grid`: side of the grid of tokens for focused linear attention; null for softmax attention over any tokens. */
  constructor(
    width: number,
    heads: number,
    hidden: number,
    { eps = 1e-6, norm = 'pre' as 'pre' | 'post', dropPath = 0, grid = null as number | null } = {},
  ) {
    this.norm1 = new LayerNorm(width, { eps })
    this.attention = grid ? new FocusedAttention(width, heads, grid) : new Attention(width, heads)
    this.norm2 = new LayerNorm(width, { eps })
    this.mlp = new Mlp(width, hidden)
    this.norm = norm
    this.dropPath = dropPath
  }

  /** x [B, T, C] -> [B, T, C]. */
  call(x: Tensor, context: Context = {}): Tensor {
    const drop = (branch: Tensor) =>
      context.training && this.dropPath ? dropPath(branch, context.random!, { rate: this.dropPath }) : branch
    if (this.norm === 'post') {
      const y = this.norm1.call(add(x, drop(this.attention.call(x))))
      return this.norm2.call(add(y, drop(this.mlp.call(y))))
    }
    const y = add(x, drop(this.attention.call(this.norm1.call(x))))
    return add(y, drop(this.mlp.call(this.norm2.call(y))))
  }
}

/** The whole network. `stream` gates the residual width, which every block shares. */
export class ViT {
  static readonly leaves = {
    classToken: { role: 'token' },
    distillToken: { role: 'token' },
    positions: { role: 'positions', grid: true },
    head: { role: 'classifier' },
    distillHead: { role: 'classifier' },
  } as const
  patches: Patches
  classToken: Tensor | null
  distillToken: Tensor | null
  positions: Tensor
  stream = new Gate([-1], { kind: 'residual' })
  blocks: Block[]
  norm: LayerNorm
  head: Linear
  distillHead: Linear | null

  constructor(options: ViTOptions = {}) {
    const {
      image = 224,
      patch = 16,
      channels = 3,
      width = 192,
      depth = 12,
      heads = 3,
      hidden = 4 * width,
      classes = 1000,
      eps = 1e-6,
      distilled = false,
      distillHead = distilled,
      norm = 'pre',
      classToken = true,
      attention = 'softmax',
      dropPath = 0,
    } = options
    const side = Math.floor(image / patch), tokens = side ** 2 + Number(classToken) + Number(distilled)
    if (attention === 'focused' && tokens > side ** 2) {
      throw new ShapeError(
        'focused linear attention works on a grid of patches, '
          + 'where class and distillation tokens have no place; set classToken to false',
      )
    }
    this.patches = new Patches(channels, width, patch)
    this.classToken = classToken ? zeros([1, 1, width], true) : null
    this.distillToken = distilled ? zeros([1, 1, width], true) : null
    this.positions = zeros([tokens, width], true)
    this.blocks = Array.from(
      { length: depth },
      (_, i) =>
        new Block(width, heads, hidden, {
          eps,
          norm,
          dropPath: depth > 1 ? dropPath * i / (depth - 1) : dropPath,
          grid: attention === 'focused' ? side : null,
        }),
    )
    this.norm = new LayerNorm(width, { eps })
    this.head = new Linear(width, classes)
    this.distillHead = distilled && distillHead ? new Linear(width, classes) : null
  }

  /** image [B, channels, y, x] -> logits [B, classes]. */
  call(image: Tensor, context: Context = {}): Tensor {
    const [batch] = image.shape
    const embedded = this.patches.call(image)
    const extra = [this.classToken, this.distillToken].filter((token) => token !== null)
      .map((token) => add(token, zeros([batch, 1, 1])))
    let x = extra.length ? concat(...extra, embedded, { axis: 1 }) : embedded
    x = this.stream.call(add(x, this.positions))
    for (const block of this.blocks) x = block.call(x, context)
    x = this.norm.call(x)
    if (!this.classToken) return this.head.call(mean(x, { axes: [1] }))
    const logits = this.head.call(token(x, 0))
    return this.distillHead ? scale(add(logits, this.distillHead.call(token(x, 1))), { by: 0.5 }) : logits
  }
}

/** Token `at` of every image: [B, T, C] -> [B, C]. */
function token(x: Tensor, at: number): Tensor {
  const [batch, , width] = x.shape
  return reshape(slice(x, { starts: [0, at, 0], stops: [batch, at + 1, width] }), { shape: [batch, width] })
}

/** ViT/DeiT-Tiny: width 192, 3 heads. */
export const vitTiny = (options: ViTOptions = {}): ViT => new ViT({ width: 192, heads: 3, ...options })
/** ViT/DeiT-Small: width 384, 6 heads. */
export const vitSmall = (options: ViTOptions = {}): ViT => new ViT({ width: 384, heads: 6, ...options })
/** ViT/DeiT-Base: width 768, 12 heads. */
export const vitBase = (options: ViTOptions = {}): ViT => new ViT({ width: 768, heads: 12, ...options })

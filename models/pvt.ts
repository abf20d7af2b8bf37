// FLatten-PVT (Han et al. 2023), unverified: the Pyramid Vision Transformer (Wang et al. 2021) with focused linear
// attention in all four stages. As that is linear in the number of tokens, every token attends to all others, and PVT's
// reduction of keys and values has no use. No weights or outputs of it were at hand; instead of PVT's class token in
// the last stage, tokens are averaged.
//   B images, T tokens, C channels of a stage
import { type Tensor, zeros } from '../src/core/index.ts'
import { add, mean, permute, reshape } from '../src/ops/index.ts'
import { type Context, Gate, LayerNorm, Linear, Patches } from '../src/nn/index.ts'
import { Block } from './vit.ts'

/** Sizes of a FLatten-PVT, one entry per stage; the defaults are FLatten-PVT-T on 224 x 224. */
export interface PVTOptions {
  image?: number
  channels?: number
  /** Sides of the patches of each stage: of the image, then of the map before. */
  patches?: readonly number[]
  widths?: readonly number[]
  depths?: readonly number[]
  heads?: readonly number[]
  /** Hidden width of the perceptron over the stage's width. */
  ratios?: readonly number[]
  classes?: number
  eps?: number
  dropPath?: number
}

/** One resolution: patches of the map before become tokens; `stream` gates the residual width that its blocks share. */
export class PVTStage {
  static readonly leaves = { positions: { role: 'positions', grid: true } } as const
  patches: Patches
  patchNorm: LayerNorm
  positions: Tensor
  stream = new Gate([-1], { kind: 'residual' })
  blocks: Block[]
  readonly side: number

  constructor(inputs: number, width: number, patch: number, side: number, eps: number, blocks: Block[]) {
    this.patches = new Patches(inputs, width, patch)
    this.patchNorm = new LayerNorm(width, { eps })
    this.positions = zeros([side * side, width], true)
    this.blocks = blocks
    this.side = side
  }

  /** map [B, channels, y, x] -> tokens [B, T, C]. */
  call(map: Tensor, context: Context): Tensor {
    const tokens = this.stream.call(add(this.patchNorm.call(this.patches.call(map)), this.positions))
    return this.blocks.reduce((x, block) => block.call(x, context), tokens)
  }
}

/** The whole network. */
export class FlattenPVT {
  static readonly leaves = { head: { role: 'classifier' } } as const
  stages: PVTStage[]
  norm: LayerNorm
  head: Linear

  constructor(options: PVTOptions = {}) {
    const {
      image = 224,
      channels = 3,
      patches = [4, 2, 2, 2],
      widths = [64, 128, 320, 512],
      depths = [2, 2, 2, 2],
      heads = [1, 2, 5, 8],
      ratios = [8, 8, 4, 4],
      classes = 1000,
      eps = 1e-6,
      dropPath = 0,
    } = options
    const total = depths.reduce((sum, depth) => sum + depth, 0)
    let side = image, inputs = channels, number = 0
    this.stages = widths.map((width, stage) => {
      side = Math.floor(side / patches[stage])
      const blocks = Array.from(
        { length: depths[stage] },
        () =>
          new Block(width, heads[stage], Math.floor(width * ratios[stage]), {
            eps,
            grid: side,
            dropPath: total > 1 ? dropPath * number++ / (total - 1) : dropPath,
          }),
      )
      const made = new PVTStage(inputs, width, patches[stage], side, eps, blocks)
      inputs = width
      return made
    })
    this.norm = new LayerNorm(inputs, { eps })
    this.head = new Linear(inputs, classes)
  }

  /** image [B, channels, y, x] -> logits [B, classes]. */
  call(image: Tensor, context: Context = {}): Tensor {
    let map = image, tokens = image
    this.stages.forEach((stage, i) => {
      tokens = stage.call(map, context)
      const [batch, , width] = tokens.shape
      if (i < this.stages.length - 1) {
        map = reshape(permute(tokens, { order: [0, 2, 1] }), { shape: [batch, width, stage.side, stage.side] })
      }
    })
    return this.head.call(mean(this.norm.call(tokens), { axes: [1] }))
  }
}

/** FLatten-PVT-T (unverified). */
export const flattenPVTTiny = (options: PVTOptions = {}): FlattenPVT => new FlattenPVT(options)
/** FLatten-PVT-S (unverified). */
export const flattenPVTSmall = (options: PVTOptions = {}): FlattenPVT =>
  new FlattenPVT({ depths: [3, 4, 6, 3], ...options })
